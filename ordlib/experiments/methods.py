"""A line of a table: the poses of a method, and what its errors and gains are made of.

A step from one row to the next changes 2D positions and depths at once; poses lifted from the 2D of
one row and the depths of the other tell the two apart.
"""

from dataclasses import dataclass
from itertools import product

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from ordlib import metrics
from ordlib.experiments.components import lift_detected
from ordlib.experiments.evaluation import Truth, measure, oracle_scale
from ordlib.experiments.runs import Run
from ordlib.networks import ReconstructionNet, reconstruct
from ordlib.shapes import Joints3D


@dataclass(frozen=True)
class Method:
    """A line of a table."""

    row: str  # its id in the table
    title: str  # what figures call it
    network: str  # the row of `ROWS` that it is or whose 2D positions it uses
    printed: str | None  # row or reference in `published.table`; "" the full method, None nowhere
    behind: str = ""  # what the 2D positions go through: `component` (with depths) or `lifter`


@torch.no_grad()
def poses(method: Method, done: Run, domain: str, network: ReconstructionNet | None) -> Joints3D:
    """A method's root-relative poses of a domain's test images, mm; `network` is behind its run."""
    stored = done.predictions(domain)
    if network is None:
        return stored["joints_mm"]
    if method.behind == "lifter":
        return lift_detected(network, stored["keypoints_px"])
    return reconstruct(network, stored["keypoints_px"], stored["depth"])


def given_truth(done: Run, domain: str, known: Truth) -> dict[str, Tensor]:
    """What 2D positions and depths of a run would each reach alone, and the spread of its depths.

    `mpjpe` and `pck3d` with the suffix `_given_2d` (true 2D positions with the run's depths) and
    `_given_depth` (the reverse); means over all joints but the root of `depth_square`,
    `true_square` and `depth_product` (of both), mm^2.
    """
    stored = done.predictions(domain)
    points, depth, true = stored["keypoints_px"], stored["joints_mm"][..., 2], known.depth_mm
    given_2d = measure(known.lifted(known.keypoints_px, depth), known)
    given_depth = measure(known.lifted(points, true), known)
    return {
        **{f"{name}_given_2d": given_2d[name] for name in ("mpjpe", "pck3d")},
        **{f"{name}_given_depth": given_depth[name] for name in ("mpjpe", "pck3d")},
        "depth_square": depth.square()[:, 1:].mean(1),
        "true_square": true.square()[:, 1:].mean(1),
        "depth_product": (depth * true)[:, 1:].mean(1),
    }


def sources(before: Run, after: Run, known: Truth, domain: str) -> dict[str, Tensor]:
    """How much each sample gains in a step between two rows, by 2D and by depth.

    2D positions and depths are exchanged one after the other, in both orders, and what each brings
    is averaged over the orders (its Shapley value), so the two add up to the whole gain.

    Returns:
        `mpjpe_by_2d`, `mpjpe_by_depth` in mm, and `pck3d_by_2d`, `pck3d_by_depth` in percent
        points; positive where the step makes things better.
    """
    stored = [done.predictions(domain) for done in (before, after)]
    points = [one["keypoints_px"] for one in stored]
    depths = [one["joints_mm"][..., 2] for one in stored]
    at = {
        (a, b): measure(known.lifted(points[a], depths[b]), known)
        for a, b in product((0, 1), repeat=2)
    }
    found = {}
    for metric, sign in (("mpjpe", -0.5), ("pck3d", 0.5)):
        whole = at[1, 1][metric] - at[0, 0][metric]
        cross = at[1, 0][metric] - at[0, 1][metric]
        found[f"{metric}_by_2d"] = sign * (whole + cross)
        found[f"{metric}_by_depth"] = sign * (whole - cross)
    return found


def calibrated(done: Run, known: Truth) -> dict[str, Tensor]:
    """MPJPE on the home domain if depths had the best scale, which only the truth tells.

    `mpjpe_one_scale` with the one factor of the smallest mean error, `mpjpe_joint_scales` with a
    factor for each joint, by least squares.
    """
    points, depth = done.predictions()["keypoints_px"], done.predictions()["joints_mm"][..., 2]

    def error(factor: Tensor | float) -> Tensor:
        return metrics.mpjpe(known.lifted(points, depth * factor), known.joints_mm)

    best = minimize_scalar(
        lambda factor: error(factor).mean().item(), bounds=(0.25, 4.0), options={"xatol": 0.01}
    )
    one_scale = min((error(best.x), error(1.0)), key=lambda errors: errors.mean().item())
    by_joint = [oracle_scale(depth[:, [j]], known.depth_mm[:, [j]]) for j in range(depth.shape[1])]
    return {"mpjpe_one_scale": one_scale, "mpjpe_joint_scales": error(torch.tensor(by_joint))}
