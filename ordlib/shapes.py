"""What arrays look like: one name for each shape, with unit and frame, a batch, and the checks.

The names stand in signatures; the tests check them at run time (jaxtyping with beartype). The
camera frame is x right, y down, z away from the camera; smaller z is closer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from ordlib.errors import InputError

Images = UInt8[Tensor, "batch 3 height width"]  # RGB, 0 to 255
Joints3D = Float[Tensor, "batch joints 3"]  # mm, camera frame
Joints2D = Float[Tensor, "batch joints 2"]  # pixels; the centre of the first one is at 0.5
Depths = Float[Tensor, "batch joints"]  # smaller is closer, in the unit that the name says
Relations = Int[Tensor, "batch joints joints"]  # int8: +1 where joint i is closer than joint j
Pairs = Bool[Tensor, "batch joints joints"]  # pairs that carry a relation
Mask = Bool[Tensor, "batch joints"]
Intrinsics = Float[Tensor, "batch 3 3"]  # pinhole matrix, pixels
Bones = Float[Tensor, " bones"]  # mm, of the bones that end in joints 1 to N-1, in joint order
PerSample = Float[Tensor, " batch"]
Scalar = Float[Tensor, ""]
Volume = Float[Tensor, "batch joints bins rows columns"]
Heatmaps = Float[Tensor, "batch joints rows columns"]


@dataclass(frozen=True)
class PoseBatch:
    """A batch of B square crops with what is known about the people in them."""

    images: Images
    keypoints_px: Joints2D  # in pixels of the crop
    visible: Mask  # joints whose 2D position is annotated
    joints_mm: Joints3D | None
    relations: Relations | None
    annotated: Pairs | None  # pairs that carry a relation
    intrinsics: Intrinsics  # of the crop
    meta: Mapping[str, Any]  # arrays or lists of length B: subject, action, camera, frame, part

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: str | torch.device) -> "PoseBatch":
        """The same batch with every tensor on `device`."""
        moved = {
            f.name: getattr(self, f.name).to(device, non_blocking=True)
            for f in fields(self)
            if isinstance(getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True)
class MixedBatch:
    """Images with 3D ground truth beside images with weak labels (Section 4.2)."""

    full: PoseBatch  # with joints_mm
    weak: PoseBatch  # with 2D keypoints and relations

    @property
    def images(self) -> Images:
        """All images, those with 3D ground truth first."""
        return torch.cat([self.full.images, self.weak.images])


def require_shape(name: str, tensor: Tensor, *expected: int | None) -> None:
    """Raise InputError unless the last dimensions are as expected; None stands for any size."""
    found = tensor.shape[-len(expected) :] if len(expected) <= tensor.ndim else ()
    if len(found) != len(expected) or any(
        want is not None and want != size for want, size in zip(expected, found, strict=True)
    ):
        wanted = ", ".join("any" if size is None else str(size) for size in expected)
        raise InputError(f"{name}: expected shape (..., {wanted}), found {tuple(tensor.shape)}")


def require_same_shape(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """Raise InputError unless both have one shape, with at least one element."""
    if tensor.shape != other.shape:
        raise InputError(
            f"{name}: expected the shape of {other_name}, {tuple(other.shape)},"
            f" found {tuple(tensor.shape)}"
        )
    if tensor.numel() == 0:
        raise InputError(f"{name}: expected at least one value, found shape {tuple(tensor.shape)}")


def require_finite(name: str, tensor: Tensor) -> None:
    """Raise InputError if any value is infinite or not a number."""
    bad = ~torch.isfinite(tensor.detach())
    if bad.any():
        raise InputError(
            f"{name}: expected finite values, found {int(bad.sum())} of {bad.numel()} that are not"
        )


def looks_at_values(tensor: Tensor) -> bool:
    """Whether a function of the training step may look at values: on the CPU, outside compilers."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def single_precision(tensor: Tensor) -> Tensor:
    """The tensor in float32 if it is of half precision, else unchanged."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
