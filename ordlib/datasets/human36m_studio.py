"""What is the same in every copy of Human3.6M: subjects, actions, cameras and their lenses."""

import re
from dataclasses import astuple, dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ordlib.errors import InputError
from ordlib.experiments.published import ACTIONS
from ordlib.skeleton import H36M17
from ordlib.synthetic.domains import TEST_SUBJECTS, TRAINING_SUBJECTS

SPLITS = {
    "train": TRAINING_SUBJECTS,
    "test": TEST_SUBJECTS,
    "fit": TRAINING_SUBJECTS[:-1],
    "val": TRAINING_SUBJECTS[-1:],
}
"""Subjects of each split; `fit` and `val` are parts of `train`, to choose settings with."""

FRAME_STEP = 5
"""From the films' 50 frames a second to the 10 of Section 4.1; frames count from 1."""

PIXEL_SHIFT = 0.5
"""From the data set's pixels to project pixels: all readers take its first pixel's centre as 0."""

_ACTION_NAMES = {name: name for name in ACTIONS.values()} | {
    "TakingPhoto": "Photo",
    "WalkingDog": "WalkDog",
    "WalkingTogether": "WalkTogether",
}
_USUAL_LIMB_MM = (100.0, 600.0)
_BENT = 0.05  # how far a knee is off the line from hip to ankle, over that line's length


@dataclass(frozen=True)
class Lens:
    """A camera's pinhole in the data set's pixels, and its distortion."""

    fx: float
    fy: float
    cx: float
    cy: float
    k1: float
    k2: float
    k3: float
    px: float
    py: float


LENSES = {
    "54138969": Lens(
        *(1145.0494, 1143.7811, 512.5415, 515.4515),
        *(-0.207099, 0.247775, -0.003075, -0.000975699, -0.00142447),
    ),
    "55011271": Lens(
        *(1149.6757, 1147.5917, 508.8486, 508.0649),
        *(-0.194214, 0.240409, 0.006820, -0.00161903, -0.00274089),
    ),
    "58860488": Lens(
        *(1149.1407, 1148.7990, 519.8158, 501.4026),
        *(-0.208338, 0.255488, -0.002460, 0.00148439, -0.000759999),
    ),
    "60457274": Lens(
        *(1145.5114, 1144.7739, 514.9682, 501.8820),
        *(-0.198384, 0.218324, -0.008948, -0.000587206, -0.00181336),
    ),
}
"""The four cameras by serial number, from the data set's `metadata.xml`."""


def project_h36m(
    joints_mm: Float[Tensor, "frames joints 3"], cameras: np.ndarray
) -> Float[Tensor, "frames joints 2"]:
    """Where the data set's cameras see joints, lens distortion included, in project pixels.

    With x = X/Z, y = Y/Z, r2 = x^2 + y^2 and a = 1 + k1 r2 + k2 r2^2 + k3 r2^3 + px x + py y:
    u = fx (x a + px r2) + cx, v = fy (y a + py r2) + cy. OpenCV doubles the terms in px and py.

    Args:
        joints_mm: joints in the camera frame, z > 0.
        cameras: serial number of each frame's camera.
    """
    fx, fy, cx, cy, k1, k2, k3, px, py = _lenses(cameras)[..., None].unbind(1)
    x, y = (joints_mm[..., :2].double() / joints_mm[..., 2:].double()).unbind(-1)
    r2 = x * x + y * y
    a = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)) + px * x + py * y
    points = torch.stack([fx * (x * a + px * r2) + cx, fy * (y * a + py * r2) + cy], -1)
    return (points + PIXEL_SHIFT).to(joints_mm.dtype)


def intrinsics_h36m(cameras: np.ndarray) -> Float[Tensor, "frames 3 3"]:
    """Pinhole matrices of cameras by serial number, in project pixels, without distortion."""
    lenses = _lenses(cameras)
    matrices = torch.eye(3, dtype=torch.float64).repeat(len(lenses), 1, 1)
    matrices[:, 0, 0], matrices[:, 1, 1] = lenses[:, 0], lenses[:, 1]
    matrices[:, :2, 2] = lenses[:, 2:4] + PIXEL_SHIFT
    return matrices.float()


