"""The archives of HumanEva-I that VideoPose3D prepares: chunks of poses and frame numbers."""

import itertools
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ordlib.datasets import matlab, npz
from ordlib.errors import InputError
from ordlib.skeleton import HUMANEVA15

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
    """A run of frames with motion capture.

    Attributes:
        split, subject, action: as the archives name them.
        number: of the run in its sequence.
        joints_m: 15 joints in the world, z up.
        pixels: their positions in the three cameras; None where only poses were asked for.
    """

    split: str
    subject: str
    action: str
    number: int
    joints_m: Float[np.ndarray, "frames 15 3"]
    pixels: Float[np.ndarray, "cameras frames 15 2"] | None

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
    table = npz.read(path, key, trust_pickle=trust_pickle)
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
    joints = _numbers(source, value, (None, len(HUMANEVA15), 3))
    largest = float(np.abs(joints).max())
    if largest > _LARGEST_M:
        raise InputError(f"{source}: expected metres, found {largest:g}; are these mm?")
    return joints


def _pixels(source: str, value: Any, frames: int) -> Float[np.ndarray, "cameras frames 15 2"]:
    if not isinstance(value, (list, tuple, np.ndarray)) or len(value) != len(CAMERAS):
        found = len(value) if isinstance(value, (list, tuple, np.ndarray)) else "no list"
        raise InputError(f"{source}: expected a list of {len(CAMERAS)} cameras, found {found}")
    seen = [
        _numbers(f"{source}, {camera}", array, (frames, len(HUMANEVA15), 2))
        for camera, array in zip(CAMERAS, value, strict=True)
    ]
    return np.stack(seen) + _ZERO_BASED


def _numbers(source: str, value: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """A finite array of a shape, as float64; None stands for any size but 0."""
    found = value.shape if isinstance(value, np.ndarray) else ()
    fits = len(found) == len(shape) and all(
        size == (want or max(size, 1)) for want, size in zip(shape, found, strict=True)
    )
    if not fits or value.dtype.kind not in "iuf":
        kind = f"{value.dtype} {found}" if isinstance(value, np.ndarray) else type(value).__name__
        wanted = ", ".join("frames" if size is None else str(size) for size in shape)
        raise InputError(f"{source}: expected numbers of shape ({wanted}), found {kind}")
    bad = ~np.isfinite(value)
    if bad.any():
        raise InputError(
            f"{source}: expected finite positions, found {bad.sum()} of {bad.size} that are not"
        )
    return value.astype(np.float64)


def frame_numbers(folder: Path, chunks: list[Chunk]) -> dict[str, int]:
    """Number in the trial of the first frame of each chunk, by its name, where it is known.

    Warns of frames whose number is not known.

    Args:
        folder: where `Train` and `Validate`, or `converted_15j` with them, may be.
        chunks: all chunks of one split.

    Raises:
        InputError: chunks that do not fit their sequence or its MATLAB file.
    """
    numbers: dict[str, int] = {}
    lost = 0
    for sequence in dict.fromkeys((c.split, c.subject, c.action) for c in chunks):
        some = [c for c in chunks if (c.split, c.subject, c.action) == sequence]
        split, subject, action = sequence
        low, middle, high = RANGES[action, subject]
        start, end = (low, middle) if split == "Validate" else (middle, high)
        starts = _starts_in_matlab(folder, some, start, end) or _starts(folder, some, start, end)
        known = zip(some, starts, strict=True)
        numbers |= {chunk.name: first for chunk, first in known if first is not None}
        lost += sum(len(c.joints_m) for c in some if c.name not in numbers)
    if lost:
        total = sum(len(chunk.joints_m) for chunk in chunks)
        warnings.warn(
            f"{folder / FILE_3D}: the number of {lost} of {total} frames is not known, since"
            " frames before them have no motion capture; they are left out. Put the files that"
            " the archive was made from, such as Train/S1/Walking_1.mat, beside it",
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


def _starts_in_matlab(
    folder: Path, chunks: list[Chunk], start: int, end: int
) -> list[int | None] | None:
    """First frames of chunks from the file that the archive was made from, None without it."""
    one = chunks[0]
    name = f"{one.split}/{one.subject}/{one.action}_1.mat"
    places = (folder / name, folder / "converted_15j" / name)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return None
    positions = matlab.read_array(path, "poses_3d")
    if positions.shape != (end - start, len(HUMANEVA15), 3):
        raise InputError(
            f"{path}: poses_3d: expected shape ({end - start}, 15, 3), found {positions.shape}"
        )
    valid = np.isfinite(positions).all((1, 2))
    edges = [0, *(np.flatnonzero(np.diff(valid)) + 1).tolist(), len(valid)]
    runs = [(left, right - left) for left, right in itertools.pairwise(edges)]
    for chunk in chunks:
        left, length = runs[chunk.number] if chunk.number < len(runs) else (0, 0)
        if length != len(chunk.joints_m) or not valid[left]:
            raise InputError(
                f"{path}: expected {len(chunk.joints_m)} frames with motion capture in run"
                f" {chunk.number}, as in {FILE_3D}, found {length if valid[left] else 0}"
            )
    return [start + runs[chunk.number][0] for chunk in chunks]
