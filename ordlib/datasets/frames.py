"""Frames of films with 3D joints, their labels in pixels of the image files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ordlib.data import ImageCrops, PoseBatch, PoseDataset, no_pixels
from ordlib.errors import InputError
from ordlib.files import listed
from ordlib.relations import relations_from_depth
from ordlib.shapes import Bones, Intrinsics, Joints2D, Joints3D, Mask, require_finite
from ordlib.skeleton import H36M17

_LARGEST_SIDE = 4096.0  # pixels; several at once must fit in memory


@dataclass(frozen=True)
class Frames:
    """Annotated frames, joints in the order of H36M17."""

    folder: Path  # what the names are relative to
    names: np.ndarray  # paths of the image files
    boxes: Float[Tensor, "batch 3"]  # centre x, centre y and side of the square around the person
    keypoints_px: Joints2D  # pixels of the image
    visible: Mask  # joints whose 2D position is known; the others may hold any finite number
    joints_mm: Joints3D
    known: Mask  # joints whose 3D position is known; the others may hold any finite number
    intrinsics: Intrinsics  # of the image
    meta: Mapping[str, np.ndarray]  # for each of `data.META` a value a frame

    def __len__(self) -> int:
        return len(self.names)


class FrameDataset(PoseDataset):
    """A data set of frames.

    Relations are those of metric depth, 0 below 100 mm, and annotated where both joints are known.

    Args:
        joints: indices of those that the data set measures, which errors are means over.

    Raises:
        InputError: a size below 1, values that are not finite, or boxes that no image has.
    """

    def __init__(
        self,
        name: str,
        split: str,
        frames: Frames,
        limb_lengths_mm: Bones,
        size: int,
        joints: Sequence[int] = tuple(range(len(H36M17))),
    ) -> None:
        if size < 1:
            raise InputError(f"size: expected 1 px or more, found {size}")
        for key in ("keypoints_px", "joints_mm", "boxes", "intrinsics"):
            require_finite(f"{frames.folder}: {key}", getattr(frames, key))
        sides = frames.boxes[:, 2]
        wrong = sides[(sides < 1) | (sides > _LARGEST_SIDE)]
        if len(wrong):
            raise InputError(
                f"{frames.folder}: expected squares of 1 to {_LARGEST_SIDE:g} px around people,"
                f" found one of {wrong[0].item():g} px"
            )
        self.frames = frames
        measured = torch.zeros(len(H36M17), dtype=torch.bool)
        measured[list(joints)] = True
        files = [frames.folder / str(name) for name in frames.names]
        crops = ImageCrops(files, frames.boxes, size)
        super().__init__(
            *(name, split, crops.labels(_labels(frames)), crops, limb_lengths_mm),
            scored=frames.known & measured,
        )


def _labels(frames: Frames) -> PoseBatch:
    """The labels in pixels of the images."""
    known = frames.known
    pairs = known[:, :, None] & known[:, None] & ~torch.eye(len(H36M17)).bool()
    return PoseBatch(
        images=no_pixels(len(frames), 1),
        keypoints_px=frames.keypoints_px,
        visible=frames.visible,
        joints_mm=frames.joints_mm,
        relations=relations_from_depth(frames.joints_mm[..., 2]) * pairs,
        annotated=pairs,
        intrinsics=frames.intrinsics,
        meta=frames.meta,
    )


def require_files(folder: Path, names: Sequence[str] | np.ndarray) -> None:
    """Raise InputError if files are missing; each folder is listed once, no file is opened."""
    listings: dict[str, set[str]] = {}
    missing = []
    for name in names:
        inside, _, file = str(name).rpartition("/")
        if inside not in listings:
            there = (folder / inside).is_dir()
            listings[inside] = set(listed(folder / inside)) if there else set()
        if file not in listings[inside]:
            missing.append(str(name))
    if missing:
        raise InputError(
            f"{folder / missing[0]}: expected an image, found nothing there; {len(missing)} of"
            f" {len(names)} images are missing"
        )
