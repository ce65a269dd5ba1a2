"""Poses: a jointed body with limits, driven by a few correlated factors per action.

The person stands upright facing -z, a camera in front; left is +x, up is -y. Angles are degrees.
Positive is: flexion, abduction, inward twist; for the trunk and the head a bend forward, a lean or
a turn to the person's left.
"""

import math
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ordlib.camera import rotation_matrix
from ordlib.errors import InputError
from ordlib.skeleton import H36M17

_TRUNK_LIMITS = {
    "tilt_forward": (-180, 180, 3),
    "tilt_side": (-180, 180, 2),
    "spine_bend": (-30, 75, 5),
    "spine_side": (-35, 35, 4),
    "spine_twist": (-45, 45, 6),
    "neck_bend": (-50, 50, 7),
    "neck_side": (-35, 35, 4),
    "neck_twist": (-70, 70, 13),
}
_LIMB_LIMITS = {
    "hip_flex": (-25, 125, 5),
    "hip_abduct": (-20, 65, 4),
    "hip_twist": (-40, 45, 6),
    "knee": (0, 150, 5),
    "shoulder_flex": (-50, 175, 8),
    "shoulder_abduct": (-45, 170, 6),
    "shoulder_twist": (-75, 80, 12),
    "elbow": (0, 150, 9),
}
_MOTIONS = tomllib.loads(Path(__file__).with_name("motions.toml").read_text("utf-8"))
DAILY, BROAD = tuple(_MOTIONS["daily"]), tuple(_MOTIONS["broad"])
"""The actions of Human3.6M and jogging, narrow and upright; and those of MPI-INF-3DHP, broad."""

ACTIONS = (*DAILY, *BROAD)
H36M_ACTIONS = tuple(name for name in DAILY if name != "Jogging")

LIMITS = _TRUNK_LIMITS | {f"{s}.{k}": v for s in "lr" for k, v in _LIMB_LIMITS.items()}
"""Each angle's lowest and highest value and its spread around what the factors give, degrees."""

ANGLES = tuple(LIMITS)
_COLUMN = {name: column for column, name in enumerate(ANGLES)}
_LARGEST_SWING = {"hip": 130.0, "shoulder": 175.0}

# Rest directions of the bones that end in joints 1 to 16: thorax 50 mm above the shoulders, spine
# 21 mm behind the trunk's axis (formats of Human3.6M), jaw forward of the neck.
_REST_DIRECTIONS = (
    *((-1, 0, 0), (0, 1, 0), (0, 1, 0)),
    *((1, 0, 0), (0, 1, 0), (0, 1, 0)),
    *((0, -0.996, 0.088), (0, -0.996, -0.088), (0, -0.91, -0.41), (0, -0.95, 0.31)),
    *((0.942, 0.336, 0), (0, 1, 0), (0, 1, 0)),
    *((-0.942, 0.336, 0), (0, 1, 0), (0, 1, 0)),
)


_SIDES = {"": {"l": 1, "r": 1}, "x": {"l": 1, "r": -1}, "l": {"l": 1}, "r": {"r": 1}}


def _degrees(*tables: dict[str, Any]) -> Tensor:
    """Degrees of every angle from tables as in motions.toml; later ones replace earlier ones."""
    vector = torch.zeros(len(ANGLES))
    for table in tables:
        for side, signs in _SIDES.items():
            for name, value in (table.get(side, {}) if side else table).items():
                if name in _TRUNK_LIMITS:
                    vector[_COLUMN[name]] = value
                elif name not in _SIDES:
                    for letter, sign in signs.items():
                        vector[_COLUMN[f"{letter}.{name}"]] = sign * value
    return vector


