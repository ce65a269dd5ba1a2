"""The losses of the paper, and those that small budgets use in their place.

Every loss sums over joints (pairs, pixels) and averages over the batch. Half precision is computed
in float32. Shapes are checked always; values only on the CPU, since on an accelerator that would
make every step wait: there the training loop checks the loss itself.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from ordlib.errors import (
    InputError,
    looks_at_values,
    require_finite,
    require_same_shape,
    require_shape,
    single_precision,
)
from ordlib.skeleton import H36M17
from ordlib.volume import exp_shifted, peak

RANKING_UNIT_MM = 125.0
"""Millimetres per unit of z in Eq. 1, for networks whose depths have a metric range.

In log(1 + exp(z_i - z_j)) the force on an ordered pair fades once the two are a few units apart, so
the unit sets the margin: a large one spreads depths out, a small one lets ordered joints rest close
together. Against (z_i - z_j)^2 of the ties it sets the balance between orders and ties too.
"""

_SMALLEST_PROBABILITY = 1e-30
_FARTHEST = 1e6
_SMALLEST_LENGTH = 1e-3
_PARENTS = tuple(parent for parent, _ in H36M17.bones)


@lru_cache(maxsize=32)
def upper_pairs(joints: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """First and second joint of each pair i < j, and the pair's place in a flattened matrix."""
    # Made under inference mode and cached, they could never take part in a gradient again.
    with torch.inference_mode(False):
        first, second = torch.triu_indices(joints, joints, 1, device=device)
        return first, second, first * joints + second


def ranking_loss(
    depth: Float[Tensor, "batch joints"],
    relations: Int[Tensor, "batch joints joints"],
    annotated: Bool[Tensor, "batch joints joints"] | None = None,
) -> Float[Tensor, ""]:
    """Ranking loss of Eq. 1 and 2: sum over annotated pairs i < j, mean over the batch.

    L(i, j) = log(1 + exp(z_i - z_j)) where joint i is closer, log(1 + exp(z_j - z_i)) where j is,
    (z_i - z_j)^2 where they are tied. Only the upper triangle is read: a pair counts as annotated
    if annotated[i, j] is set with i < j. Other pairs give no gradient, whatever their depths.

    Args:
        depth: predicted depths z, in units (see `RANKING_UNIT_MM`).
        relations: +1 where joint i is closer than j, -1 where it is farther, 0 where tied.
        annotated: pairs that carry a relation; None means every pair.

    Raises:
        InputError: shapes that do not fit; depths that are not finite (on the CPU).
    """
    require_shape("relations", relations, *_batch_of("depth", depth, 2), depth.shape[1])
    if looks_at_values(depth):
        require_finite("depth", depth)
    z = single_precision(depth)
    first, second, place = upper_pairs(z.shape[1], z.device)
    relation = relations.flatten(1).index_select(1, place)
    difference = z.index_select(1, first) - z.index_select(1, second)
    if annotated is None:
        return _pair_losses(difference, relation).sum() / len(z)
    require_same_shape("annotated", annotated, "relations", relations)
    known = annotated.flatten(1).index_select(1, place)
    losses = _pair_losses(torch.where(known, difference, 0), relation)
    return torch.where(known, losses, 0).sum() / len(z)


def _pair_losses(difference: Tensor, relation: Tensor) -> Tensor:
    """Eq. 1; log(1 + exp(x)) is taken as -logsigmoid(-x), which cannot overflow."""
    ordered = -F.logsigmoid(-relation * difference)
    return torch.where(relation != 0, ordered, difference.square())


def keypoint_loss(
    pred: Float[Tensor, "batch joints 2"],
    target: Float[Tensor, "batch joints 2"],
    visible: Bool[Tensor, "batch joints"] | None = None,
) -> Float[Tensor, ""]:
    """Eq. 3: squared distances in the image, summed over joints, mean over the batch.

    Args:
        pred, target: positions, both in the same unit; targets of joints that are not visible may
            be anything, NaN too.
        visible: joints whose position is annotated; None means all.

    Raises:
        InputError: shapes that do not fit; values that are not finite (on the CPU).
    """
    require_shape("pred", pred, *_batch_of("pred", pred, 3)[:2], 2)
    return _squared_error(pred, target, visible)


def pose_loss(
    pred: Float[Tensor, "batch joints 3"], target: Float[Tensor, "batch joints 3"]
) -> Float[Tensor, ""]:
    """Eq. 6: squared 3D distances, summed over joints, mean over the batch.

    Raises:
        InputError: shapes that do not fit; values that are not finite (on the CPU).
    """
    require_shape("pred", pred, *_batch_of("pred", pred, 3)[:2], 3)
    return _squared_error(pred, target, None)


LIMB_GROUPS: Mapping[str, tuple[int, ...]] = {
    "arms": (12, 13, 15, 16),
    "legs": (2, 3, 5, 6),
    "shoulders": (11, 14),
    "hips": (1, 4),
}
"""Joints of Human3.6M in which the bones of a group end; groups as in [64]."""


