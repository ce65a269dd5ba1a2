"""Human3.6M as the script h36m-fetch lays it out.

`processed/S1/Eating-1/annot.h5` has the rows of all cameras one after the other, and the images are
`processed/S1/Eating-1/imageSequence/54138969/img_000001.jpg` and so on, by the films' frames.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ordlib.camera import pose_box
from ordlib.datasets import hdf5
from ordlib.datasets.frames import Frames, join, require_files
from ordlib.datasets.human36m_studio import (
    FRAME_STEP,
    LENSES,
    PIXEL_SHIFT,
    SPLITS,
    action_name,
    intrinsics_h36m,
    require_camera,
    require_poses,
)
from ordlib.errors import InputError
from ordlib.skeleton import H36M17

OF_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""The joints of H36M17 among the 32 of the files."""

_LONG = 1.5  # focal lengths are more than that times the coordinates of the centre


@dataclass(frozen=True)
class _Sequence:
    """The rows of one `annot.h5` at 10 frames a second.

    Attributes:
        folder: where it lies.
        joints_mm: joints of H36M17, camera frame.
        keypoints_px: the same in the image, project pixels.
        cameras: serial numbers.
        frames: numbers in the film, from 1.
    """

    folder: Path
    joints_mm: Float[Tensor, "rows joints 3"]
    keypoints_px: Float[Tensor, "rows joints 2"]
    cameras: np.ndarray
    frames: Int64[np.ndarray, " rows"]


def find(root: Path) -> Path | None:
    """The folder of the subjects at or below `root`."""
    for folder in (root, root / "processed", root / "h36m" / "processed"):
        if next(folder.glob("S*/*/annot.h5"), None):
            return folder
    return None


def read(folder: Path, split: str) -> Frames:
    """The frames of a split at 10 a second.

    Warns where frames are lacking or fewer than four cameras are there, with counts. Boxes follow
    the rule of the coarse-to-fine authors (`ordlib.camera.pose_box`).

    Raises:
        InputError: a file that cannot be used, no frames for the split, or images missing.
    """
    sequences = list(_sequences(folder, SPLITS[split]))
    parts = [_frames(folder, sequence) for sequence in sequences if len(sequence.frames)]
    if not parts:
        raise InputError(
            f"{folder}: expected annot.h5 of {', '.join(SPLITS[split])} with frames 1, 6, 11 and so"
            f" on, found {len(sequences)} files and no such frame"
        )
    _warn(folder, sequences)
    frames = join(parts)
    require_files(folder, frames.names)
    return frames


def training_poses(folder: Path) -> Float[Tensor, "frames joints 3"] | None:
    """Joints of H36M17 of the training frames, camera frame, mm; None where there are none."""
    poses = [sequence.joints_mm for sequence in _sequences(folder, SPLITS["train"])]
    return torch.cat(poses) if sum(map(len, poses)) else None


def _sequences(folder: Path, subjects: tuple[str, ...]) -> Iterator[_Sequence]:
    for subject in subjects:
        for path in sorted(folder.glob(f"{subject}/*/annot.h5")):
            yield _read(path)


def _read(path: Path) -> _Sequence:
    with hdf5.opened(path) as file:
        frame, camera = hdf5.numbers(file, "frame"), hdf5.numbers(file, "camera")
        pose = _joints(path, "pose/3d", hdf5.numbers(file, "pose/3d"), 3)
        point = _joints(path, "pose/2d", hdf5.numbers(file, "pose/2d"), 2)
        _require_rows(path, {"frame": frame, "camera": camera, "pose/3d": pose, "pose/2d": point})
        serials = np.array([f"{serial:.0f}" for serial in camera], dtype=np.str_)
        for serial in np.unique(serials).tolist():
            _require_pinhole(
                f"{path}: intrinsics/{serial}", serial, hdf5.numbers(file, f"intrinsics/{serial}")
            )
    wrong = frame[(frame < 1) | (frame % 1 != 0)]
    if len(wrong):
        raise InputError(f"{path}: frame: expected whole numbers from 1, found {wrong[0]:g}")
    kept = (frame - 1) % FRAME_STEP == 0
    joints = torch.from_numpy(pose[kept]).float()
    require_poses(f"{path}: pose/3d", joints)
    points = torch.from_numpy(point[kept] + PIXEL_SHIFT).float()
    return _Sequence(path.parent, joints, points, serials[kept], frame[kept].astype(np.int64))


