"""What the claims are judged by: the numbers of the runs, and those of the paper."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ordlib import experiments, synthetic
from ordlib.annotation import PERSON, Clock, DepthPrior, annotate
from ordlib.camera import self_occluded
from ordlib.datasets.mocap import MotionCapture
from ordlib.experiments import Run, Setting, ablations, comparisons, published, results
from ordlib.experiments.ablations import KEYPOINTS, ORDINAL, STUDIO, Truth
from ordlib.experiments.components import component
from ordlib.experiments.results import Key
from ordlib.scales import get_scale
from ordlib.skeleton import LSP14, LSP14_IN_H36M17
from ordlib.training import single_thread

ROWS = (
    *published.table(1)["row"],
    *(KEYPOINTS, ORDINAL, comparisons.LIMBS.network, "table6/duo", "table6/ordinal"),
)
"""Rows of `experiments.ROWS` whose runs the claims are judged by."""

ANNOTATION = 0
"""In place of the number of a table: the annotation procedure of Section 4.1."""

QUESTIONS = 17.0
"""An image, "roughly" and "in the mean case" (Section 4.1)."""

PROCEDURES = ("kinematic", "informed")
"""Strategies that need few questions: without and with knowledge of people's poses."""

Values = Mapping[int, Mapping[Key, np.ndarray]]
"""For each table (and `ANNOTATION`) metric values by row and metric, (seeds, samples)."""

_HOMES = {"studio": STUDIO, "shift": STUDIO, "duo": "table6/duo"}
"""By test set a row that is tested on it."""


def paper() -> dict[int, dict[Key, float]]:
    """The paper's own means by table, for what it prints."""
    asked = {"all": len(LSP14) * (len(LSP14) - 1) / 2, **dict.fromkeys(PROCEDURES, QUESTIONS)}
    found: dict[int, dict[Key, float]] = {
        ANNOTATION: {(name, "questions"): count for name, count in asked.items()}
    }
    for name, count in asked.items():
        found[ANNOTATION][name, "seconds"] = count * Clock().grouped_s
    for number, columns in {1: {"avg_error_mm": "mpjpe"}, **ablations.TABLE_COLUMNS}.items():
        frame = published.table(number).set_index("row")
        found[number] = {
            (row, metric): value
            for column, metric in columns.items()
            if column in frame
            for row, value in frame[column].items()
        }
    return found | {number: comparisons.published_means(number) for number in comparisons.METHODS}


def collect(setting: Setting) -> dict[int, dict[Key, np.ndarray]]:
    """What the claims are judged by, from the runs of all seeds; what is missing is trained.

    With real data, Section 4.1 is left out: its answers are simulated on stand-ins.

    Args:
        setting: with the first seed.

    Returns:
        See `Values`.

    Raises:
        InputError: see `experiments.run`; with real data also where a test set of a table is
            missing.
    """
    settings = setting.seeds()
    runs = {row: [experiments.run(row, one) for one in settings] for row in ROWS}
    truths = {
        domain: [ablations.truth(run, domain) for run in runs[row]]
        for domain, row in _HOMES.items()
    }
    components = [component(one) for one in settings]
    weak_and_full = published.table(1)["row"]
    found = {
        1: {(row, "mpjpe"): results.per_sample(runs[row], "mpjpe") for row in weak_and_full},
        2: ablations.collect(runs, "studio", truths["studio"], components),
        3: ablations.collect(runs, "shift", truths["shift"]),
    }
    for number in comparisons.METHODS:
        found[number] = _compared(number, runs, truths)
    if not setting.real:
        found[ANNOTATION] = _annotated(settings)
    return found


def _compared(
    number: int, runs: Mapping[str, Sequence[Run]], truths: Mapping[str, Sequence[Truth]]
) -> dict[Key, np.ndarray]:
    """One of Tables 4 to 7."""
    behind = comparisons.networks(number, runs)
    return comparisons.collect(number, runs, truths[comparisons.DOMAINS[number]], behind)


def _annotated(settings: Sequence[Setting]) -> dict[Key, np.ndarray]:
    by_seed = [_annotated_once(setting) for setting in settings]
    return {key: np.stack([one[key] for one in by_seed]) for key in by_seed[0]}


def _annotated_once(setting: Setting) -> dict[Key, np.ndarray]:
    """Questions and seconds of each image when a simulated person orders its joints.

    People, answers and prior are those of notebook 02.
    """
    scale, seed, motion = setting.scale, setting.seed, setting.motion
    count, known = get_scale(scale).test_images, 500 if scale == "smoke" else 10_000
    depth, hidden = _people("val", min(count, 2000), seed, motion)
    found = {}
    with single_thread("cpu"):
        prior = DepthPrior.learn(_people("train", known, seed + 1000, motion)[0])
        for strategy in ("all", *PROCEDURES):
            more: dict[str, Any] = {"prior": prior} if strategy == "informed" else {}
            draws = torch.Generator().manual_seed(seed)
            done = annotate(depth, PERSON, strategy, generator=draws, hidden=hidden, **more)
            asked = done.questions.double().numpy()
            found[strategy, "questions"] = asked
            found[strategy, "seconds"] = asked * (60 * done.minutes_per_image / asked.mean())
    return found


def _people(
    split: str, count: int, seed: int, motion: MotionCapture | None
) -> tuple[Float[Tensor, "people 14"], Bool[Tensor, "people 14"]]:
    """Depths of the joints of people of `wild`, and which joints their own bodies hide."""
    poses = synthetic.skeletons("wild", split, count, seed, motion=motion).joints_mm
    joints = torch.tensor(LSP14_IN_H36M17)
    hidden = torch.cat([self_occluded(part) for part in poses.split(500)])
    return poses[:, joints, 2], hidden[:, joints]
