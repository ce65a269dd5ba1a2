"""Errors of predicted poses, one value per sample; shares are fractions in [0, 1], not percent.

Poses are joints in the camera frame, mm, with any leading dimensions. Averages over frames, as the
published numbers are, are left to the caller. Shapes that differ or do not fit, and values that are
not finite, are an InputError.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ordlib.shapes import require_finite, require_same_shape, require_shape, single_precision
from ordlib.skeleton import H36M17, Skeleton

AUC_THRESHOLDS_MM = tuple(range(0, 151, 5))
"""The 31 thresholds of AUC; nothing is strictly below the first, so AUC is at most 30/31."""

_NOT_IN_PCK = ("pelvis", "spine", "jaw", "head")

_Pose = Float[Tensor, "*batch joints 3"]
_Value = Float[Tensor, "*batch"]


def _checked(pred: Tensor, target: Tensor, *shape: int | None) -> tuple[Tensor, Tensor]:
    require_same_shape("target", target, "pred", pred)
    require_shape("pred", pred, *shape)
    require_finite("pred", pred)
    require_finite("target", target)
    return single_precision(pred), single_precision(target)


def _distances(pred: Tensor, target: Tensor, root: int) -> Tensor:
    """(..., N) distances in mm after subtracting the root joint from each pose."""
    difference = pred - target
    return (difference - difference[..., root : root + 1, :]).norm(dim=-1)


def mpjpe(pred: _Pose, target: _Pose, root: int = 0) -> _Value:
    """Mean per joint position error, mm: mean distance over all joints, root subtracted.

    The root itself counts, with distance 0.
    """
    return _distances(*_checked(pred, target, None, 3), root).mean(-1)


def reconstruction_error(pred: _Pose, target: _Pose) -> _Value:
    """Mean distance over all joints after the best similarity transform of the prediction, mm."""
    aligned = align_similarity(pred, target)
    return (aligned - single_precision(target)).norm(dim=-1).mean(-1)


def align_similarity(pred: _Pose, target: _Pose) -> _Pose:
    """The prediction after the similarity that brings it nearest to the target (least squares).

    Rotation without reflection, one scale and a translation (Umeyama 1991). Degenerate poses get
    the least squares optimum too: one whose joints all coincide is scaled to the target's mean.
    """
    pred, target = _checked(pred, target, None, 3)
    # One joint is subtracted before the mean so that coinciding joints give exact zeros.
    x = (pred - pred[..., :1, :]).double()
    x = x - x.mean(-2, keepdim=True)
    mean = target.double().mean(-2, keepdim=True)
    covariance = (target.double() - mean).mT @ x
    # A tiny covariance is brought to size one; the rotation does not depend on its size.
    size = covariance.abs().amax((-2, -1), keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    u, _, vh = torch.linalg.svd(covariance / size)
    # The least of the three axes is turned back where the best orthogonal matrix would mirror.
    handed = torch.ones_like(u[..., :1, :])
    handed[..., 2] = torch.where(torch.linalg.det(u @ vh) < 0, -1.0, 1.0)[..., None]
    rotation = (u * handed) @ vh
    spread = x.square().sum((-2, -1))
    gain = (rotation * covariance).sum((-2, -1)) / torch.where(spread > 0, spread, 1)
    return (mean + gain[..., None, None] * (x @ rotation.mT)).to(pred.dtype)


def _pck_distances(pred: Tensor, target: Tensor, skeleton: Skeleton) -> Tensor:
    """Distances over the 14 joints of the protocol, pelvis subtracted."""
    pred, target = _checked(pred, target, len(skeleton), 3)
    judged = [i for i, name in enumerate(skeleton.joints) if name not in _NOT_IN_PCK]
    return _distances(pred, target, skeleton.index("pelvis"))[..., judged]


def pck3d(
    pred: _Pose, target: _Pose, threshold_mm: float = 150.0, skeleton: Skeleton = H36M17
) -> _Value:
    """Share of joints strictly nearer than the threshold, pelvis subtracted, not aligned.

    Judged are 14 joints (MPI-INF-3DHP protocol): head top, neck or thorax, shoulders, elbows,
    wrists, hips, knees and ankles; not pelvis, spine and jaw.
    """
    near = _pck_distances(pred, target, skeleton) < threshold_mm
    return near.to(single_precision(pred).dtype).mean(-1)


def auc3d(pred: _Pose, target: _Pose, skeleton: Skeleton = H36M17) -> _Value:
    """Mean of `pck3d` over the thresholds 0, 5, ..., 150 mm (31 of them): at most 30/31."""
    distances = _pck_distances(pred, target, skeleton)
    near = distances[..., None] < distances.new_tensor(AUC_THRESHOLDS_MM)
    return near.to(distances.dtype).mean((-2, -1))


def keypoint_error_px(
    pred: Float[Tensor, "*batch joints 2"], target: Float[Tensor, "*batch joints 2"]
) -> _Value:
    """Mean distance over all joints in the image, in the unit of the arguments (pixels)."""
    pred, target = _checked(pred, target, None, 2)
    return (pred - target).norm(dim=-1).mean(-1)


def depth_error(
    pred: Float[Tensor, "*batch joints"], target: Float[Tensor, "*batch joints"], root: int = 0
) -> _Value:
    """Mean absolute error of root-relative depths over all joints, mm."""
    pred, target = _checked(pred, target, None)
    difference = pred - target
    return (difference - difference[..., root : root + 1]).abs().mean(-1)