@cache
def _tables(action: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights (V,), means (V, A), factor loadings (V, K, A) and spreads (V,) of the variants."""
    if action not in ACTIONS:
        raise InputError(f"action: expected one of {', '.join(ACTIONS)}, found {action!r}")
    means, loadings, spreads, weights = [], [], [], []
    for variant in (_MOTIONS["daily"] | _MOTIONS["broad"])[action]:
        base = _MOTIONS["base"].get(variant.get("base"), {})
        means.append(_degrees(_MOTIONS["rest"], base.get("mean", {}), variant.get("mean", {})))
        factors = [*base.get("factors", []), *variant.get("factors", [])]
        rows = [*base.get("cycle", [{}] * 4), *(_MOTIONS["factor"].get(str(f), f) for f in factors)]
        loadings.append(torch.stack([_degrees(row) for row in rows]))
        spreads.append(float(variant.get("spread", base.get("spread", 1))))
        weights.append(float(variant.get("weight", 1)))
    padded = torch.nn.utils.rnn.pad_sequence(loadings, batch_first=True)
    return torch.tensor(weights), torch.stack(means), padded, torch.tensor(spreads)


def _mirror(angles: Float[Tensor, "*batch angles"]) -> Float[Tensor, "*batch angles"]:
    swap = {"l": "r", "r": "l"}
    partner = [swap.get(n[0], n[0]) + n[1:] if n[1] == "." else n for n in ANGLES]
    signs = [
        -1.0
        if n.endswith(("tilt_side", "spine_side", "spine_twist", "neck_side", "neck_twist"))
        else 1.0
        for n in ANGLES
    ]
    return angles[..., [_COLUMN[n] for n in partner]] * torch.tensor(signs)


def within_limits(angles: Float[Tensor, "*batch angles"]) -> Float[Tensor, "*batch angles"]:
    """The nearest angles that the joints allow, one by one, then hip and shoulder swing as one."""
    low, high, _ = torch.tensor(list(LIMITS.values()), dtype=angles.dtype).T
    angles = torch.minimum(torch.maximum(angles, low), high)
    for joint, largest in _LARGEST_SWING.items():
        for side in "lr":
            columns = [_COLUMN[f"{side}.{joint}_{axis}"] for axis in ("flex", "abduct")]
            swing = angles[..., columns]
            shrink = largest / swing.norm(dim=-1, keepdim=True).clamp(min=largest)
            angles[..., columns] = swing * shrink
    return angles


def sample_angles(
    action: str, count: int, generator: Generator, offset: Tensor | None = None
) -> Float[Tensor, "count angles"]:
    """Joint angles of one action, within the limits; one half is mirrored.

    Args:
        action: a name in ACTIONS.
        offset: (count, angles) degrees that a person's habit adds.

    Raises:
        InputError: unknown action.
    """
    weights, means, loadings, spreads = _tables(action)
    variant = torch.multinomial(weights, count, replacement=True, generator=generator)
    factors = torch.randn(count, loadings.shape[1], generator=generator).clamp(-2.2, 2.2)
    phase = 2 * math.pi * torch.rand(count, generator=generator)
    harmonics = torch.stack([phase.cos(), phase.sin(), (2 * phase).cos(), (2 * phase).sin()], -1)
    stride = 1 + 0.15 * torch.randn(count, 1, generator=generator).clamp(-2, 2)
    factors[:, :4] = harmonics * stride
    noise = torch.randn(count, len(ANGLES), generator=generator).clamp(-2.5, 2.5)
    noise *= torch.tensor([limit[2] for limit in LIMITS.values()]) * spreads[variant, None]
    angles = means[variant] + torch.einsum("nk,nka->na", factors, loadings[variant]) + noise
    if offset is not None:
        angles = angles + offset
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    return within_limits(torch.where(mirrored, _mirror(angles), angles))


def _rotation(*components: Tensor | float) -> Float[Tensor, "count 3 3"]:
    """Rotation by the rotation vector with these components, degrees."""
    tensors = torch.broadcast_tensors(*(torch.as_tensor(c) for c in components))
    return rotation_matrix(torch.deg2rad(torch.stack(tensors, -1)))


def _limb_rotations(angle: dict[str, Tensor], side: str) -> tuple[Tensor, ...]:
    """Hip, knee, clavicle, shoulder and elbow of one side, each relative to its parent."""
    a = {k[2:]: v for k, v in angle.items() if k.startswith(side + ".")}
    out = 1.0 if side == "r" else -1.0
    zero = torch.zeros_like(a["knee"])
    hip = _rotation(-a["hip_flex"], zero, out * a["hip_abduct"])
    hip = hip @ _rotation(zero, -out * a["hip_twist"], zero)
    knee = _rotation(a["knee"], zero, zero)
    raised = torch.hypot(a["shoulder_flex"], a["shoulder_abduct"])
    clavicle = _rotation(zero, zero, out * 0.16 * (raised - 20).clamp(min=0))
    shoulder = _rotation(-a["shoulder_flex"], zero, out * a["shoulder_abduct"])
    shoulder = shoulder @ _rotation(zero, -out * a["shoulder_twist"], zero)
    return hip, knee, clavicle, shoulder, _rotation(-a["elbow"], zero, zero)


def forward_kinematics(
    angles: Float[Tensor, "count angles"], limb_lengths_mm: Float[Tensor, "count bones"]
) -> Float[Tensor, "count 17 3"]:
    """Joints relative to the pelvis, mm, of a body with these angles (ANGLES) and bone lengths.

    Both hips lie on one line through the pelvis, so equal hip lengths make it their midpoint.
    """
    angle = dict(zip(ANGLES, angles.unbind(-1), strict=True))
    zero = torch.zeros_like(angle["tilt_side"])
    pelvis = _rotation(angle["tilt_forward"], zero, angle["tilt_side"])
    half_spine = _rotation(
        angle["spine_bend"] / 2, -angle["spine_twist"] / 2, angle["spine_side"] / 2
    )
    lower = pelvis @ half_spine
    chest = lower @ half_spine
    half_neck = _rotation(angle["neck_bend"] / 2, -angle["neck_twist"] / 2, angle["neck_side"] / 2)
    neck = chest @ half_neck
    limbs = {}
    for side in "lr":
        hip, knee, clavicle, shoulder, elbow = _limb_rotations(angle, side)
        thigh, upper_arm = pelvis @ hip, chest @ shoulder
        limbs[side] = (thigh, thigh @ knee, chest @ clavicle, upper_arm, upper_arm @ elbow)
    left, right = limbs["l"], limbs["r"]
    rotations = (
        *(pelvis, *right[:2], pelvis, *left[:2]),
        *(lower, chest, neck, neck @ half_neck),
        *(*left[2:], *right[2:]),
    )
    directions = torch.nn.functional.normalize(
        torch.tensor(_REST_DIRECTIONS, dtype=angles.dtype), dim=-1
    )
    bones = torch.einsum("bnij,bj->nbi", torch.stack(rotations), directions)
    return chain(bones, limb_lengths_mm)


def chain(
    directions: Float[Tensor, "count bones 3"], limb_lengths_mm: Float[Tensor, "count bones"]
) -> Float[Tensor, "count joints 3"]:
    """Joints relative to the pelvis from the unit directions and the lengths of their bones."""
    bones = directions * limb_lengths_mm[..., None]
    joints = [torch.zeros_like(bones[:, 0])]
    for joint, parent in enumerate(H36M17.parents[1:]):
        joints.append(joints[parent] + bones[:, joint])
    return torch.stack(joints, 1)


def sample_poses(
    action: str,
    limb_lengths_mm: Float[Tensor, "count bones"],
    generator: Generator,
    offset: Float[Tensor, "count angles"] | None = None,
) -> Float[Tensor, "count 17 3"]:
    """Poses of one action for people of the given proportions, root-relative, mm, facing -z.

    Raises:
        InputError: unknown action.
    """
    angles = sample_angles(action, len(limb_lengths_mm), generator, offset)
    return forward_kinematics(angles, limb_lengths_mm)
