"""Arrays kept in a folder with a description: memory-mapped, checked, rebuilt where damaged."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ordlib.errors import InputError
from ordlib.files import locked, replacing

_DESCRIPTION = "description.json"
_FORMAT = 1

Chunks = Iterator[tuple[slice, Mapping[str, np.ndarray]]]
"""Rows, and the arrays of these rows by name; all rows in order."""


def fetch(
    folder: Path,
    configuration: Mapping[str, Any],
    count: int,
    make: Callable[[], tuple[Mapping[str, Any], Chunks]],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays in `folder`, read-only and memory-mapped; made first where they are not valid.

    Valid means: the description has this configuration, and every file has the size and the
    SHA-256 that the description says. Anything else is removed and made again. Processes that ask
    for the same folder at once wait for the one that makes it.

    Args:
        folder: where the arrays lie.
        configuration: JSON-like values that determine the content.
        count: rows of every array.
        make: gives JSON-like facts that are kept with the arrays, and the arrays in chunks.

    Returns:
        Arrays by name, and the facts.

    Raises:
        InputError: the folder cannot be written.
    """
    wanted = json.loads(json.dumps(configuration))
    if not is_valid(folder, wanted):
        with locked(folder):
            if not is_valid(folder, wanted):
                _remove(folder)
                with replacing(folder) as temporary:
                    _write(temporary, wanted, count, *make())
    found = json.loads((folder / _DESCRIPTION).read_text())
    arrays = {Path(name).stem: np.load(folder / name, mmap_mode="r") for name in found["files"]}
    return arrays, found["facts"]


def is_valid(folder: Path, configuration: Mapping[str, Any]) -> bool:
    """Whether the folder holds undamaged arrays of this configuration and nothing else."""
    try:
        found = json.loads((folder / _DESCRIPTION).read_text())
        present = {path.name for path in folder.iterdir()}
        return (
            found["format"] == _FORMAT
            and found["configuration"] == configuration
            and isinstance(found["facts"], dict)
            and present == {*found["files"], _DESCRIPTION}
            and all(_is_intact(folder / name, *facts) for name, facts in found["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _is_intact(path: Path, size: int, checksum: str) -> bool:
    return path.stat().st_size == size and _checksum(path) == checksum


def _checksum(path: Path) -> str:
    status = path.stat()
    return _hashed(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=256)
def _hashed(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    """SHA-256 of a file; once per process as long as the file does not change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(
    folder: Path,
    configuration: Mapping[str, Any],
    count: int,
    facts: Mapping[str, Any],
    chunks: Chunks,
) -> None:
    folder.mkdir()
    arrays: dict[str, np.memmap] = {}
    for rows, chunk in chunks:
        for name, part in chunk.items():
            if name not in arrays:
                arrays[name] = _allocate(folder / f"{name}.npy", part.dtype, count, part.shape[1:])
            arrays[name][rows] = part
    for array in arrays.values():
        array.flush()
    arrays.clear()
    files = {p.name: (p.stat().st_size, _checksum(p)) for p in sorted(folder.glob("*.npy"))}
    description = {
        "format": _FORMAT,
        "configuration": configuration,
        "facts": facts,
        "files": files,
    }
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1))


def _allocate(path: Path, dtype: np.dtype, count: int, shape: tuple[int, ...]) -> np.memmap:
    """A new array on disk; its blocks are claimed now, since a full disk kills a later write."""
    array = np.lib.format.open_memmap(path, "w+", dtype, (count, *shape))
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{path}: a damaged cache could not be removed: {error.strerror or error};"
            " expected a writable folder"
        ) from error
