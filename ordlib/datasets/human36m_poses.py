"""Human3.6M without its images: motion capture, cameras and 2D detections, as many people hold it.

Two layouts are read:

- that of 3d-pose-baseline [25]: `S9/MyPoses/3D_positions/Directions 1.h5`, `cameras.h5` and, where
  they are there, `S9/StackedHourglass/Directions_1.54138969.h5`;
- that of VideoPose3D: `data_3d_h36m.npz` and, where one is there, a detector's
  `data_2d_h36m_*.npz`. Such archives hold pickles, which are read only if named in `arrays.TRUST`.

Where the cameras stood is a fact of the data set, kept in `human36m_cameras.csv` (the numbers of
both repositories), for copies without `cameras.h5`.
"""

import csv
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ordlib.arrays import fitted, read, read_pickled
from ordlib.camera import project
from ordlib.datasets.human36m_studio import (
    FRAME_STEP,
    LENSES,
    OF_32,
    PIXEL_SHIFT,
    SPLITS,
    action_name,
    intrinsics_h36m,
    project_h36m,
    require_camera,
    require_knees_forward,
    require_poses,
)
from ordlib.errors import InputError
from ordlib.shapes import Intrinsics, Joints2D, Joints3D
from ordlib.skeleton import H36M17, MPII16

_TAKES = 30  # of each subject: 15 actions, twice
_SPARE = 10  # frames by which a film and its motion capture may differ in length
_SIDES = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_COCO = ("",) * 5 + tuple(f"{side}_{joint}" for joint in _SIDES for side in ("left", "right"))

DETECTED = {
    "mpii": tuple({"thorax": "", "neck": "jaw"}.get(name, name) for name in MPII16.joints),
    "coco": _COCO,
    "h36m": H36M17.joints,
}
"""What a detector's joints are called in H36M17; MPII's thorax and COCO's face are not there."""

Camera = tuple[np.ndarray, np.ndarray]
"""Rotation and centre in the world: x = rotation (X - centre), mm."""


@dataclass(frozen=True)
class Poses:
    """Frames of Human3.6M at 10 a second, each in every camera."""

    joints_mm: Joints3D  # H36M17, camera frame
    keypoints_px: Joints2D  # as the camera sees them, lens included
    pinhole_px: Joints2D  # without the lens, as `intrinsics` have it
    detections_px: Joints2D  # not a number where there is none
    intrinsics: Intrinsics  # of the image, without the lens
    meta: dict[str, np.ndarray]  # subject, action, take (0 for none), camera, frame

    def __len__(self) -> int:
        return len(self.joints_mm)


@dataclass(frozen=True)
class _Take:
    subject: str
    name: str  # of the raw file, such as `Directions 1`
    where: str  # for messages
    world_mm: np.ndarray  # (T, 17, 3), z up
    detections: Mapping[str, np.ndarray]  # by camera (T, 17, 2)
    cameras: Mapping[str, Camera]


def poses(root: str | Path, split: str = "train") -> Poses:
    """The poses of a split in all cameras; warns with a count of what is not there.

    The lens moves joints by 1.3 px in the mean, 4.6 at the 95% quantile, 19.8 at most.

    Args:
        root: folder of one of the layouts.
        split: as in `human36m.load`.

    Raises:
        InputError: another split, no motion capture of it, or a file that cannot be used.
    """
    if split not in SPLITS:
        raise InputError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}")
    folder, subjects = Path(root), SPLITS[split]
    archived = (folder / "data_3d_h36m.npz").exists()
    takes = list((_archived if archived else _filed)(folder, subjects))
    if not takes:
        raise InputError(
            f"{folder}: expected motion capture of {', '.join(subjects)}, such as"
            f" S9/MyPoses/3D_positions/Directions 1.h5 or data_3d_h36m.npz, found none"
        )
    films = [(take, camera) for take in takes for camera in take.cameras]
    seen, expected = sum(len(take.detections) for take in takes), _TAKES * len(subjects)
    if len(takes) < expected or seen < len(films):
        warnings.warn(
            f"{folder}: {split}: found motion capture of {len(takes)} of {expected} takes, and"
            f" detections of {seen} of its {len(films)} films",
            stacklevel=2,
        )
    parts = [_filmed(take, camera) for take, camera in films]
    joints = torch.cat([part[0] for part in parts])
    detections = torch.cat([part[1] for part in parts])
    meta = {key: np.concatenate([part[2][key] for part in parts]) for key in parts[0][2]}
    require_knees_forward(str(folder), joints)
    intrinsics, pixels = intrinsics_h36m(meta["camera"]), project_h36m(joints, meta["camera"])
    return Poses(joints, pixels, project(joints, intrinsics), detections, intrinsics, meta)


def _filmed(take: _Take, camera: str) -> tuple[Tensor, Tensor, dict[str, np.ndarray]]:
    """Joints in a camera's frame, detections, and the columns of `meta`."""
    rotation, centre = take.cameras[camera]
    joints = (take.world_mm - centre) @ rotation.T
    nothing = np.full((len(joints), len(H36M17), 2), np.nan)
    seen = take.detections.get(camera, nothing)
    count = min(len(joints), len(seen))
    if max(len(joints), len(seen)) > count + _SPARE:
        raise InputError(
            f"{take.where}: expected as many frames as its detections in {camera} have,"
            f" {len(seen)}, found {len(joints)}"
        )
    frames = np.arange(0, count, FRAME_STEP)
    both = [torch.from_numpy(values[frames]).float() for values in (joints, seen)]
    require_poses(take.where, both[0])
    number = re.search(r"[ _](\d+)$", take.name)
    facts = {
        "subject": take.subject,
        "action": action_name(take.name, take.where),
        "take": int(number[1]) if number else 0,
        "camera": camera,
    }
    meta = {key: np.full(len(frames), value) for key, value in facts.items()}
    return both[0], both[1], meta | {"frame": frames + 1}


