"""MPII Human Pose: photographs with 2D joints of 16 kinds, and no relations.

Two forms are read: the HDF5 files of the stacked hourglass networks (`annot/train.h5`,
`annot/valid.h5`) and the original MATLAB file (`mpii_human_pose_v1_u12_1.mat`). The HDF5 files were
made from the other: their joints are the same numbers, cut to whole pixels, so both count pixels
from 1. Their squares are enlarged already, those of the MATLAB file are not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.io.matlab import mat_struct

from ordlib.datasets import hdf5, matlab
from ordlib.datasets.frames import require_files
from ordlib.datasets.photos import PhotoDataset, Photos
from ordlib.errors import InputError
from ordlib.skeleton import LSP14, MPII16

SPLITS = ("train", "valid")
"""Parts with annotations; the division into the two is that of the hourglass authors."""

_MATLAB = "mpii_human_pose*.mat"
_PERSON_PX = 200  # `scale` is the height of a person over this


@dataclass(frozen=True)
class _People:
    """Annotated people, one a row, as the hourglass authors write them.

    Attributes:
        names: of the image files; several people may share one.
        centre: middle of the square to crop, pixels counted from 1.
        scale: side of that square over 200 px.
        points: joints, pixels counted from 1.
        known: joints that have a position, occluded or not.
    """

    names: list[str]
    centre: Float[np.ndarray, "people 2"]
    scale: Float[np.ndarray, " people"]
    points: Float[np.ndarray, "people 16 2"]
    known: Bool[np.ndarray, "people 16"]


def load(root: str | Path, *, split: str = "train", size: int = 256) -> PhotoDataset:
    """Read one split of MPII: a sample is a person, and the crop is the square that the files give.

    An occluded joint has a position and is used; a joint without one has both coordinates 0.
    People without joints or without a square are left out. The HDF5 file of the split is read where
    there is one; the MATLAB file has the split `train` alone, everybody with joints.

    Args:
        root: the folder of `images` and of `annot` or the MATLAB file, which may also lie in a
            folder below.
        split: `train` or `valid`.
        size: side of the crops, pixels.

    Raises:
        InputError: no annotations of this split, a file that cannot be used, images missing.
    """
    if split not in SPLITS:
        raise InputError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}")
    path = _annotations(Path(root), split)
    people = _read_hdf5(path) if path.suffix == ".h5" else _read_matlab(path)
    _require_numbers(people, path)
    images = Path(root) / "images"
    require_files(images, people.names)
    kept = [MPII16.index(joint) for joint in LSP14.joints]
    centre = people.centre + matlab.ONE_BASED
    boxes = np.concatenate([centre, people.scale[:, None] * _PERSON_PX], 1)
    points = np.where(people.known[..., None], people.points + matlab.ONE_BASED, 0)
    photos = Photos(
        part="mpii",
        files=[images / name for name in people.names],
        keypoints_px=torch.from_numpy(points[:, kept]).float(),
        usable=torch.from_numpy(people.known[:, kept]),
        boxes=torch.from_numpy(boxes).float(),
    )
    return PhotoDataset("mpii", [photos], size, split)


def _annotations(root: Path, split: str) -> Path:
    """The file that has the annotations of a split."""
    if (path := root / "annot" / f"{split}.h5").is_file():
        return path
    for pattern in (_MATLAB, f"*/{_MATLAB}"):
        if split == "train" and (found := sorted(root.glob(pattern))):
            return found[0]
    also = f" or {_MATLAB}" if split == "train" else ""
    raise InputError(f"{root}: expected annot/{split}.h5{also} in this folder, found neither")


def _require_numbers(people: _People, path: Path) -> None:
    for key in ("centre", "scale", "points"):
        if not np.isfinite(values := getattr(people, key)).all():
            wrong = values[~np.isfinite(values)]
            raise InputError(f"{path}: {key}: expected finite numbers, found {wrong[0]:g}")
    if not len(people.names):
        raise InputError(f"{path}: expected annotated people, found none")
    if (wrong := people.scale[people.scale <= 0]).size:
        raise InputError(f"{path}: scale: expected positive numbers, found {wrong[0]:g}")


# --- HDF5 ----------------------------------------------------------------------------------------


def _read_hdf5(path: Path) -> _People:
    """The file of a split. `visible` is 0 for occluded joints too; -1 where nobody looked."""
    with hdf5.opened(path) as file:
        names = _names(file)
        people, joints = len(names), len(MPII16)
        shapes = {
            "center": (people, 2),
            "scale": (people,),
            "part": (people, joints, 2),
            "visible": (people, joints),
        }
        arrays = {key: hdf5.numbers(file, key) for key in shapes}
    for key, shape in shapes.items():
        if arrays[key].shape != shape:
            raise InputError(
                f"{path}: {key}: expected shape {shape}, as there are {people} names of images,"
                f" found {arrays[key].shape}"
            )
    visible, points = arrays["visible"], arrays["part"]
    if (wrong := visible[~np.isin(visible, (-1, 0, 1))]).size:
        raise InputError(f"{path}: visible: expected 0 or 1, found {wrong[0]:g}")
    known = (points != 0).any(-1) & (visible >= 0)
    return _People(names, arrays["center"], arrays["scale"], points, known)


def _names(file: h5py.File) -> list[str]:
    """Names of images: text, or rows of character codes, since Torch writes no text."""
    found = file.get("imgname")
    if not isinstance(found, h5py.Dataset) or not found.ndim:
        raise InputError(
            f"{file.filename}: expected the array imgname, found {', '.join(file) or 'no keys'}"
        )
    array = found[()]
    try:
        if array.dtype.kind in "uif":
            array = [bytes(row[row > 0].astype(np.uint8)) for row in array]
        return [bytes(name).decode() for name in array]
    except (UnicodeDecodeError, TypeError, ValueError) as error:
        raise InputError(
            f"{file.filename}: imgname: expected names of images, found {error}"
        ) from error


# --- MATLAB --------------------------------------------------------------------------------------


def _read_matlab(path: Path) -> _People:
    """The original file: everybody in a training image who has joints and a square.

    The square is enlarged here as in the HDF5 files: its middle 15 px of a person 200 px high
    further down, its side by a quarter.
    """
    release = matlab.read_struct(path, "RELEASE")
    try:
        rows = list(_people(release))
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"{path}: RELEASE: expected annolist.annorect.annopoints.point as MPII has it,"
            f" found {error}"
        ) from error
    points = np.zeros((len(rows), len(MPII16), 2))
    for row, (_, _, _, joints) in enumerate(rows):
        for joint, place in joints.items():
            points[row, joint] = place
    centre = np.array([place for _, place, _, _ in rows]).reshape(-1, 2)
    scale = np.array([scale for _, _, scale, _ in rows], dtype=np.float64)
    centre[:, 1] += 15 * scale
    names = [name for name, _, _, _ in rows]
    return _People(names, centre, 1.25 * scale, points, (points != 0).any(-1))


_Person = tuple[str, tuple[float, float], float, dict[int, tuple[float, float]]]


def _people(release: Any) -> Iterator[_Person]:
    """Image name, position, scale, and joints by number, of each person in a training image."""
    train = np.atleast_1d(release.img_train)
    images = _items(release.annolist)
    if len(train) != len(images):
        raise ValueError(f"{len(images)} images and {len(train)} values of img_train")
    for image, is_train in zip(images, train, strict=True):
        for person in _items(image.annorect) if is_train else []:
            points = [p for a in _items(_field(person, "annopoints")) for p in _items(a.point)]
            place, scale = _items(_field(person, "objpos")), np.ravel(_field(person, "scale"))
            if points and place and scale.size:
                joints = {_joint(p.id): (float(p.x), float(p.y)) for p in points}
                centre = float(place[0].x), float(place[0].y)
                yield str(image.image.name), centre, float(scale[0]), joints


def _joint(number: Any) -> int:
    if number not in range(len(MPII16)):
        raise ValueError(f"a joint with id {number}")
    return int(number)


def _field(struct: mat_struct, name: str) -> Any:
    return getattr(struct, name, np.empty(0))


def _items(value: Any) -> list[mat_struct]:
    """Structs of a field: MATLAB's arrays of one are no arrays, and of none are empty numbers."""
    return [item for item in np.ravel(np.asarray(value, dtype=object)) if item is not None]
