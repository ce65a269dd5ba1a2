"""The archives of HumanEva-I that VideoPose3D prepares: chunks of poses and frame numbers."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ordlib.arrays import fitted, read_pickled
from ordlib.errors import InputError

SPLITS = {"train": "Train", "validation": "Validate"}
"""Splits by the name that the archives give them."""

ACTIONS = {"Walking": "Walking", "Jog": "Jogging"}
"""Actions of Table 6 by their names in the data set; of each the first trial is used."""

CAMERAS = ("C1", "C2", "C3")

RANGES = {
    ("Walking", "S1"): (5, 590, 1203),
    ("Walking", "S2"): (5, 438, 876),
    ("Walking", "S3"): (5, 448, 939),
    ("Jog", "S1"): (5, 367, 740),
    ("Jog", "S2"): (5, 398, 795),
    ("Jog", "S3"): (5, 401, 842),
}
"""First frame of validation, first frame of training, and the frame after it, of each sequence."""

FILE_3D, FILE_2D = "data_3d_humaneva15.npz", "data_2d_humaneva15_gt.npz"

_SUBJECTS = ("S1", "S2", "S3")
_ZERO_BASED = 0.5  # the calibration toolbox of the data set has the first pixel's centre at 0
_LARGEST_M = 100.0


@dataclass(frozen=True)
class Chunk:
    """A run of frames with motion capture; the archives name its split, subject and action."""

    split: str
    subject: str
    action: str
    number: int  # of the run in its sequence
    joints_m: Float[np.ndarray, "frames 15 3"]  # in the world, z up
    pixels: Float[np.ndarray, "cameras frames 15 2"] | None  # None where nobody asked for them

    @property
    def name(self) -> str:
        """As in the archives, with the subject before."""
        return f"{self.split}/{self.subject}/{self.action} 1 chunk{self.number}"


def read_chunks(folder: Path, trust_pickle: bool, *, with_pixels: bool) -> list[Chunk]:
    """The chunks of walking and jogging of both splits, sorted by split, subject and action.

    Args:
        folder: where the archives are.
        trust_pickle: whether they may be unpickled.
        with_pixels: whether the 2D joints are wanted too.

    Raises:
        InputError: an archive or a chunk that cannot be used.
    """
    path, path_2d = folder / FILE_3D, folder / FILE_2D
    positions = _table(path, "positions_3d", trust_pickle)
    pixels = _table(path_2d, "positions_2d", trust_pickle) if with_pixels else None
    chunks = []
    for key, name, split, subject, action, number in _keys(positions):
        joints = _joints(f"{path}: {key}: {name}", positions[key][name])
        seen = None
        if pixels is not None:
            of_subject = pixels.get(key)
            if not isinstance(of_subject, dict) or name not in of_subject:
                raise InputError(
                    f"{path_2d}: expected 2D joints of {key}: {name}, as {FILE_3D} has 3D joints"
                    " of it, found none"
                )
            seen = _pixels(f"{path_2d}: {key}: {name}", of_subject[name], len(joints))
        chunks.append(Chunk(split, subject, action, number, joints, seen))
    return sorted(chunks, key=lambda c: (c.split, c.subject, c.action, c.number))


def _table(path: Path, key: str, trust_pickle: bool) -> dict[Any, Any]:
    """The dictionary of an archive: subject, then action, then positions."""
    table = read_pickled(path, key, trust=trust_pickle)
    if not isinstance(table, dict):
        raise InputError(
            f"{path}: {key}: expected a dictionary of subjects, found {type(table).__name__}"
        )
    wanted = [f"{split}/{subject}" for split in SPLITS.values() for subject in _SUBJECTS]
    if not any(isinstance(table.get(name), dict) for name in wanted):
        keys = ", ".join(map(str, table)) or "no keys"
        raise InputError(f"{path}: {key}: expected keys such as {wanted[0]!r}, found {keys}")
    return table


def _keys(table: dict[Any, Any]) -> Iterator[tuple[str, str, str, str, str, int]]:
    """Keys of each chunk, and the split, subject, action and number that they say."""
    for split in SPLITS.values():
        for subject in _SUBJECTS:
            actions = table.get(f"{split}/{subject}")
            for name in actions if isinstance(actions, dict) else ():
                found = re.fullmatch(r"(\w+) 1 chunk(0|[1-9]\d{0,3})", str(name), re.ASCII)
                if found and found[1] in ACTIONS:
                    yield f"{split}/{subject}", name, split, subject, found[1], int(found[2])


def _joints(source: str, value: Any) -> Float[np.ndarray, "frames 15 3"]:
    joints = fitted(source, value, "frames 15 3", {})
    if not len(joints):
        raise InputError(f"{source}: expected frames, found none")
    largest = float(np.abs(joints).max())
    if largest > _LARGEST_M:
        raise InputError(f"{source}: expected metres, found {largest:g}; are these mm?")
    return joints


def _pixels(source: str, value: Any, frames: int) -> Float[np.ndarray, "cameras frames 15 2"]:
    if not isinstance(value, (list, tuple, np.ndarray)) or len(value) != len(CAMERAS):
        raise InputError(f"{source}: expected a list of {len(CAMERAS)} cameras, found another")
    sizes = {"frames": frames}
    seen = [
        fitted(f"{source}, {camera}", array, "frames 15 2", sizes)
        for camera, array in zip(CAMERAS, value, strict=True)
    ]
    return np.stack(seen) + _ZERO_BASED


def frame_numbers(folder: Path, chunks: list[Chunk]) -> dict[str, int]:
    """Number in the trial of the first frame of each chunk, by its name, where it is known.

    Warns of frames whose number is not known.

    Args:
        folder: of the archives.
        chunks: all chunks of one split.

    Raises:
        InputError: chunks that do not fit their sequence.
    """
    numbers: dict[str, int] = {}
    lost = 0
    for sequence in dict.fromkeys((c.split, c.subject, c.action) for c in chunks):
        some = [c for c in chunks if (c.split, c.subject, c.action) == sequence]
        split, subject, action = sequence
        low, middle, high = RANGES[action, subject]
        start, end = (low, middle) if split == "Validate" else (middle, high)
        known = zip(some, _starts(folder, some, start, end), strict=True)
        numbers |= {chunk.name: first for chunk, first in known if first is not None}
        lost += sum(len(c.joints_m) for c in some if c.name not in numbers)
    if lost:
        total = sum(len(chunk.joints_m) for chunk in chunks)
        warnings.warn(
            f"{folder / FILE_3D}: the number of {lost} of {total} frames is not known, since"
            " frames before them have no motion capture; they are left out",
            stacklevel=3,
        )
    return numbers


def _starts(folder: Path, chunks: list[Chunk], start: int, end: int) -> list[int | None]:
    """First frames of the chunks of a sequence, None where the gaps before have no known length.

    Each number that is skipped is at least one run of one frame; if there are no more frames to
    give away than that, all is known.
    """
    gaps = np.diff([-1, *(chunk.number for chunk in chunks)]) - 1
    lengths = [len(chunk.joints_m) for chunk in chunks]
    spare = end - start - sum(lengths) - int(gaps.sum())
    if spare < 0:
        raise InputError(
            f"{folder / FILE_3D}: {chunks[0].name}: expected at most {end - start} frames in the"
            f" chunks of this sequence, found {sum(lengths)} and {gaps.sum()} runs without"
        )
    first: int | None = start
    found: list[int | None] = []
    for gap, length in zip(gaps.tolist(), lengths, strict=True):
        first = None if first is None or (gap and spare) else first + gap
        found.append(first)
        first = None if first is None else first + length
    return found
