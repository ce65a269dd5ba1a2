"""Photographs with 2D joints, and ordinal relations where people gave them, as a data set."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from ordlib.data import PoseBatch
from ordlib.errors import InputError
from ordlib.images import assumed_intrinsics, crop, image_sizes, inside, load_image
from ordlib.skeleton import H36M17, LSP14_IN_H36M17, Skeleton, mean_limb_lengths

BOX_ENLARGED = 1.25
"""Side of a crop over the longer side of the bounding box of the joints.

Neither archive says where the person is; the images have all sizes, so the margin is relative.
"""

_SMALLEST_BOX = 2.0  # pixels; a smaller one at the edge could miss the image once rounded


@dataclass(frozen=True)
class Photos:
    """Annotated photographs of one folder, joints in the order of LSP14.

    Attributes:
        part: name of the part of the data set.
        files: image files, numbered from 1 in this order.
        keypoints_px: positions, pixels of the image.
        usable: joints whose position may be used.
        relations: +1 where joint i is closer than joint j; None where nobody was asked.
        annotated: pairs that carry a relation.
        contradictions: pairs left out because two annotations of them contradict each other.
        boxes: centre x, centre y and side of the square to crop, pixels; None to follow the joints.
    """

    part: str
    files: Sequence[Path]
    keypoints_px: Float[Tensor, "images 14 2"]
    usable: Bool[Tensor, "images 14"]
    relations: Int8[Tensor, "images 14 14"] | None = None
    annotated: Bool[Tensor, "images 14 14"] | None = None
    contradictions: int = 0
    boxes: Float[Tensor, "images 3"] | None = None


class PhotoDataset:
    """Photographs as a PoseDataset; an image file is read when its sample is asked for.

    A crop is the square that the data set gives. Where it gives none, it is one around the usable
    joints, `BOX_ENLARGED` times their longer extent, or around the whole image where there are not
    two joints apart from each other. No camera is known: the pinhole matrix is that of a lens like
    Human3.6M's, aimed at the image's centre (`ordlib.images.assumed_intrinsics`). Limb lengths are
    the means of Human3.6M's training subjects. Joints outside their image are left out.

    Args:
        name: name of the data set.
        photos: its parts; all of them with relations or none, and so for boxes.
        size: side of the crops, pixels.
        split: which part of the data set this is.

    Attributes:
        name, split, skeleton, limb_lengths_mm: see ordlib.data.PoseDataset.
        outside: usable joints left out because they lie outside their image, by part.
        contradictions: pairs left out because their annotations contradict each other, by part.

    Raises:
        InputError: a file that is no image, a size below 1, or a box outside its image.
    """

    skeleton: Skeleton = H36M17

    def __init__(
        self, name: str, photos: Sequence[Photos], size: int, split: str = "train"
    ) -> None:
        if size < 1:
            raise InputError(f"size: expected 1 px or more, found {size}")
        self.name, self.split, self._crop_size = name, split, size
        self.limb_lengths_mm = mean_limb_lengths()
        self._files = [path for part in photos for path in part.files]
        self._keypoints = torch.cat([part.keypoints_px for part in photos])
        self._sizes = image_sizes(self._files)
        usable = torch.cat([part.usable for part in photos])
        self._visible = usable & inside(self._keypoints, self._sizes)
        counts = [len(part.files) for part in photos]
        lost = (usable & ~self._visible).split(counts)
        self.outside: Mapping[str, int] = {
            part.part: int(joints.sum()) for part, joints in zip(photos, lost, strict=True)
        }
        self.contradictions: Mapping[str, int] = {p.part: p.contradictions for p in photos}
        boxes = _stack([part.boxes for part in photos])
        self._boxes = _boxes(self._keypoints, self._visible) if boxes is None else boxes
        self._require_boxes()
        self._relations = _stack([part.relations for part in photos])
        self._annotated = _stack([part.annotated for part in photos])
        self._part = np.repeat([part.part for part in photos], counts)
        self._number = np.array([_number(path) for path in self._files], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._files)

    def batch(self, indices: np.ndarray | Tensor | list[int], device: str = "cpu") -> PoseBatch:
        """The samples at `indices`, as tensors on `device`.

        `meta` has the part of the data set and, as `frame`, the first number in the image's name;
        nothing is known of subject, action and camera.

        Raises:
            InputError: an index beyond the data set, or an image that can no longer be read.
        """
        rows = np.asarray(indices, dtype=np.int64)
        if rows.size and not (rows.min() >= 0 and rows.max() < len(self)):
            raise InputError(
                f"indices: found {rows.min()} to {rows.max()}, expected 0 to {len(self) - 1}"
            )
        images = torch.zeros(len(rows), 3, self._crop_size, self._crop_size, dtype=torch.uint8)
        keypoints, intrinsics = torch.zeros(len(rows), 14, 2), torch.zeros(len(rows), 3, 3)
        for i, row in enumerate(rows):
            images[i], keypoints[i], intrinsics[i] = self._sample(int(row))
        visible = self._visible[rows]
        unknown = np.full(len(rows), "")
        return PoseBatch(
            images=images,
            keypoints_px=_spread(keypoints.where(visible[..., None], 0.0), 1),
            visible=_spread(visible, 1),
            joints_mm=None,
            relations=None if self._relations is None else _spread(self._relations[rows], 2),
            annotated=None if self._annotated is None else _spread(self._annotated[rows], 2),
            intrinsics=intrinsics,
            meta={
                **dict.fromkeys(("subject", "action", "camera"), unknown),
                **{"frame": self._number[rows], "part": self._part[rows]},
            },
        ).to(device)

    def _require_boxes(self) -> None:
        """Raise InputError for a box that does not meet its image."""
        middle, side = self._boxes[:, :2], self._boxes[:, 2:]
        beyond = middle - middle.clamp(min=torch.zeros(2), max=self._sizes.float())
        wrong = (beyond.abs() > (side / 2 - 1).clamp(min=0)).any(-1) & (side[:, 0] >= _SMALLEST_BOX)
        if wrong.any():
            row = int(wrong.int().argmax())
            x, y, length = self._boxes[row].tolist()
            raise InputError(
                f"{self._files[row]}: expected a box that meets this image of"
                f" {self._sizes[row].tolist()}, found centre ({x:g}, {y:g}) and side {length:g}"
            )

    def _sample(self, row: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels, joints in crop pixels (14, 2) and pinhole matrix (3, 3) of one image."""
        image = load_image(self._files[row])
        x, y, side = self._boxes[row].tolist()
        pixels, box = crop(image, (x, y, side) if side >= _SMALLEST_BOX else None, self._crop_size)
        corner = torch.tensor(box[:2]) - box[2] / 2
        joints = (self._keypoints[row] - corner) * (self._crop_size / box[2])
        return pixels, joints, assumed_intrinsics(image.size, box, self._crop_size)[0]


