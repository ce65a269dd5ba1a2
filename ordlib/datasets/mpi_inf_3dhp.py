"""The test set of MPI-INF-3DHP, by the protocol of the evaluation code of its authors.

A sequence is a folder `TS1` to `TS6` with `annot_data.mat` and `imageSequence/img_000001.jpg` and
so on. The truth of the protocol is `univ_annot3`, poses scaled to one universal size; they do not
project onto the image. The 2D joints are `annot2`, and `annot3`, which does project, serves for the
camera alone.
"""

import warnings
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from ordlib.camera import pose_box
from ordlib.datasets import matlab
from ordlib.datasets.frames import FrameDataset, Frames, join, require_files
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


def load(root: str | Path, *, size: int = 256) -> FrameDataset:
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
    valid = _per_frame(path, "valid_frame", None)
    points = {
        key: _per_joint(path, key, channels)
        for key, channels in (("annot2", 2), ("annot3", 3), ("univ_annot3", 3))
    }
    activity = _per_frame(path, "activity_annotation", range(1, len(ACTIVITIES) + 1))
    lengths = {"valid_frame": len(valid), "activity_annotation": len(activity)}
    lengths |= {key: len(values) for key, values in points.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{key} {count}" for key, count in lengths.items())
        raise InputError(f"{path}: expected as many frames for every key, found {found}")
    rows = np.flatnonzero(valid)
    if not len(rows):
        raise InputError(f"{path}: expected valid frames, found none among {len(valid)}")
    kept = {key: values[rows] for key, values in points.items()}
    _check(path, kept)
    count, joints = len(rows), len(H36M17)
    keypoints, truth = _converted(kept["annot2"]), _converted(kept["univ_annot3"])
    intrinsics = _intrinsics(path, kept["annot3"], kept["annot2"])
    centre, side = pose_box(keypoints, margin_px(float(intrinsics[0, 0])))
    everything = torch.ones(count, joints, dtype=torch.bool)
    return Frames(
        folder=folder,
        names=np.array([f"{name}/imageSequence/img_{row + 1:06d}.jpg" for row in rows]),
        boxes=torch.cat([centre, side[:, None]], -1),
        keypoints_px=keypoints,
        visible=everything,
        joints_mm=truth,
        known=everything,
        intrinsics=intrinsics.expand(count, 3, 3),
        meta={
            "subject": np.full(count, name),
            "action": np.array(ACTIVITIES)[activity[rows].astype(np.int64) - 1],
            "camera": np.full(count, ""),
            "frame": rows + 1,
            "part": np.full(count, PARTS[name]),
        },
    )


def _annotation_file(folder: Path) -> Path:
    path = next((folder / name for name in _FILES if (folder / name).is_file()), None)
    if path is None:
        raise InputError(f"{folder}: expected annot_data.mat or annot_data-corr.mat, found neither")
    if not h5py.is_hdf5(path):
        raise InputError(
            f"{path}: expected a MATLAB v7.3 file (HDF5), found another; is it re-saved or cut off?"
        )
    return path


def _per_frame(path: Path, key: str, allowed: range | None) -> np.ndarray:
    """(frames,) whole numbers in a range, else 0 or 1."""
    array = matlab.read_array(path, key)
    if array.size != max(array.shape, default=0):
        raise InputError(f"{path}: {key}: expected one number a frame, found {array.shape}")
    values, wanted = array.ravel(), allowed or range(2)
    wrong = values[~np.isin(values, wanted)]
    if len(wrong):
        raise InputError(
            f"{path}: {key}: expected whole numbers from {wanted[0]} to {wanted[-1]}, found"
            f" {wrong[0]:g} and {len(wrong)} such values in all"
        )
    return values


def _per_joint(path: Path, key: str, channels: int) -> np.ndarray:
    """(frames, 17, channels), from either order of axes."""
    matlab_order = matlab.read_array(path, key)
    for array in (matlab_order.T, matlab_order):
        single = array[:, 0] if array.ndim == 4 and array.shape[1] == 1 else array
        if single.ndim == 3 and single.shape[1:] == (len(MPI3DHP17), channels):
            return single
    shape = f"({channels}, 17, 1, frames)"
    raise InputError(
        f"{path}: {key}: expected shape {shape} in MATLAB or (frames, 1, 17, {channels}), found"
        f" {matlab_order.shape} in MATLAB"
    )


def _check(path: Path, kept: dict[str, np.ndarray]) -> None:
    """Raise InputError for valid frames whose numbers cannot be positions in pixels and mm."""
    for key, values in kept.items():
        bad = ~np.isfinite(values)
        if bad.any():
            raise InputError(
                f"{path}: {key}: expected finite positions in valid frames, found {bad.sum()}"
                f" values of {bad.size} that are not"
            )
        depth = float(np.median(values[..., 2])) if values.shape[-1] == 3 else np.inf
        if depth < _SMALLEST_DISTANCE:
            raise InputError(
                f"{path}: {key}: expected positions in mm, z away from the camera, found depths"
                f" about {depth:g}"
            )


def _intrinsics(path: Path, joints: np.ndarray, pixels: np.ndarray) -> Tensor:
    """(3, 3) pinhole matrix that projects `annot3` onto `annot2`."""
    matrix, error_px = fit_intrinsics(
        joints.reshape(-1, 3), pixels.reshape(-1, 2), f"{path}: annot3"
    )
    if error_px > _LARGEST_ERROR_PX:
        raise InputError(
            f"{path}: expected annot3 to project onto annot2, found {error_px:.1f} px between them"
            " on average with the pinhole camera that fits best"
        )
    return torch.from_numpy(matrix).float()


def _converted(values: np.ndarray) -> Tensor:
    """Joints of Human3.6M from those of the sequence, float32."""
    return convert(torch.from_numpy(values).float(), MPI3DHP17, H36M17)
