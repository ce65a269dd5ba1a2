"""BVH motion files: a strict parser and batched forward kinematics.

A joint's rotation is the product of its rotation channels in the order listed, per joint. A
position channel replaces that component of the joint's OFFSET; it is not added to it. Angles are
in degrees; the unit of length is not stated in the file.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from ordlib.errors import InputError

_AXES = "xyz"
_CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in _AXES)


@dataclass
class Node:
    """A joint, or an end site, whose name is empty.

    Attributes:
        name: joint name as written.
        parent: index of the parent among the nodes, -1 for the root.
        offset: OFFSET from the parent, in the file's unit.
        channels: lower-case channel names in the order listed.
    """

    name: str
    parent: int
    offset: tuple[float, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Motion:
    """A parsed file: nodes with parents before children, and one row of `values` per frame."""

    nodes: tuple[Node, ...]
    frame_time_s: float
    values: Float[Tensor, "frames channels"]


def parse(raw: bytes, source: str) -> Motion:
    """Parse the bytes of one BVH file; `source` names it in messages.

    Raises:
        InputError: the file breaks the format; the message says where, what was found and what
            was expected.
    """
    lines = raw.removeprefix(b"\xef\xbb\xbf").splitlines()
    start, motion = _sections(lines, source)
    words = [
        (word, number + 1)
        for number in range(start + 1, motion)
        for word in _text(lines[number]).replace("{", " { ").replace("}", " } ").split()
    ]
    nodes = _Hierarchy(words, source, motion + 1).nodes()
    rows = [(line, number + 1) for number, line in enumerate(lines) if number > motion]
    return _motion(nodes, [(line, number) for line, number in rows if line.strip()], source)


def positions(
    motion: Motion, frames: Sequence[int] | np.ndarray
) -> Float[Tensor, "frames nodes 3"]:
    """World positions of all nodes in the given frames, float64, in the file's unit and axes."""
    values = motion.values[torch.as_tensor(frames)]
    first = np.cumsum([0, *(len(node.channels) for node in motion.nodes)])
    rotation = _local_rotations(motion.nodes, values, first)
    translation = _local_translations(motion.nodes, values, first)
    world: list[Tensor] = []
    for index, node in enumerate(motion.nodes):
        if node.parent < 0:
            world.append(translation[:, index])
            continue
        turned = rotation[:, node.parent] @ translation[:, index, :, None]
        world.append(world[node.parent] + turned[..., 0])
        rotation[:, index] = rotation[:, node.parent] @ rotation[:, index]
    return torch.stack(world, 1)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")


def _error(source: str, line: int, found: str, expected: str) -> InputError:
    return InputError(f"{source}, line {line}: found {found}; expected {expected}")


def _sections(lines: list[bytes], source: str) -> tuple[int, int]:
    """Indices of the lines HIERARCHY and MOTION."""
    if not any(line.strip() for line in lines):
        raise InputError(f"{source}: the file is empty; expected a BVH file that starts HIERARCHY")
    keywords = [line.strip().upper() for line in lines]
    starts = [number for number, word in enumerate(keywords) if word == b"HIERARCHY"]
    if not starts:
        raise InputError(f"{source}: no line HIERARCHY found; expected a BVH text file")
    first = next(number for number, word in enumerate(keywords) if word)
    if first != starts[0]:
        raise _error(source, first + 1, _quote(_text(lines[first])), "HIERARCHY first")
    if len(starts) > 1:
        raise _error(source, starts[1] + 1, "a second HIERARCHY", "one document in a file")
    if b"MOTION" not in keywords:
        raise InputError(f"{source}: no line MOTION found; expected one after the hierarchy")
    return starts[0], keywords.index(b"MOTION")


