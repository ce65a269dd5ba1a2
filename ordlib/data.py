"""The sample type that every data set yields, rendered or real."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8, UInt8
from torch import Tensor

from ordlib.skeleton import Skeleton


@dataclass(frozen=True)
class PoseBatch:
    """A batch of B cropped images with what is known about the people in them.

    Attributes:
        images: square crops, RGB.
        keypoints_px: 2D joints in crop pixels; the centre of the first pixel is at 0.5.
        visible: joints whose 2D position is annotated.
        joints_mm: 3D joints in the camera frame (x right, y down, z away), or None.
        relations: ordinal depth relations, +1 where joint i is closer than joint j, or None.
        annotated: pairs that carry a relation, or None.
        intrinsics: pinhole matrix of the crop.
        meta: arrays or lists of length B: subject, action, camera, frame, part.
    """

    images: UInt8[Tensor, "batch 3 height width"]
    keypoints_px: Float[Tensor, "batch joints 2"]
    visible: Bool[Tensor, "batch joints"]
    joints_mm: Float[Tensor, "batch joints 3"] | None
    relations: Int8[Tensor, "batch joints joints"] | None
    annotated: Bool[Tensor, "batch joints joints"] | None
    intrinsics: Float[Tensor, "batch 3 3"]
    meta: Mapping[str, Any]

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
    """Images with 3D ground truth beside images with weak labels (Section 4.2).

    Attributes:
        full: a batch with `joints_mm`.
        weak: a batch with 2D keypoints and ordinal relations.
    """

    full: PoseBatch
    weak: PoseBatch

    @property
    def images(self) -> UInt8[Tensor, "batch 3 height width"]:
        """All images, those with 3D ground truth first."""
        return torch.cat([self.full.images, self.weak.images])


@runtime_checkable
class PoseDataset(Protocol):
    """What every data set offers; samples are made when asked for.

    Attributes:
        name: name of the data set.
        split: which part of it this is.
        skeleton: joint set of all arrays.
        limb_lengths_mm: (N-1,) mean lengths of the bones that end in joints 1 to N-1, in joint
            order, over the training subjects.
    """

    @property
    def name(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def skeleton(self) -> Skeleton: ...
    @property
    def limb_lengths_mm(self) -> Float[Tensor, " bones"]: ...

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def batch(self, indices: "np.ndarray | Tensor | list[int]", device: str = "cpu") -> PoseBatch:
        """The samples at `indices`, as tensors on `device`."""
        ...
