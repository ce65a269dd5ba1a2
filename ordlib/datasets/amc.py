"""Acclaim motion capture, as the CMU database has it: a skeleton (ASF) and motions of it (AMC).

A bone runs from the end of its parent to its own end. It turns about axes of its own: by C·R·C⁻¹
after its parent, with C from `axis` and R from the frame's angles, each a sequence of rotations
about fixed axes, the first listed first. Written as a BVH joint at the bone's near end, that is a
product of elementary rotations, those of C and C⁻¹ by constant angles.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ordlib.datasets.bvh import Motion, Node
from ordlib.errors import InputError

FPS = 120.0
"""Frames a second of the CMU database; no file says it."""

_Line = tuple[list[str], int]
_TURNS = {f"r{axis}": f"{axis}rotation" for axis in "xyz"}
_MOVES = {f"t{axis}": f"{axis}position" for axis in "xyz"}


@dataclass(frozen=True)
class _Bone:
    """A bone of the skeleton; the root is one without length.

    Attributes:
        along: from its near to its far end while nothing turns, in the file's unit.
        axis: names of the rotation channels of C, as a product, and their angles in degrees.
        order: the values of a line of motion, such as rx.
    """

    along: tuple[float, ...]
    axis: Mapping[str, float]
    order: tuple[str, ...]


def skeleton_of(path: Path) -> Path:
    """The skeleton of a motion: the ASF file in its folder that starts like it, or the only one.

    Raises:
        InputError: there is none.
    """
    found = sorted(file for file in path.parent.iterdir() if file.suffix.lower() == ".asf")
    alike = [file for file in found if path.stem.startswith(file.stem)]
    if alike:
        return max(alike, key=lambda file: len(file.stem))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise InputError(
            f"{path}: expected the skeleton beside it, such as"
            f" {path.stem.partition('_')[0]}.asf, found {names}"
        )
    return found[0]


def parse(skeleton: bytes, motion: bytes, skeleton_source: str, source: str) -> Motion:
    """Parse the bytes of an ASF and an AMC file; the sources name them in messages.

    Returns:
        A joint at the near end of each bone, with the bone's name, and an end site at each loose
        end, in the file's unit and axes.

    Raises:
        InputError: a file breaks the format; the message says where, what was found and what was
            expected.
    """
    sections = _sections(skeleton)
    bones = _bones(sections, skeleton_source)
    parents = _parents(sections, bones, skeleton_source)
    frames = _frames(motion, {name: len(bone.order) for name, bone in bones.items()}, source)
    nodes, columns = [], []
    names = [*parents]
    for name, parent in parents.items():
        bone = bones[name]
        offset = bones[parent].along if parent else (0.0, 0.0, 0.0)
        channels, values = _channels(bone, frames[name])
        nodes.append(Node(name, names.index(parent) if parent else -1, offset, channels))
        columns.append(values)
    loose = [name for name in names if name not in parents.values()]
    nodes += [Node("", names.index(name), bones[name].along) for name in loose]
    return Motion(tuple(nodes), 1 / FPS, torch.from_numpy(np.concatenate(columns, 1)))


def _channels(bone: _Bone, values: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Channels of the joint and their values (frames, channels), rotations as a product."""
    channels = [(_MOVES[word], values[:, k]) for k, word in enumerate(bone.order) if word in _MOVES]
    turns = [(_TURNS[word], values[:, k]) for k, word in enumerate(bone.order) if word in _TURNS]
    if turns:
        fixed = [(name, np.full(len(values), angle)) for name, angle in bone.axis.items()]
        channels += [*fixed, *reversed(turns), *((name, -angle) for name, angle in fixed[::-1])]
    columns = [column for _, column in channels]
    return (
        tuple(name for name, _ in channels),
        np.stack(columns, 1) if columns else np.empty((len(values), 0)),
    )


def _lines(raw: bytes) -> Iterator[_Line]:
    """Words and number of each line that has some; brackets and commas are blanks."""
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].translate(str.maketrans("(),", "   ")).split()
        if words:
            yield words, number


def _sections(raw: bytes) -> dict[str, list[_Line]]:
    """The lines of an ASF file by keyword."""
    sections: dict[str, list[_Line]] = {"": []}
    keyword = ""
    for words, number in _lines(raw):
        if words[0].startswith(":"):
            keyword = words.pop(0).lower()
            sections.setdefault(keyword, [])
        if words:
            sections[keyword].append((words, number))
    return sections


def _error(source: str, line: int, found: str, expected: str) -> InputError:
    return InputError(f"{source}, line {line}: found {found}; expected {expected}")


def _fields(lines: Sequence[_Line]) -> dict[str, _Line]:
    """Lines by their first word, without it."""
    return {words[0].lower(): (words[1:], number) for words, number in lines}


