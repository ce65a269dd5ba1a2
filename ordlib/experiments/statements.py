"""What the paper says of its numbers: formulas over the means of all tables, with bounds.

The notebooks judge the statements about their table; the claims of the overview rest on them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from ordlib.annotation import Clock
from ordlib.experiments import intervals
from ordlib.experiments.intervals import VERDICTS, Formula
from ordlib.experiments.setting import Setting
from ordlib.experiments.tables import (
    ARCHITECTURES,
    BEST,
    HARD,
    KEYPOINTS,
    LIMBS,
    ORDINAL,
    PARTS,
    REC,
    STUDIO,
    TABLES,
    Key,
    Results,
    Table,
    Values,
    write_csv,
)
from ordlib.skeleton import LSP14

ANNOTATION = 0
"""In place of the number of a table: the annotation procedure of Section 4.1."""

QUESTIONS = 17.0
"""An image, "roughly" and "in the mean case" (Section 4.1)."""

PROCEDURES = ("kinematic", "informed")
"""Strategies that need few questions: without and with knowledge of people's poses."""

_ASKED = {"all": len(LSP14) * (len(LSP14) - 1) / 2, **dict.fromkeys(PROCEDURES, QUESTIONS)}

PAPER: Mapping[Key, float] = defaultdict(
    lambda: np.nan,
    {key: value for table in TABLES.values() for key, value in table.printed.items()}
    | {(ANNOTATION, name, "questions"): count for name, count in _ASKED.items()}
    | {(ANNOTATION, name, "seconds"): count * Clock().grouped_s for name, count in _ASKED.items()},
)
"""The paper's own means; nan for what it does not print."""

Means = Mapping[Key, Any]


@dataclass(frozen=True)
class Statement:
    """A number that lies on one side of a bound if the paper is right."""

    table: int  # or ANNOTATION
    text: str
    formula: Formula
    bound: float | None = None  # None for the number that the paper's own means give
    above: bool = False  # whether the number lies above the bound, not below
    claim: str = ""  # id of the claim that rests on it


def ratio(table: int, over: str, under: str, metric: str = "") -> Formula:
    """A metric of one row over that of another, by default the first that the paper prints."""
    key = metric or TABLES[table].metric
    return lambda m: m[table, over, key] / m[table, under, key]


def difference(table: int, row: str, other: str, metric: str) -> Formula:
    """A metric of one row minus that of another."""
    return lambda m: m[table, row, metric] - m[table, other, metric]


def extreme(formulas: Sequence[Formula], smallest: bool = False) -> Formula:
    """The largest or the smallest number of several formulas."""
    reduce = np.minimum.reduce if smallest else np.maximum.reduce
    return lambda m: reduce([formula(m) for formula in formulas])


def _gaps(metric: str = "mpjpe") -> list[Formula]:
    """Weak over full supervision for each of `ARCHITECTURES`."""
    return [
        ratio(1, f"table1/{name}/weak", f"table1/{name}/full", metric) for name in ARCHITECTURES
    ]


def _growth(m: Means, metric: str) -> Any:
    """How much the gap of two hourglasses exceeds the largest of the others."""
    *others, last = _gaps(metric)
    return last(m) - extreme(others)(m)


def _mainly(text: str, row: str, more: str, less: str, claim: str) -> Statement:
    """That a step gains PCK3D by one source, and no less than by the other."""

    def formula(m: Means) -> Any:
        return m[3, row, f"pck3d_by_{more}"] - np.maximum(m[3, row, f"pck3d_by_{less}"], 0)

    return Statement(3, text, formula, 0.0, True, claim)


def _falls_more(m: Means) -> Any:
    """Ratio of 2D errors minus ratio of depth errors (at most 1), in the step to 2D keypoints."""
    points, depth = (
        ratio(3, KEYPOINTS, STUDIO, metric)(m) for metric in ("keypoint_error", "depth_error")
    )
    return points - np.minimum(depth, 1)


def _wins(m: Means, table: Table) -> Any:
    """In how many columns the full method beats every rival; nan if there is none to judge."""
    lead = np.stack([table.gain(BEST, heading)(m) for heading in table.groups])
    return np.where(np.isfinite(lead).any(0), (lead > 0).sum(0), np.nan)[()]


def _harder(m: Means, table: Table, relative: bool) -> Any:
    """Mean gain over the best rival on the hard actions minus that on the others, or minus 0.

    The latter where the others have none: a smaller loss is no gain.
    """
    saved = {heading: table.gain(BEST, heading, relative)(m) for heading in table.groups}
    hard = [saved.pop(heading) for heading in HARD]
    return np.mean(hard, axis=0) - np.maximum(np.mean(list(saved.values()), axis=0), 0)


