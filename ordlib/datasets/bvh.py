"""BVH motion files: a strict parser and batched forward kinematics.

A joint's rotation is the product of its rotation channels in the order listed. A position channel
replaces that component of the joint's OFFSET; it is not added to it. Angles are in degrees; the
unit of length and the axis that points up are not stated in the file.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ordlib.camera import rotation_matrix
from ordlib.errors import InputError

_CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "xyz")
_HEADERS = ("Frames", "Frame Time")
_END = b" \t\r\n\0\x1a"  # old editors end a file with Ctrl-Z


@dataclass
class Node:
    """A joint, or an end site, whose name is empty."""

    name: str
    parent: int  # index among the nodes, -1 for the root
    offset: tuple[float, ...] = ()  # from the parent, in the file's unit
    channels: tuple[str, ...] = ()  # lower case, in the order listed


@dataclass(frozen=True)
class Motion:
    """A parsed file."""

    nodes: tuple[Node, ...]  # parents before children
    frame_time_s: float
    values: Float[Tensor, "frames channels"]
    note: str = ""  # what was not as it should be, and yet could be used


def parse(raw: bytes, source: str) -> Motion:
    """Parse the bytes of one BVH file; `source` names it in messages.

    Raises:
        InputError: the file breaks the format; the message says where, what was found and what
            was expected.
    """
    lines = raw.removeprefix(b"\xef\xbb\xbf").rstrip(_END).splitlines()
    start, motion = _sections(lines, source)
    hierarchy = lines[start + 1 : motion]
    spaced = [line.replace(b"{", b" { ").replace(b"}", b" } ") for line in hierarchy]
    words = [(w, n) for n, line in enumerate(spaced, start + 2) for w in _text(line).split()]
    nodes = _nodes(_Words(words, source, motion + 1))
    rows = [(line, number) for number, line in enumerate(lines, 1) if number > motion + 1]
    return _motion(nodes, [row for row in rows if row[0].strip()], source)


def positions(
    motion: Motion, frames: Sequence[int] | np.ndarray
) -> Float[Tensor, "frames nodes 3"]:
    """World positions of all nodes in the given frames, float64, in the file's unit and axes."""
    values = motion.values[torch.as_tensor(frames)]
    axes = ["xyz".index(channel[0]) for node in motion.nodes for channel in node.channels]
    turns = rotation_matrix(values.deg2rad()[..., None] * torch.eye(3, dtype=values.dtype)[axes])
    world: list[Tensor] = []
    frame: list[Tensor] = []  # rotation of each node in the world
    columns = iter(range(len(axes)))
    for node in motion.nodes:
        place = torch.tensor(node.offset, dtype=values.dtype).repeat(len(values), 1)
        turn = torch.eye(3, dtype=values.dtype)
        for channel in node.channels:
            column = next(columns)
            if channel.endswith("position"):
                place[:, axes[column]] = values[:, column]
            else:
                turn = turn @ turns[:, column]
        if node.parent >= 0:
            place = world[node.parent] + (frame[node.parent] @ place[..., None])[..., 0]
            turn = frame[node.parent] @ turn
        world.append(place)
        frame.append(turn)
    return torch.stack(world, 1)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")


