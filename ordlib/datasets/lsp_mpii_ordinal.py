"""LSP + MPII Ordinal: the ordinal depth annotations of Section 4.1, in the authors' archive.

`lsp_dataset_original/` and `mpii_upis1h/` each hold `images/`, `joints.mat` and `ordinal.mat`. The
two differ in their joints and in what the third value of a joint means.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from ordlib.datasets import matlab
from ordlib.datasets.photos import PhotoDataset, Photos, numbered_images
from ordlib.errors import InputError
from ordlib.skeleton import LSP14, MPII16, Skeleton

_FILES = ("joints.mat", "ordinal.mat")
_EXPECTED_INSIDE = 0.9


@dataclass(frozen=True)
class _Form:
    """How one half of the archive is written down.

    Attributes:
        part: its name in `meta`.
        skeleton: its joints.
        pattern: name of an image as a format of its number.
        shift_px: from its coordinates to project pixels.
        usable: joints whose position is annotated.
    """

    part: str
    skeleton: Skeleton
    pattern: str
    shift_px: float
    usable: Callable[[matlab.JointTable], Bool[Tensor, "images joints"]]


def _lsp_usable(table: matlab.JointTable) -> Bool[Tensor, "images joints"]:
    """The third value is 1 where a joint is occluded: it has a position all the same."""
    return ~table.missing


def _mpii_usable(table: matlab.JointTable) -> Bool[Tensor, "images joints"]:
    """The third value is 1 where a joint is visible; others may have no position."""
    return table.flags & ~table.missing


_FORMS = {
    "lsp_dataset_original": _Form("lsp", LSP14, "im{:04d}.jpg", matlab.ZERO_BASED, _lsp_usable),
    "mpii_upis1h": _Form("mpii", MPII16, "{:05d}_full.jpg", matlab.ONE_BASED, _mpii_usable),
}


def load(root: str | Path, *, size: int = 256) -> PhotoDataset:
    """Read the archive: photographs with 2D joints and ordinal relations of 14 joints.

    Warns where annotations of a pair contradict each other (the pair is left out) and where fewer
    than 90 % of the usable joints of a half lie inside their images (the others are left out).

    Args:
        root: the folder that holds `lsp_dataset_original` or `mpii_upis1h` or both, the folder
            above that, or one of the two themselves.
        size: side of the crops, pixels.

    Returns:
        The samples of `lsp`, then those of `mpii`; parts that are not there are left out.

    Raises:
        InputError: neither half is there, or one has a file that cannot be used.
    """
    folders = _folders(Path(root))
    photos = [_read(folder) for folder in folders]
    dataset = PhotoDataset("lsp_mpii_ordinal", photos, size)
    for folder, part in zip(folders, photos, strict=True):
        _warn(folder, part, dataset.outside[part.part])
    return dataset


def _folders(root: Path) -> list[Path]:
    """The halves of the archive below or at `root`, LSP first."""
    if any((root / name).is_file() for name in _FILES):
        return [root]
    found = []
    for name in _FORMS:
        places = [root / name, *sorted(root.glob(f"*/{name}"))] if root.is_dir() else []
        found += [place for place in places if place.is_dir()][:1]
    if not found:
        raise InputError(f"{root}: expected {' or '.join(_FORMS)} in this folder, found neither")
    return found


def _read(folder: Path) -> Photos:
    """One half of the archive; the number of joints tells which."""
    lacking = [name for name in _FILES if not (folder / name).is_file()]
    if lacking:
        raise InputError(f"{folder}: expected {' and '.join(_FILES)}, found no {lacking[0]}")
    ordinal = _read_ordinal(folder / "ordinal.mat")
    path = folder / "joints.mat"
    table = matlab.read_joints(path, [len(form.skeleton) for form in _FORMS.values()])
    images, joints = table.flags.shape
    if table.joints_first:
        raise InputError(
            f"{path}: joints: expected shape (3, {joints}, images), found ({joints}, 3, {images})"
        )
    if ordinal.shape[:2] != table.flags.shape:
        raise InputError(
            f"{folder}: expected joints and ord of the same images and joints, found {images}"
            f" images with {joints} joints and {len(ordinal)} with {ordinal.shape[1]}"
        )
    form = next(form for form in _FORMS.values() if len(form.skeleton) == joints)
    kept = [form.skeleton.index(joint) for joint in LSP14.joints]
    relations, annotated, contradictions = _relations(ordinal[:, kept][:, :, kept])
    usable = form.usable(table)
    points = torch.where(usable[..., None], table.points + form.shift_px, 0.0)
    return Photos(
        part=form.part,
        files=numbered_images(folder / "images", form.pattern, images),
        keypoints_px=points[:, kept],
        usable=usable[:, kept],
        relations=relations,
        annotated=annotated,
        contradictions=contradictions,
    )


def _read_ordinal(path: Path) -> Float[Tensor, "images joints joints"]:
    """The matrices `ord`: -1, 0, 1, or NaN where nobody was asked."""
    ordinal = torch.from_numpy(matlab.read_array(path, "ord"))
    counts = [len(form.skeleton) for form in _FORMS.values()]
    shape = tuple(ordinal.shape)
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] not in counts or not shape[0]:
        raise InputError(
            f"{path}: ord: expected shape (images, joints, joints), the images first, with"
            f" {' or '.join(map(str, counts))} joints, found {shape}"
        )
    known = ordinal[~ordinal.isnan()]
    if not len(known):
        raise InputError(f"{path}: ord: expected annotations -1, 0 or 1, found NaN alone")
    wrong = known[(known != 0) & (known.abs() != 1)]
    if len(wrong):
        raise InputError(
            f"{path}: ord: expected -1, 0, 1 or NaN, found {wrong[0].item():g}"
            f" and {len(wrong)} such values in all"
        )
    return ordinal


def _relations(
    ordinal: Float[Tensor, "images joints joints"],
) -> tuple[Int8[Tensor, "images joints joints"], Bool[Tensor, "images joints joints"], int]:
    """Relations, annotated pairs and the number of contradicting pairs.

    `ord` is -1 where the row's joint is closer, so the sign turns. A pair given on one side of the
    diagonal counts for both sides; one whose sides contradict each other is not annotated.
    """
    known = ~ordinal.isnan() & ~torch.eye(ordinal.shape[-1], dtype=torch.bool)
    closer = torch.where(known, -ordinal, 0.0)
    contradicting = known & known.mT & (closer != -closer.mT)
    annotated = (known | known.mT) & ~contradicting
    relations = torch.where(known, closer, -closer.mT) * annotated
    return relations.to(torch.int8), annotated, int(contradicting.sum()) // 2


def _warn(folder: Path, photos: Photos, outside: int) -> None:
    if photos.contradictions:
        warnings.warn(
            f"{folder / 'ordinal.mat'}: {photos.contradictions} pairs contradict themselves,"
            " (i, j) and (j, i), and are left out; expected none",
            stacklevel=3,
        )
    usable = int(photos.usable.sum())
    if outside > (1 - _EXPECTED_INSIDE) * usable:
        warnings.warn(
            f"{folder / 'joints.mat'}: {outside} of {usable} joints lie outside their images and"
            " are left out; expected fewer than 10 %",
            stacklevel=3,
        )
