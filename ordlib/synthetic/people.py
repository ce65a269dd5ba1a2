"""People before cameras: where their poses come from, where they stand, what films them.

World frame: x right, y down, z away, ground at y = 0, millimetres.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Generator, Tensor

from ordlib.camera import rotation_matrix
from ordlib.errors import InputError
from ordlib.skeleton import H36M17
from ordlib.synthetic.domains import CameraSpec, Domain, Split, generator
from ordlib.synthetic.poses import ANGLES, LIMITS, chain, sample_poses

SHARES = {"train": 4, "test": 2, "val": 1}
"""How motion capture clips are divided, in sevenths: as many as `studio` has subjects."""

IMAGE_PX = 1000.0
"""Side of the whole image that a crop is taken from."""

_PERSON_MM = 1700.0
_LOWEST_JOINT_MM = 60.0  # the lowest joint of a body lies this far above the ground

Joints = Float[Tensor, "batch 17 3"]
Codes = Int64[Tensor, " batch"]


@runtime_checkable
class Motion(Protocol):
    """Motion capture that poses may come from, such as `datasets.mocap.load` gives."""

    @property
    def poses(self) -> Float[Tensor, "frames 17 3"]: ...  # from the pelvis; y down
    @property
    def clip(self) -> Int64[Tensor, " frames"]: ...  # index into the clips
    @property
    def clip_names(self) -> tuple[str, ...]: ...
    @property
    def performers(self) -> tuple[str, ...]: ...  # of each clip
    @property
    def digest(self) -> str: ...  # what its content is, for the name of a folder


class PoseSource(Protocol):
    """Poses for given people; `actions` are the names that action codes index."""

    actions: tuple[str, ...]

    def draw(
        self,
        index: Codes,
        person: Codes,
        limb_lengths_mm: Float[Tensor, "batch bones"],
        generator: Generator,
    ) -> tuple[Joints, Codes]:
        """Root-relative poses in mm and action codes of the samples numbered `index`."""
        ...


class PriorPoses:
    """The built-in prior: actions in their frequencies, each person with habits of their own."""

    def __init__(self, domain: Domain, split: str, seed: int) -> None:
        self.actions = tuple(domain.actions)
        self._weights = tuple(domain.actions.values())
        spread = torch.tensor([limit[2] for limit in LIMITS.values()])
        shape = (len(domain.splits[split].people), len(self.actions), len(ANGLES))
        draws = torch.randn(*shape, generator=generator(seed, domain.name, split, "habits"))
        self._habits = 0.6 * spread * draws

    def draw(
        self,
        index: Codes,
        person: Codes,
        limb_lengths_mm: Float[Tensor, "batch bones"],
        generator: Generator,
    ) -> tuple[Joints, Codes]:
        action = evenly(index, self._weights, math.sqrt(5))
        poses = torch.empty(len(index), len(H36M17), 3)
        for code in action.unique().tolist():
            rows = (action == code).nonzero()[:, 0]
            habits = self._habits[person[rows], code] if len(self._habits) else None
            poses[rows] = sample_poses(self.actions[code], limb_lengths_mm[rows], generator, habits)
        return poses, action


def evenly(index: Codes, weights: Sequence[float], step: float) -> Codes:
    """Class of each sample number, such that every run of samples has the classes' frequencies.

    `step` is an irrational number (a Weyl sequence); two classifications need different ones.
    """
    edges = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    place = (index.double() * step % 1.0) * edges[-1]
    return torch.searchsorted(edges, place, right=True).clamp(max=len(edges) - 1)


def divide_clips(motion: Motion) -> dict[str, set[int]]:
    """Clips for training, validation and test; all of one performer are in one of them.

    Raises:
        InputError: fewer than three performers.
    """
    frames = torch.bincount(motion.clip, minlength=len(motion.clip_names)).tolist()
    performers: dict[str, list[int]] = {}
    for clip, performer in enumerate(motion.performers):
        performers.setdefault(performer, []).append(clip)
    if len(performers) < len(SHARES):
        raise InputError(
            f"motion capture: found clips of {len(performers)} performers, expected at least"
            f" {len(SHARES)}: one each for training, validation and test"
        )
    filled, shares = dict.fromkeys(SHARES, 0), {share: set[int]() for share in SHARES}
    size = {name: sum(frames[clip] for clip in clips) for name, clips in performers.items()}
    for name in sorted(performers, key=lambda n: (-size[n], n)):
        share = min(SHARES, key=lambda s: filled[s] / SHARES[s])
        shares[share].update(performers[name])
        filled[share] += size[name]
    return shares


class ClipPoses:
    """Poses of motion capture with the bone lengths of the person they are given to."""

    def __init__(self, motion: Motion, split: Split) -> None:
        words = [re.split(r"[_\s]", n.rpartition("/")[2])[0] for n in motion.clip_names]
        self.actions = tuple(sorted(set(words)))
        self._action = torch.tensor([self.actions.index(w) for w in words])[motion.clip]
        parents = [parent for parent, _ in H36M17.bones]
        bones = motion.poses[:, 1:] - motion.poses[:, parents]
        lengths = bones.norm(dim=-1, keepdim=True)
        if not (lengths > 0).all():
            frame, bone = (int(k) for k in (lengths[..., 0] == 0).nonzero()[0])
            clip = motion.clip_names[motion.clip[frame]]
            raise InputError(
                f"{clip}: found a bone of length 0 that ends in {H36M17.joints[bone + 1]}, expected"
                " joints at different places"
            )
        self._directions = bones / lengths
        shares = divide_clips(motion)
        frames = {
            share: torch.isin(motion.clip, torch.tensor(sorted(clips))).nonzero()[:, 0]
            for share, clips in shares.items()
        }
        held_out = (split.views or {}).get("val", ())
        names = ["val" if person in held_out else split.clips for person in split.people]
        self._frames = [frames[name] for name in names] or [frames[split.clips]]

    def draw(
        self,
        index: Codes,
        person: Codes,
        limb_lengths_mm: Float[Tensor, "batch bones"],
        generator: Generator,
    ) -> tuple[Joints, Codes]:
        chance = torch.rand(len(index), generator=generator, dtype=torch.float64)
        frame = torch.empty_like(index)
        for code, frames in enumerate(self._frames):
            rows = person == code
            frame[rows] = frames[(chance[rows] * len(frames)).long()]
        return chain(self._directions[frame], limb_lengths_mm), self._action[frame]


@dataclass(frozen=True)
class Rig:
    """Placed cameras: rotations from the world into the camera, centres, pinhole matrices."""

    rotation: Float[Tensor, "cameras 3 3"]
    centre_mm: Float[Tensor, "cameras 3"]
    intrinsics: Float[Tensor, "cameras 3 3"]

    def take(self, indices: Int64[Tensor, " chosen"]) -> "Rig":
        """The cameras at `indices`."""
        return Rig(self.rotation[indices], self.centre_mm[indices], self.intrinsics[indices])


def _uniform(bounds: tuple[float, float], count: int, generator: Generator) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(count, generator=generator)


def _look(direction: Tensor, roll_rad: Tensor) -> Float[Tensor, "cameras 3 3"]:
    """Rotation into a camera that looks along `direction`."""
    ahead = F.normalize(direction, dim=-1)
    down = torch.tensor([0.0, 1.0, 0.0]).expand_as(ahead)
    right = F.normalize(torch.linalg.cross(down, ahead), dim=-1)
    level = torch.stack([right, torch.linalg.cross(ahead, right), ahead], -2)
    zero = torch.zeros_like(roll_rad)
    return rotation_matrix(torch.stack([zero, zero, roll_rad], -1)) @ level


def place_cameras(
    spec: CameraSpec, count: int, target_mm: Float[Tensor, "count 3"], generator: Generator
) -> Rig:
    """`count` cameras evenly around their targets, looking at them."""
    distance = _uniform(spec.distance_mm, count, generator)
    azimuth = 2 * math.pi * (torch.arange(count) + 0.5) / count
    azimuth = azimuth + 0.2 * torch.randn(count, generator=generator)
    height = _uniform(spec.height_mm, count, generator)
    floor = torch.stack([target_mm[:, 0], torch.zeros(count), target_mm[:, 2]], -1)
    offset = torch.stack([distance * azimuth.sin(), -height, -distance * azimuth.cos()], -1)
    centre = floor + offset
    roll = torch.deg2rad(spec.roll_deg * torch.randn(count, generator=generator).clamp(-2.5, 2.5))
    focal = _uniform(spec.person_px, count, generator) * distance / _PERSON_MM
    intrinsics = torch.zeros(count, 3, 3)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = IMAGE_PX / 2
    intrinsics[:, 2, 2] = 1
    return Rig(_look(target_mm - centre, roll), centre, intrinsics)


def stand(poses_mm: Joints, wander_mm: float, generator: Generator) -> Joints:
    """Poses on the ground, each turned by any yaw, within `wander_mm` of the world's origin."""
    count = len(poses_mm)
    yaw = 2 * math.pi * torch.rand(count, generator=generator)
    zero = torch.zeros_like(yaw)
    turned = poses_mm @ rotation_matrix(torch.stack([zero, yaw, zero], -1)).mT
    radius = wander_mm * torch.rand(count, generator=generator).sqrt()
    bearing = 2 * math.pi * torch.rand(count, generator=generator)
    height = -turned[..., 1].amax(-1) - _LOWEST_JOINT_MM
    place = torch.stack([radius * bearing.sin(), height, radius * bearing.cos()], -1)
    return turned + place[:, None]


def film(
    poses_mm: Joints,
    spec: CameraSpec,
    rig: Rig | None,
    camera: Codes,
    generator: Generator,
) -> tuple[Joints, Float[Tensor, "batch 3 3"], Float[Tensor, "batch 3"]]:
    """Poses in the camera frame, intrinsics of the whole image, and the direction against gravity.

    Poses are relative to the root, upright, facing -z. `camera` says which one of the room's rig
    sees each pose; without a rig each has its own.
    """
    if rig is None:
        world = stand(poses_mm, 0.0, generator)
        aim = world[:, 0] + spec.wander_mm * (
            2 * torch.rand(len(world), 3, generator=generator) - 1
        )
        cameras = place_cameras(spec, len(world), aim, generator)
    else:
        world = stand(poses_mm, spec.wander_mm, generator)
        cameras = rig.take(camera)
    joints = (world - cameras.centre_mm[:, None]) @ cameras.rotation.mT
    return joints, cameras.intrinsics, -cameras.rotation[:, :, 1]
