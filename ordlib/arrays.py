"""Arrays of annotation files, read against a layout that is written down.

    read(path, center="n 2", scale="n | n 1", part="n 17 2?", S="n 17 3 | n 3 17")

Files are HDF5, MATLAB v5 to v7.3 or NumPy archives, told by their first bytes. Axes are numbers or
names that stand for one size throughout the file. `|` parts alternatives: the first one is the
order that comes back, other axes of theirs have length 1. `?` marks what may be absent, and texts
have `text` before their axes. `a/b` is the field b of a struct or the entry b of a group.

Nothing in a file is executed, no size that a file states is believed before it is compared with
the file's own, and whatever is wrong ends in one InputError.
"""

import io
import math
import os
import pickle
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.lib import format as npy
from torch import Tensor

from ordlib import matlab
from ordlib.errors import InputError
from ordlib.matlab import require_size

TRUST = "ORDLIB_TRUST_PICKLE"
"""Environment variable with the names of archives whose pickles may be read, by commas."""

ZERO_BASED, ONE_BASED = 0.5, -0.5
"""Shifts to project pixels of coordinates that give the first pixel's centre as 0, or as 1.

No document states the origin of LSP and LSPET. In LSPET some joints lie within a pixel of the left
and upper edges and none within a pixel of the right and lower edges, which speaks for 0.
"""


def read(
    path: Path, layout: Mapping[str, str] | None = None, /, *, finite: bool = True, **axes_of: str
) -> dict[str, np.ndarray]:
    """The arrays of a layout, given by keywords or a mapping, as float64, texts as `str_`.

    Raises:
        InputError: no such file, damage, no such key, other axes, no numbers; with `finite`, values
            that single precision cannot hold.
    """
    layout = {**(layout or {}), **axes_of}
    content = _content(path, layout)
    sizes: dict[str, int] = {}
    arrays = {}
    for key, axes in layout.items():
        if key in content:
            where = f"{path}: {key}"
            arrays[key] = fitted(where, content[key], axes.rstrip("?"), sizes, finite=finite)
        elif not axes.endswith("?"):
            keys = ", ".join(content) or "no keys"
            raise InputError(f"{path}: expected the key {key!r}, found {keys}")
    return arrays


def read_pickled(path: Path, key: str, *, trust: bool = False) -> Any:
    """A member of an `.npz` that is an object, such as a dictionary of arrays.

    A pickle can run any code. Here one is read only if the user has said so, by `trust` or by
    naming the archive in `TRUST`, and even then nothing but arrays of NumPy and Python's own
    containers, numbers and texts can come out. Raises InputError.
    """
    trusted = trust or path.name in (s.strip() for s in os.environ.get(TRUST, "").split(","))
    content = _content(path, [key])
    if key not in content:
        raise InputError(
            f"{path}: expected the key {key!r}, found {', '.join(content) or 'no keys'}"
        )
    if not isinstance(content[key], _Pickle):
        return content[key]
    if not trusted:
        raise InputError(
            f"{path}: {key}: expected an array of numbers, found a pickle, which could run any"
            f" code; if you trust where it comes from, set {TRUST}={path.name} (names of files,"
            " separated by commas) or pass trust_pickle=True"
        )
    try:
        found = _ArraysOnly(io.BytesIO(content[key]), encoding="latin1").load()
    except Exception as error:  # damaged bytes make the unpickler raise almost any type
        raise InputError(
            f"{path}: expected arrays and containers, found {_reason(error)}"
        ) from error
    return found[()] if isinstance(found, np.ndarray) and found.ndim == 0 else found


def fitted(
    where: str, value: Any, axes: str, sizes: dict[str, int], *, finite: bool = True
) -> np.ndarray:
    """One array of a layout; names of axes that are new join `sizes`. Raises InputError."""
    text = axes.startswith("text")
    if not isinstance(value, np.ndarray) or value.dtype.kind not in ("U" if text else "buif"):
        expected = "texts" if text else "numbers"
        kind = getattr(value, "dtype", "a pickle" if isinstance(value, _Pickle) else "none")
        raise InputError(f"{where}: expected an array of {expected}, found {kind}")
    orders = [order.split() for order in axes.removeprefix("text").split("|")]
    for order in orders:
        named = _matched(value.shape, order, sizes)
        if named is None:
            continue
        sizes |= named
        with np.errstate(invalid="ignore"):  # damaged bytes may be a NaN that signals
            array = value if text else value.astype(np.float64)
        if finite and not text:
            _require_finite(where, array)
        if order == orders[0]:
            return array
        # axes of the first order before, those of length 1 that it lacks behind
        kept = [axis for axis in orders[0] if axis in order]
        lacking = [axis for axis in order if axis not in kept]
        lengths = dict(zip(order, value.shape, strict=True))
        array = array.transpose([order.index(axis) for axis in kept + lacking])
        return array.reshape([lengths.get(axis, 1) for axis in orders[0]])
    known = ", ".join(f"{name} = {size}" for name, size in sizes.items() if name in axes.split())
    shapes = " or ".join(f"({', '.join(order)})" for order in orders)
    raise InputError(
        f"{where}: expected shape {shapes}{f' with {known}' if known else ''}, found {value.shape}"
    )


