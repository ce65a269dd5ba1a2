"""Joint sets as data, and conversion between them by joint name.

Left and right are the person's own. Every order is written down once, here.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from ordlib.errors import InputError


@dataclass(frozen=True)
class Skeleton:
    """A named set of joints that form a tree."""

    name: str
    joints: tuple[str, ...]  # the index in this tuple is the index in every array
    parents: tuple[int, ...]  # index of each joint's parent, -1 for the root
    flip_pairs: tuple[tuple[int, int], ...]  # what a left-right mirror swaps

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Index of a joint by name. Raises InputError for a name the skeleton lacks."""
        if joint not in self.joints:
            raise InputError(
                f"joint: expected one of {', '.join(self.joints)} ({self.name}), found {joint!r}"
            )
        return self.joints.index(joint)

    @property
    def root(self) -> int:
        """Index of the root joint."""
        return self.parents.index(-1)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(parent, child) index pairs, one for each joint but the root, in joint order."""
        return tuple((p, j) for j, p in enumerate(self.parents) if p >= 0)

    @cached_property
    def flip(self) -> tuple[int, ...]:
        """Permutation that a left-right mirror applies to the joints; its own inverse."""
        order = list(range(len(self)))
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return tuple(order)


def _mirrored_pairs(joints: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    lefts = (name for name in joints if name.startswith("left_"))
    return tuple(
        (min(pair), max(pair))
        for pair in ((joints.index(n), joints.index(n.replace("left", "right", 1))) for n in lefts)
    )


def _skeleton(name: str, tree: str) -> Skeleton:
    """Build a skeleton from 'joint<parent' words; a word without '<' is the root."""
    pairs = [word.partition("<")[::2] for word in tree.split()]
    joints = tuple(joint for joint, _ in pairs)
    parents = tuple(joints.index(parent) if parent else -1 for _, parent in pairs)
    return Skeleton(name, joints, parents, _mirrored_pairs(joints))


H36M17 = _skeleton(
    "H36M17",
    "pelvis right_hip<pelvis right_knee<right_hip right_ankle<right_knee"
    " left_hip<pelvis left_knee<left_hip left_ankle<left_knee"
    " spine<pelvis thorax<spine jaw<thorax head_top<jaw"
    " left_shoulder<thorax left_elbow<left_shoulder left_wrist<left_elbow"
    " right_shoulder<thorax right_elbow<right_shoulder right_wrist<right_elbow",
)
"""Human3.6M, 17 joints, the usual order: right leg first."""

LSP14 = _skeleton(
    "LSP14",
    "right_ankle<right_knee right_knee<right_hip right_hip<neck"
    " left_hip<neck left_knee<left_hip left_ankle<left_knee"
    " right_wrist<right_elbow right_elbow<right_shoulder right_shoulder<neck"
    " left_shoulder<neck left_elbow<left_shoulder left_wrist<left_elbow"
    " neck head_top<neck",
)
"""Leeds Sports Pose, 14 joints: the set that the ordinal annotations of Section 4.1 cover."""

MPII16 = _skeleton(
    "MPII16",
    "right_ankle<right_knee right_knee<right_hip right_hip<pelvis"
    " left_hip<pelvis left_knee<left_hip left_ankle<left_knee"
    " pelvis thorax<pelvis neck<thorax head_top<neck"
    " right_wrist<right_elbow right_elbow<right_shoulder right_shoulder<thorax"
    " left_shoulder<thorax left_elbow<left_shoulder left_wrist<left_elbow",
)
"""MPII human pose, 16 joints; its `neck` is the upper neck."""

HUMANEVA15 = _skeleton(
    "HUMANEVA15",
    "pelvis thorax<pelvis left_shoulder<thorax left_elbow<left_shoulder left_wrist<left_elbow"
    " right_shoulder<thorax right_elbow<right_shoulder right_wrist<right_elbow"
    " left_hip<pelvis left_knee<left_hip left_ankle<left_knee"
    " right_hip<pelvis right_knee<right_hip right_ankle<right_knee head<thorax",
)
"""HumanEva-I, 15 joints, as VideoPose3D prepares them."""

MPI3DHP17 = _skeleton(
    "MPI3DHP17",
    "head_top<neck neck<spine right_shoulder<neck right_elbow<right_shoulder"
    " right_wrist<right_elbow left_shoulder<neck left_elbow<left_shoulder left_wrist<left_elbow"
    " right_hip<pelvis right_knee<right_hip right_ankle<right_knee"
    " left_hip<pelvis left_knee<left_hip left_ankle<left_knee pelvis spine<pelvis head<neck",
)
"""MPI-INF-3DHP test set, 17 joints; the first 14 are evaluated."""

# One place of the body, different names: tried in this order when a name is missing.
_SYNONYMS = (("thorax", "neck"), ("jaw", "head"))


def _find(joint: str, source: Skeleton) -> int | None:
    if joint in source.joints:
        return source.joints.index(joint)
    for pair in _SYNONYMS:
        if joint in pair:
            other = pair[1 - pair.index(joint)]
            return source.joints.index(other) if other in source.joints else None
    return None


def convert(
    joints: Float[Tensor, "*batch source_joints channels"], source: Skeleton, target: Skeleton
) -> Float[Tensor, "*batch target_joints channels"]:
    """Reorder joints from one skeleton to another by joint name.

    `neck` and `thorax`, `jaw` and `head` stand for each other where only one of them exists.
    A pelvis that the source lacks is the midpoint of its hips. InputError where the array does not
    have the source's joints, or the source lacks a joint that the target needs.
    """
    if joints.shape[-2] != len(source):
        raise InputError(
            f"joints: expected {len(source)} joints ({source.name}), found {joints.shape[-2]}"
        )
    columns, missing = [], []
    for name in target.joints:
        index = _find(name, source)
        if index is not None:
            columns.append(joints[..., index, :])
        elif name == "pelvis":
            hips = [source.index("left_hip"), source.index("right_hip")]
            columns.append(joints[..., hips, :].mean(-2))
        else:
            missing.append(name)
    if missing:
        raise InputError(f"{source.name} has no {', '.join(missing)}, which {target.name} needs")
    return torch.stack(columns, -2)


LSP14_IN_H36M17: tuple[int, ...] = tuple(
    index for name in LSP14.joints if (index := _find(name, H36M17)) is not None
)
"""Index in H36M17 of each joint of LSP14, in LSP's order; LSP's neck is the thorax."""

MEAN_LIMB_LENGTHS_MM = (
    *(134.0509, 449.2057, 445.5819),
    *(134.0501, 449.2042, 445.5815),
    *(238.3751, 255.3401, 116.0794, 115.0009),
    *(148.8358, 279.7591, 249.5236),
    *(148.8347, 279.7623, 249.5228),
)
"""Means over Human3.6M's training subjects (the coarse-to-fine authors' `limb_train.mat`)."""


def mean_limb_lengths() -> Float[Tensor, " bones"]:
    """(16,) mean lengths over Human3.6M's training subjects, mm."""
    return torch.tensor(MEAN_LIMB_LENGTHS_MM)
