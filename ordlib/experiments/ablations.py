"""Tables 2 and 3: what each source of supervision adds, and whether it adds 2D or depth.

The rows share their test images, so everything is paired. A step from one row to the next changes
2D positions and depths at once; poses lifted from the 2D of one row and the depths of the other
tell the two apart.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from ordlib import metrics
from ordlib.experiments import Run, published
from ordlib.experiments.evaluation import Truth, measure, oracle_scale
from ordlib.experiments.results import COLUMNS, Key, Statement, mean_interval, over, weigh
from ordlib.networks import ReconstructionNet
from ordlib.reconstruction import reconstruct

STUDIO, KEYPOINTS, ORDINAL = published.table(3)["row"]
"""Rows of Table 3 and the first three of Table 2; each adds supervision to the one before."""

ROWS = (STUDIO, KEYPOINTS, ORDINAL)
REC = "+rec"
"""Behind the id of a row: its predictions after the reconstruction component."""

_SHARED_COLUMNS = {
    "keypoint_error_percent": "keypoint_error",
    "plane_error_mm": "plane_error",
    "depth_error_mm": "depth_error",
    "ordinal_accuracy": "ordinal_accuracy",
}
TABLE_COLUMNS: Mapping[int, Mapping[str, str]] = {
    2: {
        "avg_error_mm": "mpjpe",
        **_SHARED_COLUMNS,
        "given_2d_mm": "mpjpe_given_2d",
        "reconstruction_error_mm": "reconstruction_error",
    },
    3: {
        "PCK3D": "pck3d",
        "AUC": "auc3d",
        **_SHARED_COLUMNS,
        "PCK3D_given_2d": "pck3d_given_2d",
        "PCK3D_given_depth": "pck3d_given_depth",
    },
}
"""Column of the table to metric, see `measure` and `convnet`; the paper prints the first of Table 2
and the first two of Table 3."""

_FACTORS = (0.25, 4.0)  # one scale for all depths is sought between these


def truth(run: Run, domain: str) -> Truth:
    """The truth of a run's test images in a domain, see `Run.truth`."""
    return run.truth(domain)


def convnet(run: Run, domain: str, known: Truth) -> dict[str, Tensor]:
    """`measure` of a run's own poses, and what stands behind them.

    `keypoint_error` in percent of the crop; `mpjpe` and `pck3d` with the suffix `_given_2d` (true
    2D positions with the run's depths) and `_given_depth` (the reverse); and, to compare the spread
    of depths, the means over all joints but the root of `depth_square` (predicted), `true_square`
    and `depth_product` (of both), mm^2.
    """
    stored = run.predictions(domain)
    points, depth = stored["keypoints_px"], stored["joints_mm"][..., 2]
    found = measure(stored["joints_mm"], known) | {"keypoint_error": stored["keypoint_error"]}
    for name, pose in (
        ("given_2d", known.lifted(known.keypoints_px, depth)),
        ("given_depth", known.lifted(points, known.depth_mm)),
    ):
        values = measure(pose, known)
        found |= {f"{metric}_{name}": values[metric] for metric in ("mpjpe", "pck3d")}
    pairs = {"depth_square": (depth, depth), "true_square": (known.depth_mm, known.depth_mm)}
    pairs["depth_product"] = (depth, known.depth_mm)
    return found | {name: (a * b)[:, 1:].mean(1) for name, (a, b) in pairs.items()}


def sources(before: Run, after: Run, domain: str, known: Truth) -> dict[str, Tensor]:
    """How much each sample gains in a step between two rows, by 2D and by depth.

    2D positions and depths are exchanged one after the other, in both orders, and what each brings
    is averaged over the orders (its Shapley value), so the two add up to the whole gain.

    Returns:
        `mpjpe_by_2d`, `mpjpe_by_depth` in mm, and `pck3d_by_2d`, `pck3d_by_depth` in percent
        points; positive where the step makes things better.
    """
    ends = [run.predictions(domain) for run in (before, after)]
    points, depths = zip(*((p["keypoints_px"], p["joints_mm"][..., 2]) for p in ends), strict=True)
    at = {
        (a, b): measure(known.lifted(points[a], depths[b]), known) for a in (0, 1) for b in (0, 1)
    }
    found = {}
    for metric, sign in (("mpjpe", -0.5), ("pck3d", 0.5)):
        value = {corner: values[metric] for corner, values in at.items()}
        whole = value[1, 1] - value[0, 0]
        cross = value[1, 0] - value[0, 1]
        found[f"{metric}_by_2d"] = sign * (whole + cross)
        found[f"{metric}_by_depth"] = sign * (whole - cross)
    return found


