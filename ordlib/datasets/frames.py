"""Frames of films with 3D joints as a data set; a file is decoded when its sample is asked for."""

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from ordlib.camera import crop_intrinsics
from ordlib.data import PoseBatch
from ordlib.errors import InputError, require_finite
from ordlib.images import Box
from ordlib.relations import relations_from_depth
from ordlib.skeleton import H36M17, Skeleton

_LARGEST_SIDE = 4096.0  # pixels; several at once must fit in memory

META = ("subject", "action", "camera", "frame", "part")
"""What `meta` of a batch says of each sample."""


@dataclass(frozen=True)
class Frames:
    """Annotated frames, joints in the order of H36M17.

    Attributes:
        folder: what the names are relative to.
        names: paths of the image files.
        boxes: centre x, centre y and side of the square around each person, pixels of the image.
        keypoints_px: positions, pixels of the image; the centre of the first pixel is at 0.5.
        visible: joints whose 2D position is known; the others may hold any finite number.
        joints_mm: positions in the camera frame.
        known: joints whose 3D position is known; the others may hold any finite number.
        intrinsics: pinhole matrix of each image.
        meta: for each of `META` an array with a value a frame.
    """

    folder: Path
    names: np.ndarray
    boxes: Float[Tensor, "frames 3"]
    keypoints_px: Float[Tensor, "frames joints 2"]
    visible: Bool[Tensor, "frames joints"]
    joints_mm: Float[Tensor, "frames joints 3"]
    known: Bool[Tensor, "frames joints"]
    intrinsics: Float[Tensor, "frames 3 3"]
    meta: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: np.ndarray) -> "Frames":
        """The frames at `rows`, indices or a mask."""
        index = torch.from_numpy(np.arange(len(self))[rows])
        tensors: dict[str, Any] = {
            key: value[index] for key, value in vars(self).items() if isinstance(value, Tensor)
        }
        meta = {key: values[rows] for key, values in self.meta.items()}
        return replace(self, names=self.names[rows], meta=meta, **tensors)


def join(parts: Sequence[Frames]) -> Frames:
    """The frames of parts of one folder, one part after the other."""
    first = parts[0]
    tensors: dict[str, Any] = {
        key: torch.cat([getattr(part, key) for part in parts])
        for key, value in vars(first).items()
        if isinstance(value, Tensor)
    }
    names = np.concatenate([part.names for part in parts])
    meta = {key: np.concatenate([part.meta[key] for part in parts]) for key in first.meta}
    return replace(first, names=names, meta=meta, **tensors)


class FrameDataset:
    """Frames as a PoseDataset; holds no pixels.

    A crop shows the frame's box exactly, to a fraction of a pixel, black outside the image.
    Relations are those of metric depth, 0 below 100 mm, and annotated where both joints are known.

    Args:
        name, split: of the data set.
        frames: its samples.
        limb_lengths_mm: see ordlib.data.PoseDataset.
        size: side of the crops, pixels.
        joints: indices of those that the data set measures, which errors are means over; all by
            default.

    Attributes:
        name, split, skeleton, limb_lengths_mm: see ordlib.data.PoseDataset.
        frames: its samples.
        joints: indices of those that errors are means over.

    Raises:
        InputError: a size below 1, joints that are no joints or lack the root, values that are not
            finite, or boxes that no image has.
    """

    skeleton: Skeleton = H36M17

    def __init__(
        self,
        name: str,
        split: str,
        frames: Frames,
        limb_lengths_mm: Float[Tensor, " bones"],
        size: int,
        joints: Sequence[int] = tuple(range(len(H36M17))),
    ) -> None:
        if size < 1:
            raise InputError(f"size: expected 1 px or more, found {size}")
        if H36M17.root not in joints or not set(joints) <= set(range(len(H36M17))):
            raise InputError(
                f"joints: expected indices of 0 to {len(H36M17) - 1} with the root, {H36M17.root},"
                f" found {', '.join(map(str, joints)) or 'none'}"
            )
        for key in ("keypoints_px", "joints_mm", "boxes", "intrinsics"):
            require_finite(f"{frames.folder}: {key}", getattr(frames, key))
        sides = frames.boxes[:, 2]
        wrong = sides[(sides < 1) | (sides > _LARGEST_SIDE)]
        if len(wrong):
            raise InputError(
                f"{frames.folder}: expected squares of 1 to {_LARGEST_SIDE:g} px around people,"
                f" found one of {wrong[0].item():g} px"
            )
        self.name, self.split, self.frames = name, split, frames
        self.joints = tuple(joints)
        self.limb_lengths_mm = limb_lengths_mm
        self._crop_size = size

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def scored(self) -> Bool[Tensor, "samples joints"]:
        """Joints that errors are means over: those in `joints`, where they are known."""
        judged = torch.zeros(len(self.skeleton), dtype=torch.bool)
        judged[list(self.joints)] = True
        return self.frames.known & judged

    def batch(
        self,
        indices: np.ndarray | Tensor | list[int],
        device: str = "cpu",
        pixels: bool = True,
    ) -> PoseBatch:
        """The samples at `indices`, as tensors on `device`; several images are decoded at once.

        Without `pixels` no file is read, and the images are black.

        Raises:
            InputError: an index beyond the data set, or an image that cannot be read.
        """
        rows = np.asarray(indices, dtype=np.int64)
        if rows.size and not (rows.min() >= 0 and rows.max() < len(self)):
            raise InputError(
                f"indices: found {rows.min()} to {rows.max()}, expected 0 to {len(self) - 1}"
            )
        chosen, size = self.frames.take(rows), self._crop_size
        centre, side = chosen.boxes[:, :2], chosen.boxes[:, 2]
        corner = centre - side[:, None] / 2
        keypoints = (chosen.keypoints_px - corner[:, None]) * (size / side)[:, None, None]
        joints = len(self.skeleton)
        pairs = chosen.known[:, :, None] & chosen.known[:, None] & ~torch.eye(joints).bool()
        return PoseBatch(
            images=_crops(chosen, size) if pixels else _black(len(chosen), size),
            keypoints_px=keypoints.where(chosen.visible[..., None], 0.0),
            visible=chosen.visible,
            joints_mm=chosen.joints_mm,
            relations=relations_from_depth(chosen.joints_mm[..., 2]) * pairs,
            annotated=pairs,
            intrinsics=crop_intrinsics(chosen.intrinsics, centre, side, size),
            meta=chosen.meta,
        ).to(device)


