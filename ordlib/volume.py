"""Volumes of scores: their marginals (Eq. 4, 5) and the positions read from them.

A volume has, for each joint, D depth bins over +-1 m around the root and H x W pixels over the
crop. Volumes are the largest tensors of a training step, so no function here makes more than one
extra tensor of that size beside the gradient, keeps one from forward to backward, or copies a
volume into another memory layout.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ordlib.shapes import Depths, Heatmaps, Joints2D, Volume, require_shape, single_precision

DEPTH_RANGE_MM = 1000.0
"""Volumes reach this far in front of the root and behind it."""

_OUTER = (..., None, None, None)


def bin_centres_mm(bins: int) -> Float[Tensor, " bins"]:
    """Depths of the centres of equal bins over +-1 m, mm relative to the root, near to far."""
    return DEPTH_RANGE_MM * ((2 * torch.arange(bins) + 1) / bins - 1)


def exp_shifted(scores: Volume, shift: Depths) -> Volume:
    """exp(scores - shift) in the precision of `shift`: one new tensor, laid out like `scores`."""
    shift = shift[_OUTER]
    if scores.dtype == shift.dtype:
        return (scores - shift).exp_()
    return scores.to(shift.dtype).sub_(shift).exp_()


def peak(scores: Volume) -> Float[Tensor, "batch joints"]:
    """Largest score of each volume, in float32 at least."""
    # In two steps: all three dimensions at once take ten times as long in channels-last layout.
    return single_precision(scores.amax((3, 4)).amax(2))


class _Marginals(torch.autograd.Function):
    """Eq. 4 and 5. Keeps the scores themselves and recomputes the softmax in backward."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> tuple[Tensor, Tensor]:
        largest = peak(scores)
        weights = exp_shifted(scores, largest)
        p_z, p_xy = weights.sum((3, 4)), weights.sum(2)
        total = p_z.sum(-1)
        p_z /= total[..., None]
        p_xy /= total[..., None, None]
        ctx.save_for_backward(scores, largest + total.log(), p_xy, p_z)
        return p_xy, p_z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_xy: Tensor, grad_z: Tensor) -> Tensor:
        scores, log_total, p_xy, p_z = ctx.saved_tensors
        mean = (p_xy * grad_xy).sum((2, 3)) + (p_z * grad_z).sum(-1)
        grad = exp_shifted(scores, log_total)
        slope = torch.empty_like(grad)
        torch.add(grad_xy.unsqueeze(2), (grad_z - mean[..., None])[..., None, None], out=slope)
        return grad.mul_(slope).to(scores.dtype)


def marginals(scores: Volume) -> tuple[Heatmaps, Float[Tensor, "batch joints bins"]]:
    """Marginal heatmaps and depth distributions of softmax volumes (Eq. 4 and 5).

    With p(u|n) the softmax of joint n's scores over its whole volume,
    p(x, y|n) = sum_z p(u|n) and p(z|n) = sum_xy p(u|n). Any memory layout is used as it is
    (channels-last too); half precision is summed in float32, and float32 comes out. NaN gives NaN.
    Differentiable once.
    """
    require_shape("scores", scores, None, None, None, None, None)
    p_xy, p_z = _Marginals.apply(scores)
    return p_xy, p_z


def expected_depth(
    p_z: Float[Tensor, "*batch joints bins"], bin_depths: Float[Tensor, " bins"]
) -> Float[Tensor, "*batch joints"]:
    """Mean depth z_n = sum_z z p(z|n) (Section 3.3), in the unit of `bin_depths`."""
    return p_z @ bin_depths


def decode_xy(p_xy: Heatmaps) -> Joints2D:
    """Position (x, y) of each heatmap in heatmap pixels, the centre of the first pixel at 0.5.

    The vertex of the parabola through the logarithms of the maximum and its two neighbours, along
    each axis: exact for Gaussians, whereas a mean over so few pixels is drawn to the middle one,
    and a mean over the whole map to a second mode. At the border the pixel's centre.
    """
    height, width = p_xy.shape[-2:]
    flat = p_xy.flatten(2)
    best = flat.detach().argmax(-1, keepdim=True)
    y, x = best // width, best % width
    offset = torch.cat(
        [_vertex(flat, best, x, 1, width), _vertex(flat, best, y, width, height)], -1
    )
    return offset + torch.cat([x, y], -1) + 0.5


def _vertex(flat: Tensor, best: Tensor, place: Tensor, step: int, size: int) -> Tensor:
    """Offset of the parabola's vertex from the maximum along one axis, within half a pixel."""
    inside = (place > 0) & (place < size - 1)
    near = torch.cat([torch.where(inside, best + k * step, best) for k in (-1, 0, 1)], -1)
    smallest = torch.finfo(flat.dtype).tiny
    before, middle, after = flat.gather(-1, near).clamp_min(smallest).log().split(1, -1)
    bend = 2 * middle - before - after
    usable = inside & (bend > 0)
    offset = torch.where(usable, after - before, 0) / (2 * torch.where(usable, bend, 1))
    return offset.clamp(-0.5, 0.5)