def _quote(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def _error(source: str, line: int, found: str, expected: str) -> InputError:
    return InputError(f"{source}, line {line}: found {found}; expected {expected}")


def _sections(lines: list[bytes], source: str) -> tuple[int, int]:
    """Indices of the lines HIERARCHY and MOTION."""
    keywords = [line.strip().upper() for line in lines]
    if not any(keywords):
        raise InputError(f"{source}: the file is empty; expected a BVH file that starts HIERARCHY")
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


class _Words:
    """The words between HIERARCHY and MOTION with their lines; `end` is the line of MOTION."""

    def __init__(self, words: Iterable[tuple[str, int]], source: str, end: int) -> None:
        self._words, self._source = iter(words), source
        self._line = self._end = end

    def next(self) -> str:
        """The next word; none at MOTION."""
        word, self._line = next(self._words, ("", self._end))
        return word

    def error(self, found: str, expected: str) -> InputError:
        return _error(self._source, self._line, _quote(found or "MOTION"), expected)

    def number(self) -> float:
        value = _number(word := self.next())
        if not math.isfinite(value):
            raise self.error(word, "a finite number")
        return value


def _nodes(words: _Words) -> tuple[Node, ...]:
    nodes: list[Node] = []
    open_nodes: list[int] = []  # nodes whose brace is not closed yet, root first
    while (word := words.next()) or open_nodes or not nodes:
        keyword = word.upper()
        if not open_nodes and (keyword != "ROOT" or nodes):
            raise words.error(word, "MOTION after the one root" if nodes else "ROOT")
        node = nodes[open_nodes[-1]] if open_nodes else None
        if node is None or keyword in ("JOINT", "END"):
            name = " ".join(iter(lambda: _open(words), "{"))
            parent = open_nodes[-1] if open_nodes else -1
            open_nodes.append(len(nodes))
            nodes.append(Node("" if keyword == "END" else name, parent))
        elif keyword == "OFFSET":
            node.offset = (words.number(), words.number(), words.number())
        elif keyword == "CHANNELS":
            node.channels = _channels(words)
        elif keyword == "}" and node.offset:
            open_nodes.pop()
        elif keyword == "}":
            raise words.error(word, "an OFFSET before it")
        else:
            raise words.error(word, "JOINT, End Site, OFFSET, CHANNELS or }, every { closed by }")
    return tuple(nodes)


def _open(words: _Words) -> str:
    """The next word of a name or the brace after it."""
    if word := words.next():
        return word
    raise words.error(word, "{ after a name")


def _channels(words: _Words) -> tuple[str, ...]:
    count = words.number()
    if count not in range(len(_CHANNELS) + 1):
        raise words.error(f"{count:g} channels", f"0 to {len(_CHANNELS)}")
    names = []
    for _ in range(int(count)):
        name = words.next()
        if name.lower() not in _CHANNELS:
            raise words.error(name, f"{count:g} channels out of Xposition ... Zrotation")
        names.append(name.lower())
    return tuple(names)


def _header(rows: list[tuple[bytes, int]], index: int, name: str, source: str) -> float:
    """The number of a line such as `Frames: 12`."""
    if index >= len(rows):
        raise InputError(f"{source}: the file ends after MOTION; expected a line '{name}: number'")
    line, number = rows[index]
    pattern = r"\s*".join([*name.split(), ":", r"(\S+)"])
    match = re.fullmatch(pattern, _text(line).strip(), re.IGNORECASE)
    value = _number(match[1]) if match else math.nan
    if not math.isfinite(value):
        raise _error(source, number, _quote(_text(line).strip()), f"'{name}: number'")
    if value <= 0:
        raise _error(source, number, f"{name} {value:g}", f"{name} > 0")
    return value


def _motion(nodes: tuple[Node, ...], rows: list[tuple[bytes, int]], source: str) -> Motion:
    frames, frame_time_s = (_header(rows, k, n, source) for k, n in enumerate(_HEADERS))
    extra = len(rows) - len(_HEADERS) - frames
    if extra < 0 or frames % 1:
        raise InputError(
            f"{source}: found {len(rows) - 2} rows of motion; expected {frames:g} (Frames)"
        )
    values = _values(rows[2 : 2 + int(frames)], sum(len(n.channels) for n in nodes), source)
    note = f"{extra:g} more rows of motion than Frames says, cut off" if extra else ""
    return Motion(nodes, frame_time_s, torch.from_numpy(values), note)


def _values(rows: list[tuple[bytes, int]], columns: int, source: str) -> np.ndarray:
    split = [line.split() for line, _ in rows]
    for words, (_, number) in zip(split, rows, strict=True):
        if len(words) != columns:
            raise _error(source, number, f"{len(words)} numbers", f"{columns}, one per channel")
    try:
        values = np.array(split, dtype=np.float64)
    except ValueError:
        values = np.array([[_number(word) for word in words] for words in split])
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise _error(source, rows[row][1], _quote(_text(split[row][column])), "finite numbers")
    return values


def _number(word: bytes | str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan
