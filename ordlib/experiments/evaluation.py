"""From a trained network to millimetres and errors: the one place where a pose is measured.

Evaluation uses no 3D ground truth of the image: the depth of the root comes from the mean limb
lengths of the training skeletons, as in the third mode of the evaluation of [32], and so does the
one depth scale of a network trained on relations alone. The oracle scale, which does use the truth,
is reported beside it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor, nn

from ordlib import metrics
from ordlib.camera import backproject, depth_scale, root_depth
from ordlib.data import PoseDataset, take
from ordlib.errors import InputError
from ordlib.networks import Prediction, read
from ordlib.relations import ordinal_accuracy
from ordlib.scales import Scale
from ordlib.shapes import (
    Bones,
    Depths,
    Intrinsics,
    Joints2D,
    Joints3D,
    Mask,
    Pairs,
    PerSample,
    Relations,
)
from ordlib.skeleton import H36M17

SCALE_IMAGES = 512


@dataclass(frozen=True)
class Truth:
    """What is known of test images, without the images."""

    joints_mm: Joints3D  # relative to the root
    keypoints_px: Joints2D
    relations: Relations
    annotated: Pairs
    intrinsics: Intrinsics
    limb_lengths_mm: Bones  # means over training people
    meta: Mapping[str, np.ndarray] = field(default_factory=dict)  # subject, action, part, ...
    scored: Mask | None = None  # joints that errors in mm are means over; all of them where None

    @cached_property
    def depth_mm(self) -> Depths:
        """Depths relative to the root."""
        return self.joints_mm[..., 2]

    def lifted(self, keypoints_px: Joints2D, depth_mm: Depths) -> Joints3D:
        """A pose from any 2D positions and any root-relative depths, by the usual protocol."""
        return lift(keypoints_px, depth_mm, self.intrinsics, self.limb_lengths_mm)


def truth(dataset: PoseDataset) -> Truth:
    """What is known of a data set. Raises InputError for one without 3D truth."""
    labels = dataset.labels
    if labels.joints_mm is None or labels.relations is None or labels.annotated is None:
        raise InputError(f"{dataset.name}: expected 3D truth, found none in {dataset.split}")
    return Truth(
        labels.joints_mm - labels.joints_mm[:, H36M17.root, None],
        labels.keypoints_px,
        labels.relations,
        labels.annotated,
        labels.intrinsics,
        dataset.limb_lengths_mm,
        labels.meta,
        dataset.scored,
    )


def measure(pose_mm: Joints3D, known: Truth) -> dict[str, PerSample]:
    """Errors of root-relative poses, one value a sample.

    `mpjpe`, `reconstruction_error`, `plane_error` (mean distance in x and y) and `depth_error` in
    mm, over the joints of `Truth.scored`, also those that the best similarity aligns; `pck3d` and
    `auc3d` in percent, over the 14 joints of their protocol; `ordinal_accuracy` as a fraction.
    """
    target, over_scored = known.joints_mm, partial(_over_scored, scored=known.scored)
    plane, plane_target = pose_mm[..., :2], target[..., :2]
    return {
        "mpjpe": over_scored(metrics.mpjpe, pose_mm, target),
        "reconstruction_error": over_scored(metrics.reconstruction_error, pose_mm, target),
        "plane_error": over_scored(metrics.keypoint_error_px, plane, plane_target),
        "depth_error": over_scored(metrics.depth_error, pose_mm[..., 2], known.depth_mm),
        "pck3d": 100 * metrics.pck3d(pose_mm, target),
        "auc3d": 100 * metrics.auc3d(pose_mm, target),
        "ordinal_accuracy": ordinal_accuracy(pose_mm[..., 2], known.relations, known.annotated),
    }


def _over_scored(
    metric: Callable[[Tensor, Tensor], Tensor],
    pose: Tensor,
    target: Tensor,
    scored: Mask | None,
) -> PerSample:
    """A metric over the joints that count in each sample; nan where its root does not."""
    if scored is None or scored.all():
        return metric(pose, target)
    errors = torch.full((len(pose),), torch.nan)
    for joints in scored.unique(dim=0):
        if joints[H36M17.root]:
            rows = (scored == joints).all(-1)
            errors[rows] = metric(pose[rows][:, joints], target[rows][:, joints])
    return errors


@torch.no_grad()
def predict(
    network: nn.Module,
    dataset: PoseDataset,
    unit_mm: float,
    device: str = "cpu",
    indices: np.ndarray | None = None,
) -> Prediction:
    """Root-relative predictions with flip averaging on a data set, or part of it.

    Depth-only networks take the 2D positions from the annotation.
    """
    network.eval()
    chosen = np.arange(len(dataset)) if indices is None else indices
    points, depths = [], []
    for part in np.array_split(chosen, max(1, len(chosen) // 64)):
        batch = dataset.batch(part)
        prediction = read(network, batch.images.to(device), unit_mm)
        keypoints = prediction.keypoints_px
        points.append(batch.keypoints_px if keypoints is None else keypoints.float().cpu())
        depths.append(prediction.depth.float().cpu())
    depth = torch.cat(depths)
    return Prediction(torch.cat(points), depth - depth[:, H36M17.root, None])


def fit_scale(
    network: nn.Module, dataset: PoseDataset, unit_mm: float, device: str = "cpu"
) -> float:
    """The depth scale of a weakly trained network, mm per unit, from training images.

    Only images, intrinsics and mean limb lengths are used (and 2D annotation for depth-only
    networks): no 3D ground truth.
    """
    count = min(SCALE_IMAGES, len(dataset))
    chosen = np.unique(np.linspace(0, len(dataset) - 1, count).astype(int))
    prediction = predict(network, dataset, unit_mm, device, chosen)
    assert prediction.keypoints_px is not None
    cameras = take(dataset.labels, chosen).intrinsics
    lengths = dataset.limb_lengths_mm
    return float(depth_scale(prediction.keypoints_px, prediction.depth, cameras, lengths))


def lift(
    keypoints_px: Joints2D, depth_mm: Depths, intrinsics: Intrinsics, limb_lengths_mm: Bones
) -> Joints3D:
    """2D joints and root-relative depths to root-relative 3D joints, mm (third mode of [32])."""
    root = root_depth(keypoints_px, depth_mm, intrinsics, limb_lengths_mm)
    joints = backproject(keypoints_px, root[:, None] + depth_mm, intrinsics)
    return joints - joints[:, H36M17.root, None]


def oracle_scale(depth: Depths, truth_mm: Depths) -> float:
    """The scale that fits the true root-relative depths best in the least squares sense."""
    return float((depth * truth_mm).sum() / depth.square().sum().clamp_min(1e-12))


@dataclass(frozen=True)
class Evaluation:
    """Predictions on a data set, root-relative, and one value of each metric per sample."""

    tensors: dict[str, Tensor]  # joints_mm, keypoints_px, and depth in units
    scale_mm: float  # of a unit of depth
    oracle_scale_mm: float
    per_sample: dict[str, PerSample]


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
    the crop's side, over the joints whose position is annotated. With 3D ground truth also the
    others of `measure`, and `mpjpe_oracle_scale` and `mpjpe_given_2d` (2D from the annotation).
    """
    unit_mm, labels, lengths = scale.ranking_unit_mm, test_set.labels, test_set.limb_lengths_mm
    prediction = predict(network, test_set, unit_mm, device)
    points, depth = prediction.keypoints_px, prediction.depth
    assert points is not None and labels.relations is not None
    scale_mm = fit_scale(network, train_set, unit_mm, device) if weak else unit_mm
    pose, oracle = lift(points, depth * scale_mm, labels.intrinsics, lengths), math.nan
    per_sample: dict[str, PerSample] = {}
    if labels.joints_mm is not None:
        known = truth(test_set)
        oracle = oracle_scale(depth, known.depth_mm)
        at_oracle = known.lifted(points, depth * oracle)
        given_2d = known.lifted(known.keypoints_px, depth * scale_mm)
        per_sample = measure(pose, known) | {
            "mpjpe_oracle_scale": metrics.mpjpe(at_oracle, known.joints_mm),
            "mpjpe_given_2d": metrics.mpjpe(given_2d, known.joints_mm),
        }
    # of the depths themselves: those of a pose, metres from the camera, are rounded
    per_sample["ordinal_accuracy"] = ordinal_accuracy(depth, labels.relations, labels.annotated)
    distance = (points - labels.keypoints_px).norm(dim=-1).where(labels.visible, torch.nan)
    per_sample["keypoint_error"] = distance.nanmean(-1) * (100 / scale.image_size)
    tensors = {"joints_mm": pose, "keypoints_px": points, "depth": depth}
    return Evaluation(tensors, scale_mm, oracle, per_sample)
