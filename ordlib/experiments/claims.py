"""The paper's testable claims, each as strong as the weakest of the statements that it rests on."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from pandas.io.formats.style import Styler
from torch import Tensor

from ordlib import synthetic
from ordlib.annotation import PERSON, DepthPrior, annotate
from ordlib.camera import self_occluded
from ordlib.experiments import intervals
from ordlib.experiments.intervals import VERDICTS
from ordlib.experiments.setting import Setting
from ordlib.experiments.statements import (
    ANNOTATION,
    CLOSE,
    MARGIN,
    PAPER,
    PROCEDURES,
    STATEMENTS,
    Statement,
    extreme,
    weigh,
)
from ordlib.experiments.tables import TABLES, Key, Results, Values
from ordlib.scales import get_scale
from ordlib.skeleton import LSP14_IN_H36M17
from ordlib.training import single_thread


@dataclass(frozen=True)
class Claim:
    """A testable claim of the paper."""

    id: str
    place: str  # section and tables of the paper
    text: str
    number: str  # what the number that is judged is
    note: str  # what may keep the claim from showing, at small budgets or with stand-ins
    margin: float = 0.0  # how far the number may exceed the published one, where that is the bound

    @cached_property
    def test(self) -> Statement:
        """The weakest of the statements that it rests on; they share side and bound."""
        parts = [statement for statement in STATEMENTS if statement.claim == self.id]
        above, bound = parts[0].above, parts[0].bound
        weakest = extreme([part.formula for part in parts], smallest=above)
        if bound is None:
            bound = float(weakest(PAPER)) + self.margin
        return Statement(parts[0].table, self.number, weakest, bound, above, self.id)


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
_STRONGER = "A rival that is stronger here than in print may take most actions from it."
_T1, _T2, _T3 = (f"Section 4.3, Table {number}" for number in (1, 2, 3))
_T4, _T5, _T6, _T7 = (f"Section 4.4, Table {number}" for number in (4, 5, 6, 7))

CLAIMS: tuple[Claim, ...] = (
    Claim(
        *("questions", "Section 4.1"),
        "Roughly 17 questions order the 14 joints of an image, in place of 91",
        "questions an image",
        "Answers are simulated; people who err as often as these may need more questions.",
    ),
    Claim(
        *("faster", "Section 4.1", "That makes annotation 5 times faster"),
        "time for all 91 / for an ordering",
        "With few images, groups about one pair stay small, and a question may take longer.",
    ),
    *(
        Claim(
            *(id, _T1, f"Ordinal supervision comes very close to full supervision: {words}"),
            "error, weak / full",
            "Full supervision may learn faster and lead by more after a short training.",
            MARGIN,
        )
        for id, words in zip(
            CLOSE, ("depths", "coordinates", "volume of one hourglass"), strict=True
        )
    ),
    Claim(
        *("gap-grows", _T1, "The gap increases only with two hourglasses"),
        "weak / full with two, minus the largest other",
        "Exact depths may count only once 2D positions are right, which takes long training.",
    ),
    Claim(
        *("two-hourglasses", _T1, "Two hourglasses are better than one"),
        "error, two / one, the larger of both",
        "The deeper network may need more steps than a small budget has.",
    ),
    Claim(
        *("volume", _T1, "Volumes are better than coordinates"),
        "error, volume / coordinates, the larger of both",
        "Left and right are told apart late; until then wrong sides may cost what volumes gain.",
    ),
    Claim(
        *("keypoints", _T2, "Images from elsewhere with 2D keypoints lower the error"),
        *("error, + 2D keyp / Human3.6M", _MIXED),
    ),
    Claim(
        *("ordinal", _T2, "Their ordinal depths lower it further"),
        *("error, + Ord / + 2D keyp", _ANSWERS),
    ),
    Claim(
        *("component", _T2, "The reconstruction component lowers it, without Ord and with it"),
        "error, with / without Rec, the larger of both",
        "The network's depths may err in other ways than the noise that the component learned on.",
    ),
    Claim(
        *("ordinal-component", _T2, "Ordinal depths lower it with the component too"),
        *("error, + Ord + Rec / + 2D keyp + Rec", _ANSWERS),
    ),
    Claim(
        *("shift-keypoints", _T3, "Where nothing was trained, 2D keypoints help"),
        "points of PCK3D and of AUC, the smaller of both",
        "Images from elsewhere may be too few, or seen too briefly.",
    ),
    Claim(
        *("shift-ordinal", _T3, "Ordinal depths help further"),
        *("points of PCK3D and of AUC, the smaller of both", _ANSWERS),
    ),
    Claim(
        *("shift-2d", _T3, "2D keypoints help mainly by better 2D"),
        "PCK3D points by 2D, minus those by depth",
        "Images from elsewhere may improve depth as well, with no depth to learn from.",
    ),
    Claim(
        *("shift-depth", _T3, "Ordinal depths help by better depth"),
        "PCK3D points by depth, minus those by 2D",
        "Depths may gain in order and still miss by more than the 150 mm that PCK3D allows.",
    ),
    Claim(
        *("average", "Section 4.4, Tables 4, 5"),
        "The full method has the lowest error on average, in both measures",
        *("error, full method / rival, the largest", _RIVALS),
    ),
    Claim(
        *("tenth", "Section 4.4, Tables 4, 5, 6", "On average it is over 10% below the best rival"),
        *("share below the best rival, the smallest", _RIVALS),
    ),
    Claim(
        *("actions", _T4, "It has the lowest error across the actions, mean per joint error"),
        *("actions of 15 where it is the best", _STRONGER),
    ),
    Claim(
        *("actions-aligned", _T5),
        "It has the lowest error across the actions, reconstruction error",
        *("actions of 15 where it is the best", _STRONGER),
    ),
    Claim(
        *("hard-actions", "Section 4.4, Tables 4, 5"),
        "It gains more on Sitting Down, Photo and Sitting than on other actions",
        "share gained there, minus elsewhere, the smaller of both",
        "Rendered people may hide less of themselves when they sit than filmed ones.",
    ),
    Claim(
        *("humaneva", _T6, "It has the lowest error on HumanEva-I too"),
        "error, full method / rival, the largest",
        "Test people are those of the training; other people's images may cost more than they add.",
    ),
    Claim(
        *("shift-rival", _T7, "Where nothing was trained, it is better than limb lengths [64]"),
        *("points of PCK3D and of AUC over all, the smaller of both", _RIVALS),
    ),
    Claim(
        *("outdoors", _T7, "Its margin is particularly large outdoors"),
        "points of margin outdoors, minus in studios",
        "Rendered places may differ too little: in background and light, not in people and poses.",
    ),
)
"""In the order of the paper, the bounds as it states them or as its own numbers with `MARGIN`."""


def judge(values: Values) -> pd.DataFrame:
    """Every claim with its published and its reproduced number (`collect`) and a verdict.

    Claims about tables that are not there are undecided; `note` is what may be the reason, empty
    unless the verdict is `not reproduced`.
    """
    missing = defaultdict(lambda: np.full((1, 1), np.nan), values)
    judged = weigh([claim.test for claim in CLAIMS], missing)
    judged = judged.rename(columns={"statement": "number"})
    for place, (column, name) in enumerate((("id", "id"), ("place", "place"), ("claim", "text"))):
        judged.insert(place, column, [getattr(claim, name) for claim in CLAIMS])
    failed = judged["verdict"] == "not reproduced"
    judged["note"] = np.where(failed, [claim.note for claim in CLAIMS], "")
    return judged


COLOURS = dict(zip(VERDICTS, ("#d9f0d3", "#fddbc7", "#eeeeee"), strict=True))


def readable(judged: pd.DataFrame) -> pd.DataFrame:
    """Judged claims for a reader: all columns are texts, with each interval in one."""
    lines = []
    for line in judged.itertuples(index=False):
        side, bound = line.bound.replace("<=", "≤").replace(">=", "≥").split()
        form = ".2f" if np.nanmax(np.abs([float(bound), line.published])) >= 10 else ".3f"
        published = "" if np.isnan(line.published) else f"{line.published:{form}}"
        reproduced = intervals.text((line.reproduced, line.ci_low, line.ci_high), form)
        lines.append((published, f"{side} {float(bound):{form}}", reproduced))
    frame = judged[["place", "claim", "number"]].copy()
    frame[["published", "claimed", "reproduced"]] = lines
    return frame.assign(verdict=judged["verdict"])


def show(judged: pd.DataFrame) -> Styler:
    """`readable`, with the verdicts in colours."""
    styler = readable(judged).style.hide(axis="index").set_uuid("claims")
    styler.map(lambda word: f"background-color: {COLOURS[word]}; color: black", subset=["verdict"])
    return styler.set_properties(**{"text-align": "left"})


def collect(setting: Setting) -> dict[Key, np.ndarray]:
    """What the claims are judged by, for all seeds of a setting; what is missing is trained.

    With real data, Section 4.1 is left out: its answers are simulated on stand-ins.
    """
    found = {k: v for number in TABLES for k, v in Results.of(number, setting).values.items()}
    if not setting.real:
        by_seed = [_annotated(one) for one in setting.seeds()]
        found |= {key: np.stack([counts[key] for counts in by_seed]) for key in by_seed[0]}
    return found


def _annotated(setting: Setting) -> dict[Key, np.ndarray]:
    """Questions and seconds of each image when a simulated person orders its joints.

    People, answers and prior are those of notebook 02.
    """
    count = min(get_scale(setting.scale).test_images, 2000)
    depth, hidden = _people("val", count, setting.seed, setting)
    known = 500 if setting.scale == "smoke" else 10_000
    found = {}
    with single_thread("cpu"):
        prior = DepthPrior.learn(_people("train", known, setting.seed + 1000, setting)[0])
        for strategy in ("all", *PROCEDURES):
            more: dict[str, Any] = {"prior": prior} if strategy == "informed" else {}
            draws = torch.Generator().manual_seed(setting.seed)
            done = annotate(depth, PERSON, strategy, generator=draws, hidden=hidden, **more)
            asked = done.questions.double().numpy()
            found[ANNOTATION, strategy, "questions"] = asked
            seconds = asked * (60 * done.minutes_per_image / asked.mean())
            found[ANNOTATION, strategy, "seconds"] = seconds
    return found


def _people(split: str, count: int, seed: int, setting: Setting) -> tuple[Tensor, Tensor]:
    """Depths of the joints of people of `wild`, and which joints their own bodies hide."""
    poses = synthetic.skeletons("wild", split, count, seed, motion=setting.motion).joints_mm
    joints = torch.tensor(LSP14_IN_H36M17)
    hidden = torch.cat([self_occluded(part) for part in poses.split(500)])
    return poses[:, joints, 2], hidden[:, joints]
