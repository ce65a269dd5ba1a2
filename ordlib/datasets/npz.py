"""NumPy archives (`*.npz`), also those with pickled dictionaries of arrays, read safely.

A pickle can run any code when it is read. Here one is read only where the user has allowed it, and
even then nothing but arrays of NumPy and Python's own containers, numbers and texts can come out.
"""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ordlib.errors import InputError

TRUST = "ORDLIB_TRUST_PICKLE"
"""Environment variable with the names of trusted archives, separated by commas."""


class _Latin1:
    """`_codecs.encode` as old pickles of bytes need it; without attributes that one could set."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"found the encoding {encoding!r}, expected latin1")
        return str.encode(text, "latin1")


_ARRAY = np.ndarray.__reduce__(np.zeros(1))[0]  # the one function that NumPy makes arrays with

_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _ARRAY,
    ("numpy._core.multiarray", "_reconstruct"): _ARRAY,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _Latin1(),
}


class _ArraysOnly(pickle.Unpickler):
    """Finds the names of `_ALLOWED`, whatever is imported, and no others."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"found the name {module}.{name}, expected arrays and containers alone"
            ) from None


def read(path: Path, key: str, *, trust_pickle: bool = False) -> Any:
    """One member of an archive: an array, or the object that a pickled array of no axes holds.

    Args:
        path: the file.
        key: name of the member, without `.npy`.
        trust_pickle: whether pickled members may be read; so they may, too, of an archive that the
            user has named in `TRUST`.

    Raises:
        InputError: no such file, no archive, no such key; a pickled member that is not trusted or
            holds anything but arrays, containers, numbers and texts.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"{path}: expected a NumPy archive, found {found}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if key in names:
                return _parse(archive.read(f"{key}.npy"), trust_pickle or _is_named(path))
    except _NotTrusted:
        raise InputError(
            f"{path}: {key}: expected an array of numbers, found a pickle, which could run any"
            f" code; if you trust where it comes from, set {TRUST}={path.name} (names of files,"
            " separated by commas) or pass trust_pickle=True"
        ) from None
    except Exception as error:  # damaged bytes make the readers raise almost any type
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: expected a NumPy archive, found damage ({reason})") from error
    raise InputError(f"{path}: expected the key {key!r}, found {', '.join(names) or 'no keys'}")


def _is_named(path: Path) -> bool:
    return path.name in (name.strip() for name in os.environ.get(TRUST, "").split(","))


class _NotTrusted(Exception):
    pass


def _parse(raw: bytes, trust_pickle: bool) -> Any:
    file = io.BytesIO(raw)
    version = npy.read_magic(file)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
    shape, fortran_order, dtype = read_header(file)
    if not dtype.hasobject:
        flat = np.frombuffer(file.read(), dtype)
        return flat.reshape(shape, order="F" if fortran_order else "C")
    if not trust_pickle:
        raise _NotTrusted
    found = _ArraysOnly(file, encoding="latin1").load()
    return found[()] if isinstance(found, np.ndarray) and found.ndim == 0 else found