def limb_loss(
    joints_mm: Float[Tensor, "batch joints 3"],
    limb_lengths_mm: Float[Tensor, " bones"],
    visible: Bool[Tensor, "batch joints"] | None = None,
) -> Float[Tensor, ""]:
    """Geometric loss of Zhou et al. [64], the paper's rival for images without 3D ground truth.

    The ratio of each bone to its mean length should be the same within a group of `LIMB_GROUPS`:
    the variance of the ratios of each group, summed over groups, mean over the batch.

    Args:
        joints_mm: poses in the joint order of Human3.6M, in any unit up to a common factor.
        limb_lengths_mm: mean lengths of the bones that end in joints 1 to 16, in joint order.
        visible: joints that count; a bone counts if both its ends do. None means all.

    Raises:
        InputError: shapes that do not fit; values that are not finite (on the CPU).
    """
    batch = _batch_of("joints_mm", joints_mm, 3)[0]
    require_shape("joints_mm", joints_mm, batch, len(H36M17), 3)
    require_shape("limb_lengths_mm", limb_lengths_mm, len(H36M17) - 1)
    if visible is not None:
        require_shape("visible", visible, batch, len(H36M17))
    if looks_at_values(joints_mm):
        require_finite("joints_mm", joints_mm)
    bones = joints_mm[:, 1:] - joints_mm[:, list(_PARENTS)]
    # the length of a bone of no length has no gradient
    ratios = (bones.square().sum(-1) + _SMALLEST_LENGTH**2).sqrt() / limb_lengths_mm
    shown = torch.ones_like(ratios) if visible is None else _both_ends(visible).to(ratios)
    total = ratios.new_zeros(())
    for ends in LIMB_GROUPS.values():
        place = [end - 1 for end in ends]
        ratio, weight = ratios[:, place], shown[:, place]
        count = weight.sum(1, keepdim=True).clamp_min(1)
        mean = (ratio * weight).sum(1, keepdim=True) / count
        total = total + ((ratio - mean).square() * weight / count).sum()
    return total / batch


def _both_ends(visible: Tensor) -> Tensor:
    return visible[:, 1:] & visible[:, list(_PARENTS)]


def heatmap_loss(
    p_xy: Float[Tensor, "batch joints height width"],
    target: Float[Tensor, "batch joints height width"],
    visible: Bool[Tensor, "batch joints"] | None = None,
) -> Float[Tensor, ""]:
    """Heatmap loss of Section 3.3: squared differences, summed over joints and pixels, mean over B.

    Args:
        p_xy: predicted marginal heatmaps (Eq. 4).
        target: target heatmaps; those of joints that are not visible may be anything, NaN too.
        visible: joints whose position is annotated; None means all.

    Raises:
        InputError: shapes that do not fit; values that are not finite (on the CPU).
    """
    _batch_of("p_xy", p_xy, 4)
    return _squared_error(p_xy, target, visible, "p_xy")


