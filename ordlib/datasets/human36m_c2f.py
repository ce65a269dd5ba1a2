"""Human3.6M as the coarse-to-fine authors [32] lay it out, which is what the paper's code reads.

`annot/train.h5` and `annot/valid.h5` have a row for each line of `annot/train_images.txt` and
`annot/valid_images.txt`; `images` holds the images, every fifth frame of the films. Joints come in
the order of H36M17 but for the legs, the left one first.
"""

import re
import warnings
from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ordlib.datasets import hdf5, matlab
from ordlib.datasets.frames import Frames, require_files
from ordlib.datasets.human36m_studio import (
    PIXEL_SHIFT,
    SPLITS,
    action_name,
    intrinsics_h36m,
    project_h36m,
    require_camera,
    require_poses,
)
from ordlib.errors import InputError
from ordlib.skeleton import H36M17

LEFT_LEG_FIRST = (0, 4, 5, 6, 1, 2, 3, *range(7, 17))
"""From the files' joints to those of H36M17 and back."""

BIN_MM, FIRST_BIN_MM, BINS = 31.031965, -989.67, 64
"""Depth bins `zind` relative to the root: step, centre of bin 1, and their number."""

_SIDE_PER_SCALE = 200.0
_NAME = re.compile(r"S(?P<subject>\d+)_(?P<action>.+)\.(?P<camera>\d+)_(?P<frame>\d{6})")
_MISPLACED = 0.01


def find(root: Path) -> Path | None:
    """The folder of `annot` and `images` at or below `root`."""
    for folder in (root, root / "h36m"):
        if (folder / "annot").is_dir():
            return folder
    return None


def read(folder: Path, split: str) -> Frames:
    """The frames of a split.

    Warns where `zind` does not fit the poses, and of subjects that the files should not have.

    Raises:
        InputError: a file that cannot be used, or images missing.
    """
    part = "valid" if split == "test" else "train"
    path = folder / "annot" / f"{part}.h5"
    stems = _stems(folder / "annot" / f"{part}_images.txt")
    meta = _meta(folder / "annot" / f"{part}_images.txt", stems)
    with hdf5.opened(path) as file:
        boxes = _boxes(file, len(stems))
        joints = _read_poses(file, folder / "annot" / f"{part}.mat", stems)
        _check_bins(file, joints)
        keypoints, visible = _read_keypoints(file, joints, meta["camera"])
    frames = Frames(
        folder=folder / "images",
        names=np.char.add(stems, ".jpg"),
        boxes=boxes,
        keypoints_px=keypoints,
        visible=visible,
        joints_mm=joints,
        known=torch.ones(len(stems), len(H36M17), dtype=torch.bool),
        intrinsics=intrinsics_h36m(meta["camera"]),
        meta=meta,
    )
    kept = frames.take(np.isin(meta["subject"], _subjects(path, meta["subject"], split)))
    require_files(kept.folder, kept.names)
    return kept


def training_poses(folder: Path) -> Float[Tensor, "frames joints 3"] | None:
    """Joints of H36M17 of the training frames, camera frame, mm; None where the files lack them."""
    path = folder / "annot" / "train.h5"
    mat = path.with_suffix(".mat")
    if not path.is_file():
        return None
    with hdf5.opened(path) as file:
        if "S" not in file and not mat.is_file():
            return None
        return _read_poses(file, mat, _stems(folder / "annot" / "train_images.txt"))


