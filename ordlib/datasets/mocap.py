"""Poses from any folder of BVH motion capture, on the 17 joints of Human3.6M."""

import hashlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ordlib.datasets import bvh
from ordlib.errors import InputError
from ordlib.files import digest, is_hidden
from ordlib.shapes import Bones
from ordlib.skeleton import H36M17, Skeleton

# Words that name each joint, the first one found wins. Letter case, punctuation, a prefix that
# all joints share and the spelling of the side (LeftUpLeg, L_Thigh, UpperLeg_L) do not matter.
# `shoulder` comes last: beside `arm` or `upper arm` it is a clavicle.
_SIDED = {
    "hip": ("upleg", "upperleg", "thigh", "femur", "hip"),
    "knee": ("knee", "lowerleg", "lowleg", "calf", "shin", "tibia", "leg"),
    "ankle": ("ankle", "foot"),
    "shoulder": ("uparm", "upperarm", "shldr", "humerus", "arm", "shoulder"),
    "elbow": ("elbow", "forearm", "lowerarm", "lowarm", "radius"),
    "wrist": ("wrist", "hand"),
}
_MIDDLE = {
    "thorax": ("neck", "neck1", "neck01", "upperneck", "lowerneck"),
    "jaw": ("head",),
    "head_top": ("headtop", "headtopend", "headend", "headnub"),
}

UNITS_MM = {"cm": 10.0, "m": 1000.0, "mm": 1.0, "cmu": 56.444, "inch": 25.4}
"""Units of length found in files; `cmu` is 1/0.45 inch, that of the CMU database."""

LEG_MM = {"cm": 360.0, "m": 360.0, "mm": 360.0, "cmu": 600.0, "inch": 600.0}
"""Shortest thigh plus shin that a unit is believed to give: of a child, or of an adult. Adults have
750 to 950 mm; the longest is 1,100 mm."""

_LONGEST_LEG_MM = 1100.0

# Turns of a file's axes into y up, for each axis that may point up in it.
_TURNS = {
    "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
}
UP_AXES = tuple(_TURNS)


@dataclass(frozen=True)
class MotionCapture:
    """F poses from motion capture clips."""

    poses: Float[Tensor, "frames 17 3"]  # mm from the pelvis; y down, facing as recorded
    clip: Int64[Tensor, " frames"]  # index into `clip_names`
    clip_names: tuple[str, ...]  # path of each clip below the folder, without its suffix
    frame: Int64[Tensor, " frames"]  # number in the source file, from 0
    fps: float  # poses a second
    performers: tuple[str, ...] = ()  # who moves in each clip; the clip's own name if unknown
    skipped: Mapping[str, str] = field(default_factory=dict)  # file names left out, and why
    notes: Mapping[str, str] = field(default_factory=dict)  # by clip name: what was changed
    caveat: str = ""  # said where it is not known who moves
    skeleton: Skeleton = H36M17

    def __len__(self) -> int:
        return len(self.poses)

    @property
    def limb_lengths_mm(self) -> Bones:
        """Mean lengths of the bones that end in joints 1 to 16."""
        return _bones(self.poses).norm(dim=-1).mean(0)

    @property
    def digest(self) -> str:
        """What poses, clips and performers follow from, in twelve digits."""
        content = hashlib.sha256(self.poses.numpy().tobytes()).hexdigest()
        return digest([content, self.clip.tolist(), self.clip_names, self.performers])


