"""From a trained network to millimetres and errors, by the protocol of the design.

Evaluation uses no 3D ground truth of the image: the depth of the root comes from the mean limb
lengths of the training skeletons, as in the third mode of the evaluation of [32], and so does the
one depth scale of a network trained on relations alone. The oracle scale, which does use the truth,
is reported beside it.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor, nn

from ordlib import metrics
from ordlib.camera import backproject, depth_scale, root_depth
from ordlib.data import PoseDataset
from ordlib.experiments.supervision import Prediction, read
from ordlib.relations import ordinal_accuracy
from ordlib.scales import Scale
from ordlib.skeleton import H36M17

SCALE_IMAGES = 512


@dataclass(frozen=True)
class Evaluation:
    """Predictions on a data set in mm, root-relative, and one value of each metric per sample."""

    joints_mm: Float[Tensor, "samples joints 3"]
    keypoints_px: Float[Tensor, "samples joints 2"]
    depth: Float[Tensor, "samples joints"]
    scale_mm: float
    oracle_scale_mm: float
    per_sample: dict[str, Float[Tensor, " samples"]]


@dataclass(frozen=True)
class Labels:
    """What evaluation needs to know of a data set, without its images."""

    keypoints_px: Float[Tensor, "samples joints 2"]
    visible: Bool[Tensor, "samples joints"]
    intrinsics: Float[Tensor, "samples 3 3"]
    joints_mm: Float[Tensor, "samples joints 3"] | None
    relations: Int8[Tensor, "samples joints joints"] | None
    annotated: Bool[Tensor, "samples joints joints"] | None


@torch.no_grad()
def predict(
    network: nn.Module,
    dataset: PoseDataset,
    unit_mm: float,
    device: str = "cpu",
    indices: np.ndarray | None = None,
) -> tuple[Prediction, Labels]:
    """Root-relative predictions with flip averaging on a data set (or part of it), and its labels.

    Depth-only networks take the 2D positions from the annotation.
    """
    network.eval()
    chosen = np.arange(len(dataset)) if indices is None else indices
    points, depths, labels = [], [], []
    for part in np.array_split(chosen, max(1, len(chosen) // 64)):
        batch = dataset.batch(part)
        prediction = read(network, batch.images.to(device), unit_mm)
        keypoints = prediction.keypoints_px
        points.append(batch.keypoints_px if keypoints is None else keypoints.float().cpu())
        depths.append(prediction.depth.float().cpu())
        labels.append([getattr(batch, field.name) for field in fields(Labels)])
    depth = torch.cat(depths)
    columns = (None if c[0] is None else torch.cat(c) for c in zip(*labels, strict=True))
    return (
        Prediction(torch.cat(points), depth - depth[:, H36M17.root, None]),
        Labels(*columns),  # type: ignore[arg-type]
    )


def fit_scale(
    network: nn.Module, dataset: PoseDataset, unit_mm: float, device: str = "cpu"
) -> float:
    """The depth scale of a weakly trained network, mm per unit, from training images.

    Only images, intrinsics and mean limb lengths are used (and 2D annotation for depth-only
    networks): no 3D ground truth.
    """
    spread = np.linspace(0, len(dataset) - 1, min(SCALE_IMAGES, len(dataset))).astype(int)
    prediction, labels = predict(network, dataset, unit_mm, device, np.unique(spread))
    assert prediction.keypoints_px is not None
    lengths = dataset.limb_lengths_mm
    return float(depth_scale(prediction.keypoints_px, prediction.depth, labels.intrinsics, lengths))


def lift(
    keypoints_px: Float[Tensor, "batch joints 2"],
    relative_depth_mm: Float[Tensor, "batch joints"],
    intrinsics: Float[Tensor, "batch 3 3"],
    limb_lengths_mm: Float[Tensor, " bones"],
) -> Float[Tensor, "batch joints 3"]:
    """2D joints and root-relative depths to root-relative 3D joints, mm (third mode of [32])."""
    root = root_depth(keypoints_px, relative_depth_mm, intrinsics, limb_lengths_mm)
    joints = backproject(keypoints_px, root[:, None] + relative_depth_mm, intrinsics)
    return joints - joints[:, H36M17.root, None]


def oracle_scale(
    depth: Float[Tensor, "samples joints"], truth_mm: Float[Tensor, "samples joints"]
) -> float:
    """The scale that fits the true root-relative depths best in the least squares sense."""
    return float((depth * truth_mm).sum() / depth.square().sum().clamp_min(1e-12))


def evaluate(
    network: nn.Module,
    train_set: PoseDataset,
    test_set: PoseDataset,
    weak: bool,
    scale: Scale,
    device: str = "cpu",
) -> Evaluation:
    """All metrics of a network on a data set.

    Metrics, one value a sample: `ordinal_accuracy` as a fraction and `keypoint_error` in percent of
    the crop's side, over the joints whose position is annotated. With 3D ground truth also `mpjpe`,
    `mpjpe_oracle_scale`, `mpjpe_given_2d` (2D from the annotation) and `reconstruction_error` in
    mm, `pck3d` and `auc3d` as fractions, `depth_error` in mm (mean absolute root-relative).
    """
    unit_mm = scale.ranking_unit_mm
    prediction, labels = predict(network, test_set, unit_mm, device)
    points, depth, relations = prediction.keypoints_px, prediction.depth, labels.relations
    assert points is not None and relations is not None
    scale_mm = fit_scale(network, train_set, unit_mm, device) if weak else unit_mm
    distance = (points - labels.keypoints_px).norm(dim=-1).where(labels.visible, torch.nan)
    per_sample = {
        "ordinal_accuracy": ordinal_accuracy(depth, relations, labels.annotated),
        "keypoint_error": distance.nanmean(-1) * (100 / scale.image_size),
    }
    lengths, oracle = test_set.limb_lengths_mm, math.nan
    joints = lift(points, depth * scale_mm, labels.intrinsics, lengths)
    if labels.joints_mm is not None:
        z = labels.joints_mm[..., 2]
        oracle = oracle_scale(depth, z - z[:, H36M17.root, None])
        at_oracle = lift(points, depth * oracle, labels.intrinsics, lengths)
        given_2d = lift(labels.keypoints_px, depth * scale_mm, labels.intrinsics, lengths)
        per_sample |= _metric_errors(joints, at_oracle, given_2d, labels.joints_mm)
        per_sample["depth_error"] = metrics.depth_error(depth * scale_mm, z)
    return Evaluation(joints, points, depth, scale_mm, oracle, per_sample)


def _metric_errors(
    joints: Tensor, at_oracle: Tensor, given_2d: Tensor, truth: Tensor
) -> dict[str, Tensor]:
    return {
        "mpjpe": metrics.mpjpe(joints, truth),
        "mpjpe_oracle_scale": metrics.mpjpe(at_oracle, truth),
        "mpjpe_given_2d": metrics.mpjpe(given_2d, truth),
        "reconstruction_error": metrics.reconstruction_error(joints, truth),
        "pck3d": metrics.pck3d(joints, truth),
        "auc3d": metrics.auc3d(joints, truth),
    }