def _require_rows(path: Path, columns: dict[str, Float[np.ndarray, "..."]]) -> None:
    """Raise InputError unless all columns have as many rows, of finite numbers."""
    axes = [array.ndim for array in columns.values()]
    if axes != [1, 1, 3, 3] or len({len(array) for array in columns.values()}) > 1:
        found = ", ".join(f"{key} {array.shape}" for key, array in columns.items())
        raise InputError(f"{path}: expected as many rows of each key, found {found}")
    for key, array in columns.items():
        hdf5.require_finite_rows(f"{path}: {key}", array)


def _joints(
    path: Path, key: str, found: Float[np.ndarray, "..."], values: int
) -> Float[np.ndarray, "rows joints values"]:
    """The 17 joints of (rows, 32, values) or (rows, 17, values)."""
    joints = len(H36M17)
    if found.ndim != 3 or found.shape[1] not in (32, joints) or found.shape[2] != values:
        raise InputError(
            f"{path}: {key}: expected shape (rows, 32, {values}) or (rows, {joints}, {values}),"
            f" found {found.shape}"
        )
    return found if found.shape[1] == joints else found[:, OF_32]


def _require_pinhole(where: str, serial: str, values: Float[np.ndarray, "..."]) -> None:
    """Raise InputError for intrinsics other than fx, cx, fy, cy of a known camera.

    They were fitted without distortion and serve as a check; the lenses are those of `LENSES`.
    """
    require_camera(serial, where)
    if values.shape != (4,) or not np.isfinite(values).all():
        raise InputError(f"{where}: expected the four numbers fx, cx, fy, cy, found {values}")
    fx, cx, fy, cy = values
    if min(values) <= 0 or cx > fx / _LONG or cy > fy / _LONG:
        raise InputError(
            f"{where}: expected fx, cx, fy, cy in this order, focal lengths about twice the others,"
            f" found {', '.join(f'{value:g}' for value in values)}"
        )


def _frames(folder: Path, sequence: _Sequence) -> Frames:
    """The rows of a sequence at 10 frames a second."""
    joints, cameras, numbers = sequence.joints_mm, sequence.cameras, sequence.frames
    centre, side = pose_box(sequence.keypoints_px)
    below = sequence.folder.relative_to(folder).as_posix()
    subject, action = sequence.folder.parts[-2:]
    seen = torch.ones(joints.shape[:2], dtype=torch.bool)
    return Frames(
        folder=folder,
        names=np.array(
            [
                f"{below}/imageSequence/{camera}/img_{number:06d}.jpg"
                for camera, number in zip(cameras, numbers, strict=True)
            ]
        ),
        boxes=torch.cat([centre, side[:, None]], -1),
        keypoints_px=sequence.keypoints_px,
        visible=seen,
        joints_mm=joints,
        known=seen,
        intrinsics=intrinsics_h36m(cameras),
        meta={
            "subject": np.full(len(joints), subject),
            "action": np.full(len(joints), action_name(action, str(sequence.folder))),
            "camera": cameras,
            "frame": numbers,
            "part": np.full(len(joints), "Studio"),
        },
    )


def _warn(folder: Path, sequences: list[_Sequence]) -> None:
    """Say how many frames and cameras are lacking."""
    gaps = np.concatenate([np.zeros(0, int), *map(_gaps, sequences)])
    odd = gaps[gaps != FRAME_STEP]
    if len(odd):
        warnings.warn(
            f"{folder}: {len(odd)} of {len(gaps)} steps from one kept frame to the next are not"
            f" {FRAME_STEP} frames but up to {odd.max()}: this is not the protocol's 10 frames a"
            " second; expected the script's output for every frame",
            stacklevel=4,
        )
    few = [s.folder for s in sequences if len(np.unique(s.cameras)) < len(LENSES)]
    if few:
        warnings.warn(
            f"{folder}: {len(few)} of {len(sequences)} sequences have fewer than {len(LENSES)}"
            f" cameras, the first is {few[0].relative_to(folder)}",
            stacklevel=4,
        )


def _gaps(sequence: _Sequence) -> Int64[np.ndarray, " gaps"]:
    """Steps between frames that are kept, camera by camera."""
    cameras = np.unique(sequence.cameras)
    steps = [np.diff(np.sort(sequence.frames[sequence.cameras == one])) for one in cameras]
    return np.concatenate([np.zeros(0, np.int64), *steps])
