"""Human3.6M without images: motion capture, cameras and 2D detections of 3d-pose-baseline [25].

S9/MyPoses/3D_positions/Directions 1.h5           joints in the world, 50 frames a second
S9/StackedHourglass/Directions_1.54138969.h5      what an hourglass network saw; may be absent
cameras.h5
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ordlib.arrays import read
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
from ordlib.skeleton import H36M17

OF_MPII = {  # joint of H36M17 of each joint that the detector has too
    0: 6, 3: 0, 2: 1, 1: 2, 4: 3, 5: 4, 6: 5, 16: 10, 15: 11, 14: 12, 11: 13, 12: 14, 13: 15,
    9: 8, 10: 9,
}  # fmt: skip
_TAKES = 30  # of each subject: 15 actions, twice


@dataclass(frozen=True)
class Poses:
    """Frames of Human3.6M at 10 a second, each in every camera."""

    joints_mm: Joints3D  # H36M17, camera frame
    keypoints_px: Joints2D  # as the camera sees them, lens included; `camera.project` leaves it out
    detections_px: Joints2D  # not a number where there is none: spine, thorax, files not there
    intrinsics: Intrinsics  # of the image, without the lens
    meta: dict[str, np.ndarray]  # subject, action, take (0 for none), camera, frame

    def __len__(self) -> int:
        return len(self.joints_mm)


def poses(root: str | Path, split: str = "train") -> Poses:
    """The poses of a split, in the cameras of `cameras.h5`; warns of files that are not there.

    Args:
        root: folder of `S1` and so on, and of `cameras.h5`.
        split: as in `human36m.load`.

    Raises:
        InputError: another split, no motion capture of it, or a file that cannot be used.
    """
    if split not in SPLITS:
        raise InputError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}")
    folder, parts, takes, seen = Path(root), [], 0, 0
    for subject in SPLITS[split]:
        cameras = _cameras(folder / "cameras.h5", subject) if (folder / subject).is_dir() else {}
        detections = _detections(folder / subject)
        for action, take, path in _files(folder / subject / "MyPoses" / "3D_positions"):
            positions = read(path, {"3D_positions": "96 t | t 96"})["3D_positions"]
            world = positions.T.reshape(-1, 32, 3)[::FRAME_STEP, OF_32]
            takes += 1
            for camera, (rotation, centre) in cameras.items():
                joints = torch.from_numpy((world - centre) @ rotation.T).float()
                require_poses(str(path), joints)
                detected = detections.get((action, take, camera))
                seen += detected is not None
                parts.append(_part(joints, (subject, action, take, camera), detected))
    if not parts:
        raise InputError(
            f"{folder}: expected motion capture of {', '.join(SPLITS[split])}, such as"
            f" S9/MyPoses/3D_positions/Directions 1.h5, found none"
        )
    whole = _joined(parts)
    require_knees_forward(str(folder), whole.joints_mm)
    expected = _TAKES * len(SPLITS[split])
    if takes < expected or seen < len(parts):
        warnings.warn(
            f"{folder}: {split}: found motion capture of {takes} of {expected} takes, and"
            f" detections of {seen} of its {len(parts)} films",
            stacklevel=2,
        )
    return whole


def _files(folder: Path) -> Iterator[tuple[str, int, Path]]:
    """Action, take and path of the files of a folder; a name ends in its take, or has none."""
    for path in sorted(folder.glob("[!._]*.h5")):
        number = re.search(r"[ _](\d+)$", name := path.stem.split(".")[0])
        yield action_name(name, str(path)), int(number[1]) if number else 0, path


def _detections(folder: Path) -> dict[tuple[str, int, str], Path]:
    """The files of a subject by action, take and camera."""
    files = _files(folder / "StackedHourglass")
    return {(action, take, path.stem.rpartition(".")[2]): path for action, take, path in files}


def _cameras(path: Path, subject: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Rotation and centre of each camera of a subject: x = rotation (X - centre), mm."""
    cameras = {}
    for number in range(1, 1 + len(LENSES)):
        group = f"subject{subject[1:]}/camera{number}"
        layout = {
            f"{group}/R": "3 3",
            f"{group}/T": "3 | 3 1 | 1 3",
            f"{group}/Name": "c 1 | 1 c | c",
        }
        rotation, centre, name = read(path, layout).values()
        serial = "".join(chr(int(code)) for code in name.ravel() if 0 < code < 128)
        require_camera(serial, f"{path}: {group}/Name")
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
            raise InputError(f"{path}: {group}/R: expected a rotation, found {rotation.tolist()}")
        cameras[serial] = rotation.T, centre  # MATLAB writes its axes in reverse
    return cameras


def _part(joints: Tensor, what: tuple[str, str, int, str], detected: Path | None) -> Poses:
    """A take in one camera."""
    count, cameras = len(joints), np.full(len(joints), what[-1])
    detections = torch.full((count, len(H36M17), 2), torch.nan)
    if detected:
        points = read(detected, poses="t 16 2")["poses"][::FRAME_STEP][:count] + PIXEL_SHIFT
        chosen = points[:, list(OF_MPII.values())]
        detections[: len(points), list(OF_MPII)] = torch.from_numpy(chosen).float()
    names = ("subject", "action", "take", "camera")
    meta = {name: np.full(count, value) for name, value in zip(names, what, strict=True)}
    return Poses(
        joints_mm=joints,
        keypoints_px=project_h36m(joints, cameras),
        detections_px=detections,
        intrinsics=intrinsics_h36m(cameras),
        meta=meta | {"frame": 1 + FRAME_STEP * np.arange(count)},
    )


def _joined(parts: list[Poses]) -> Poses:
    meta = {key: np.concatenate([part.meta[key] for part in parts]) for key in parts[0].meta}
    return Poses(
        joints_mm=torch.cat([part.joints_mm for part in parts]),
        keypoints_px=torch.cat([part.keypoints_px for part in parts]),
        detections_px=torch.cat([part.detections_px for part in parts]),
        intrinsics=torch.cat([part.intrinsics for part in parts]),
        meta=meta,
    )