def _bones(sections: Mapping[str, list[_Line]], source: str) -> dict[str, _Bone]:
    """Bones by name, the root among them."""
    for keyword in (":root", ":bonedata", ":hierarchy"):
        if not sections.get(keyword):
            raise InputError(f"{source}: no lines under {keyword} found; expected an ASF file")
    unit, line = _fields(sections.get(":units", [])).get("angle", (["deg"], 0))
    if [word.lower() for word in unit] != ["deg"]:
        raise _error(source, line, f"angle {' '.join(unit)}", "angle deg")
    root = _fields(sections[":root"])
    turned, line = root.get("orientation", ([], 0))
    if any(_numbers(turned, len(turned), line, source)):
        raise _error(source, line, f"orientation {' '.join(turned)}", "orientation 0 0 0")
    order, line = root.get("order", ([], sections[":root"][0][1]))
    bones = {"root": _Bone((0.0,) * 3, {}, _order(order, {**_MOVES, **_TURNS}, line, source))}
    block: list[_Line] = []
    for words, number in sections[":bonedata"]:
        if words[0].lower() == "begin":
            block = []
        elif words[0].lower() == "end":
            name, bone = _bone(_fields(block), number, source)
            if name in bones:
                raise _error(source, number, f"a second bone {name}", "one of each name")
            bones[name] = bone
        else:
            block.append((words, number))
    return bones


def _bone(fields: Mapping[str, _Line], end: int, source: str) -> tuple[str, _Bone]:
    """Name and bone of a block that ends in line `end`."""
    for field in ("name", "direction", "length", "axis"):
        if not fields.get(field, ([], 0))[0]:
            raise _error(source, end, f"no {field}", "name, direction, length and axis in a bone")
    direction = _numbers(fields["direction"][0], 3, fields["direction"][1], source)
    (length,) = _numbers(fields["length"][0], 1, fields["length"][1], source)
    *angles, axes = fields["axis"][0]
    line = fields["axis"][1]
    if sorted(axes.lower()) != ["x", "y", "z"]:
        raise _error(source, line, f"axis {' '.join(fields['axis'][0])}", "angles and then XYZ")
    angles_deg = dict(zip(axes.lower(), _numbers(angles, 3, line, source), strict=True))
    axis = {_TURNS[f"r{letter}"]: angles_deg[letter] for letter in reversed(axes.lower())}
    words, line = fields.get("dof", ([], end))
    along = tuple(length * part for part in direction)
    return fields["name"][0][0], _Bone(along, axis, _order(words, _TURNS, line, source))


def _order(
    words: Sequence[str], known: Mapping[str, str], line: int, source: str
) -> tuple[str, ...]:
    order = tuple(word.lower() for word in words)
    if len(set(order)) != len(order) or not known.keys() >= set(order):
        raise _error(source, line, " ".join(words), f"some of {', '.join(known)}, each once")
    return order


def _numbers(words: Sequence[str], count: int, line: int, source: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = [math.nan]
    if len(values) != count or not all(map(math.isfinite, values)):
        raise _error(source, line, " ".join(words) or "nothing", f"{count} finite numbers")
    return values


def _parents(
    sections: Mapping[str, list[_Line]], bones: Mapping[str, _Bone], source: str
) -> dict[str, str]:
    """Parent of each bone, parents before children; that of the root is empty."""
    children: dict[str, list[str]] = {}
    for words, number in sections[":hierarchy"]:
        if words[0].lower() in ("begin", "end"):
            continue
        for word in words:
            if word not in bones:
                raise _error(source, number, word, f"bones among {', '.join(bones)}")
        children.setdefault(words[0], []).extend(words[1:])
    parents, waiting = {"root": ""}, ["root"]
    while waiting:
        bone = waiting.pop(0)
        for child in children.get(bone, []):
            if child in parents:
                raise InputError(f"{source}: found {child} twice in :hierarchy; expected a tree")
            parents[child] = bone
            waiting.append(child)
    if loose := [bone for bone in bones if bone not in parents]:
        raise InputError(f"{source}: no parent of {loose[0]} found; expected one in :hierarchy")
    return parents


def _frames(raw: bytes, counts: Mapping[str, int], source: str) -> dict[str, np.ndarray]:
    """Values (frames, count) of each bone in the order of its line."""
    frames: dict[str, list[list[float]]] = {name: [] for name in counts}
    moving = [name for name, count in counts.items() if count]
    first, passed, line = 0, 0, 0
    for words, line in _lines(raw):
        if words[0].startswith(":"):
            if words[0].upper() == ":RADIANS":
                raise _error(source, line, words[0], ":DEGREES")
        elif len(words) == 1 and words[0].isdecimal():
            _require_whole(frames, moving, passed, line, source)
            first = first if passed else int(words[0])
            if int(words[0]) != first + passed:
                raise _error(source, line, f"frame {words[0]}", f"frame {first + passed}")
            passed += 1
        elif not passed or words[0] not in counts or len(frames[words[0]]) >= passed:
            raise _error(source, line, f"{words[0]!r}", "a frame number or a bone, each once")
        else:
            values = _numbers(words[1:], counts[words[0]], line, source)
            frames[words[0]].append(values)
    if not passed:
        raise InputError(f"{source}: no frame found; expected an AMC file")
    _require_whole(frames, moving, passed, line, source)
    return {name: np.array(values).reshape(passed, counts[name]) for name, values in frames.items()}


def _require_whole(
    frames: Mapping[str, list[list[float]]],
    moving: Sequence[str],
    passed: int,
    line: int,
    source: str,
) -> None:
    """Raise InputError if a bone that moves has no line in the last frame."""
    if lacking := [name for name in moving if len(frames[name]) != passed]:
        raise _error(source, line, f"a frame without {lacking[0]}", "every bone that has dof")
