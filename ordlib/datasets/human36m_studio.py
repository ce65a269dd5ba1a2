"""What is the same in every copy of Human3.6M: subjects, actions, cameras and their lenses."""

import re

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ordlib.errors import InputError
from ordlib.shapes import Intrinsics, Joints2D, Joints3D
from ordlib.skeleton import H36M17

TRAINING_SUBJECTS, TEST_SUBJECTS = ("S1", "S5", "S6", "S7", "S8"), ("S9", "S11")
SPLITS = {
    "train": TRAINING_SUBJECTS,
    "test": TEST_SUBJECTS,
    "fit": TRAINING_SUBJECTS[:-1],
    "val": TRAINING_SUBJECTS[-1:],
}
"""Subjects of each split; `fit` and `val` are parts of `train`, to choose settings with."""

ACTIONS = (
    *("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases"),
    *("Sitting", "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether"),
)
_OTHER_NAMES = {
    "TakingPhoto": "Photo",
    "WalkingDog": "WalkDog",
    "WalkingTogether": "WalkTogether",
}

FRAME_STEP = 5  # from 50 frames a second to the 10 of Section 4.1; frames count from 1
PIXEL_SHIFT = 0.5  # to project pixels: all readers take the first pixel's centre as 0
OF_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""The joints of H36M17 among the 32 of the motion capture."""

LENSES = {  # fx, fy, cx, cy, k1, k2, k3, px, py by serial number, from `metadata.xml`
    "54138969": (
        *(1145.0494, 1143.7811, 512.5415, 515.4515),
        *(-0.207099, 0.247775, -0.003075, -0.000975699, -0.00142447),
    ),
    "55011271": (
        *(1149.6757, 1147.5917, 508.8486, 508.0649),
        *(-0.194214, 0.240409, 0.006820, -0.00161903, -0.00274089),
    ),
    "58860488": (
        *(1149.1407, 1148.7990, 519.8158, 501.4026),
        *(-0.208338, 0.255488, -0.002460, 0.00148439, -0.000759999),
    ),
    "60457274": (
        *(1145.5114, 1144.7739, 514.9682, 501.8820),
        *(-0.198384, 0.218324, -0.008948, -0.000587206, -0.00181336),
    ),
}

_USUAL_LIMB_MM = (100.0, 600.0)
_BENT = 0.05  # how far a knee is off the line from hip to ankle, over that line's length


def project_h36m(joints_mm: Joints3D, cameras: np.ndarray) -> Joints2D:
    """Where cameras, by serial number, see joints: project pixels, lens distortion included.

    With x = X/Z, y = Y/Z, r2 = x^2 + y^2 and a = 1 + k1 r2 + k2 r2^2 + k3 r2^3 + px x + py y:
    u = fx (x a + px r2) + cx, v = fy (y a + py r2) + cy. OpenCV doubles the terms in px and py.
    """
    fx, fy, cx, cy, k1, k2, k3, px, py = _lenses(cameras)[..., None].unbind(1)
    x, y = (joints_mm[..., :2].double() / joints_mm[..., 2:].double()).unbind(-1)
    r2 = x * x + y * y
    a = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)) + px * x + py * y
    points = torch.stack([fx * (x * a + px * r2) + cx, fy * (y * a + py * r2) + cy], -1)
    return (points + PIXEL_SHIFT).to(joints_mm.dtype)


def intrinsics_h36m(cameras: np.ndarray) -> Intrinsics:
    """Pinhole matrices of cameras by serial number, in project pixels, without distortion."""
    lenses = _lenses(cameras)
    matrices = torch.eye(3, dtype=torch.float64).repeat(len(lenses), 1, 1)
    matrices[:, 0, 0], matrices[:, 1, 1] = lenses[:, 0], lenses[:, 1]
    matrices[:, :2, 2] = lenses[:, 2:4] + PIXEL_SHIFT
    return matrices.float()


def _lenses(cameras: np.ndarray) -> Float[Tensor, "frames 9"]:
    serials, which = np.unique(cameras, return_inverse=True)
    table = torch.tensor([LENSES[serial] for serial in serials], dtype=torch.float64)
    return table.reshape(-1, 9)[torch.from_numpy(which)]


def action_name(raw: str, where: str) -> str:
    """The action as the paper's tables call it, from a raw name such as `WalkingDog 1`.

    Names are compared as wholes: Sitting and SittingDown begin alike. Raises InputError.
    """
    name = re.sub(r"[ _-]\d+$", "", raw)
    name = _OTHER_NAMES.get(name, name)
    if name not in ACTIONS:
        known = ", ".join((*ACTIONS, *_OTHER_NAMES))
        raise InputError(f"{where}: expected an action of {known}, found {raw!r}")
    return name


def require_camera(serial: str, where: str) -> None:
    """Raise InputError for a serial number that none of the four cameras has."""
    if serial not in LENSES:
        raise InputError(f"{where}: expected a camera of {', '.join(LENSES)}, found {serial!r}")


def require_poses(where: str, joints_mm: Joints3D) -> None:
    """Raise InputError for poses that are not in mm or not before the camera."""
    if not len(joints_mm):
        return
    limb = limb_lengths(joints_mm).median().item()
    if not _USUAL_LIMB_MM[0] <= limb <= _USUAL_LIMB_MM[1]:
        guess = "; are these metres?" if limb < 1 else ""
        raise InputError(f"{where}: expected mm, found a median limb of {limb:.3g}{guess}")
    nearest = joints_mm[..., 2].amin().item()
    if nearest <= 0:
        raise InputError(
            f"{where}: expected the camera frame, z > 0 before the camera, found z = {nearest:g};"
            " are these relative to the root?"
        )


def require_knees_forward(where: str, joints_mm: Joints3D) -> None:
    """Raise InputError where most bent knees bend backward: left and right are mixed up.

    Errors in 3D and limb lengths are symmetric in left and right: a mix-up shows in no number.
    """
    at = {name: joints_mm[:, index] for index, name in enumerate(H36M17.joints)}
    ahead = torch.linalg.cross(at["left_hip"] - at["right_hip"], at["thorax"] - at["pelvis"])
    hip, knee, ankle = (
        torch.stack([at[f"{side}_{joint}"] for side in ("left", "right")])
        for joint in ("hip", "knee", "ankle")
    )
    off = ((knee - (hip + ankle) / 2) * torch.nn.functional.normalize(ahead, dim=-1)).sum(-1)
    bent = off[off.abs() > _BENT * (ankle - hip).norm(dim=-1)]
    backward = int((bent < 0).sum())
    if backward > len(bent) / 2:
        raise InputError(
            f"{where}: expected knees that bend forward, found {backward} of {len(bent)} that bend"
            " backward; are left and right swapped?"
        )


def limb_lengths(joints_mm: Joints3D) -> Float[Tensor, "batch bones"]:
    """Lengths of the bones that end in joints 1 to 16."""
    parents, children = map(list, zip(*H36M17.bones, strict=True))
    return (joints_mm[:, children] - joints_mm[:, parents]).norm(dim=-1)
