"""Tables 1 to 7 of the paper: methods times columns of values on the test images.

The rows of a table share their test images, so everything is paired. The rivals of Tables 4 to 7
are trained again, with networks like that of the full method: volumes [32], limb lengths [64],
lifted 2D joints [25].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, product, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ordlib.experiments import intervals, published
from ordlib.experiments.components import component, lifter
from ordlib.experiments.evaluation import Truth, measure
from ordlib.experiments.intervals import Formula, Interval
from ordlib.experiments.methods import Method, calibrated, given_truth, poses, sources
from ordlib.experiments.runs import Run, run
from ordlib.experiments.setting import Setting
from ordlib.files import replacing
from ordlib.networks import ReconstructionNet

COLUMNS = ["table", "row", "column", "published", "reproduced", "ci_low", "ci_high", "seeds"]
STUDIO, KEYPOINTS, ORDINAL = "table1/volume2/full", "table2/keypoints", "table2/ordinal"
LIMBS, DUO, DUO_ORDINAL = "table4/limbs", "table6/duo", "table6/ordinal"
REC = "+rec"
"""Behind the id of a row: its predictions after the reconstruction component."""

HARD = ("Photo", "Sitting", "SitingD")
"""Columns that Section 4.4 names as those of the largest gains."""

MEAN = "Avg over actions"
"""Column of Tables 4 to 6 that the paper lacks: its averages are over frames."""

BEST = "the best rival"
"""In place of a row: the smallest error of the rivals, column by column."""

PARTS = ("Studio GS", "Studio no GS", "Outdoor")
ARCHITECTURES = ("depth", "coordinate", "volume1", "volume2")

Key = tuple[int, str, str]
"""A table, a row's id, and a metric or a heading over some of the samples."""

Values = Mapping[Key, np.ndarray]
"""One value a seed and test sample, (seeds, samples); nan where a sample has none."""


@dataclass(frozen=True)
class Table:
    """One of the paper's tables: its methods and columns, and where they are tested."""

    number: int
    domain: str
    metric: str  # the first one that the paper prints
    methods: tuple[Method, ...]
    whole: tuple[str, ...]  # headings of columns over all test images
    # columns over some test images, by heading, with what these have in `Truth.meta`
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, str]:
        """All headings in their order, with the metrics; a group's heading is a key itself."""
        metrics = _METRICS | {"Avg": self.metric}
        return {heading: metrics.get(heading, heading) for heading in (*self.groups, *self.whole)}

    @property
    def rows(self) -> list[str]:
        """The rows of `ROWS` that its methods need."""
        return list(dict.fromkeys(method.network for method in self.methods))

    @property
    def titles(self) -> dict[str, str]:
        """What figures call the methods, by row."""
        return {method.row: method.title for method in self.methods}

    @property
    def full(self) -> Method:
        """The full method of Tables 4 to 7."""
        return next(method for method in self.methods if method.printed == "")

    @cached_property
    def printed(self) -> dict[Key, float]:
        """The paper's numbers for these methods."""
        paper = published.table(self.number)
        paper = paper.set_index("row" if "row" in paper else "reference")
        return {
            (self.number, method.row, key): float(paper.loc[method.printed, heading])
            for method in self.methods
            if method.printed in paper.index
            for heading, key in self.columns.items()
            if heading in paper
        }

    @property
    def rivals(self) -> list[str]:
        """The rows of Tables 4 to 7 whose rivals the paper prints there."""
        stated = {row for _, row, _ in self.printed}
        return [m.row for m in self.methods if m.printed and m.row in stated]

    def frame(self, values: Values) -> pd.DataFrame:
        """The table with the columns `COLUMNS`, published and reproduced apart.

        Methods with something behind the network give no positions in the image.
        """
        records = [
            (
                *(self.number, method.row, heading),
                self.printed.get((self.number, method.row, key), np.nan),
                *self._interval(values, method.row, heading),
                len(values[self.number, method.row, self.metric]),
            )
            for method in self.methods
            for heading, key in self.columns.items()
            if heading == MEAN or (self.number, method.row, key) in values
        ]
        return pd.DataFrame(records, columns=COLUMNS)

    def _interval(self, values: Values, row: str, heading: str) -> Interval:
        if heading != MEAN:
            return intervals.mean(values[self.number, row, self.columns[heading]])
        keys = [(self.number, row, group) for group in self.groups]
        keys = [key for key in keys if np.isfinite(values[key]).any()]
        return intervals.resampled(values)(
            lambda means: sum(means[key] for key in keys) / len(keys) if keys else np.nan
        )

    def wide(self, frame: pd.DataFrame, kind: str, columns: Sequence[str]) -> pd.DataFrame:
        """A frame as readers know tables: a line a method, a column a heading.

        `kind` is `published`, `reproduced`, or `interval`: the latter with its interval, as text.
        """
        numbers = frame[["reproduced", "ci_low", "ci_high"]].itertuples(index=False)
        frame = frame.assign(interval=[intervals.text(number) for number in numbers])
        wide = frame.pivot(index="row", columns="column", values=kind)
        wide = wide.reindex(index=list(self.titles), columns=columns).rename(index=self.titles)
        wide.columns.name = wide.index.name = None
        return wide.fillna("") if kind == "interval" else wide.dropna(how="all").round(1)

    def gain(self, row: str, heading: str, relative: bool = True) -> Formula:
        """The share (or mm) by which the full method's error is below a rival's or `BEST`."""
        key = self.columns[heading]

        def formula(means: Mapping[Key, Any]) -> Any:
            others = self.rivals if row == BEST else [row]
            error = np.fmin.reduce([means[self.number, other, key] for other in others])
            saved = error - means[self.number, self.full.row, key]
            return saved / error if relative else saved

        return formula

    def gains(self, values: Values) -> pd.DataFrame:
        """By how many percent the full method's errors are below the rivals' and the best one's."""
        interval, records = intervals.resampled(values), []
        for row, heading in product((*self.rivals, BEST), (*self.groups, "Avg")):
            formula = self.gain(row, heading)
            shares = (formula(self.printed), *interval(formula))
            records.append((row, heading, *(100 * share for share in shares)))
        return pd.DataFrame(records, columns=["rival", "column", *COLUMNS[3:7]])


