"""The paper's testable claims as a list, and verdicts on them from reproduced numbers.

A claim rests on statements of the notebooks, about one table or several. If they are more than one,
it is as strong as the weakest of them, and the number that is judged is the weakest one's.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from ordlib.experiments import ablations, comparisons, results
from ordlib.experiments.claim_values import (
    ANNOTATION,
    PROCEDURES,
    QUESTIONS,
    ROWS,
    Values,
    collect,
    paper,
)
from ordlib.experiments.results import Key, Statement, weigh

__all__ = ["CLAIMS", "MARGIN", "ROWS", "Claim", "collect", "judge", "readable", "show"]

Part = tuple[int, str]
"""A statement of the notebooks: its table and its text."""

_STATED: Mapping[Part, Statement] = {
    (number, one.text): one
    for number, statements in (
        *((1, results.STATEMENTS), *ablations.STATEMENTS.items()),
        *comparisons.STATEMENTS.items(),
    )
    for one in statements
}


def _flat(values: Mapping[int, Mapping[Key, Any]]) -> dict[Key, Any]:
    """All tables in one mapping, to be resampled together."""
    return {
        (f"{number} {row}", metric): value
        for number, one in values.items()
        for (row, metric), value in one.items()
    }


def _of(means: Mapping[Key, Any], number: int) -> Mapping[Key, Any]:
    """One table again; nan for what is not there."""
    prefix = f"{number} "
    found = {
        (row.removeprefix(prefix), metric): value
        for (row, metric), value in means.items()
        if row.startswith(prefix)
    }
    missing = np.nan * next(iter(means.values()))  # a number, or as many draws as the others have
    return defaultdict(lambda: missing, found)


_PAPER = _flat(paper())


@dataclass(frozen=True)
class Claim:
    """A testable claim of the paper.

    Attributes:
        id: a short name.
        place: section and tables of the paper.
        text: the claim in words.
        test: the number that is judged, made from the means of all tables, and its bound.
        note: what may keep the claim from showing, at small budgets or with stand-ins.
    """

    id: str
    place: str
    text: str
    test: Statement
    note: str

    @property
    def published(self) -> float:
        """The number that follows from what the paper prints; nan if it prints none."""
        return float(self.test.quantity(_PAPER))


def _weakest(means: Mapping[Key, Any], parts: Sequence[Part]) -> Any:
    """The number of the statement that is nearest to breaking the bound, or farthest beyond it."""
    numbers = [_STATED[part].quantity(_of(means, part[0])) for part in parts]
    worst = np.minimum if _STATED[parts[0]].above else np.maximum
    return worst.reduce(np.broadcast_arrays(*numbers))


def _in(number: int, *texts: str) -> list[Part]:
    return [(number, text) for text in texts]


def _lower(number: int) -> list[Part]:
    """That the full method of a table has the lower average error, for each rival."""
    return [part for part in _STATED if part[0] == number and part[1].startswith("lower error")]


def _close(*architectures: str) -> list[Part]:
    return _in(1, *(f"{name}: weak / full as small as published" for name in architectures))


MARGIN = float(_weakest(_PAPER, _close("depth", "coordinate", "volume1"))) - 1
"""What "very close" and "roughly" allow beyond the published number: 5 percent, the largest gap in
print between ordinal and full supervision of networks with one hourglass."""


def _claim(
    id: str,
    place: str,
    text: str,
    number: str,
    parts: Sequence[Part],
    note: str,
    margin: float = 0.0,
) -> Claim:
    """A claim that rests on statements that share side and bound.

    Args:
        number: what the number is.
        parts: the statements.
        margin: how far the number may exceed the published one, where that is the bound.
    """
    (above,) = {_STATED[part].above for part in parts}
    (bound,) = {_STATED[part].bound for part in parts}
    quantity = partial(_weakest, parts=tuple(parts))
    if bound is None:
        bound = float(quantity(_PAPER)) + margin
    return Claim(id, place, text, Statement(number, quantity, bound, above), note)


def _fewest_questions(means: Mapping[Key, Any]) -> Any:
    found = _of(means, ANNOTATION)
    return np.minimum(*(found[name, "questions"] for name in PROCEDURES))


def _speed(means: Mapping[Key, Any]) -> Any:
    found = _of(means, ANNOTATION)
    seconds = np.minimum(*(found[name, "seconds"] for name in PROCEDURES))
    return found["all", "seconds"] / seconds


_MIXED = (
    "Half of each batch comes from elsewhere and has to be learned as well; a short training may"
    " end before that pays."
)
_ANSWERS = (
    "Ordinal answers tell no distances; after a short training they may compress depths more than"
    " they put them in order."
)
_RIVALS = (
    "The rivals are trained again on the same images, with networks like those of the full method,"
    " and may be stronger than in print."
)
_T1, _T2, _T3 = (f"Section 4.3, Table {number}" for number in (1, 2, 3))
_WORSE = "the larger of both"
_LESS = "the smaller of both"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        *("questions", "Section 4.1"),
        "Roughly 17 questions order the 14 joints of an image, in place of 91",
        Statement("questions an image", _fewest_questions, QUESTIONS * (1 + MARGIN)),
        "Answers are simulated; people who err as often as these may need more questions.",
    ),
    Claim(
        *("faster", "Section 4.1"),
        "That makes annotation 5 times faster",
        Statement("time for all 91 / for an ordering", _speed, 5.0, above=True),
        "With few images, groups about one pair stay small, and a question may take longer.",
    ),
    *(
        _claim(
            *(id, _T1, f"Ordinal supervision comes very close to full supervision: {words}"),
            "error, weak / full",
            _close(name),
            "Full supervision may learn faster and lead by more after a short training.",
            MARGIN,
        )
        for id, name, words in (
            ("close-depth", "depth", "depths"),
            ("close-coordinate", "coordinate", "coordinates"),
            ("close-volume", "volume1", "volume of one hourglass"),
        )
    ),
    _claim(
        *("gap-grows", _T1, "The gap increases only with two hourglasses"),
        "weak / full with two, minus the largest other",
        _in(1, "gap grows only with two hourglasses: error"),
        "Exact depths may count only once 2D positions are right, which takes long training.",
    ),
    _claim(
        *("two-hourglasses", _T1, "Two hourglasses are better than one"),
        f"error, two / one, {_WORSE}",
        _in(1, *(f"two hourglasses better than one, {kind}" for kind in ("weak", "full"))),
        "The deeper network may need more steps than a small budget has.",
    ),
    _claim(
        *("volume", _T1, "Volumes are better than coordinates"),
        f"error, volume / coordinates, {_WORSE}",
        _in(1, *(f"volume better than coordinates, {kind}" for kind in ("weak", "full"))),
        "Left and right are told apart late; until then wrong sides may cost what volumes gain.",
    ),
    _claim(
        *("keypoints", _T2, "Images from elsewhere with 2D keypoints lower the error"),
        "error, + 2D keyp / Human3.6M",
        _in(2, "+ 2D keypoints lowers the error"),
        _MIXED,
    ),
    _claim(
        *("ordinal", _T2, "Their ordinal depths lower it further"),
        "error, + Ord / + 2D keyp",
        _in(2, "+ Ord lowers it further"),
        _ANSWERS,
    ),
    _claim(
        *("component", _T2, "The reconstruction component lowers it, without Ord and with it"),
        f"error, with / without Rec, {_WORSE}",
        _in(2, *(f"Rec lowers it, {word} Ord" for word in ("without", "with"))),
        "The network's depths may err in other ways than the noise that the component learned on.",
    ),
    _claim(
        *("ordinal-component", _T2, "Ordinal depths lower it with the component too"),
        "error, + Ord + Rec / + 2D keyp + Rec",
        _in(2, "+ Ord lowers it, with Rec"),
        _ANSWERS,
    ),
    _claim(
        *("shift-keypoints", _T3, "Where nothing was trained, 2D keypoints help"),
        f"points of PCK3D and of AUC, {_LESS}",
        _in(3, *(f"+ 2D keypoints raises {name}" for name in ("PCK3D", "AUC"))),
        "Images from elsewhere may be too few, or seen too briefly.",
    ),
    _claim(
        *("shift-ordinal", _T3, "Ordinal depths help further"),
        f"points of PCK3D and of AUC, {_LESS}",
        _in(3, *(f"+ Ord raises {name}" for name in ("PCK3D", "AUC"))),
        _ANSWERS,
    ),
    _claim(
        *("shift-2d", _T3, "2D keypoints help mainly by better 2D"),
        "PCK3D points by 2D, minus those by depth",
        _in(3, "+ 2D keypoints: PCK3D gained mainly by 2D"),
        "Images from elsewhere may improve depth as well, with no depth to learn from.",
    ),
    _claim(
        *("shift-depth", _T3, "Ordinal depths help by better depth"),
        "PCK3D points by depth, minus those by 2D",
        _in(3, "+ Ord: PCK3D gained mainly by depth"),
        "Depths may gain in order and still miss by more than the 150 mm that PCK3D allows.",
    ),
    _claim(
        *("average", "Section 4.4, Tables 4, 5"),
        "The full method has the lowest error on average, in both measures",
        "error, full method / rival, the largest",
        [*_lower(4), *_lower(5)],
        _RIVALS,
    ),
    _claim(
        *("tenth", "Section 4.4, Tables 4, 5, 6", "On average it is over 10% below the best rival"),
        "share below the best rival, the smallest",
        [(number, "over 10% below the best rival") for number in (4, 5, 6)],
        _RIVALS,
    ),
    *(
        _claim(
            *(id, f"Section 4.4, Table {number}"),
            f"It has the lowest error across the actions, {words}",
            "actions of 15 where it is the best",
            _in(number, "actions of 15 where ours is best"),
            "A rival that is stronger here than in print may take most actions from it.",
        )
        for id, number, words in (
            ("actions", 4, "mean per joint error"),
            ("actions-aligned", 5, "reconstruction error"),
        )
    ),
    _claim(
        *("hard-actions", "Section 4.4, Tables 4, 5"),
        "It gains more on Sitting Down, Photo and Sitting than on other actions",
        f"share gained there, minus elsewhere, {_LESS}",
        [(number, "larger gain on the hard actions, relative") for number in (4, 5)],
        "Rendered people may hide less of themselves when they sit than filmed ones.",
    ),
    _claim(
        *("humaneva", "Section 4.4, Table 6", "It has the lowest error on HumanEva-I too"),
        "error, full method / rival, the largest",
        _lower(6),
        "Test people are those of the training; other people's images may cost more than they add.",
    ),
    _claim(
        *("shift-rival", "Section 4.4, Table 7"),
        "Where nothing was trained, it is better than limb lengths [64]",
        f"points of PCK3D and of AUC over all, {_LESS}",
        _in(7, *(f"{name} over all above limb lengths [64]" for name in ("PCK3D", "AUC"))),
        _RIVALS,
    ),
    _claim(
        *("outdoors", "Section 4.4, Table 7", "Its margin is particularly large outdoors"),
        "points of margin outdoors, minus in studios",
        _in(7, "larger margin outdoors than in studios"),
        "Rendered places may differ too little: in background and light, not in people and poses.",
    ),
)
"""In the order of the paper, the bounds as it states them or as its own numbers with `MARGIN`."""


def judge(values: Values) -> pd.DataFrame:
    """Every claim with its published and its reproduced number and a verdict.

    Args:
        values: see `collect`. Claims about tables that are not there are undecided; one table at
            least must be.

    Returns:
        Columns `id`, `place`, `claim`, `number` (what the numbers are), `published`, `bound` (with
        its side), `reproduced`, `ci_low`, `ci_high`, `verdict` (see `results.verdict`) and `note`:
        what may be the reason, empty unless the verdict is `not reproduced`.
    """
    judged = weigh([claim.test for claim in CLAIMS], _flat(values), _PAPER)
    judged = judged.rename(columns={"statement": "number"})
    for place, (column, name) in enumerate((("id", "id"), ("place", "place"), ("claim", "text"))):
        judged.insert(place, column, [getattr(claim, name) for claim in CLAIMS])
    failed = judged["verdict"] == "not reproduced"
    judged["note"] = np.where(failed, [claim.note for claim in CLAIMS], "")
    return judged


COLOURS = dict(zip(results.VERDICTS, ("#d9f0d3", "#fddbc7", "#eeeeee"), strict=True))


def readable(judged: pd.DataFrame) -> pd.DataFrame:
    """Verdicts for a reader, with each interval in one text.

    Args:
        judged: see `judge`.

    Returns:
        Columns `place`, `claim`, `number`, `published`, `claimed`, `reproduced` and `verdict`, all
        of them texts.
    """
    frame = judged[["place", "claim", "number"]].copy()
    frame[["published", "claimed", "reproduced"]] = [
        _written(one) for one in judged.itertuples(index=False)
    ]
    return frame.assign(verdict=judged["verdict"])


def _written(one: Any) -> tuple[str, str, str]:
    """Published number, bound and reproduced number of a claim, with equally many decimals."""
    side, bound = one.bound.replace("<=", "≤").replace(">=", "≥").split()
    places = 2 if np.nanmax(np.abs([float(bound), one.published])) >= 10 else 3
    numbers = (one.published, float(bound), one.reproduced, one.ci_low, one.ci_high)
    stated, limit, *found = (f"{value:.{places}f}" for value in numbers)
    mean, low, high = found
    return (
        "" if np.isnan(one.published) else stated,
        f"{side} {limit}",
        "" if np.isnan(one.reproduced) else f"{mean} [{low}, {high}]",
    )


def show(judged: pd.DataFrame) -> Styler:
    """`readable`, with the verdicts in colours."""
    styler = readable(judged).style.hide(axis="index").set_uuid("claims")
    styler.map(lambda word: f"background-color: {COLOURS[word]}; color: black", subset=["verdict"])
    return styler.set_properties(**{"text-align": "left"})
