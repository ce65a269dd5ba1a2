"""The losses of the paper, and those that small budgets use in their place.

Every loss sums over joints (pairs, pixels) and averages over the batch; half precision is computed
in float32. `visible` says which joints count (None: all), and what stands at the others may be
anything, NaN too. Shapes that do not fit are an InputError.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ordlib.errors import InputError
from ordlib.shapes import (
    Bones,
    Depths,
    Heatmaps,
    Joints2D,
    Joints3D,
    Mask,
    Pairs,
    Relations,
    Scalar,
    Volume,
    require_same_shape,
    require_shape,
    single_precision,
)
from ordlib.skeleton import H36M17
from ordlib.volume import exp_shifted, peak

RANKING_UNIT_MM = 125.0
"""Millimetres per unit of z in Eq. 1, for networks whose depths have a metric range.

The force on an ordered pair fades once the two are a few units apart, so the unit sets the margin,
and against (z_i - z_j)^2 the balance between orders and ties.
"""

LIMB_GROUPS: Mapping[str, tuple[int, ...]] = {
    "arms": (12, 13, 15, 16),
    "legs": (2, 3, 5, 6),
    "shoulders": (11, 14),
    "hips": (1, 4),
}
"""Joints of Human3.6M in which the bones of a group end; groups as in [64]."""

_SMALLEST_PROBABILITY = 1e-30
_FARTHEST = 1e6
_SMALLEST_LENGTH = 1e-3
_PARENTS = [parent for parent, _ in H36M17.bones]


@lru_cache(maxsize=32)
def upper_pairs(joints: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """First and second joint of each pair i < j, and the pair's place in a flattened matrix."""
    # Made under inference mode and cached, they could never take part in a gradient again.
    with torch.inference_mode(False):
        first, second = torch.triu_indices(joints, joints, 1, device=device)
        return first, second, first * joints + second


