"""LSP + MPII Ordinal: the ordinal depth annotations of Section 4.1, in the authors' archive.

`lsp_dataset_original/` and `mpii_upis1h/` each hold `images/`, `joints.mat` and `ordinal.mat`. The
two differ in their joints and in what the third value of a joint means.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ordlib.arrays import ONE_BASED, ZERO_BASED, JointTable, read, read_joints
from ordlib.datasets.photos import PhotoDataset, Photos, agreed, numbered_images
from ordlib.errors import InputError
from ordlib.files import listed
from ordlib.skeleton import LSP14, MPII16, Skeleton

_FILES = ("joints.mat", "ordinal.mat")
_EXPECTED_INSIDE = 0.9


@dataclass(frozen=True)
class _Form:
    """How one half of the archive is written down."""

    part: str  # its name in `meta`
    skeleton: Skeleton
    pattern: str  # name of an image as a format of its number
    shift_px: float  # from its coordinates to project pixels
    usable: Callable[[JointTable], Bool[Tensor, "images joints"]]  # joints with a position


_FORMS = {
    # the third value is 1 where a joint is occluded: it has a position all the same
    "lsp_dataset_original": _Form(
        "lsp", LSP14, "im{:04d}.jpg", ZERO_BASED, lambda table: ~table.missing
    ),
    # the third value is 1 where a joint is visible; others may have no position
    "mpii_upis1h": _Form(
        "mpii", MPII16, "{:05d}_full.jpg", ONE_BASED, lambda table: table.flags & ~table.missing
    ),
}
_COUNTS = [len(form.skeleton) for form in _FORMS.values()]


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
    for folder, half in zip(folders, photos, strict=True):
        outside, usable = dataset.outside[half.part], int(half.usable.sum())
        if half.contradictions:
            warnings.warn(
                f"{folder / 'ordinal.mat'}: {half.contradictions} pairs contradict themselves,"
                " (i, j) and (j, i), and are left out; expected none",
                stacklevel=2,
            )
        if outside > (1 - _EXPECTED_INSIDE) * usable:
            warnings.warn(
                f"{folder / 'joints.mat'}: {outside} of {usable} joints lie outside their images"
                " and are left out; expected fewer than 10 %",
                stacklevel=2,
            )
    return dataset


def _folders(root: Path) -> list[Path]:
    """The halves of the archive below or at `root`, LSP first."""
    if any((root / name).is_file() for name in _FILES):
        return [root]
    inside = [root, *(root / name for name in listed(root))] if root.is_dir() else []
    halves = []
    for name in _FORMS:
        halves += [folder / name for folder in inside if (folder / name).is_dir()][:1]
    if not halves:
        raise InputError(f"{root}: expected {' or '.join(_FORMS)} in this folder, found neither")
    return halves


def _read(folder: Path) -> Photos:
    """One half of the archive; the number of joints tells which."""
    lacking = [name for name in _FILES if not (folder / name).is_file()]
    if lacking:
        raise InputError(f"{folder}: expected {' and '.join(_FILES)}, found no {lacking[0]}")
    ordinal = _read_ordinal(folder / "ordinal.mat")
    path = folder / "joints.mat"
    table = read_joints(path, _COUNTS)
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
    said = torch.from_numpy(ordinal)[:, kept][:, :, kept]
    # `ord` is -1 where the row's joint is closer
    relations, annotated, contradictions = agreed(said == -1, said == 0, said == 1)
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


def _read_ordinal(path: Path) -> Float[np.ndarray, "images joints joints"]:
    """The matrices `ord`: -1, 0, 1, or NaN where nobody was asked."""
    ordinal = read(path, finite=False, ord="images joints joints")["ord"]
    if not len(ordinal) or ordinal.shape[1] not in _COUNTS:
        raise InputError(
            f"{path}: ord: expected {' or '.join(map(str, _COUNTS))} joints of one image or more,"
            f" the images first, found {ordinal.shape}"
        )
    known = ordinal[~np.isnan(ordinal)]
    wrong = known[~np.isin(known, (-1, 0, 1))]
    if not len(known) or len(wrong):
        found = f"{wrong[0]:g} and {len(wrong)} such values in all" if len(wrong) else "NaN alone"
        raise InputError(f"{path}: ord: expected -1, 0, 1 or NaN, found {found}")
    return ordinal
