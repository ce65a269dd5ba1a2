"""Ordinal depth relations between joints: who is closer to the camera."""

import torch
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor

from ordlib.errors import InputError
from ordlib.shapes import (
    looks_at_values,
    require_finite,
    require_same_shape,
    require_shape,
    single_precision,
)


def relations_from_depth(
    depth_mm: Float[Tensor, "*batch joints"], tie_mm: float = 100.0
) -> Int8[Tensor, "*batch joints joints"]:
    """Relations r(i, j) of Section 3.1 from depths, absolute or root-relative.

    r(i, j) is +1 where joint i is closer (smaller z), -1 where j is closer, and 0 where their
    depths differ by less than `tie_mm`; with `tie_mm` 0 only equal depths are tied. Depths that are
    not finite are an InputError on the CPU.
    """
    if not tie_mm >= 0:
        raise InputError(f"tie_mm: expected 0 or more, found {tie_mm}")
    if looks_at_values(depth_mm):
        require_finite("depth_mm", depth_mm)
    depth = single_precision(depth_mm)
    difference = depth.unsqueeze(-2) - depth.unsqueeze(-1)
    return (difference.sign() * (difference.abs() >= tie_mm)).to(torch.int8)


def ordinal_accuracy(
    depth: Float[Tensor, "*batch joints"],
    relations: Int[Tensor, "*batch joints joints"],
    annotated: Bool[Tensor, "*batch joints joints"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Share of strictly ordered pairs whose predicted depths are in the annotated order.

    Counted are the annotated pairs i < j (None: all) with r(i, j) = +1 or -1. Ties are left out,
    and equal predicted depths count as wrong. NaN for a sample without a pair to count.
    """
    require_shape("relations", relations, *depth.shape, depth.shape[-1])
    require_finite("depth", depth)
    counted = (relations != 0).triu(1)
    if annotated is not None:
        require_same_shape("annotated", annotated, "relations", relations)
        counted = counted & annotated
    first, second = depth.unsqueeze(-1), depth.unsqueeze(-2)
    correct = counted & torch.where(relations > 0, first < second, first > second)
    dtype = single_precision(depth).dtype
    return correct.sum((-2, -1)).to(dtype) / counted.sum((-2, -1)).to(dtype)
