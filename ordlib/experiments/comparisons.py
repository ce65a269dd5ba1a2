"""Tables 4 to 7: the full method beside its rivals, action by action and part by part.

The paper copies its rivals' numbers from their papers. Three rivals are trained again here, on the
images of the full method and with networks like its own: the volumes of [32], the limb
lengths of [64] and the lifting of detected 2D joints of [25]. All are tested on the same images, so
everything is paired.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ordlib.experiments import Run, ablations, published
from ordlib.experiments.ablations import ORDINAL, REC, STUDIO, Truth
from ordlib.experiments.components import component
from ordlib.experiments.detected import lift_detected, lifter
from ordlib.experiments.results import (
    COLUMNS,
    Interval,
    Key,
    Statement,
    mean_interval,
    over,
    quantity_interval,
    weigh,
)
from ordlib.networks import ReconstructionNet
from ordlib.reconstruction import reconstruct

Quantity = Callable[[Mapping[Key, Any]], Any]


@dataclass(frozen=True)
class Method:
    """A method that is reproduced in a table.

    Attributes:
        row: its id in the table.
        title: what figures call it.
        network: of which row of `experiments.ROWS` it is or uses the network.
        reference: of the published row that it corresponds to, see `published.table`; empty for the
            paper's own, None for a method that no table prints.
        behind: what the network's 2D positions go through: nothing, `component` (with its depths)
            or `lifter` (without).
    """

    row: str
    title: str
    network: str
    reference: str | None
    behind: str = ""


LIMBS = Method("table4/limbs", "limb lengths [64]", "table4/limbs", "[64]")
_HUMAN36M = (
    Method(STUDIO, "volumes [32]", STUDIO, "[32]"),
    LIMBS,
    Method("table4/lifting", "lifted 2D [25]", ORDINAL, "[25]", "lifter"),
    Method(ORDINAL + REC, "ours", ORDINAL, "", "component"),
)
_HUMANEVA = (
    Method("table6/duo", "volumes [32]", "table6/duo", "[32]"),
    Method("table6/lifting", "lifted 2D [25]", "table6/ordinal", "[25]", "lifter"),
    Method("table6/ordinal" + REC, "ours", "table6/ordinal", "", "component"),
)
_SHIFT = (
    LIMBS,
    Method(ORDINAL, "ours", ORDINAL, ""),
    Method(ORDINAL + REC, "ours + Rec", ORDINAL, None, "component"),
)

METHODS: Mapping[int, tuple[Method, ...]] = {4: _HUMAN36M, 5: _HUMAN36M, 6: _HUMANEVA, 7: _SHIFT}
"""By table. The full method of Table 7 has no component: its numbers are those of Table 3."""

DOMAINS = {4: "studio", 5: "studio", 6: "duo", 7: "shift"}
"""Where each table is tested."""

HARD = ("Photo", "Sitting", "SitingD")
"""Columns that Section 4.4 names as those of the largest gains."""

MEAN = "Avg over actions"
"""Column of Tables 4 to 6 that the paper lacks: its averages are over frames."""

_PARTS = ("Studio GS", "Studio no GS", "Outdoor")
_METRICS = {4: "mpjpe", 5: "reconstruction_error", 6: "reconstruction_error", 7: "pck3d"}
_BESIDE = {
    "keypoint_error_percent": "keypoint_error",
    "depth_error_mm": "depth_error",
    "ordinal_accuracy": "ordinal_accuracy",
}


def groups(number: int) -> dict[str, dict[str, str]]:
    """Columns of a table that hold some of the test images, with what these have in `Truth.meta`.

    In the order and with the headings of the paper.
    """
    if number in (4, 5):
        return {column: {"action": name} for column, name in published.ACTIONS.items()}
    if number == 6:
        pairs = {column: column.split() for column in published.HUMANEVA_COLUMNS}
        return {column: {"action": a, "subject": s} for column, (a, s) in pairs.items()}
    return {part: {"part": part} for part in _PARTS}


def _whole(number: int) -> dict[str, str]:
    """Columns of a table over all test images, with their metrics."""
    printed = {"All": "pck3d", "AUC": "auc3d"} if number == 7 else {"Avg": _METRICS[number]}
    return printed | _BESIDE


def full_method(number: int) -> str:
    """The row of a table's full method."""
    return next(method.row for method in METHODS[number] if method.reference == "")


def rivals(number: int) -> list[str]:
    """The reproduced rows of a table whose rivals the paper prints there."""
    printed = set(published.table(number)["reference"])
    return [m.row for m in METHODS[number] if m.reference and m.reference in printed]


