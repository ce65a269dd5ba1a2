"""Poses from any folder of motion capture, BVH or ASF/AMC, on the 17 joints of Human3.6M."""

import hashlib
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ordlib.datasets import amc, bvh
from ordlib.errors import InputError
from ordlib.skeleton import H36M17, Skeleton

# Words that name each joint, the first one found wins. Letter case, punctuation, a prefix that
# all joints share and the spelling of the side (LeftUpLeg, L_Thigh, UpperLeg_L) do not matter.
# `shoulder` comes last: beside `arm` or `upper arm` it is a clavicle.
_SIDED = {
    "hip": ("upleg", "upperleg", "thigh", "femur", "hip"),
    "knee": ("knee", "lowerleg", "calf", "shin", "tibia", "leg"),
    "ankle": ("ankle", "foot"),
    "shoulder": ("uparm", "upperarm", "shldr", "humerus", "arm", "shoulder"),
    "elbow": ("elbow", "forearm", "lowerarm", "radius"),
    "wrist": ("wrist", "hand"),
}
_MIDDLE = {
    "thorax": ("neck", "neck1", "upperneck", "lowerneck"),
    "jaw": ("head",),
    "head_top": ("headtop", "headtopend", "headend", "headnub"),
}

_SUFFIXES = (".bvh", ".amc")

UNITS_MM = (56.444, 10.0, 1000.0, 25.4, 1.0)
"""Units of length found in files: 1/0.45 inch (CMU), cm, m, inch, mm."""

LEG_MM = (600.0, 1100.0)
"""Thigh plus shin of a plausible person: 750 to 950 mm in adults, with tolerance."""


@dataclass(frozen=True)
class MotionCapture:
    """F poses from motion capture clips.

    Attributes:
        poses: mm relative to the pelvis; x right, y down, z away, facing as it was recorded.
        clip: index into `clip_names`, for each pose.
        clip_names: path of each clip below the folder, without its suffix.
        frame: frame number in the source file, from 0, for each pose.
        fps: poses per second that were asked for.
        skipped: files left out, by clip name, with the reason.
        skeleton: joint set of `poses`.
    """

    poses: Float[Tensor, "frames 17 3"]
    clip: Int64[Tensor, " frames"]
    clip_names: tuple[str, ...]
    frame: Int64[Tensor, " frames"]
    fps: float
    skipped: Mapping[str, str]
    skeleton: Skeleton = H36M17

    def __len__(self) -> int:
        return len(self.poses)

    @property
    def limb_lengths_mm(self) -> Float[Tensor, " bones"]:
        """Mean lengths of the bones that end in joints 1 to 16."""
        return _bones(self.poses).norm(dim=-1).mean(0)


def load(folder: str | Path, fps: float = 10.0, unit_mm: float | None = None) -> MotionCapture:
    """Read every `*.bvh` and `*.amc` below a folder, or one file, as root-relative poses.

    An AMC file needs its skeleton beside it, an ASF file that it starts like (`07.asf` for
    `07_01.amc`) or the only one there, and has 120 frames a second.

    A clip is sampled at the source frames nearest to 0, 1/fps, 2/fps, ... seconds, no frame
    twice. Files with the same lines as an earlier one (line ends aside) are left out and listed
    in `skipped`; nothing else is left out.

    Args:
        folder: a folder, searched recursively, or one file.
        fps: poses per second.
        unit_mm: length of the files' unit. By default that of `UNITS_MM` which makes thigh plus
            shin plausible (`LEG_MM`), file by file.

    Raises:
        InputError: there is no such file, or one cannot be read or mapped onto the 17 joints.
    """
    for name, value in (("fps", fps), ("unit_mm", unit_mm)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"{name}: found {value}; expected a positive number")
    poses, frames, names, skipped = [], [], [], {}
    first_seen: dict[bytes, str] = {}
    for path, name in _files(Path(folder)):
        raw = _read(path)
        content = hashlib.sha256(b"\n".join(map(bytes.strip, raw.splitlines()))).digest()
        if content in first_seen:
            skipped[name] = f"duplicate of {first_seen[content]}"
            continue
        first_seen[content] = name
        motion = _parse(raw, path)
        frames.append(_sampled_frames(len(motion.values), motion.frame_time_s, fps))
        poses.append(_poses(motion, frames[-1], unit_mm, str(path)))
        names.append(name)
    counts = torch.tensor([len(kept) for kept in frames])
    return MotionCapture(
        poses=torch.cat(poses),
        clip=torch.arange(len(names)).repeat_interleave(counts),
        clip_names=tuple(names),
        frame=torch.from_numpy(np.concatenate(frames)),
        fps=fps,
        skipped=MappingProxyType(skipped),
    )


