"""Augmentation of whole batches on their device: rotation, scale and left-right flip (Section 4.2).

Images, keypoints, 3D joints, relations and intrinsics change together, so that after every change
`keypoints_px` is still the projection of `joints_mm` and each joint keeps its name.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from ordlib.shapes import PoseBatch
from ordlib.skeleton import H36M17, Skeleton


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes; the defaults are the paper's (Section 4.2)."""

    rotation_degrees: float = 30.0
    scale_low: float = 0.75
    scale_high: float = 1.25
    flip_probability: float = 0.5


def augment(
    batch: PoseBatch,
    generator: torch.Generator,
    ranges: Augmentation = Augmentation(),
    skeleton: Skeleton = H36M17,
) -> PoseBatch:
    """Rotate, scale and mirror every sample of a batch by random amounts of its own.

    The generator is on the CPU, so that results do not depend on the device of the batch.
    """
    draws = torch.rand(3, len(batch), generator=generator).to(batch.images.device)
    angle = (2 * draws[0] - 1) * math.radians(ranges.rotation_degrees)
    scale = ranges.scale_low + draws[1] * (ranges.scale_high - ranges.scale_low)
    mirrored = mirror(batch, draws[2] < ranges.flip_probability, skeleton)
    return rotate_and_scale(mirrored, angle, scale)


def mirror(batch: PoseBatch, chosen: Bool[Tensor, " batch"], skeleton: Skeleton) -> PoseBatch:
    """Mirror the chosen samples left to right, and swap their left and right joints."""
    flip = list(skeleton.flip)
    width = batch.images.shape[-1]
    x_sign = torch.where(chosen, -1.0, 1.0)
    # u -> width - u, seen by a camera whose x axis points the other way
    intrinsics = batch.intrinsics.clone()
    centre, skew = intrinsics[:, 0, 2], intrinsics[:, 0, 1]
    intrinsics[:, 0, 2] = torch.where(chosen, width - centre, centre)
    intrinsics[:, 0, 1] = skew * x_sign
    points = batch.keypoints_px[:, flip]
    points = torch.stack((width - points[..., 0], points[..., 1]), -1)
    joints = batch.joints_mm
    if joints is not None:
        swapped = joints[:, flip] * joints.new_tensor([-1.0, 1.0, 1.0])
        joints = _where(chosen, swapped, joints)
    return replace(
        batch,
        images=_where(chosen, batch.images.flip(-1), batch.images),
        keypoints_px=_where(chosen, points, batch.keypoints_px),
        visible=_where(chosen, batch.visible[:, flip], batch.visible),
        joints_mm=joints,
        relations=_swap_pairs(batch.relations, chosen, flip),
        annotated=_swap_pairs(batch.annotated, chosen, flip),
        intrinsics=intrinsics,
    )


def rotate_and_scale(
    batch: PoseBatch, angle: Float[Tensor, " batch"], scale: Float[Tensor, " batch"]
) -> PoseBatch:
    """Rotate (radians, clockwise on the screen) and scale each image about the centre of its crop.

    The 3D joints turn with the image, about the optical axis; depths and relations stay.
    """
    height, width = batch.images.shape[-2:]
    cos, sin = torch.cos(angle), torch.sin(angle)
    rotation = torch.stack((cos, -sin, sin, cos), -1).view(-1, 2, 2)
    centre = angle.new_tensor([width / 2, height / 2])
    linear = rotation * scale[:, None, None]
    shift = centre - linear @ centre
    keypoints = batch.keypoints_px @ linear.mT + shift[:, None]

    warp = torch.zeros_like(batch.intrinsics)
    warp[:, :2, :2], warp[:, :2, 2], warp[:, 2, 2] = linear, shift, 1.0
    turn = torch.zeros_like(warp)
    turn[:, :2, :2], turn[:, 2, 2] = rotation, 1.0
    joints = batch.joints_mm
    return replace(
        batch,
        images=_warp(batch.images, rotation / scale[:, None, None]),
        keypoints_px=keypoints,
        joints_mm=None if joints is None else joints @ turn.mT,
        intrinsics=warp @ batch.intrinsics @ turn.mT,
    )


def _warp(images: Tensor, inverse: Float[Tensor, "batch 2 2"]) -> Tensor:
    """Resample about the centre; `inverse` is R / s, whose transpose undoes s R."""
    height, width = images.shape[-2:]
    # affine_grid works in units of half the image, so the aspect ratio enters off the diagonal
    aspect = inverse.new_tensor([[1.0, height / width], [width / height, 1.0]])
    theta = torch.cat((inverse.mT * aspect, torch.zeros_like(inverse[..., :1])), -1)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    warped = functional.grid_sample(
        images.to(grid.dtype), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return warped.round_().to(images.dtype)


def _where(chosen: Bool[Tensor, " batch"], yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *[1] * (no.ndim - 1)), yes, no)


def _swap_pairs(pairs: Tensor | None, chosen: Tensor, flip: list[int]) -> Tensor | None:
    return None if pairs is None else _where(chosen, pairs[:, flip][:, :, flip], pairs)