def _filed(folder: Path, subjects: tuple[str, ...]) -> Iterator[_Take]:
    """Takes in the layout of 3d-pose-baseline."""
    for subject in subjects:
        home, films = folder / subject / "MyPoses" / "3D_positions", folder / subject
        for path in sorted(home.glob("[!._]*.h5")):
            world = read(path, {"3D_positions": "96 t | t 96"})["3D_positions"]
            cameras = _cameras(folder, subject)
            stem = path.stem.replace(" ", "_")
            seen = {c: films / "StackedHourglass" / f"{stem}.{c}.h5" for c in cameras}
            detections = {
                camera: _mapped(read(film, poses="t 16 2")["poses"], "mpii")
                for camera, film in seen.items()
                if film.exists()
            }
            joints = world.T.reshape(-1, 32, 3)[:, OF_32]
            yield _Take(subject, path.stem, str(path), joints, detections, cameras)


def _archived(folder: Path, subjects: tuple[str, ...]) -> Iterator[_Take]:
    """Takes in the archives of VideoPose3D; of several detectors the first by name."""
    path = folder / "data_3d_h36m.npz"
    motion = _by_subject(path, "positions_3d")
    archives = sorted(folder.glob("data_2d_h36m_*.npz"))
    detector = next((archive for archive in archives if "_gt" not in archive.stem), None)
    films = _by_subject(detector, "positions_2d") if detector else {}
    layout = _layout(detector) if detector else "h36m"
    axes = f"t {len(DETECTED[layout])} 2"
    for subject in subjects:
        cameras = _cameras(folder, subject)
        for name, world in motion.get(subject, {}).items():
            where = f"{path}: {subject}, {name}"
            joints = 1000 * fitted(where, world, "t 32 3", {})[:, OF_32]
            seen = zip(cameras, films.get(subject, {}).get(name, ()), strict=False)
            check = partial(fitted, f"{detector}: {subject}, {name}", axes=axes, sizes={})
            detections = {camera: _mapped(check(film), layout) for camera, film in seen}
            yield _Take(subject, name, where, joints, detections, cameras)


def _by_subject(path: Path, key: str) -> dict[str, dict[str, Any]]:
    content = read_pickled(path, key)
    if not isinstance(content, dict) or not all(isinstance(t, dict) for t in content.values()):
        kind = type(content).__name__
        raise InputError(f"{path}: {key}: expected takes by subject and action, found {kind}")
    return content


def _layout(path: Path) -> str:
    """What joints a detector's archive has, by what it says of itself."""
    metadata = read_pickled(path, "metadata")
    count = metadata.get("num_joints") if isinstance(metadata, dict) else None
    if count not in (16, 17):
        raise InputError(f"{path}: metadata: expected num_joints of 16 or 17, found {count}")
    coco = metadata.get("layout_name") == "coco"
    return "mpii" if count == 16 else "coco" if coco else "h36m"


def _mapped(points: np.ndarray, layout: str) -> np.ndarray:
    """Detections on the joints of H36M17, project pixels."""
    joints = np.full((len(points), len(H36M17), 2), np.nan)
    for index, name in enumerate(DETECTED[layout]):
        if name:
            joints[:, H36M17.index(name)] = points[:, index] + PIXEL_SHIFT
    return joints


def _cameras(folder: Path, subject: str) -> dict[str, Camera]:
    """By serial number the cameras of a subject's session, in the usual order."""
    path = folder / "cameras.h5"
    if path.exists():
        return dict(_stored(path, subject, number) for number in range(1, 1 + len(LENSES)))
    with open(Path(__file__).with_name("human36m_cameras.csv"), encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["subject"] == subject]
    return {
        row["camera"]: (
            _rotation(*(float(row[key]) for key in ("qw", "qx", "qy", "qz"))),
            np.array([float(row[f"{axis}_mm"]) for axis in "xyz"]),
        )
        for row in rows
    }


def _stored(path: Path, subject: str, number: int) -> tuple[str, Camera]:
    """Serial number and place of one of the cameras of `cameras.h5`."""
    group = f"subject{subject[1:]}/camera{number}"
    axes = {"R": "3 3", "T": "3 | 3 1 | 1 3", "Name": "c 1 | 1 c | c"}
    content = read(path, {f"{group}/{key}": value for key, value in axes.items()})
    rotation, centre, name = content.values()
    serial = "".join(chr(int(code)) for code in name.ravel() if 0 < code < 128)
    require_camera(serial, f"{path}: {group}/Name")
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
        raise InputError(f"{path}: {group}/R: expected a rotation, found {rotation.tolist()}")
    return serial, (rotation.T, centre)  # MATLAB writes its axes in reverse


def _rotation(w: float, x: float, y: float, z: float) -> np.ndarray:
    """From the world to the camera whose orientation in the world is this unit quaternion."""
    vector, cross = np.array([x, y, z]), np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return ((2 * w * w - 1) * np.eye(3) + 2 * np.outer(vector, vector) + 2 * w * cross).T