def _require_finite(where: str, array: Float[np.ndarray, "rows ..."]) -> None:
    """Raise InputError for values that are not a number or infinite, in single precision too."""
    fits = np.abs(array) <= np.finfo(np.float32).max
    bad = ~fits.reshape(len(array), math.prod(array.shape[1:])).all(1)
    if bad.any():
        raise InputError(
            f"{where}: expected finite values, found others in {bad.sum()} of {len(bad)} rows,"
            f" first in row {bad.argmax()}"
        )


def _matched(
    shape: tuple[int, ...], order: Sequence[str], sizes: Mapping[str, int]
) -> dict[str, int] | None:
    """Sizes of the names in `order`, if a shape fits it."""
    named = dict(sizes)
    fits = len(shape) == len(order) and all(
        size == (int(axis) if axis.isdecimal() else named.setdefault(axis, size))
        for size, axis in zip(shape, order, strict=True)
    )
    return named if fits else None


def _content(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    """What stands under keys; and the names of others, with None. Raises InputError."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"{path}: expected a file of arrays, found {found}")
    try:
        if h5py.is_hdf5(path):
            return _hdf5(path, keys)
        if zipfile.is_zipfile(path):
            return _numpy(path, keys)
        return matlab.variables(path.read_bytes(), keys)
    except BlockingIOError as error:
        raise InputError(f"{path}: another program is writing to this file") from error
    except Exception as error:  # damaged bytes make the readers raise almost any type
        raise InputError(
            f"{path}: expected a file of HDF5, MATLAB or NumPy, found damage ({_reason(error)})"
        ) from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _hdf5(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    with h5py.File(path, "r") as file:
        content: dict[str, Any] = dict.fromkeys(map(str, file))
        for key in keys:
            entry = file.get(key)
            if isinstance(entry, h5py.Dataset):
                require_size(entry.nbytes, min(entry.id.get_storage_size(), path.stat().st_size))
                # MATLAB writes its axes in reverse
                array = np.asarray(entry[()])
                content[key] = array.T if path.suffix == ".mat" else array
            elif entry is not None:
                content[key] = None
    return content


class _Pickle(bytes):
    """A pickle that nobody has read."""


def _numpy(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        content: dict[str, Any] = dict.fromkeys(members)
        for key in members.keys() & set(keys):
            require_size(members[key].file_size, path.stat().st_size)
            content[key] = _member(io.BytesIO(archive.read(members[key])))
    return content


def _member(file: io.BytesIO) -> np.ndarray | _Pickle:
    header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    shape, fortran_order, dtype = header[npy.read_magic(file)](file)
    if dtype.hasobject:
        return _Pickle(file.read())
    return np.frombuffer(file.read(), dtype).reshape(shape, order="F" if fortran_order else "C")


class _Latin1:
    """`_codecs.encode` as old pickles of bytes need it; without attributes that one could set."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"found the encoding {encoding!r}, expected latin1")
        return str.encode(text, "latin1")


_RECONSTRUCT = np.ndarray.__reduce__(np.zeros(1))[
    0
]  # the one function that NumPy makes arrays with

_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
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
            raise pickle.UnpicklingError(f"the name {module}.{name}") from None


@dataclass(frozen=True)
class JointTable:
    """What a `joints.mat` of Leeds Sports Pose, or of what was made after it, holds."""

    points: Float[Tensor, "images joints 2"]  # as they stand in the file
    flags: Bool[Tensor, "images joints"]  # the third value; its meaning depends on the data set
    joints_first: bool  # axes are (joint, value, image) as in LSPET; LSP: (value, joint, image)

    @property
    def missing(self) -> Bool[Tensor, "images joints"]:
        """Joints without a position: not a number, or x and y both exactly zero."""
        return self.points.isnan().any(-1) | (self.points == 0).all(-1)


def read_joints(path: Path, joint_counts: Sequence[int]) -> JointTable:
    """The array `joints` of a `joints.mat`; its layout is told by the place of the joint axis.

    Raises:
        InputError: see `read`; infinite coordinates, a third value that is neither 0 nor 1.
    """
    axes = "first second image | first second"  # MATLAB drops the last axis of one image
    array = read(path, finite=False, joints=axes)["joints"]
    first, second, images = array.shape
    joints_first = first in joint_counts and second == 3
    if not images or not (joints_first or (first == 3 and second in joint_counts)):
        counts = " or ".join(map(str, joint_counts))
        raise InputError(
            f"{path}: joints: expected shape (3, {counts}, images) or ({counts}, 3, images),"
            f" found {array.shape}"
        )
    table = torch.from_numpy(array.transpose(2, 0, 1) if joints_first else array.transpose(2, 1, 0))
    points, flags = table[..., :2].float(), table[..., 2]
    wrong = flags[(flags != 0) & (flags != 1)]
    if len(wrong):
        raise InputError(
            f"{path}: joints: expected 0 or 1 as the third value, found {wrong[0].item():g}"
            f" and {len(wrong)} such values in all"
        )
    if points.isinf().any():
        raise InputError(f"{path}: joints: expected coordinates in pixels, found infinite ones")
    return JointTable(points, flags == 1, joints_first)