def _boxes(
    keypoints_px: Float[Tensor, "images 14 2"], visible: Bool[Tensor, "images 14"]
) -> Float[Tensor, "images 3"]:
    """Centre and side of the square around the visible joints; side 0 if there are not two."""
    hidden = ~visible[..., None]
    low = keypoints_px.masked_fill(hidden, torch.inf).amin(1)
    high = keypoints_px.masked_fill(hidden, -torch.inf).amax(1)
    side = BOX_ENLARGED * (high - low).amax(-1, keepdim=True).clamp(min=0)
    return torch.cat([(low + high) / 2, side], -1).nan_to_num()


def _number(path: Path) -> int:
    """The first number in the name of an image; 0 if there is none."""
    found = re.search(r"\d{1,18}", path.stem, re.ASCII)
    return int(found[0]) if found else 0


def _stack(parts: Sequence[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known) if known else None


def _spread(values: Tensor, axes: int) -> Tensor:
    """Values of the 14 joints of LSP, or of their pairs, among the 17 of Human3.6M; zero else."""
    joints = len(H36M17)
    spread = values.new_zeros(len(values), *(joints,) * axes, *values.shape[1 + axes :])
    slots = torch.tensor(LSP14_IN_H36M17)
    if axes == 1:
        spread[:, slots] = values
    else:
        spread[:, slots[:, None], slots] = values
    return spread


def numbered_images(folder: Path, pattern: str, count: int) -> list[Path]:
    """The images of a folder that are numbered from 1 to `count`.

    Args:
        folder: where the images lie.
        pattern: name of an image as a format of its number, such as `im{:04d}.jpg`.
        count: how many joints and relations there are for.

    Raises:
        InputError: there are other numbers of images than that.
    """
    try:
        names = set(os.listdir(folder))
    except OSError as error:
        raise InputError(f"{folder}: expected a folder of images: {error.strerror}") from error
    wanted = [pattern.format(number) for number in range(1, count + 1)]
    before, _, after = map(re.escape, re.split(r"({.*})", pattern))
    like = re.compile(rf"{before}\d+{after}", re.ASCII)
    found = sum(like.fullmatch(name) is not None for name in names)
    missing = [name for name in wanted if name not in names]
    if missing or found != count:
        lack = f"; {missing[0]} is missing, {len(missing)} in all" if missing else ""
        raise InputError(
            f"{folder}: expected {count} images {wanted[0]} to {wanted[-1]}, as many as"
            f" there are annotations; found {found} such names{lack}"
        )
    return [folder / name for name in wanted]