def _ablation(row: str, title: str) -> Method:
    return Method(row, title, row.removesuffix(REC), row, "component" if row.endswith(REC) else "")


_METRICS = {
    "avg_error_mm": "mpjpe",
    "oracle_scale_mm": "mpjpe_oracle_scale",
    "given_2d_mm": "mpjpe_given_2d",
    "reconstruction_error_mm": "reconstruction_error",
    "plane_error_mm": "plane_error",
    "depth_error_mm": "depth_error",
    "keypoint_error_percent": "keypoint_error",
    "PCK3D": "pck3d",
    "All": "pck3d",
    "AUC": "auc3d",
    "PCK3D_given_2d": "pck3d_given_2d",
    "PCK3D_given_depth": "pck3d_given_depth",
}
BESIDE = ("keypoint_error_percent", "depth_error_mm", "ordinal_accuracy")
"""Columns of every table that say where an error comes from."""

_PLANE = ("keypoint_error_percent", "plane_error_mm", "depth_error_mm", "ordinal_accuracy")
_STEPS = (
    _ablation(STUDIO, "studio"),
    _ablation(KEYPOINTS, "+ 2D"),
    _ablation(ORDINAL, "+ 2D + Ord"),
)
_HUMAN36M = (
    Method(STUDIO, "volumes [32]", STUDIO, "[32]"),
    Method(LIMBS, "limb lengths [64]", LIMBS, "[64]"),
    Method("table4/lifting", "lifted 2D [25]", ORDINAL, "[25]", "lifter"),
    Method(ORDINAL + REC, "ours", ORDINAL, "", "component"),
)
_ACTIONS = {heading: {"action": name} for heading, name in published.ACTIONS.items()}
_HUMANEVA = {
    heading: dict(zip(("action", "subject"), heading.split(), strict=True))
    for heading in published.HUMANEVA_COLUMNS
}

TABLES: Mapping[int, Table] = {
    table.number: table
    for table in (
        Table(
            *(1, "studio", "mpjpe"),
            tuple(
                Method(row, row.removeprefix("table1/"), row, row)
                for row in published.table(1)["row"]
            ),
            (
                *("avg_error_mm", "oracle_scale_mm", "given_2d_mm", "reconstruction_error_mm"),
                *("depth_error_mm", "keypoint_error_percent", "ordinal_accuracy"),
            ),
        ),
        Table(
            *(2, "studio", "mpjpe"),
            (
                *_STEPS,
                _ablation(KEYPOINTS + REC, "+ 2D + Rec"),
                _ablation(ORDINAL + REC, "+ 2D + Ord + Rec"),
            ),
            ("avg_error_mm", *_PLANE, "given_2d_mm", "reconstruction_error_mm"),
        ),
        Table(
            *(3, "shift", "pck3d", _STEPS),
            ("PCK3D", "AUC", *_PLANE, "PCK3D_given_2d", "PCK3D_given_depth"),
        ),
        Table(4, "studio", "mpjpe", _HUMAN36M, ("Avg", MEAN, *BESIDE), _ACTIONS),
        Table(5, "studio", "reconstruction_error", _HUMAN36M, ("Avg", MEAN, *BESIDE), _ACTIONS),
        Table(
            *(6, "duo", "reconstruction_error"),
            (
                Method(DUO, "volumes [32]", DUO, "[32]"),
                Method("table6/lifting", "lifted 2D [25]", DUO_ORDINAL, "[25]", "lifter"),
                Method(DUO_ORDINAL + REC, "ours", DUO_ORDINAL, "", "component"),
            ),
            ("Avg", MEAN, *BESIDE),
            _HUMANEVA,
        ),
        # the full method of Table 7 has no component: its numbers are those of Table 3
        Table(
            *(7, "shift", "pck3d"),
            (
                Method(LIMBS, "limb lengths [64]", LIMBS, "[64]"),
                Method(ORDINAL, "ours", ORDINAL, ""),
                Method(ORDINAL + REC, "ours + Rec", ORDINAL, None, "component"),
            ),
            ("All", "AUC", *BESIDE),
            {part: {"part": part} for part in PARTS},
        ),
    )
}


