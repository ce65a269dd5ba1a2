"""HDF5 files of numbers, read so that whatever is wrong with one ends in one clear message."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float

from ordlib.errors import InputError


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to read from. Raises InputError for one that is damaged or none."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"{path}: expected an HDF5 file, found {found}")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except Exception as error:  # damaged bytes make h5py raise almost any type
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: expected an HDF5 file, found damage ({reason})") from error


def numbers(file: h5py.File, key: str) -> Float[np.ndarray, "..."]:
    """The array of numbers under a key.

    Raises:
        InputError: no such key (the message lists those found), or no array of numbers.
    """
    found = file.get(key)
    if found is None:
        keys: list[str] = []
        file.visit(keys.append)
        raise InputError(
            f"{file.filename}: expected the key {key!r}, found {', '.join(keys) or 'no keys'}"
        )
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "buif":
        kind = found.dtype if isinstance(found, h5py.Dataset) else type(found).__name__
        raise InputError(f"{file.filename}: {key}: expected an array of numbers, found {kind}")
    return np.asarray(found[()], np.float64)


def require_finite_rows(name: str, array: Float[np.ndarray, "rows ..."]) -> None:
    """Raise InputError for values that are not a number or infinite, in single precision too.

    Args:
        name: what to name in the message.
    """
    fits = np.abs(array) <= np.finfo(np.float32).max
    bad = ~fits.reshape(len(array), -1).all(1)
    if bad.any():
        raise InputError(
            f"{name}: expected finite values, found others in {bad.sum()} of {len(bad)} rows,"
            f" first in row {bad.argmax()}"
        )