def _black(count: int, size: int) -> Tensor:
    return torch.zeros(1, 3, 1, 1, dtype=torch.uint8).expand(count, 3, size, size)


def _crops(frames: Frames, size: int) -> Tensor:
    """(frames, 3, size, size) pixels of the boxes."""
    crops = np.zeros((len(frames), size, size, 3), np.uint8)

    def fill(row: int) -> None:
        x, y, side = frames.boxes[row].tolist()
        crops[row] = read_crop(frames.folder / str(frames.names[row]), (x, y, side), size)

    with ThreadPoolExecutor() as pool:
        list(pool.map(fill, range(len(frames))))  # a list, so that errors are raised
    return torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()


def read_crop(path: Path, box: Box, size: int) -> np.ndarray:
    """A square of an image file, (size, size, 3) uint8, black outside the image.

    Threads may call it at once: Pillow decodes without holding the others up.

    Args:
        path: the file; a large JPEG is decoded at a half, a quarter or an eighth of its size where
            the result needs no more.
        box: centre and side in pixels, shown to a fraction of a pixel.
        size: side of the result, pixels.

    Raises:
        InputError: a file that is no whole image, or a box outside it.
    """
    try:
        with Image.open(path) as file:
            width, zoom = file.width, _shrink(file, size / box[2])
            image = file.convert("RGB")
    except Exception as error:  # damaged bytes make the decoders raise almost any type
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: expected an image, found none ({reason})") from error
    side = box[2] * zoom
    left, top = box[0] * zoom - side / 2, box[1] * zoom - side / 2
    x, y = math.floor(left), math.floor(top)
    if left + side <= 0 or top + side <= 0 or x >= image.width or y >= image.height:
        raise InputError(
            f"{path}: expected a square that meets the image, {width} px wide, found the one of"
            f" {box[2]:g} px around ({box[0]:g}, {box[1]:g})"
        )
    square = image.crop((x, y, math.ceil(left + side), math.ceil(top + side)))
    right, bottom = min(left + side - x, square.width), min(top + side - y, square.height)
    exact = (left - x, top - y, right, bottom)
    return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR, exact))


def _shrink(file: Image.Image, zoom: float) -> float:
    """Have a JPEG decoded smaller, though not below `zoom` times its size; by how much it is."""
    width, height = file.size
    wanted = max(1, math.ceil(width * zoom)), max(1, math.ceil(height * zoom))
    drafted = file.draft("RGB", wanted)
    return drafted[1][2] / width if drafted else 1.0


def require_files(folder: Path, names: Sequence[str] | np.ndarray) -> None:
    """Raise InputError if files are missing; each folder is listed once, no file is opened.

    Args:
        folder: what the names are relative to.
        names: paths of files.
    """
    listed: dict[str, set[str]] = {}
    missing = []
    for name in names:
        place, _, file = str(name).rpartition("/")
        if place not in listed:
            inside = folder / place
            listed[place] = set(os.listdir(inside)) if inside.is_dir() else set()
        if file not in listed[place]:
            missing.append(str(name))
    if missing:
        raise InputError(
            f"{folder / missing[0]}: expected an image, found nothing there; {len(missing)} of"
            f" {len(names)} images are missing"
        )