def _bones(poses: Float[Tensor, "*batch 17 3"]) -> Float[Tensor, "*batch 16 3"]:
    parents, children = (list(ends) for ends in zip(*H36M17.bones, strict=True))
    return poses[..., children, :] - poses[..., parents, :]


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Motion files and their clip names, in the order of the names."""
    if folder.is_file():
        yield folder, folder.stem
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: not found; expected a folder of BVH or AMC files, or one")
    found = []
    for parent, _, names in os.walk(folder, onerror=_refuse):
        found += [Path(parent, name) for name in names if name.lower().endswith(_SUFFIXES)]
    if not found:
        raise InputError(f"{folder}: no file *.bvh or *.amc found here or below; expected some")
    yield from sorted(
        ((path, path.relative_to(folder).with_suffix("").as_posix()) for path in found),
        key=lambda item: (item[1], item[0]),
    )


def _refuse(error: OSError) -> None:
    raise InputError(
        f"{error.filename}: {error.strerror or error}; expected to be able to read it"
    ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: could not be read: {reason}; expected a motion file") from error


def _parse(raw: bytes, path: Path) -> bvh.Motion:
    """A motion; that of an AMC file belongs to a skeleton in another file."""
    if path.suffix.lower() != ".amc":
        return bvh.parse(raw, str(path))
    skeleton = amc.skeleton_of(path)
    return amc.parse(_read(skeleton), raw, str(skeleton), str(path))


def _sampled_frames(count: int, frame_time_s: float, fps: float) -> Int64[np.ndarray, " kept"]:
    """Frames nearest to the multiples of 1/fps seconds within the clip."""
    # The small terms forgive the rounding of times such as .0333333, and absurdly short times.
    step = min(max(1 / max(fps * frame_time_s, 1e-12), 1.0), float(count))
    samples = np.arange(int((count - 1) / step + 1e-4) + 1)
    return np.floor(samples * step + 0.5).astype(np.int64).clip(max=count - 1)


def _poses(
    motion: bvh.Motion, frames: np.ndarray, unit_mm: float | None, source: str
) -> Float[Tensor, "frames 17 3"]:
    index = _joint_index(motion.nodes, source)
    world = bvh.positions(motion, frames)
    joints = _assemble(world, motion.nodes, index)
    joints = (joints - joints[:, :1]) * joints.new_tensor([1.0, -1.0, -1.0])
    unit = unit_mm or _unit_mm(joints, source)
    poses = (joints * unit).float()
    if not poses.isfinite().all():
        raise InputError(f"{source}: joint positions overflow; expected lengths of a human body")
    return poses


def _unit_mm(joints: Float[Tensor, "frames 17 3"], source: str) -> float:
    """Unit of length that makes thigh plus shin plausible. Raises InputError if none does."""
    ends = [joint - 1 for joint in (2, 3, 5, 6)]
    leg = 2 * float(_bones(joints)[:, ends].norm(dim=-1).mean(-1).median())
    for unit in UNITS_MM:
        if LEG_MM[0] <= leg * unit <= LEG_MM[1]:
            return unit
    units = ", ".join(f"{unit:g}" for unit in UNITS_MM)
    raise InputError(
        f"{source}: thigh plus shin is {leg:.4g} units, and no unit of {units} mm makes that"
        f" {LEG_MM[0]:g} to {LEG_MM[1]:g} mm; expected a human body, or give unit_mm"
    )


def _plain(names: list[str]) -> list[str]:
    """Names in lower case letters and digits, without a namespace or prefix that all share."""
    local = [name.rpartition(":")[2] for name in names]
    shared = 0  # the root may lack the prefix
    for letters in zip(*local[1:], strict=False):
        if len(local) < 3 or len(set(letters)) > 1:
            break
        shared += 1
    prefix = local[-1][:shared]
    return [re.sub(r"[\W_]", "", name.removeprefix(prefix)).lower() for name in local]


def _wanted_names() -> dict[str, list[str]]:
    """Plain names that stand for each joint, the best first."""
    wanted = {joint: list(words) for joint, words in _MIDDLE.items()}
    for side in ("left", "right"):
        forms = (f"{side}{{}}", f"{side[0]}{{}}", f"{{}}{side}", f"{{}}{side[0]}")
        for joint, words in _SIDED.items():
            wanted[f"{side}_{joint}"] = [form.format(word) for word in words for form in forms]
    return wanted


def _joint_index(nodes: tuple[bvh.Node, ...], source: str) -> dict[str, int]:
    """Node of each Human3.6M joint that a file names, and of the head top where it does."""
    real = [i for i, node in enumerate(nodes) if node.name]
    plain = _plain([nodes[i].name for i in real])
    node_of = dict(zip(reversed(plain), reversed(real), strict=True))
    index = {}
    for joint, names in _wanted_names().items():
        index[joint] = next((node_of[name] for name in names if name in node_of), -1)
        if index[joint] < 0 and joint != "head_top":
            raise InputError(
                f"{source}: no joint for {joint}; expected one of {', '.join(names)};"
                f" found {', '.join(nodes[i].name for i in real)}"
            )
    return {joint: node for joint, node in index.items() if node >= 0}


def _assemble(
    world: Float[Tensor, "frames nodes 3"], nodes: tuple[bvh.Node, ...], index: dict[str, int]
) -> Float[Tensor, "frames 17 3"]:
    """The 17 joints from the nodes of a file, in the file's unit and axes."""
    joints = {joint: world[:, node] for joint, node in index.items()}
    joints["pelvis"] = (joints["left_hip"] + joints["right_hip"]) / 2
    spine = _spine(nodes, index)
    halfway = (joints["pelvis"] + joints["thorax"]) / 2
    joints["spine"] = world[:, spine] if spine >= 0 else halfway
    if "head_top" not in joints:
        joints["head_top"] = _head_top(world, nodes, index["thorax"], index["jaw"])
    return torch.stack([joints[joint] for joint in H36M17.joints], 1)