def heatmap_cross_entropy(
    p_xy: Float[Tensor, "batch joints height width"],
    target: Float[Tensor, "batch joints height width"],
    visible: Bool[Tensor, "batch joints"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of heatmaps, -sum_xy q log p with q the target divided by its sum.

    Summed over joints, mean over the batch. Probabilities below 1e-30 count as 1e-30.
    Arguments and errors as for `heatmap_loss`.
    """
    _batch_of("p_xy", p_xy, 4)
    shown = _shown(p_xy, target, visible, "p_xy")
    q, p = single_precision(target), single_precision(p_xy)
    if shown is not None:
        q = torch.where(shown, q, 0)
    q = q / q.sum((2, 3), keepdim=True).clamp_min(torch.finfo(q.dtype).tiny)
    return -(q * p.clamp_min(_SMALLEST_PROBABILITY).log()).sum() / len(p)


def _batch_of(name: str, tensor: Tensor, dimensions: int) -> tuple[int, ...]:
    """The shape of a tensor that must have so many dimensions, none of them empty."""
    if tensor.ndim != dimensions or tensor.numel() == 0:
        raise InputError(
            f"{name}: expected {dimensions} dimensions, none of them 0,"
            f" found shape {tuple(tensor.shape)}"
        )
    return tuple(tensor.shape)


def _shown(pred: Tensor, target: Tensor, visible: Tensor | None, name: str) -> Tensor | None:
    """Check the arguments of a loss per joint; `visible` with dimensions added to fit `pred`."""
    require_same_shape("target", target, name, pred)
    if visible is not None:
        require_shape("visible", visible, *pred.shape[:2])
        visible = visible.reshape(visible.shape + (1,) * (pred.ndim - 2))
    if looks_at_values(pred):
        require_finite(name, pred)
        require_finite("target", target if visible is None else torch.where(visible, target, 0))
    return visible


def _squared_error(
    pred: Tensor, target: Tensor, visible: Tensor | None, name: str = "pred"
) -> Tensor:
    shown = _shown(pred, target, visible, name)
    difference = single_precision(pred) - single_precision(target)
    if shown is not None:
        difference = torch.where(shown, difference, 0)
    return difference.square().sum() / len(pred)


def gaussian_line(
    positions: Float[Tensor, "*batch joints"], bin_centres: Float[Tensor, " bins"], sigma: float
) -> Float[Tensor, "*batch joints bins"]:
    """Gaussians over bins that sum to one; positions, centres and sigma in one unit.

    A position outside the bins puts its weight on the nearest ones; NaN gives NaN.

    Raises:
        InputError: sigma that is not positive.
    """
    if not sigma > 0:
        raise InputError(f"sigma: expected a positive number, found {sigma}")
    distance = positions.clamp(-_FARTHEST, _FARTHEST)[..., None] - bin_centres
    return (distance.square() / (-2 * sigma**2)).softmax(-1)


def gaussian_heatmaps(
    keypoints: Float[Tensor, "*batch joints 2"], size: int | tuple[int, int], sigma: float
) -> Float[Tensor, "*batch joints height width"]:
    """Target heatmaps of Section 3.3: Gaussians around keypoints that sum to one over the map.

    A keypoint outside the map puts its weight on the nearest border pixels; NaN gives NaN, for the
    losses to leave out by `visible`.

    Args:
        keypoints: (x, y) in heatmap pixels, the centre of the first pixel at 0.5.
        size: height and width of the map, or the side of a square one.
        sigma: standard deviation in heatmap pixels.

    Raises:
        InputError: keypoints without two coordinates, size or sigma that is not positive.
    """
    require_shape("keypoints", keypoints, 2)
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise InputError(f"size: expected positive height and width, found {height} x {width}")
    points = single_precision(keypoints)
    rows = torch.arange(height, device=points.device, dtype=points.dtype) + 0.5
    columns = torch.arange(width, device=points.device, dtype=points.dtype) + 0.5
    along_x = gaussian_line(points[..., 0], columns, sigma)
    return gaussian_line(points[..., 1], rows, sigma)[..., None] * along_x[..., None, :]


class _VolumeCrossEntropy(torch.autograd.Function):
    """logsumexp(s) - sum q s for each volume; backward writes softmax - q into one new tensor."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, q_xy: Tensor, q_z: Tensor) -> Tensor:
        largest = peak(scores)
        log_total = largest + exp_shifted(scores, largest).sum((2, 3, 4)).log()
        ctx.save_for_backward(scores, log_total, q_xy, q_z)
        along_z = _weighted(scores, q_z[..., None, None]).sum(2)
        return log_total - (along_z * q_xy).sum((2, 3))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        scores, log_total, q_xy, q_z = ctx.saved_tensors
        grad = exp_shifted(scores, log_total)
        grad.addcmul_(q_xy.unsqueeze(2), q_z[..., None, None], value=-1)
        return grad.mul_(grad_output[..., None, None, None]).to(scores.dtype), None, None


def _weighted(scores: Tensor, weights: Tensor) -> Tensor:
    """scores * weights in the precision of the weights: one new tensor, laid out like `scores`."""
    if scores.dtype == weights.dtype:
        return scores * weights
    return scores.to(weights.dtype).mul_(weights)


def volume_cross_entropy(
    scores: Float[Tensor, "batch joints bins height width"],
    q_xy: Float[Tensor, "batch joints height width"],
    q_z: Float[Tensor, "batch joints bins"],
    visible: Bool[Tensor, "batch joints"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of softmax volumes with separable 3D Gaussians: full supervision as in [32].

    For each joint logsumexp(s) - sum_u q(u) s(u) with q(x, y, z) = q_xy(x, y) q_z(z), summed over
    joints, mean over the batch. At most one extra tensor of the volume's size exists at a time, the
    gradient included. Differentiable once, and with respect to the scores alone.

    Args:
        scores: volumes before the softmax, in any memory layout.
        q_xy, q_z: targets that sum to one over the map and over the bins; those of joints that are
            not visible may be anything, NaN too.
        visible: joints that count; None means all.

    Raises:
        InputError: shapes that do not fit; values that are not finite (on the CPU).
    """
    batch, joints, bins, height, width = _batch_of("scores", scores, 5)
    require_shape("q_xy", q_xy, batch, joints, height, width)
    require_shape("q_z", q_z, batch, joints, bins)
    q_xy, q_z = single_precision(q_xy.detach()), single_precision(q_z.detach())
    if visible is not None:
        require_shape("visible", visible, batch, joints)
        q_xy = torch.where(visible[..., None, None], q_xy, 0)
        q_z = torch.where(visible[..., None], q_z, 0)
    if looks_at_values(scores):
        require_finite("q_xy", q_xy)
        require_finite("q_z", q_z)
    losses = _VolumeCrossEntropy.apply(scores, q_xy, q_z)
    return (losses if visible is None else torch.where(visible, losses, 0)).sum() / batch