@dataclass(frozen=True)
class Results:
    """A table's methods on their test images, for all seeds of a setting."""

    table: Table
    setting: Setting
    runs: Mapping[str, Sequence[Run]]  # of all seeds, by row of `ROWS`
    truths: Sequence[Truth]  # of each seed's test images
    behind: Mapping[str, Sequence[ReconstructionNet]]  # of all seeds, by method's row

    @classmethod
    def of(cls, number: int, setting: Setting) -> "Results":
        """Those of a table; what is missing is trained.

        The component learns from the motion of the domain that gives the 3D truth alone.
        """
        table, seeds = TABLES[number], setting.seeds()
        runs = {row: [run(row, one) for one in seeds] for row in table.rows}
        train = {"component": lambda done: component(done.setting, done.row.home), "lifter": lifter}
        behind = {
            method.row: [train[method.behind](done) for done in runs[method.network]]
            for method in table.methods
            if method.behind
        }
        truths = [done.truth(table.domain) for done in runs[table.rows[0]]]
        return cls(table, setting, runs, truths, behind)

    def measured(
        self, method: Method, networks: Sequence[ReconstructionNet] | None = None
    ) -> dict[str, np.ndarray]:
        """Metrics of a method, which need not be in the table, (seeds, samples) each.

        `networks` are behind its network, of all seeds; those of the table by default.
        """
        if networks is None:
            networks = self.behind[method.row] if method.behind else ()
        inputs = zip_longest(self.runs[method.network], self.truths, networks)
        return _stacked([_metrics(method, self.table, *each) for each in inputs])

    @cached_property
    def values(self) -> dict[Key, np.ndarray]:
        """The values of each method in each column, and what notebooks and claims use beside."""
        found = {method.row: self.measured(method) for method in self.table.methods}
        if self.table.number in (2, 3):
            for before, after in pairwise(_STEPS):
                inputs = zip(self.runs[before.row], self.runs[after.row], self.truths, strict=True)
                domain = self.table.domain
                found[after.row] |= _stacked([sources(*each, domain) for each in inputs])
        return {
            (self.table.number, row, name): values
            for row, by_name in found.items()
            for name, values in by_name.items()
        }

    @cached_property
    def frame(self) -> pd.DataFrame:
        """See `Table.frame`."""
        return self.table.frame(self.values)

    def facts(self) -> pd.DataFrame:
        """What each method is made of and learns from, and for how many steps."""
        facts = {}
        for method in self.table.methods:
            row, scale = self.runs[method.network][0].row, self.runs[method.network][0].scale
            facts[method.title] = {
                "row": method.row,
                "network": method.network,
                "behind it": method.behind or "-",
                "of wild": f"2D keypoints, {row.wild}" if row.wild else "-",
                "steps": row.steps_before(scale) + row.steps(scale),
            }
        return pd.DataFrame(facts).T


def _stacked(by_seed: Sequence[Mapping[str, Tensor]]) -> dict[str, np.ndarray]:
    return {
        name: np.stack([metrics[name].double().numpy() for metrics in by_seed])
        for name in by_seed[0]
    }


def per_sample(runs: Sequence[Run], metric: str) -> np.ndarray:
    """A stored metric of one row's runs, (seeds, samples)."""
    return np.stack([done.predictions()[metric].double().numpy() for done in runs])


def _metrics(
    method: Method, table: Table, done: Run, known: Truth, network: ReconstructionNet | None
) -> dict[str, Tensor]:
    """`measure` of a method, with its columns over some of the samples; of networks also 2D."""
    if table.number == 1:
        return {metric: done.predictions()[metric] for metric in table.columns.values()}
    found = measure(poses(method, done, table.domain, network), known)
    for heading, wanted in table.groups.items():
        chosen = np.logical_and.reduce([known.meta[key] == name for key, name in wanted.items()])
        found[heading] = found[table.metric].where(torch.from_numpy(chosen), torch.nan)
    if network is None:
        found["keypoint_error"] = done.predictions(table.domain)["keypoint_error"]
        if table.number in (2, 3):
            found |= given_truth(done, table.domain, known)
        if table.number == 2:
            found |= calibrated(done, known)
    return found


def gaps(values: Values, metric: str = "mpjpe") -> pd.DataFrame:
    """For each architecture of Table 1 the ratio weak / full of a metric; printed for `mpjpe`."""
    records = []
    for name in ARCHITECTURES:
        weak, full = ((1, f"table1/{name}/{kind}", metric) for kind in ("weak", "full"))
        printed = TABLES[1].printed
        stated = printed[weak] / printed[full] if weak in printed else np.nan
        records.append((name, metric, stated, *intervals.ratio(values[weak], values[full])))
    return pd.DataFrame(records, columns=["architecture", "metric", *COLUMNS[3:7]])


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table with four decimals, replacing the file as a whole."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.4f")