def _outdoors(m: Means) -> Any:
    """The margin outdoors minus the mean of both studios' margins, or minus 0 if that is less."""
    *studios, outdoors = (difference(7, ORDINAL, LIMBS, part)(m) for part in PARTS)
    return outdoors - np.maximum(sum(studios) / len(studios), 0)


def _fewest(m: Means, quantity: str) -> Any:
    return np.minimum.reduce([m[ANNOTATION, name, quantity] for name in PROCEDURES])


def _lower(
    table: int, text: str, row: str, other: str, claim: str = "", metric: str = ""
) -> Statement:
    return Statement(table, text, ratio(table, row, other, metric), 1.0, claim=claim)


def _higher(table: int, text: str, row: str, other: str, metric: str, claim: str = "") -> Statement:
    return Statement(table, text, difference(table, row, other, metric), 0.0, True, claim)


def _depth(table: int) -> list[Statement]:
    """That ordinal depths bring information about depth."""
    return [
        _lower(table, "+ Ord lowers the depth error", ORDINAL, KEYPOINTS, metric="depth_error"),
        _higher(
            *(table, "+ Ord raises the ordinal accuracy"),
            *(ORDINAL, KEYPOINTS, "ordinal_accuracy"),
        ),
    ]


def _beyond(row: str, scales: str) -> Formula:
    """The error with the component over that of the network with the best scale of depths."""
    return lambda m: m[2, row + REC, "mpjpe"] / m[2, row, scales]


def _on_average(number: int, claim: str) -> list[Statement]:
    """Better than each rival, and than the best of them by a tenth."""
    table = TABLES[number]
    return [
        *(
            _lower(number, f"lower error than {table.titles[row]}", table.full.row, row, claim)
            for row in table.rivals
        ),
        Statement(
            *(number, "over 10% below the best rival", table.gain(BEST, "Avg"), 0.1, True, "tenth")
        ),
    ]


def _by_action(number: int, claim: str) -> list[Statement]:
    table, more = TABLES[number], "larger gain on the hard actions"
    share, mm = (partial(_harder, table=table, relative=relative) for relative in (True, False))
    wins = partial(_wins, table=table)
    return [
        Statement(number, "actions of 15 where ours is best", wins, None, True, claim),
        Statement(number, f"{more}, relative", share, 0.0, True, "hard-actions"),
        Statement(number, f"{more}, mm", mm, 0.0, True),
    ]


CLOSE = ("close-depth", "close-coordinate", "close-volume")
_GROWS = "gap grows only with two hourglasses"
_STEPS = [ratio(2, row, before) for before, row in pairwise(TABLES[2].titles)]

MARGIN = max(gap(PAPER) for gap in _gaps()[:3]) - 1
"""What "very close" and "roughly" allow beyond the published number: 5 percent, the largest gap in
print between ordinal and full supervision of networks with one hourglass."""

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        *(ANNOTATION, "questions an image", partial(_fewest, quantity="questions")),
        *(QUESTIONS * (1 + MARGIN), False, "questions"),
    ),
    Statement(
        ANNOTATION,
        "time for all 91 / for an ordering",
        lambda m: m[ANNOTATION, "all", "seconds"] / _fewest(m, "seconds"),
        bound=5.0,
        above=True,
        claim="faster",
    ),
    Statement(1, "competitive in all cases: largest weak / full", extreme(_gaps())),
    *(
        Statement(1, f"{name}: weak / full as small as published", gap, claim=claim)
        for name, gap, claim in zip(ARCHITECTURES, _gaps(), (*CLOSE, ""), strict=True)
    ),
    *(
        Statement(1, f"{_GROWS}: {word}", partial(_growth, metric=metric), 0.0, True, claim)
        for word, metric, claim in (
            ("error", "mpjpe", "gap-grows"),
            ("2D given", "mpjpe_given_2d", ""),
            ("depth error", "depth_error", ""),
        )
    ),
    *(
        _lower(1, f"{text}, {kind}", f"table1/{first}/{kind}", f"table1/{second}/{kind}", claim)
        for text, first, second, claim in (
            ("volume better than coordinates", "volume1", "coordinate", "volume"),
            ("two hourglasses better than one", "volume2", "volume1", "two-hourglasses"),
        )
        for kind in ("weak", "full")
    ),
    _lower(2, "+ 2D keypoints lowers the error", KEYPOINTS, STUDIO, "keypoints"),
    _lower(2, "+ Ord lowers it further", ORDINAL, KEYPOINTS, "ordinal"),
    _lower(2, "Rec lowers it, without Ord", KEYPOINTS + REC, KEYPOINTS, "component"),
    _lower(2, "Rec lowers it, with Ord", ORDINAL + REC, ORDINAL, "component"),
    _lower(2, "+ Ord lowers it, with Rec", ORDINAL + REC, KEYPOINTS + REC, "ordinal-component"),
    Statement(2, "all five rows in the printed order", extreme(_STEPS), 1.0),
    *_depth(2),
    *(
        Statement(2, f"Rec beats {name}, {word} Ord", _beyond(row, scales), 1.0)
        for name, scales in (
            ("the best single scale", "mpjpe_one_scale"),
            ("a scale for each joint", "mpjpe_joint_scales"),
        )
        for word, row in (("without", KEYPOINTS), ("with", ORDINAL))
    ),
    _higher(3, "+ 2D keypoints raises PCK3D", KEYPOINTS, STUDIO, "pck3d", "shift-keypoints"),
    _higher(3, "+ 2D keypoints raises AUC", KEYPOINTS, STUDIO, "auc3d", "shift-keypoints"),
    _higher(3, "+ Ord raises PCK3D", ORDINAL, KEYPOINTS, "pck3d", "shift-ordinal"),
    _higher(3, "+ Ord raises AUC", ORDINAL, KEYPOINTS, "auc3d", "shift-ordinal"),
    _mainly("+ 2D keypoints: PCK3D gained mainly by 2D", KEYPOINTS, "2d", "depth", "shift-2d"),
    Statement(3, "+ 2D keypoints: 2D error falls more than depth's", _falls_more, 0.0),
    _mainly("+ Ord: PCK3D gained mainly by depth", ORDINAL, "depth", "2d", "shift-depth"),
    *_depth(3),
    _higher(3, "+ Ord raises PCK3D with 2D given", ORDINAL, KEYPOINTS, "pck3d_given_2d"),
    *_on_average(4, "average"),
    *_by_action(4, "actions"),
    *_on_average(5, "average"),
    *_by_action(5, "actions-aligned"),
    *_on_average(6, "humaneva"),
    _higher(7, "PCK3D over all above limb lengths [64]", ORDINAL, LIMBS, "pck3d", "shift-rival"),
    _higher(7, "AUC over all above limb lengths [64]", ORDINAL, LIMBS, "auc3d", "shift-rival"),
    Statement(7, "larger margin outdoors than in studios", _outdoors, 0.0, True, "outdoors"),
)
"""What Sections 4.3 and 4.4 and the tables say, and what follows where they give a reason."""