def load(
    folder: str | Path, fps: float = 10.0, *, unit: str | float | None = None, up: str | None = None
) -> MotionCapture:
    """Read every `*.bvh` below a folder, or one file, as root-relative poses.

    A clip is sampled at the source frames nearest to 0, 1/fps, 2/fps, ... seconds, no frame twice.
    Files that cannot be used, and those with the lines of an earlier one, are listed in `skipped`
    with the reason; what was changed in a clip, or is not sure, stands in `notes`.

    Args:
        folder: a folder, searched recursively, or one file.
        fps: poses per second.
        unit: of the files' lengths, a name in `UNITS_MM` or millimetres. By default the first of
            `UNITS_MM` that makes thigh plus shin plausible, file by file.
        up: the files' axis that points up, of `UP_AXES`. By default the one from feet to head, over
            all of a clip.

    Raises:
        InputError: there is no such file, or none that can be used; bad arguments.
    """
    unit_mm = _check(fps, unit, up)
    files = list(_files(Path(folder)))
    poses, frames, names, skipped, notes = [], [], [], {}, {}
    first_seen: dict[bytes, str] = {}
    for path, name in files:
        try:
            raw = path.read_bytes()
            content = hashlib.sha256(b"\n".join(map(bytes.strip, raw.splitlines()))).digest()
            if content in first_seen:
                skipped[name] = f"duplicate of {first_seen[content]}"
                continue
            motion = bvh.parse(raw, str(path))
            kept = _sampled_frames(len(motion.values), motion.frame_time_s, fps)
            clip, note = _poses(motion, kept, unit_mm, up, str(path))
        except (InputError, OSError) as error:
            reason = f"{path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            if len(files) == 1:
                raise InputError(f"{reason}; expected a motion file to read") from error
            skipped[name] = reason
            continue
        first_seen[content] = name
        poses.append(clip)
        frames.append(kept)
        names.append(name)
        if note:
            notes[name] = note
    if not names:
        raise InputError(
            f"{folder}: none of {len(files)} BVH files can be used; the first: "
            + next(iter(skipped.values()))
        )
    performers, caveat = _performers(names)
    counts = torch.tensor([len(kept) for kept in frames])
    return MotionCapture(
        poses=torch.cat(poses),
        clip=torch.arange(len(names)).repeat_interleave(counts),
        clip_names=tuple(names),
        frame=torch.from_numpy(np.concatenate(frames)),
        fps=fps,
        performers=performers,
        skipped=skipped,
        notes=notes,
        caveat=caveat,
    )


def _check(fps: float, unit: str | float | None, up: str | None) -> float | None:
    """The unit in millimetres."""
    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"fps: found {fps}; expected a positive number")
    if up is not None and up not in _TURNS:
        raise InputError(f"up: found {up!r}; expected one of {', '.join(_TURNS)}")
    if unit is None or unit in UNITS_MM:
        return None if unit is None else UNITS_MM[str(unit)]
    try:
        unit_mm = float(unit)
    except ValueError:
        unit_mm = math.nan
    if not (math.isfinite(unit_mm) and unit_mm > 0):
        expected = f"one of {', '.join(UNITS_MM)}, or a positive number of millimetres"
        raise InputError(f"unit: found {unit!r}; expected {expected}")
    return unit_mm


def _bones(poses: Float[Tensor, "*batch 17 3"]) -> Float[Tensor, "*batch 16 3"]:
    parents, children = (list(ends) for ends in zip(*H36M17.bones, strict=True))
    return poses[..., children, :] - poses[..., parents, :]


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Motion files and their clip names, in the order of the names."""
    if folder.is_file():
        yield folder, folder.stem
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: not found; expected a folder of BVH files, or one")
    paths = []
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        # macOS leaves companions of other content beside the files of an archive
        folders[:] = [name for name in folders if not is_hidden(name)]
        paths += [Path(parent, name) for name in names if not name.startswith(".")]
    files = [path for path in paths if path.suffix.lower() == ".bvh"]
    if not files:
        acclaim = any(path.suffix.lower() in (".amc", ".asf") for path in paths)
        hint = ", found ASF/AMC files, which are not read" if acclaim else ""
        raise InputError(f"{folder}: no file *.bvh found here or below{hint}; expected some")
    clips = [(path, path.relative_to(folder).with_suffix("").as_posix()) for path in files]
    yield from sorted(clips, key=lambda clip: (clip[1], clip[0]))


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: {error.strerror}; expected a folder to read") from error


def _performers(clips: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Who moves in each clip, as file and folder names say; and what is to be said about it."""
    performers = [_performer(clip) for clip in clips]
    unknown = performers.count("")
    if len(set(performers) - {""}) + unknown < 3 or unknown == len(clips):
        performers, unknown = [""] * len(clips), len(clips)
    note = (
        f"who moves in {unknown} of {len(clips)} clips is not known, or is one of fewer than three;"
        " each of these clips counts as a performer, and one person may be trained and tested on"
    )
    named = tuple(name or clip for name, clip in zip(performers, clips, strict=True))
    return named, note if unknown else ""