def networks(number: int, runs: Mapping[str, Sequence[Run]]) -> dict[str, list[ReconstructionNet]]:
    """What stands behind the networks of a table's methods, by row: read, or trained if missing.

    The component learns from the motion of the domain that gives the 3D ground truth alone.

    Args:
        runs: for each of the methods' networks the runs of all seeds.
    """
    found: dict[str, list[ReconstructionNet]] = {}
    for method in METHODS[number]:
        if method.behind == "lifter":
            found[method.row] = [lifter(run) for run in runs[method.network]]
        elif method.behind == "component":
            found[method.row] = [
                component(run.setting, run.row.home) for run in runs[method.network]
            ]
    return found


@torch.no_grad()
def poses(
    method: Method, run: Run, domain: str, network: ReconstructionNet | None = None
) -> Float[Tensor, "samples joints 3"]:
    """A method's root-relative poses of a domain's test images, mm.

    Args:
        run: of the method's network.
        network: what is behind it.
    """
    stored = run.predictions(domain)
    if network is None:
        return stored["joints_mm"]
    if method.behind == "lifter":
        return lift_detected(network, stored["keypoints_px"])
    return reconstruct(network, stored["keypoints_px"], stored["depth"])


def collect(
    number: int,
    runs: Mapping[str, Sequence[Run]],
    truths: Sequence[Truth],
    behind: Mapping[str, Sequence[ReconstructionNet]],
) -> dict[Key, np.ndarray]:
    """Errors of each method in each column, (seeds, samples); nan where a column lacks a sample.

    Args:
        runs: for each of the methods' networks the runs of all seeds.
        truths: of each seed's test images.
        behind: see `networks`.
    """
    found: dict[Key, list[np.ndarray]] = defaultdict(list)
    for method in METHODS[number]:
        for seed, known in enumerate(truths):
            run = runs[method.network][seed]
            network = behind[method.row][seed] if method.behind else None
            measured = ablations.measure(poses(method, run, DOMAINS[number], network), known)
            if network is None:
                measured["keypoint_error"] = run.predictions(DOMAINS[number])["keypoint_error"]
            for column, values in _columns(number, measured, known).items():
                found[method.row, column].append(values)
    return {key: np.stack(by_seed) for key, by_seed in found.items()}


def _columns(
    number: int, measured: Mapping[str, Tensor], known: Truth
) -> dict[str, Float[np.ndarray, " samples"]]:
    arrays = {name: values.double().numpy() for name, values in measured.items()}
    part = {
        column: np.where(chosen(known, wanted), arrays[_METRICS[number]], np.nan)
        for column, wanted in groups(number).items()
    }
    whole = {column: arrays[m] for column, m in _whole(number).items() if m in arrays}
    return part | whole


def chosen(known: Truth, wanted: Mapping[str, str]) -> np.ndarray:
    """Which samples have all these properties."""
    return np.logical_and.reduce([known.meta[key] == value for key, value in wanted.items()])


def published_means(number: int) -> dict[Key, float]:
    """The paper's numbers for the reproduced rows; nan for what it does not print."""
    paper = published.table(number).set_index("reference").select_dtypes("number")
    return defaultdict(
        lambda: np.nan,
        {
            (method.row, column): value
            for method in METHODS[number]
            if method.reference in paper.index
            for column, value in paper.loc[method.reference].items()
        },
    )


def table(number: int, values: Mapping[Key, np.ndarray]) -> pd.DataFrame:
    """One of Tables 4 to 7 with the columns of `results.COLUMNS`, published and reproduced apart.

    The columns of the paper, then `MEAN` in Tables 4 to 6, then 2D error, depth error and ordinal
    accuracy. Rows with something behind the network give no positions in the image.
    """
    printed, records = published_means(number), []
    for method in METHODS[number]:
        found = _intervals(number, method.row, values)
        count = len(values[method.row, next(iter(_whole(number)))])
        for column, interval in found.items():
            stated = printed[method.row, column]
            records.append((number, method.row, column, stated, *interval, count))
    return pd.DataFrame(records, columns=COLUMNS)


def _intervals(number: int, row: str, values: Mapping[Key, np.ndarray]) -> dict[str, Interval]:
    headings = list(groups(number))
    found = {column: mean_interval(values[row, column]) for column in headings}
    for column in _whole(number):
        if (row, column) in values:
            found[column] = mean_interval(values[row, column])
        if column == "Avg":
            present = [name for name in headings if np.isfinite(values[row, name]).any()]
            own = {(row, name): values[row, name] for name in present}
            found[MEAN] = quantity_interval(partial(_mean_of, row=row, columns=present), own)
    return found


def _mean_of(means: Mapping[Key, Any], row: str, columns: Sequence[str]) -> Any:
    """Mean over columns; nan where one is missing, or there are none."""
    return sum(means[row, column] for column in columns) / len(columns) if columns else np.nan