def _stems(path: Path) -> np.ndarray:
    """Names of the images without `.jpg`, a line each."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: expected a text file of image names: {reason}") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise InputError(f"{path}: expected a name of an image a line, found none")
    return np.array([line.strip().removesuffix(".jpg") for line in lines])


def _meta(path: Path, stems: np.ndarray) -> dict[str, np.ndarray]:
    """What the names say: subject, action, camera and frame of each."""
    rows = []
    actions: dict[str, str] = {}
    for line, stem in enumerate(stems.tolist(), 1):
        found = _NAME.fullmatch(stem)
        where = f"{path}: line {line}"
        if not found:
            raise InputError(
                f"{where}: expected a name like S9_Posing_1.55011271_000321.jpg, found {stem!r}"
            )
        raw = found["action"]
        if raw not in actions:
            actions[raw] = action_name(raw, where)
        require_camera(found["camera"], where)
        rows.append((f"S{found['subject']}", actions[raw], found["camera"], found["frame"]))
    subject, action, camera, frame = map(np.array, zip(*rows, strict=True))
    meta = {"subject": subject, "action": action, "camera": camera, "frame": frame.astype(np.int64)}
    return meta | {"part": np.full(len(rows), "Studio")}


def _subjects(path: Path, subjects: np.ndarray, split: str) -> tuple[str, ...]:
    """The subjects of the split; warns where the file has others than those of its two halves."""
    wanted = SPLITS[split]
    if not np.isin(subjects, wanted).any():
        found = ", ".join(np.unique(subjects))
        raise InputError(f"{path}: expected frames of {', '.join(wanted)}, found those of {found}")
    strangers = ~np.isin(subjects, SPLITS["test" if split == "test" else "train"])
    if strangers.any():
        warnings.warn(
            f"{path}: {strangers.sum()} of {len(subjects)} frames are of"
            f" {', '.join(np.unique(subjects[strangers]))} and are left out; expected none",
            stacklevel=4,
        )
    return wanted


def _numbers(file: h5py.File, key: str, *shape: int) -> Float[np.ndarray, "..."]:
    """An array of a shape, all finite; a last axis of length 1 may be missing or too many."""
    found = hdf5.numbers(file, key)
    if found.shape[:1] != shape[:1]:
        raise InputError(
            f"{file.filename}: {key}: expected a row for each of {shape[0]} lines of"
            f" {Path(file.filename).stem}_images.txt, found shape {found.shape}"
        )
    if found.shape not in (shape, (*shape, 1)):
        raise InputError(f"{file.filename}: {key}: expected shape {shape}, found {found.shape}")
    hdf5.require_finite_rows(f"{file.filename}: {key}", found)
    return found.reshape(shape)


def _boxes(file: h5py.File, rows: int) -> Float[Tensor, "frames 3"]:
    """Centre and side of the crops."""
    scale = _numbers(file, "scale", rows)
    centre = _numbers(file, "center", rows, 2)
    if (scale <= 0).any():
        row = int((scale <= 0).argmax())
        raise InputError(
            f"{file.filename}: scale: expected values above 0, found {scale[row]:g} in row {row}"
        )
    boxes = np.column_stack([centre + PIXEL_SHIFT, scale * _SIDE_PER_SCALE])
    return torch.from_numpy(boxes).float()


def _read_poses(file: h5py.File, mat: Path, stems: np.ndarray) -> Float[Tensor, "frames joints 3"]:
    """Joints of H36M17 from `S` of the HDF5 file or else of the MATLAB file beside it."""
    if "S" in file:
        name, found = f"{file.filename}: S", hdf5.numbers(file, "S")
    elif mat.is_file():
        name, found = f"{mat}: S", _poses_of_mat(mat, stems)
    else:
        raise InputError(
            f"{file.filename}: expected the key 'S', or {mat.name} beside it, for the 3D joints;"
            f" found neither, but {', '.join(file)}"
        )
    rows, joints = len(stems), len(H36M17)
    if found.shape == (rows, 3, joints):  # as in the MATLAB file
        found = found.transpose(0, 2, 1)
    if found.shape != (rows, joints, 3):
        raise InputError(
            f"{name}: expected shape ({rows}, {joints}, 3) or ({rows}, 3, {joints}),"
            f" found {found.shape}"
        )
    hdf5.require_finite_rows(name, found)
    poses = torch.from_numpy(found).float()[:, LEFT_LEG_FIRST]
    require_poses(name, poses)
    return poses


def _poses_of_mat(path: Path, stems: np.ndarray) -> Float[np.ndarray, "..."]:
    """`annot.S` of a MATLAB file; its `imgname` must be that of the text file."""
    annot = matlab.read_struct(path, "annot")
    lacking = [key for key in ("S", "imgname") if not hasattr(annot, key)]
    if lacking:
        raise InputError(f"{path}: annot: expected the field {lacking[0]!r}, found none")
    poses = np.asarray(annot.S)
    if poses.dtype.kind not in "buif":
        raise InputError(f"{path}: S: expected an array of numbers, found {poses.dtype}")
    names = [str(name).strip().removesuffix(".jpg") for name in np.atleast_1d(annot.imgname)]
    if len(names) != len(stems):
        raise InputError(
            f"{path}: imgname: expected the {len(stems)} names of {path.stem}_images.txt, found"
            f" {len(names)}"
        )
    other = next((i for i, stem in enumerate(stems.tolist()) if names[i] != stem), None)
    if other is not None:
        wanted = str(stems[other])
        raise InputError(
            f"{path}: imgname: expected {wanted!r} in row {other}, as line {other + 1} of"
            f" {path.stem}_images.txt, found {names[other]!r}"
        )
    # one pose has lost its first axis
    return (poses[None] if len(names) == 1 and poses.ndim == 2 else poses).astype(np.float64)


def _read_keypoints(
    file: h5py.File, joints_mm: Float[Tensor, "frames joints 3"], cameras: np.ndarray
) -> tuple[Float[Tensor, "frames joints 2"], Bool[Tensor, "frames joints"]]:
    """2D joints of H36M17 in project pixels, and which of them are there.

    They are `part`, where x above 0 marks a joint that is there, or else projections of the poses.
    """
    if "part" not in file:
        return project_h36m(joints_mm, cameras), torch.ones(joints_mm.shape[:2], dtype=torch.bool)
    part = torch.from_numpy(_numbers(file, "part", *joints_mm.shape[:2], 2)).float()
    part = part[:, LEFT_LEG_FIRST]
    return part + PIXEL_SHIFT, part[..., 0] > 0


def _check_bins(file: h5py.File, joints_mm: Float[Tensor, "frames joints 3"]) -> None:
    """`zind`, where there is one, holds bins, and warns where they are not those of the poses."""
    if "zind" not in file:
        return
    bins = _numbers(file, "zind", *joints_mm.shape[:2])
    wrong = bins[(bins < 1) | (bins > BINS)]
    if len(wrong):
        raise InputError(
            f"{file.filename}: zind: expected bins from 1 to {BINS}, found {wrong[0]:g} and"
            f" {len(wrong)} such values in all"
        )
    depth = (joints_mm[..., 2] - joints_mm[:, :1, 2]).double()
    expected = ((depth - FIRST_BIN_MM) / BIN_MM + 1).clamp(1, BINS)
    off = (torch.from_numpy(bins)[:, LEFT_LEG_FIRST] - expected).abs() > 1
    if off.double().mean() > _MISPLACED:
        warnings.warn(
            f"{file.filename}: zind: {int(off.sum())} of {off.numel()} bins are not those of the"
            " depths in S relative to the root; expected fewer than 1 %",
            stacklevel=4,
        )
