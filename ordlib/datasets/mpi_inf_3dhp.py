"""The test set of MPI-INF-3DHP, by the protocol of the evaluation code of its authors.

A sequence is a folder `TS1` to `TS6` with `annot_data.mat` and `imageSequence/img_000001.jpg` and
so on. The truth of the protocol is `univ_annot3`, poses scaled to one universal size; they do not
project onto the image. The 2D joints are `annot2`, and `annot3`, which does project, serves for the
camera alone.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ordlib.arrays import read
from ordlib.camera import pose_box
from ordlib.data import PoseDataset, join
from ordlib.datasets.frames import FrameDataset, Frames, require_files
from ordlib.datasets.pinhole import fit_intrinsics, margin_px
from ordlib.errors import InputError
from ordlib.skeleton import H36M17, MPI3DHP17, convert, mean_limb_lengths

PARTS = {
    **dict.fromkeys(("TS1", "TS2"), "Studio GS"),
    **dict.fromkeys(("TS3", "TS4"), "Studio no GS"),
    **dict.fromkeys(("TS5", "TS6"), "Outdoor"),
}
"""Scene of each sequence, named as in Table 7; GS is a green screen."""

ACTIVITIES = (
    "standing/walking",
    "exercising",
    "sitting",
    "reaching/crouching",
    "on the floor",
    "sports",
    "miscellaneous",
)
"""Names of the activities 1 to 7."""

VALID_FRAMES = {"TS1": 603, "TS2": 540, "TS3": 505, "TS4": 553, "TS5": 276, "TS6": 452}
"""Valid frames of the files as first published; with these weights Table 7 has its averages."""

_FILES = ("annot_data-corr.mat", "annot_data.mat")  # the first one found; some copies have both
_FOLDER = "mpi_inf_3dhp_test_set"
_LARGEST_ERROR_PX = 10.0
_SMALLEST_DISTANCE = 100.0  # mm; people are metres away


def load(root: str | Path, *, size: int = 256) -> PoseDataset:
    """Read the valid frames of the sequences; `joints_mm` is the truth of the protocol.

    Coordinates of `annot2` are those of the project: the centre of the camera that fits them is
    the one of the published calibration, which counts from the edge of the image. The crop has a
    margin that spans the same angle as that of Human3.6M. Limb lengths are the means of
    Human3.6M's training subjects. `meta` has the sequence as subject and the scene as part; there
    is one camera a sequence, and it has no name.

    Warns where a sequence is absent and where its valid frames are not as many as first published:
    there are several revisions of the files.

    Args:
        root: the folder of `TS1` to `TS6`, or the one above it.
        size: side of the crops, pixels.

    Raises:
        InputError: no sequence there, a file that cannot be used, or images missing.
    """
    folder = _folder(Path(root))
    names = [name for name in PARTS if (folder / name).is_dir()]
    absent = [name for name in PARTS if name not in names]
    parts = [_read(folder, name) for name in names]
    frames = join(parts)
    require_files(folder, frames.names)
    if absent:
        warnings.warn(
            f"{folder}: expected the sequences {', '.join(PARTS)}, found no {', '.join(absent)}",
            stacklevel=2,
        )
    counts = {name: len(part) for name, part in zip(names, parts, strict=True)}
    if any(VALID_FRAMES[name] != count for name, count in counts.items()):
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        usual = ", ".join(f"{name} {VALID_FRAMES[name]}" for name in counts)
        warnings.warn(
            f"{folder}: found valid frames {found}; expected {usual}, as first published",
            stacklevel=2,
        )
    return FrameDataset("mpi_inf_3dhp", "test", frames, mean_limb_lengths(), size)


def _folder(root: Path) -> Path:
    """The folder that holds the sequences."""
    for folder in (root, root / _FOLDER):
        if any((folder / name).is_dir() for name in PARTS):
            return folder
    raise InputError(f"{root}: expected folders TS1 to TS6 in this folder, found none")


def _read(folder: Path, name: str) -> Frames:
    """The valid frames of a sequence."""
    path = _annotation_file(folder / name)
    # axes as in MATLAB; what stands in frames that are not valid is nobody's business
    layout = {key: "n 1 | 1 n | n" for key in ("valid_frame", "activity_annotation")}
    layout |= {
        key: f"{axes} 17 1 n | {axes} 17 n | n 17 {axes} | n 1 17 {axes}"
        for key, axes in (("annot2", 2), ("annot3", 3), ("univ_annot3", 3))
    }
    arrays = read(path, layout, finite=False)
    valid = _whole_numbers(path, "valid_frame", arrays, 1, first=0) == 1
    if not valid.any():
        raise InputError(f"{path}: expected valid frames, found none among {len(valid)}")
    activity = _whole_numbers(path, "activity_annotation", arrays, len(ACTIVITIES))[valid]
    pixels, joints, universal = (
        _positions(path, key, arrays, valid) for key in ("annot2", "annot3", "univ_annot3")
    )
    rows = np.flatnonzero(valid)
    keypoints = convert(torch.from_numpy(pixels).float(), MPI3DHP17, H36M17)
    intrinsics = _intrinsics(path, joints, pixels)
    centre, side = pose_box(keypoints, margin_px(float(intrinsics[0, 0])))
    everything = torch.ones(keypoints.shape[:2], dtype=torch.bool)
    return Frames(
        folder=folder,
        names=np.array([f"{name}/imageSequence/img_{row + 1:06d}.jpg" for row in rows]),
        boxes=torch.cat([centre, side[:, None]], -1),
        keypoints_px=keypoints,
        visible=everything,
        joints_mm=convert(torch.from_numpy(universal).float(), MPI3DHP17, H36M17),
        known=everything,
        intrinsics=intrinsics.expand(len(rows), 3, 3),
        meta={
            "subject": np.full(len(rows), name),
            "action": np.array(ACTIVITIES)[activity - 1],
            "camera": np.full(len(rows), ""),
            "frame": rows + 1,
            "part": np.full(len(rows), PARTS[name]),
        },
    )


def _annotation_file(folder: Path) -> Path:
    path = next((folder / name for name in _FILES if (folder / name).is_file()), None)
    if path is None:
        raise InputError(f"{folder}: expected annot_data.mat or annot_data-corr.mat, found neither")
    return path


def _whole_numbers(
    path: Path, key: str, arrays: dict[str, np.ndarray], last: int, first: int = 1
) -> np.ndarray:
    values = arrays[key].ravel()
    wrong = values[~np.isin(values, range(first, last + 1))]
    if len(wrong):
        raise InputError(
            f"{path}: {key}: expected whole numbers from {first} to {last}, found {wrong[0]:g} and"
            f" {len(wrong)} such values in all"
        )
    return values.astype(np.int64)


def _positions(
    path: Path, key: str, arrays: dict[str, np.ndarray], valid: np.ndarray
) -> np.ndarray:
    """(valid frames, 17, channels), checked to be finite and, in 3D, in mm before the camera."""
    values = arrays[key][:, :, 0].transpose(2, 1, 0)[valid]
    bad = ~(np.abs(values) < np.finfo(np.float32).max)
    if bad.any():
        raise InputError(
            f"{path}: {key}: expected finite positions in valid frames, found {bad.sum()} values"
            f" of {bad.size} that are not"
        )
    depth = float(np.median(values[..., 2])) if values.shape[-1] == 3 else np.inf
    if depth < _SMALLEST_DISTANCE:
        raise InputError(
            f"{path}: {key}: expected positions in mm, z away from the camera, found depths about"
            f" {depth:g}"
        )
    return values


def _intrinsics(path: Path, joints: np.ndarray, pixels: np.ndarray) -> Tensor:
    """(3, 3) pinhole matrix that projects `annot3` onto `annot2`."""
    points, seen = joints.reshape(-1, 3), pixels.reshape(-1, 2)
    matrix, error_px = fit_intrinsics(points, seen, f"{path}: annot3")
    if error_px > _LARGEST_ERROR_PX:
        raise InputError(
            f"{path}: expected annot3 to project onto annot2, found {error_px:.1f} px between them"
            " on average with the pinhole camera that fits best"
        )
    return torch.from_numpy(matrix).float()