BEST = "the best rival"
"""In place of a row: the smallest error of the rivals, column by column."""


def _error(means: Mapping[Key, Any], row: str, column: str, number: int) -> Any:
    if row == BEST:
        return np.fmin.reduce([means[rival, column] for rival in rivals(number)])
    return means[row, column]


def gain(number: int, row: str, column: str, relative: bool = True) -> Quantity:
    """How much smaller the full method's error is than another's: a fraction of it, or mm.

    Args:
        number: 4, 5 or 6.
        row: a rival, or `BEST`.
    """

    def quantity(means: Mapping[Key, Any]) -> Any:
        error = _error(means, row, column, number)
        saved = error - means[full_method(number), column]
        return saved / error if relative else saved

    return quantity


def gains(number: int, values: Mapping[Key, np.ndarray]) -> pd.DataFrame:
    """By how many percent the full method's errors are below each rival's and the best one's.

    Returns:
        Columns `rival`, `column`, `published`, `reproduced`, `ci_low`, `ci_high`.
    """
    printed, records = published_means(number), []
    for row in (*rivals(number), BEST):
        for column in (*groups(number), "Avg"):
            quantity = gain(number, row, column)
            keys = [(r, column) for r in (*rivals(number), full_method(number))]
            found = quantity_interval(quantity, {key: values[key] for key in keys})
            records.append((row, column, *(100 * x for x in (quantity(printed), *found))))
    names = ["rival", "column", "published", "reproduced", "ci_low", "ci_high"]
    return pd.DataFrame(records, columns=names)


def _wins(means: Mapping[Key, Any], number: int) -> Any:
    """In how many columns the full method beats every rival; nan if there is none to judge."""
    lead = np.stack([gain(number, BEST, column)(means) for column in groups(number)])
    return np.where(np.isfinite(lead).any(0), (lead > 0).sum(0), np.nan)[()]


def _harder(means: Mapping[Key, Any], number: int, relative: bool) -> Any:
    """Mean gain over the best rival on the hard actions minus that on the others, or minus 0.

    The latter where the others have none: a smaller loss is no gain.
    """
    saved = {c: gain(number, BEST, c, relative)(means) for c in groups(number)}
    hard = [saved.pop(column) for column in HARD]
    return np.mean(hard, axis=0) - np.maximum(np.mean(list(saved.values()), axis=0), 0)


def _margin(number: int, column: str) -> Quantity:
    """How far the full method is above the best rival, for measures where more is better."""

    def quantity(means: Mapping[Key, Any]) -> Any:
        best = np.fmax.reduce([means[row, column] for row in rivals(number)])
        return means[full_method(number), column] - best

    return quantity


def _outdoors(means: Mapping[Key, Any]) -> Any:
    """The margin outdoors minus the mean of both studios' margins, or minus 0 if that is less."""
    *studios, outdoors = (_margin(7, part)(means) for part in _PARTS)
    return outdoors - np.maximum(sum(studios) / len(studios), 0)


def _on_average(number: int) -> tuple[Statement, ...]:
    """Better than each rival, and than the best of them by a tenth."""
    ours = full_method(number)
    titles = {method.row: method.title for method in METHODS[number]}
    return (
        *(
            Statement(f"lower error than {titles[row]}", over(ours, row, "Avg"), 1.0)
            for row in rivals(number)
        ),
        Statement("over 10% below the best rival", gain(number, BEST, "Avg"), 0.1, above=True),
    )


def _by_action(number: int) -> tuple[Statement, ...]:
    return (
        *_on_average(number),
        Statement("actions of 15 where ours is best", partial(_wins, number=number), above=True),
        *(
            Statement(
                f"larger gain on the hard actions, {unit}",
                partial(_harder, number=number, relative=relative),
                0.0,
                above=True,
            )
            for unit, relative in (("relative", True), ("mm", False))
        ),
    )


STATEMENTS: Mapping[int, tuple[Statement, ...]] = {
    4: _by_action(4),
    5: _by_action(5),
    6: _on_average(6),
    7: (
        Statement("PCK3D over all above limb lengths [64]", _margin(7, "All"), 0.0, above=True),
        Statement("AUC over all above limb lengths [64]", _margin(7, "AUC"), 0.0, above=True),
        Statement("larger margin outdoors than in studios", _outdoors, 0.0, above=True),
    ),
}
"""What Section 4.4 and the captions of Tables 4 and 5 say."""


def judge(number: int, values: Mapping[Key, np.ndarray]) -> pd.DataFrame:
    """The statements about a table with verdicts, see `results.weigh`.

    Args:
        values: see `collect`.
    """
    return weigh(STATEMENTS[number], values, published_means(number))
