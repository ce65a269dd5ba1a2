"""Where poses come from: the built-in prior by action, or motion capture clips."""

import math
import re
from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor

from ordlib.datasets.mocap import MotionCapture
from ordlib.errors import InputError
from ordlib.skeleton import H36M17
from ordlib.synthetic.domains import Domain, Split, generator
from ordlib.synthetic.poses import ANGLES, LIMITS, chain, sample_poses

SHARES = {"train": 4, "test": 2, "val": 1}
"""How motion capture clips are divided, in sevenths: as many as `studio` has subjects."""


class PoseSource(Protocol):
    """Poses for given people.

    Attributes:
        actions: names that the action codes index.
    """

    actions: tuple[str, ...]

    def draw(
        self,
        index: Int64[Tensor, " batch"],
        person: Int64[Tensor, " batch"],
        limb_lengths_mm: Float[Tensor, "batch bones"],
        generator: Generator,
    ) -> tuple[Float[Tensor, "batch joints 3"], Int64[Tensor, " batch"]]:
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
        index: Int64[Tensor, " batch"],
        person: Int64[Tensor, " batch"],
        limb_lengths_mm: Float[Tensor, "batch bones"],
        generator: Generator,
    ) -> tuple[Float[Tensor, "batch joints 3"], Int64[Tensor, " batch"]]:
        """See PoseSource.draw."""
        action = evenly(index, self._weights, math.sqrt(5))
        poses = torch.empty(len(index), len(H36M17), 3)
        for code in action.unique().tolist():
            rows = (action == code).nonzero()[:, 0]
            habits = self._habits[person[rows], code] if len(self._habits) else None
            poses[rows] = sample_poses(self.actions[code], limb_lengths_mm[rows], generator, habits)
        return poses, action


def evenly(
    index: Int64[Tensor, " batch"], weights: Sequence[float], step: float
) -> Int64[Tensor, " batch"]:
    """Class of each sample number, such that every run of samples has the classes' frequencies.

    Args:
        weights: frequencies of the classes.
        step: an irrational number (a Weyl sequence); two classifications need different ones.
    """
    edges = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    place = (index.double() * step % 1.0) * edges[-1]
    return torch.searchsorted(edges, place, right=True).clamp(max=len(edges) - 1)


def divide_clips(mocap: MotionCapture) -> dict[str, set[int]]:
    """Clips for training, validation and test; all of one performer are in one of them.

    Raises:
        InputError: fewer than three performers.
    """
    frames = torch.bincount(mocap.clip, minlength=len(mocap.clip_names)).tolist()
    performers: dict[str, list[int]] = {}
    for clip, performer in enumerate(mocap.performers):
        performers.setdefault(performer, []).append(clip)
    if len(performers) < len(SHARES):
        raise InputError(
            f"mocap: found clips of {len(performers)} performers, expected at least"
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

    def __init__(self, mocap: MotionCapture, split: Split) -> None:
        words = [re.split(r"[_\s]", n.rpartition("/")[2])[0] for n in mocap.clip_names]
        self.actions = tuple(sorted(set(words)))
        self._action = torch.tensor([self.actions.index(w) for w in words])[mocap.clip]
        parents = [parent for parent, _ in H36M17.bones]
        bones = mocap.poses[:, 1:] - mocap.poses[:, parents]
        lengths = bones.norm(dim=-1, keepdim=True)
        if not (lengths > 0).all():
            frame, bone = (int(k) for k in (lengths[..., 0] == 0).nonzero()[0])
            clip = mocap.clip_names[mocap.clip[frame]]
            raise InputError(
                f"{clip}: found a bone of length 0 that ends in {H36M17.joints[bone + 1]}, expected"
                " joints at different places"
            )
        self._directions = bones / lengths
        shares = divide_clips(mocap)
        frames = {
            share: torch.isin(mocap.clip, torch.tensor(sorted(clips))).nonzero()[:, 0]
            for share, clips in shares.items()
        }
        held_out = (split.views or {}).get("val", ())
        names = ["val" if person in held_out else split.clips for person in split.people]
        self._frames = [frames[name] for name in names] or [frames[split.clips]]

    def draw(
        self,
        index: Int64[Tensor, " batch"],
        person: Int64[Tensor, " batch"],
        limb_lengths_mm: Float[Tensor, "batch bones"],
        generator: Generator,
    ) -> tuple[Float[Tensor, "batch joints 3"], Int64[Tensor, " batch"]]:
        """See PoseSource.draw."""
        chance = torch.rand(len(index), generator=generator, dtype=torch.float64)
        frame = torch.empty_like(index)
        for code, frames in enumerate(self._frames):
            rows = person == code
            frame[rows] = frames[(chance[rows] * len(frames)).long()]
        return chain(self._directions[frame], limb_lengths_mm), self._action[frame]