def calibrated(run: Run, known: Truth) -> dict[str, Tensor]:
    """MPJPE on `studio` if the run's depths had the best scale, which only the truth tells.

    `mpjpe_one_scale` with the one factor of the smallest mean error, `mpjpe_joint_scales` with a
    factor for each joint, by least squares.
    """
    stored = run.predictions()
    points, depth = stored["keypoints_px"], stored["joints_mm"][..., 2]

    def error(factor: Tensor | float) -> Tensor:
        return metrics.mpjpe(known.lifted(points, depth * factor), known.joints_mm)

    best = minimize_scalar(
        lambda factor: error(factor).mean().item(), bounds=_FACTORS, options={"xatol": 0.01}
    )
    one = min((error(best.x), error(1.0)), key=lambda values: values.mean().item())
    by_joint = [oracle_scale(depth[:, [j]], known.depth_mm[:, [j]]) for j in range(depth.shape[1])]
    return {"mpjpe_one_scale": one, "mpjpe_joint_scales": error(torch.tensor(by_joint))}


def refined(run: Run, component: ReconstructionNet, known: Truth) -> dict[str, Tensor]:
    """`measure` of a run's predictions on `studio` after the reconstruction component."""
    p = run.predictions()
    with torch.no_grad():
        return measure(reconstruct(component, p["keypoints_px"], p["depth"]), known)


def collect(
    runs: Mapping[str, Sequence[Run]],
    domain: str,
    truths: Sequence[Truth],
    components: Sequence[ReconstructionNet] = (),
) -> dict[Key, np.ndarray]:
    """All metrics of the rows, (seeds, samples) each.

    Args:
        runs: for each of `ROWS` the runs of all seeds.
        domain: `studio` for Table 2, `shift` for Table 3.
        truths: of each seed's test images.
        components: of each seed; with them the rows with `REC`, and `calibrated`. `studio` only.
    """
    found: dict[str, list[dict[str, Tensor]]] = defaultdict(list)
    for seed, known in enumerate(truths):
        one = {row: runs[row][seed] for row in ROWS}
        for before, row in pairwise((None, *ROWS)):
            assert row is not None
            values = convnet(one[row], domain, known)
            if before is not None:
                values |= sources(one[before], one[row], domain, known)
            if components:
                values |= calibrated(one[row], known)
                found[row + REC].append(refined(one[row], components[seed], known))
            found[row].append(values)
    return {
        (row, metric): np.stack([values[metric].double().numpy() for values in by_seed])
        for row, by_seed in found.items()
        for metric in by_seed[0]
    }


def table(number: int, values: Mapping[Key, np.ndarray]) -> pd.DataFrame:
    """Table 2 or 3 with the columns of `results.COLUMNS`, published and reproduced apart.

    The component gives no positions in the image, so its rows have no 2D error.
    """
    paper = published.table(number).set_index("row")
    records = [
        (
            *(number, row, column, paper[column][row] if column in paper else np.nan),
            *mean_interval(values[row, metric]),
            len(values[row, metric]),
        )
        for row in paper.index
        for column, metric in TABLE_COLUMNS[number].items()
        if (row, metric) in values
    ]
    return pd.DataFrame(records, columns=COLUMNS)


def _minus(first: Key, second: Key) -> Callable[[Mapping[Key, Any]], Any]:
    return lambda means: means[first] - means[second]


def _in_order(means: Mapping[Key, Any]) -> Any:
    """The largest ratio of a row of Table 2 to the one printed above it."""
    rows = list(published.table(2)["row"])
    ratios = [over(row, before)(means) for before, row in pairwise(rows)]
    return np.maximum.reduce(ratios)


