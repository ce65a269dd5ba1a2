"""Photographs with 2D joints, and ordinal relations where people gave them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8, Int64
from torch import Tensor

from ordlib.data import (
    META,
    ImageCrops,
    PoseBatch,
    PoseDataset,
    assumed_cameras,
    image_sizes,
    inside,
    no_pixels,
)
from ordlib.errors import InputError
from ordlib.files import listed
from ordlib.skeleton import H36M17, LSP14_IN_H36M17, mean_limb_lengths

BOX_ENLARGED = 1.25
"""Side of a crop over the longer side of the bounding box of the joints.

Neither archive says where the person is; the images have all sizes, so the margin is relative.
"""


@dataclass(frozen=True)
class Photos:
    """Annotated photographs of one folder, joints in the order of LSP14."""

    part: str  # name of the part of the data set
    files: Sequence[Path]
    keypoints_px: Float[Tensor, "images 14 2"]  # pixels of the image
    usable: Bool[Tensor, "images 14"]  # joints whose position may be used
    relations: Int8[Tensor, "images 14 14"] | None = None  # None where nobody was asked
    annotated: Bool[Tensor, "images 14 14"] | None = None
    contradictions: int = 0  # pairs left out because two annotations contradict each other


class PhotoDataset(PoseDataset):
    """A data set of photographs, in parts; all of them with relations or none.

    A crop is the square around the usable joints, `BOX_ENLARGED` times their longer extent, or
    around the whole image where there are not two joints apart from each other. No camera is known:
    the pinhole matrix is that of a lens like Human3.6M's, aimed at the image's centre
    (`data.assumed_cameras`). Limb lengths are the means of Human3.6M's training subjects. Joints
    outside their image are left out. `meta` has the part and, as `frame`, the first number in the
    image's name.

    Attributes:
        outside: usable joints left out because they lie outside their image, by part.
        contradictions: pairs left out because their annotations contradict each other, by part.

    Raises:
        InputError: a file that is no image, or a size below 1.
    """

    def __init__(
        self, name: str, photos: Sequence[Photos], size: int, split: str = "train"
    ) -> None:
        if size < 1:
            raise InputError(f"size: expected 1 px or more, found {size}")
        files = [path for part in photos for path in part.files]
        counts = [len(part.files) for part in photos]
        keypoints = torch.cat([part.keypoints_px for part in photos])
        usable = torch.cat([part.usable for part in photos])
        sizes = image_sizes(files)
        visible = usable & inside(keypoints, sizes)
        lost = (usable & ~visible).split(counts)
        self.outside = {
            part.part: int(joints.sum()) for part, joints in zip(photos, lost, strict=True)
        }
        self.contradictions = {part.part: part.contradictions for part in photos}
        crops = ImageCrops(files, _boxes(keypoints, visible, sizes), size)
        relations = _stack([part.relations for part in photos])
        annotated = _stack([part.annotated for part in photos])
        unknown = np.full(len(files), "")
        labels = PoseBatch(
            images=no_pixels(len(files), 1),
            keypoints_px=_spread(keypoints, 1),
            visible=_spread(visible, 1),
            joints_mm=None,
            relations=None if relations is None else _spread(relations, 2),
            annotated=None if annotated is None else _spread(annotated, 2),
            intrinsics=assumed_cameras(sizes),
            meta={
                **dict.fromkeys(META, unknown),
                "frame": np.array([_number(path) for path in files], dtype=np.int64),
                "part": np.repeat([part.part for part in photos], counts),
            },
        )
        super().__init__(name, split, crops.labels(labels), crops, mean_limb_lengths())


def _boxes(
    keypoints_px: Float[Tensor, "images 14 2"],
    visible: Bool[Tensor, "images 14"],
    sizes: Int64[Tensor, "images 2"],
) -> Float[Tensor, "images 3"]:
    """Squares to crop; see `PhotoDataset`."""
    hidden = ~visible[..., None]
    low = keypoints_px.masked_fill(hidden, torch.inf).amin(1)
    high = keypoints_px.masked_fill(hidden, -torch.inf).amax(1)
    side = BOX_ENLARGED * (high - low).amax(-1, keepdim=True).clamp(min=0)
    around = torch.cat([(low + high) / 2, side], -1).nan_to_num()
    whole = torch.cat([sizes / 2, sizes.amax(-1, keepdim=True)], -1)
    return around.where(around[:, 2:] >= 1, whole)


def _number(path: Path) -> int:
    """The first number in the name of an image; 0 if there is none."""
    digits = re.search(r"\d{1,18}", path.stem, re.ASCII)
    return int(digits[0]) if digits else 0


def agreed(
    closer: Bool[Tensor, "images 14 14"],
    tied: Bool[Tensor, "images 14 14"],
    farther: Bool[Tensor, "images 14 14"],
) -> tuple[Int8[Tensor, "images 14 14"], Bool[Tensor, "images 14 14"], int]:
    """Relations, annotated pairs and how many pairs contradict themselves and are left out.

    Args:
        closer, tied, farther: where somebody said that the row's joint is so; what stands on one
            side of the diagonal counts for both.
    """
    said = torch.stack([closer | farther.mT, tied | tied.mT, farther | closer.mT])
    said &= ~torch.eye(said.shape[-1], dtype=torch.bool)
    contradicting = said.sum(0) > 1
    annotated = said.any(0) & ~contradicting
    relations = (said[0].to(torch.int8) - said[2].to(torch.int8)) * annotated
    return relations, annotated, int(contradicting.sum()) // 2


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
        pattern: name of an image as a format of its number, such as `im{:04d}.jpg`.
        count: how many joints and relations there are for.

    Raises:
        InputError: there are other numbers of images than that.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder of images, found none")
    names = set(listed(folder))
    wanted = [pattern.format(number) for number in range(1, count + 1)]
    before, _, after = map(re.escape, re.split(r"({.*})", pattern))
    like = re.compile(rf"{before}\d+{after}", re.ASCII)
    numbered = sum(like.fullmatch(name) is not None for name in names)
    missing = [name for name in wanted if name not in names]
    if missing or numbered != count:
        lack = f"; {missing[0]} is missing, {len(missing)} in all" if missing else ""
        raise InputError(
            f"{folder}: expected {count} images {wanted[0]} to {wanted[-1]}, as many as"
            f" there are annotations; found {numbered} such names{lack}"
        )
    return [folder / name for name in wanted]