def _spine(nodes: tuple[bvh.Node, ...], index: Mapping[str, int]) -> int:
    """The node between hips and neck nearest to half-way at rest, -1 if there is none.

    Names do not tell: files have one to four joints called spine or chest, at any height.
    """
    rest: list[np.ndarray] = []
    for node in nodes:
        rest.append(np.array(node.offset) + (rest[node.parent] if node.parent >= 0 else 0))
    above_hips = _ancestors(nodes, index["left_hip"])
    chain = [node for node in _ancestors(nodes, index["thorax"]) if node not in above_hips]
    pelvis = (rest[index["left_hip"]] + rest[index["right_hip"]]) / 2
    middle = (pelvis + rest[index["thorax"]]) / 2
    return min(chain, key=lambda node: float(np.linalg.norm(rest[node] - middle)), default=-1)


def _ancestors(nodes: tuple[bvh.Node, ...], node: int) -> list[int]:
    chain = []
    while (node := nodes[node].parent) >= 0:
        chain.append(node)
    return chain


def _head_top(
    world: Float[Tensor, "frames nodes 3"], nodes: tuple[bvh.Node, ...], neck: int, head: int
) -> Float[Tensor, "frames 3"]:
    """End site of the head; where that coincides with the head, as far on as from neck to head."""
    up = world[:, head] - world[:, neck]
    for site, node in enumerate(nodes):
        if node.parent == head and not node.name:
            length = (world[:, site] - world[:, head]).norm(dim=-1)
            if (length > 0.1 * up.norm(dim=-1)).all():
                return world[:, site]
    return world[:, head] + up