def _quote(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


class _Hierarchy:
    """Reads the words between HIERARCHY and MOTION; `end` is the line number of MOTION."""

    def __init__(self, words: Iterable[tuple[str, int]], source: str, end: int) -> None:
        self._words = iter(words)
        self._source = source
        self._line = self._end = end
        self._nodes: list[Node] = []
        self._open: list[int] = []  # nodes whose brace is not closed yet, root first

    def nodes(self) -> tuple[Node, ...]:
        while word := self._next(optional=bool(self._nodes) and not self._open):
            self._statement(word)
        return tuple(self._nodes)

    def _statement(self, word: str) -> None:
        keyword = word.upper()
        if not self._open:
            if keyword != "ROOT" or self._nodes:
                self._fail(word, "MOTION after the one root" if self._nodes else "ROOT")
            self._start(self._name())
        elif keyword in ("JOINT", "END"):
            name = self._name()
            self._start(name if keyword == "JOINT" else "")
        elif keyword == "OFFSET":
            self._nodes[self._open[-1]].offset = tuple(self._number() for _ in _AXES)
        elif keyword == "CHANNELS":
            self._nodes[self._open[-1]].channels = self._channels()
        elif keyword == "}":
            if not self._nodes[self._open.pop()].offset:
                self._fail(word, "an OFFSET before it")
        else:
            self._fail(word, "JOINT, End Site, OFFSET, CHANNELS or }")

    def _start(self, name: str) -> None:
        parent = self._open[-1] if self._open else -1
        self._open.append(len(self._nodes))
        self._nodes.append(Node(name, parent))

    def _next(self, optional: bool = False) -> str:
        word, self._line = next(self._words, ("", self._end))
        if not word and not optional:
            self._fail("MOTION", "the hierarchy complete before it, every { closed by }")
        return word

    def _fail(self, found: str, expected: str) -> NoReturn:
        raise _error(self._source, self._line, _quote(found), expected)

    def _name(self) -> str:
        words = []
        while (word := self._next()) != "{":
            words.append(word)
        return " ".join(words)

    def _number(self) -> float:
        word = self._next()
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self._fail(word, "a finite number")
        return value

    def _channels(self) -> tuple[str, ...]:
        count = self._number()
        if count not in range(len(_CHANNELS) + 1):
            self._fail(f"{count:g} channels", f"0 to {len(_CHANNELS)}")
        names = []
        for _ in range(int(count)):
            name = self._next()
            if name.lower() not in _CHANNELS:
                self._fail(name, f"{count:g} channels out of Xposition ... Zrotation")
            names.append(name.lower())
        return tuple(names)


def _header(rows: list[tuple[bytes, int]], index: int, name: str, source: str) -> float:
    """The number of a line such as `Frames: 12`."""
    if index >= len(rows):
        raise InputError(f"{source}: the file ends after MOTION; expected a line '{name}: number'")
    line, number = rows[index]
    pattern = r"\s*".join([*name.split(), ":", r"(\S+)"])
    match = re.fullmatch(pattern, _text(line).strip(), re.IGNORECASE)
    try:
        value = float(match[1]) if match else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _error(source, number, _quote(_text(line).strip()), f"'{name}: number'")
    if value <= 0:
        raise _error(source, number, f"{name} {value:g}", f"{name} > 0")
    return value


def _motion(nodes: tuple[Node, ...], rows: list[tuple[bytes, int]], source: str) -> Motion:
    frames = _header(rows, 0, "Frames", source)
    frame_time_s = _header(rows, 1, "Frame Time", source)
    if len(rows) - 2 != frames:
        raise InputError(
            f"{source}: found {len(rows) - 2} rows of motion; expected {frames:g} (Frames)"
        )
    values = _values(rows[2:], sum(len(node.channels) for node in nodes), source)
    return Motion(nodes, frame_time_s, torch.from_numpy(values))


def _values(rows: list[tuple[bytes, int]], columns: int, source: str) -> np.ndarray:
    split = [line.split() for line, _ in rows]
    for words, (_, number) in zip(split, rows, strict=True):
        if len(words) != columns:
            raise _error(source, number, f"{len(words)} numbers", f"{columns}, one per channel")
    try:
        values = np.array(split, dtype=np.float64)
    except ValueError:
        values = np.array([[_float(word) for word in words] for words in split])
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise _error(source, rows[row][1], _quote(_text(split[row][column])), "finite numbers")
    return values


def _float(word: bytes) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _local_rotations(
    nodes: tuple[Node, ...], values: Float[Tensor, "frames channels"], first: np.ndarray
) -> Float[Tensor, "frames nodes 3 3"]:
    """Rotation of each node in its parent's frame; nodes of one channel order go together."""
    rotation = torch.eye(3, dtype=values.dtype).repeat(len(values), len(nodes), 1, 1)
    groups: dict[str, list[int]] = {}
    columns: dict[int, list[int]] = {}
    for i, node in enumerate(nodes):
        turns = [(k, name) for k, name in enumerate(node.channels) if name.endswith("rotation")]
        columns[i] = [int(first[i]) + k for k, _ in turns]
        groups.setdefault("".join(name[0] for _, name in turns).upper(), []).append(i)
    for order, members in groups.items():
        if order:
            angles_deg = values[:, torch.tensor([columns[i] for i in members])]
            rotation[:, members] = roma.euler_to_rotmat(order, angles_deg, degrees=True)
    return rotation


def _local_translations(
    nodes: tuple[Node, ...], values: Float[Tensor, "frames channels"], first: np.ndarray
) -> Float[Tensor, "frames nodes 3"]:
    """Offset of each node from its parent; position channels replace its components."""
    offsets = torch.tensor([node.offset for node in nodes], dtype=values.dtype)
    translation = offsets.repeat(len(values), 1, 1)
    moved = [
        (i, _AXES.index(name[0]), int(first[i]) + k)
        for i, node in enumerate(nodes)
        for k, name in enumerate(node.channels)
        if name.endswith("position")
    ]
    if moved:
        node_index, axis, column = (list(part) for part in zip(*moved, strict=True))
        translation[:, node_index, axis] = values[:, column]
    return translation