def pair_differences(
    depth: Tensor, relations: Tensor, annotated: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """z_i - z_j, r(i, j) and whether it counts, each (B, pairs) over the pairs i < j.

    Differences that do not count are 0. Half precision comes out as float32.
    """
    require_shape("depth", depth, None, None)
    require_shape("relations", relations, *depth.shape, depth.shape[1])
    z = single_precision(depth)
    first, second, place = upper_pairs(z.shape[1], z.device)
    relation = relations.flatten(1).index_select(1, place)
    difference = z.index_select(1, first) - z.index_select(1, second)
    if annotated is None:
        return difference, relation, None
    require_same_shape("annotated", annotated, "relations", relations)
    known = annotated.flatten(1).index_select(1, place)
    return torch.where(known, difference, 0), relation, known


def ranking_loss(depth: Depths, relations: Relations, annotated: Pairs | None = None) -> Scalar:
    """Ranking loss of Eq. 1 and 2: sum over annotated pairs i < j (None: all), mean over B.

    L(i, j) = log(1 + exp(z_i - z_j)) where joint i is closer, log(1 + exp(z_j - z_i)) where j is,
    (z_i - z_j)^2 where they are tied; z in units (see `RANKING_UNIT_MM`). Only the upper triangle
    is read. Pairs that are not annotated give no gradient, whatever their depths.
    """
    difference, relation, known = pair_differences(depth, relations, annotated)
    # log(1 + exp(x)) is taken as -logsigmoid(-x), which cannot overflow
    ordered = -F.logsigmoid(-relation * difference)
    losses = torch.where(relation != 0, ordered, difference.square())
    return (losses if known is None else torch.where(known, losses, 0)).sum() / len(depth)


def keypoint_loss(pred: Joints2D, target: Joints2D, visible: Mask | None = None) -> Scalar:
    """Eq. 3: squared distances in the image, both positions in one unit."""
    return _squared_error(pred, target, visible)


def pose_loss(pred: Joints3D, target: Joints3D) -> Scalar:
    """Eq. 6: squared 3D distances."""
    return _squared_error(pred, target, None)


def heatmap_loss(p_xy: Heatmaps, target: Heatmaps, visible: Mask | None = None) -> Scalar:
    """Section 3.3: squared differences of marginal heatmaps (Eq. 4) and targets."""
    return _squared_error(p_xy, target, visible)


def heatmap_cross_entropy(p_xy: Heatmaps, target: Heatmaps, visible: Mask | None = None) -> Scalar:
    """Cross-entropy of heatmaps, -sum_xy q log p with q the target divided by its sum.

    Probabilities below 1e-30 count as 1e-30.
    """
    require_same_shape("target", target, "p_xy", p_xy)
    q, p = single_precision(target), single_precision(p_xy)
    if visible is not None:
        q = torch.where(_beside(visible, p), q, 0)
    q = q / q.sum((2, 3), keepdim=True).clamp_min(torch.finfo(q.dtype).tiny)
    return -(q * p.clamp_min(_SMALLEST_PROBABILITY).log()).sum() / len(p)


def _squared_error(pred: Tensor, target: Tensor, visible: Tensor | None) -> Tensor:
    require_same_shape("target", target, "pred", pred)
    difference = single_precision(pred) - single_precision(target)
    if visible is not None:
        difference = torch.where(_beside(visible, pred), difference, 0)
    return difference.square().sum() / len(pred)


def _beside(visible: Tensor, values: Tensor) -> Tensor:
    """(B, N) with dimensions added so that it stands beside values of each joint."""
    require_shape("visible", visible, *values.shape[:2])
    return visible.reshape(visible.shape + (1,) * (values.ndim - 2))


def limb_loss(joints_mm: Joints3D, limb_lengths_mm: Bones, visible: Mask | None = None) -> Scalar:
    """Geometric loss of Zhou et al. [64], the paper's rival for images without 3D ground truth.

    The ratio of each bone to its mean length should be the same within a group of `LIMB_GROUPS`:
    the variance of the ratios of each group, summed over groups. Joints of Human3.6M, in any unit
    up to a common factor; a bone counts if both its ends do.
    """
    require_shape("joints_mm", joints_mm, None, len(H36M17), 3)
    require_shape("limb_lengths_mm", limb_lengths_mm, len(H36M17) - 1)
    bones = joints_mm[:, 1:] - joints_mm[:, _PARENTS]
    # the length of a bone of no length has no gradient
    ratios = (bones.square().sum(-1) + _SMALLEST_LENGTH**2).sqrt() / limb_lengths_mm
    shown = torch.ones_like(ratios)
    if visible is not None:
        require_shape("visible", visible, *joints_mm.shape[:2])
        shown = (visible[:, 1:] & visible[:, _PARENTS]).to(ratios)
    total = ratios.new_zeros(())
    for ends in LIMB_GROUPS.values():
        bone = [end - 1 for end in ends]
        ratio, weight = ratios[:, bone], shown[:, bone]
        count = weight.sum(1, keepdim=True).clamp_min(1)
        mean = (ratio * weight).sum(1, keepdim=True) / count
        total = total + ((ratio - mean).square() * weight / count).sum()
    return total / len(joints_mm)


def gaussian_line(
    positions: Float[Tensor, "*batch joints"], bin_centres: Float[Tensor, " bins"], sigma: float
) -> Float[Tensor, "*batch joints bins"]:
    """Gaussians over bins that sum to one; positions, centres and sigma in one unit.

    A position outside the bins puts its weight on the nearest ones; NaN gives NaN.
    """
    if not sigma > 0:
        raise InputError(f"sigma: expected a positive number, found {sigma}")
    distance = positions.clamp(-_FARTHEST, _FARTHEST)[..., None] - bin_centres
    return (distance.square() / (-2 * sigma**2)).softmax(-1)


def gaussian_heatmaps(
    keypoints: Float[Tensor, "*batch joints 2"], size: int | tuple[int, int], sigma: float
) -> Float[Tensor, "*batch joints rows columns"]:
    """Target heatmaps of Section 3.3: Gaussians around keypoints that sum to one over the map.

    Keypoints and sigma are in heatmap pixels, the centre of the first one at 0.5. A keypoint
    outside the map puts its weight on the nearest border pixels; NaN gives NaN.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise InputError(f"size: expected positive height and width, found {height} x {width}")
    points = single_precision(keypoints)
    centres = torch.arange(max(height, width), device=points.device, dtype=points.dtype) + 0.5
    along_x = gaussian_line(points[..., 0], centres[:width], sigma)
    return gaussian_line(points[..., 1], centres[:height], sigma)[..., None] * along_x[..., None, :]


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
    scores: Volume,
    q_xy: Heatmaps,
    q_z: Float[Tensor, "batch joints bins"],
    visible: Mask | None = None,
) -> Scalar:
    """Cross-entropy of softmax volumes with separable 3D Gaussians: full supervision as in [32].

    For each joint logsumexp(s) - sum_u q(u) s(u) with q(x, y, z) = q_xy(x, y) q_z(z); the targets
    sum to one over the map and over the bins. At most one extra tensor of the volume's size exists
    at a time, the gradient included. Differentiable once, and with respect to the scores alone.
    """
    batch, joints, bins, rows, columns = scores.shape
    require_shape("q_xy", q_xy, batch, joints, rows, columns)
    require_shape("q_z", q_z, batch, joints, bins)
    q_xy, q_z = single_precision(q_xy.detach()), single_precision(q_z.detach())
    if visible is None:
        return _VolumeCrossEntropy.apply(scores, q_xy, q_z).sum() / batch
    q_xy = torch.where(_beside(visible, q_xy), q_xy, 0)
    q_z = torch.where(_beside(visible, q_z), q_z, 0)
    losses = _VolumeCrossEntropy.apply(scores, q_xy, q_z)
    return torch.where(visible, losses, 0).sum() / batch