def _beyond(row: str, scales: str) -> Callable[[Mapping[Key, Any]], Any]:
    return lambda means: means[row + REC, "mpjpe"] / means[row, scales]


def _falls_more(means: Mapping[Key, Any]) -> Any:
    """Ratio of 2D errors minus ratio of depth errors (at most 1), in the step to 2D keypoints."""
    points, depth = (
        over(KEYPOINTS, STUDIO, metric)(means) for metric in ("keypoint_error", "depth_error")
    )
    return points - np.minimum(depth, 1)


def _higher(text: str, row: str, before: str, metric: str) -> Statement:
    return Statement(text, _minus((row, metric), (before, metric)), 0.0, above=True)


def _mainly(text: str, row: str, more: str, less: str) -> Statement:
    """That a step gains PCK3D by one source, and no less than by the other."""
    return Statement(
        text,
        lambda means: (
            means[row, f"pck3d_by_{more}"] - np.maximum(means[row, f"pck3d_by_{less}"], 0)
        ),
        0.0,
        above=True,
    )


STATEMENTS: Mapping[int, tuple[Statement, ...]] = {
    2: (
        Statement("+ 2D keypoints lowers the error", over(KEYPOINTS, STUDIO), 1.0),
        Statement("+ Ord lowers it further", over(ORDINAL, KEYPOINTS), 1.0),
        Statement("Rec lowers it, without Ord", over(KEYPOINTS + REC, KEYPOINTS), 1.0),
        Statement("Rec lowers it, with Ord", over(ORDINAL + REC, ORDINAL), 1.0),
        Statement("+ Ord lowers it, with Rec", over(ORDINAL + REC, KEYPOINTS + REC), 1.0),
        Statement("all five rows in the printed order", _in_order, 1.0),
        Statement("+ Ord lowers the depth error", over(ORDINAL, KEYPOINTS, "depth_error"), 1.0),
        _higher("+ Ord raises the ordinal accuracy", ORDINAL, KEYPOINTS, "ordinal_accuracy"),
        *(
            Statement(f"Rec beats {name}, {word} Ord", _beyond(row, scales), 1.0)
            for name, scales in (
                ("the best single scale", "mpjpe_one_scale"),
                ("a scale for each joint", "mpjpe_joint_scales"),
            )
            for word, row in (("without", KEYPOINTS), ("with", ORDINAL))
        ),
    ),
    3: (
        *(
            _higher(f"{text} raises {name}", row, before, metric)
            for text, row, before in (
                ("+ 2D keypoints", KEYPOINTS, STUDIO),
                ("+ Ord", ORDINAL, KEYPOINTS),
            )
            for name, metric in (("PCK3D", "pck3d"), ("AUC", "auc3d"))
        ),
        _mainly("+ 2D keypoints: PCK3D gained mainly by 2D", KEYPOINTS, "2d", "depth"),
        Statement("+ 2D keypoints: 2D error falls more than depth's", _falls_more, 0.0),
        _mainly("+ Ord: PCK3D gained mainly by depth", ORDINAL, "depth", "2d"),
        Statement("+ Ord lowers the depth error", over(ORDINAL, KEYPOINTS, "depth_error"), 1.0),
        _higher("+ Ord raises the ordinal accuracy", ORDINAL, KEYPOINTS, "ordinal_accuracy"),
        _higher("+ Ord raises PCK3D with 2D given", ORDINAL, KEYPOINTS, "pck3d_given_2d"),
    ),
}
"""What Section 4.3 and Tables 2 and 3 say, and what follows where they give a reason."""


def judge(
    number: int, values: Mapping[Key, np.ndarray], statements: Sequence[Statement] | None = None
) -> pd.DataFrame:
    """Statements about Table 2 or 3 with verdicts, see `results.weigh`.

    Args:
        number: of the table.
        values: see `collect`.
        statements: those of the table in `STATEMENTS` by default.
    """
    paper = published.table(number).set_index("row")
    printed: dict[Key, float] = defaultdict(lambda: np.nan)
    for column, metric in TABLE_COLUMNS[number].items():
        if column in paper:
            printed |= {(row, metric): value for row, value in paper[column].items()}
    return weigh(STATEMENTS[number] if statements is None else statements, values, printed)