def _performer(clip: str) -> str:
    """From `07_01`, `walk1_subject5`, `Actor_3/jump` or `anna/walk`; none if there is nothing."""
    folder, _, name = clip.rpartition("/")
    if number := re.match(r"\d+(?=_)", name):
        return number[0]
    if person := re.search(r"(subject|actor|performer)[\W_]?(\d+)", clip, re.IGNORECASE):
        return f"{person[1].lower()}{int(person[2])}"
    return folder


def _sampled_frames(count: int, frame_time_s: float, fps: float) -> Int64[np.ndarray, " kept"]:
    """Frames nearest to the multiples of 1/fps seconds within the clip."""
    # The small terms forgive the rounding of times such as .0333333, and absurdly short times.
    step = min(max(1 / max(fps * frame_time_s, 1e-12), 1.0), float(count))
    samples = np.arange(int((count - 1) / step + 1e-4) + 1)
    return np.floor(samples * step + 0.5).astype(np.int64).clip(max=count - 1)


def _poses(
    motion: bvh.Motion, frames: np.ndarray, unit_mm: float | None, up: str | None, source: str
) -> tuple[Float[Tensor, "frames 17 3"], str]:
    """Poses of a clip, and a note on what was found out."""
    index = _joint_index(motion.nodes, source)
    joints = _assemble(bvh.positions(motion, frames), motion.nodes, index)
    name, unit = ("", unit_mm) if unit_mm else _unit(joints, source)
    axis = up or _up_axis(joints * unit)
    turned = (joints - joints[:, :1]) @ joints.new_tensor(_TURNS[axis]).mT
    poses = (turned * turned.new_tensor([1.0, -1.0, -1.0]) * unit).float()
    if not poses.isfinite().all():
        raise InputError(f"{source}: joint positions overflow; expected lengths of a human body")
    tilt = f"{axis} points up: turned" if axis != "y" and not up else ""
    return poses, "; ".join(filter(None, (motion.note, name, tilt)))


def _unit(joints: Float[Tensor, "frames 17 3"], source: str) -> tuple[str, float]:
    """The unit that makes thigh plus shin plausible, in mm, and a note where two of them do."""
    ends = [joint - 1 for joint in (2, 3, 5, 6)]
    leg = 2 * float(_bones(joints)[:, ends].norm(dim=-1).mean(-1).median())
    fit = [u for u, mm in UNITS_MM.items() if LEG_MM[u] <= leg * mm <= _LONGEST_LEG_MM]
    if not fit:
        raise InputError(
            f"{source}: thigh plus shin is {leg:.4g} units, and no unit of {', '.join(UNITS_MM)}"
            f" makes that a human body; expected 600 to {_LONGEST_LEG_MM:g} mm, of a child 360 mm"
            " and more in cm, m or mm, or give the unit"
        )
    note = f"taken for {fit[0]}, could be {fit[1]}" if len(fit) > 1 else ""
    return note, UNITS_MM[fit[0]]


def _up_axis(joints_mm: Float[Tensor, "frames 17 3"]) -> str:
    """The axis from feet to head over the clip; y where that is not clear, or somebody lies."""
    feet = joints_mm[:, [H36M17.index("left_ankle"), H36M17.index("right_ankle")]].mean(1)
    body = joints_mm[:, H36M17.index("jaw")] - feet
    rise = body.mean(0)
    axis = int(rise.abs().argmax())
    if rise.abs()[axis] < 0.7 * body.norm(dim=-1).mean():
        return "y"
    # Who lies while y is up has the lowest joint at y = 0 and the pelvis a little higher.
    sign = rise.sign()[axis]
    floor = (sign * joints_mm[..., axis]).amin(1).median()  # 0 where this axis points up
    lowest, pelvis = joints_mm[..., 1].amin(1).median(), joints_mm[:, 0, 1].median()
    if axis != 1 and abs(floor) > 150 and -50 < lowest < 150 and 60 < pelvis < 350:
        return "y"
    return ("-" if sign < 0 else "") + "xyz"[axis]


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