def _lenses(cameras: np.ndarray) -> Float[Tensor, "frames 9"]:
    serials, which = np.unique(cameras, return_inverse=True)
    table = [astuple(LENSES[serial]) for serial in serials]
    return torch.tensor(table, dtype=torch.float64).reshape(-1, 9)[torch.from_numpy(which)]


def action_name(raw: str, where: str) -> str:
    """The action as the paper's tables call it, from a raw name such as `WalkingDog 1`.

    Names are compared as wholes: Sitting and SittingDown begin alike.

    Args:
        raw: name with the number of a trial or without.
        where: what to name in the message.

    Raises:
        InputError: another name.
    """
    name = re.sub(r"[ _-]\d+$", "", raw)
    if name not in _ACTION_NAMES:
        known = ", ".join(_ACTION_NAMES)
        raise InputError(f"{where}: expected an action of {known}, found {raw!r}")
    return _ACTION_NAMES[name]


def require_camera(serial: str, where: str) -> None:
    """Raise InputError for a serial number that none of the four cameras has."""
    if serial not in LENSES:
        raise InputError(f"{where}: expected a camera of {', '.join(LENSES)}, found {serial!r}")


def require_poses(name: str, joints_mm: Float[Tensor, "frames joints 3"]) -> None:
    """Raise InputError for poses that are not in mm or not before the camera.

    Args:
        name: what to name in the message.
        joints_mm: joints of H36M17.
    """
    if not len(joints_mm):
        return
    limb = limb_lengths(joints_mm).median().item()
    if not _USUAL_LIMB_MM[0] <= limb <= _USUAL_LIMB_MM[1]:
        guess = "; are these metres?" if limb < 1 else ""
        raise InputError(f"{name}: expected mm, found a median limb of {limb:.3g}{guess}")
    nearest = joints_mm[..., 2].amin().item()
    if nearest <= 0:
        raise InputError(
            f"{name}: expected the camera frame, z > 0 before the camera, found z = {nearest:g};"
            " are these relative to the root?"
        )


def require_knees_forward(name: str, joints_mm: Float[Tensor, "frames joints 3"]) -> None:
    """Raise InputError where most bent knees bend backward: left and right are mixed up.

    Errors in 3D, limb lengths and mirroring are symmetric in left and right, so that a mix-up would
    show in no number.

    Args:
        name: what to name in the message.
        joints_mm: joints of H36M17.
    """
    forward, bent = _bends(joints_mm)
    if forward < bent / 2:
        raise InputError(
            f"{name}: expected knees that bend forward, found {bent - forward} of {bent} that bend"
            " backward; are left and right swapped?"
        )


def _bends(joints_mm: Float[Tensor, "frames joints 3"]) -> tuple[int, int]:
    """How many knees bend forward, and how many are bent at all."""
    at = {name: joints_mm[:, index] for index, name in enumerate(H36M17.joints)}
    across = at["left_hip"] - at["right_hip"]
    ahead = torch.linalg.cross(across, at["thorax"] - at["pelvis"])
    ahead = ahead / ahead.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    forward = bent = 0
    for side in ("left", "right"):
        hip, knee, ankle = (at[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle"))
        length = (at[f"{side}_ankle"] - hip).norm(dim=-1)
        off = ((knee - (hip + ankle) / 2) * ahead).sum(-1)
        seen = off.abs() > _BENT * length
        forward, bent = forward + int((off[seen] > 0).sum()), bent + int(seen.sum())
    return forward, bent


def limb_lengths(joints_mm: Float[Tensor, "frames joints 3"]) -> Float[Tensor, "frames bones"]:
    """Lengths of the bones that end in joints 1 to 16."""
    parents, children = map(list, zip(*H36M17.bones, strict=True))
    return (joints_mm[:, children] - joints_mm[:, parents]).norm(dim=-1)
