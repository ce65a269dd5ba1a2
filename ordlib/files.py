"""Where results lie, and writing that leaves nothing half-written."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError

from ordlib.errors import InputError

VERSION = 3
"""Raised by hand when what a run does changes, so that older runs are not reused."""


def outputs_root() -> Path:
    """Folder of all results: `ORDLIB_OUTPUTS` if set, else `outputs` beside the package."""
    return Path(os.environ.get("ORDLIB_OUTPUTS") or Path(__file__).parents[1] / "outputs")


def outputs_folder(scale: str, data: str | Path | None = None) -> Path:
    """Results of one scale; those with a folder of data lie in a folder of their own."""
    return outputs_root() / (f"{scale}-data" if data else scale)


def digest(value: Any) -> str:
    """Twelve hexadecimal digits of the SHA-256 of a JSON-like value, independent of key order."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def listed(folder: Path) -> list[str]:
    """Names in a folder, sorted, without hidden ones and macOS's companions (`._x`, `__MACOSX`).

    Raises:
        InputError: no such folder, or it may not be read.
    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise InputError(f"{folder}: expected a folder: {error.strerror}") from error
    return sorted(name for name in names if not is_hidden(name))


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is nobody's data; see `listed`."""
    return name.startswith(".") or name == "__MACOSX"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, a file or a folder, and rename it once it is complete.

    After a failure the temporary path is removed and `path` is as it was. A reader therefore never
    sees a half-written file or folder, whenever the writer is killed; a folder that is replaced
    may be missing for a moment.

    Raises:
        InputError: the operating system refused to write (no space, no permission).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if temporary.is_dir() and path.exists():
            _replace_folder(temporary, path)
        else:
            os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{path}: could not be written: {reason}; expected a writable folder with free space"
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):  # what went wrong is said already
                temporary.unlink(missing_ok=True)


def _replace_folder(new: Path, path: Path) -> None:
    """Folders cannot be renamed over others: the earlier one steps aside, and back on failure."""
    aside = new.with_suffix(".old.tmp")
    os.replace(path, aside)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(aside, path)
        raise
    shutil.rmtree(aside)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time work on `path`, and clear away what a killed one left beside it.

    The lock is a hidden file beside `path`; the operating system frees it when the process ends.

    Raises:
        InputError: the folder cannot be written.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise InputError(f"{path}: could not be locked: {error.strerror or error}") from error
    try:
        for left in (*path.parent.glob(f".{path.name}.*.tmp"), *path.glob(".*.tmp")):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


@contextmanager
def kept(folder: Path, done: Callable[[], bool] | None = None) -> Iterator[bool]:
    """Make what a folder holds once: whether it is missing, and is to be made inside the block.

    A second process that wants the same waits here, and then finds it done.

    Args:
        folder: gets the results; its name says all that they follow from.
        done: whether they are there; without it, whether there are `weights.safetensors`.
    """
    done = done or (folder / "weights.safetensors").exists
    if done():
        yield False
    else:
        with locked(folder):
            yield not done()
