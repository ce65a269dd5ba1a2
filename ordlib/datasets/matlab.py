"""MATLAB files of Leeds Sports Pose and of what was made after it: `joints.mat`, `ordinal.mat`.

Files of MATLAB v4 to v7 and of v7.3 (HDF5) are read. Nothing in them is executed.
"""

import struct
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float
from scipy.io import loadmat, whosmat
from scipy.io.matlab import mat_struct

from ordlib.arrays import ONE_BASED, ZERO_BASED, JointTable, _content, read_joints
from ordlib.errors import InputError

__all__ = ["ONE_BASED", "ZERO_BASED", "JointTable", "read_array", "read_joints", "read_struct"]

_COMPRESSED, _MATRIX = 15, 14
_DATA_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, _MATRIX, _COMPRESSED, 16, 17, 18}
"""Codes of the data types in files of MATLAB v5 to v7."""


def read_array(path: Path, key: str) -> Float[np.ndarray, "..."]:
    """An array of numbers in a MATLAB file, with MATLAB's order of axes.

    Raises:
        InputError: no such file, no MATLAB file, no such key, or no array of numbers.
    """
    content = _content(path, [key])
    if key not in content:
        raise InputError(
            f"{path}: expected the key {key!r}, found {', '.join(content) or 'no keys'}"
        )
    found = content[key]
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "buif":
        raise InputError(f"{path}: {key}: expected an array of numbers, found none")
    return found.astype(np.float64)


def read_struct(path: Path, key: str) -> Any:
    """A struct in a MATLAB file of v5 to v7: its fields are attributes, axes of one are dropped.

    Raises:
        InputError: no such file, no MATLAB file, no such key, no struct, or a file of v7.3.
    """
    found = _read(path, key, struct_as_record=False, squeeze_me=True)
    if not isinstance(found, mat_struct):
        raise InputError(
            f"{path}: {key}: expected a struct in a file of MATLAB v5 to v7,"
            f" found {type(found).__name__}"
        )
    return found


def _read(path: Path, key: str, **options: bool) -> Any:
    """What stands under a key; `options` are those of SciPy. Raises InputError."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"{path}: expected a MATLAB file, found {found}")
    try:
        found, keys = (
            _read_hdf5(path, key) if h5py.is_hdf5(path) else _read_v5(path, key, **options)
        )
    except Exception as error:  # damaged bytes make the readers raise almost any type
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: expected a MATLAB file, found damage ({reason})") from error
    if found is None:
        raise InputError(f"{path}: expected the key {key!r}, found {', '.join(keys) or 'no keys'}")
    return found


def _read_v5(path: Path, key: str, **options: bool) -> tuple[Any, list[str]]:
    raw = path.read_bytes()
    if 0 not in raw[:4]:  # files of v4 have no header text
        _require_data_types(raw[128:], ">" if raw[126:128] == b"MI" else "<")
    content = loadmat(str(path), variable_names=[key], appendmat=False, **options)
    if key in content:
        return content[key], [key]
    return None, [name for name, _, _ in whosmat(str(path), appendmat=False)]


def _require_data_types(content: bytes, order: str) -> None:
    """Raise ValueError for a data type that MATLAB does not have: SciPy crashes on some of them.

    Args:
        content: data elements one after the other, as bytes.
        order: of bytes, as `struct` writes it.
    """
    start = 0
    while start + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, start)
        if kind >> 16:  # a short element: size, type and data in eight bytes
            kind, size = kind & 0xFFFF, 0
        if kind not in _DATA_TYPES:
            raise ValueError(f"unknown data type {kind}")
        inside = content[start + 8 : start + 8 + size]
        if kind == _COMPRESSED:
            inside = zlib.decompress(inside)
        if kind in (_COMPRESSED, _MATRIX):
            _require_data_types(inside, order)
        start += 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)


def _read_hdf5(path: Path, key: str) -> tuple[Any, list[str]]:
    with h5py.File(path, "r") as file:
        found = file.get(key)
        array = found[()].T if isinstance(found, h5py.Dataset) else found  # axes are reversed
        return array, [str(name) for name in file]