def weigh(statements: Sequence[Statement], values: Values, printed: Means = PAPER) -> pd.DataFrame:
    """Statements with their published (nan where there is none) and reproduced numbers, judged."""
    resampled, records = intervals.resampled(values), []
    for statement in statements:
        stated, interval = float(statement.formula(printed)), resampled(statement.formula)
        bound = stated if statement.bound is None else statement.bound
        side = f"{'>=' if statement.above else '<='} {bound:.3f}"
        judged = intervals.verdict(*interval[1:], bound, statement.above)
        records.append((statement.text, stated, side, *interval, judged))
    columns = ["statement", "published", "bound", "reproduced", "ci_low", "ci_high", "verdict"]
    return pd.DataFrame(records, columns=columns)


def verdicts(results: Results) -> pd.DataFrame:
    """The statements about a table, judged, written beside it, and `grouped` for a reader."""
    number, folder = results.table.number, results.setting.folder
    judged = weigh([s for s in STATEMENTS if s.table == number], results.values)
    write_csv(judged, folder / "tables" / f"table{number}_statements.csv")
    return grouped(judged)


def grouped(judged: pd.DataFrame) -> pd.DataFrame:
    """Judged statements by verdict, with the numbers as text."""
    records = {}
    for word in VERDICTS:
        part = judged[judged["verdict"] == word]
        for line in part.itertuples():
            records[f"{word}, {len(part)} of {len(judged)}", line.statement] = {
                "reproduced": intervals.text((line.reproduced, line.ci_low, line.ci_high), ".3f"),
                "claimed": line.bound,
                "published": "" if np.isnan(line.published) else f"{line.published:.3f}",
            }
    frame = pd.DataFrame.from_dict(records, orient="index")
    frame.index = pd.MultiIndex.from_tuples(records, names=["verdict", "statement"])
    return frame


def scope(setting: Setting) -> str:
    """What the intervals and verdicts of a setting cover, in words."""
    count = len(setting.seeds())
    covers = f"test images and {count} seeds" if count > 1 else "test images only"
    lines = [f"Seeds: {count}. The intervals cover {covers}."]
    if count == 1:
        lines.append(
            "Another seed would give other images, other people's looks and other weights;\n"
            "by how much the numbers would change, these intervals do not say."
        )
    elif count < 6:
        lines.append(
            "So few seeds are too few for 95 percent where seeds differ more than test images do:\n"
            "the interval then runs from the lowest to the highest of them, and is too narrow."
        )
    if setting.scale == "smoke":
        lines.append("Scale smoke: the networks are hardly trained; its verdicts mean nothing.")
    return "\n".join(lines)
