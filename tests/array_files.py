"""Files of arrays in all formats, and damage to them."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.lib import format as npy
from scipy.io import savemat

FORMATS = ("h5", "mat", "compressed mat", "v7.3 mat", "npz")


def save(path: Path, kind: str, arrays: Mapping[str, np.ndarray]) -> Path:
    """A file of one of the formats at `path`, with the suffix that it has."""
    path = path.with_suffix(f".{kind.split()[-1]}")
    if kind in ("h5", "v7.3 mat"):
        with h5py.File(path, "w") as file:
            for key, value in arrays.items():
                file[key] = np.asarray(value).T if kind == "v7.3 mat" else value
    elif kind == "npz":
        np.savez_compressed(path, **arrays)
    else:
        savemat(path, dict(arrays), do_compression=kind.startswith("compressed"))
    return path


def save_pickle(path: Path, raw: bytes, key: str = "positions_3d") -> Path:
    """An archive whose member of no axes is a pickle."""
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{key}.npy", file.getvalue() + raw)
    return path


def mutated(raw: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to three damaged bytes, cut off, or with a part twice."""
    damaged, kind = bytearray(raw), rng.integers(8)
    if kind < 6:
        for place in rng.integers(len(raw), size=rng.integers(1, 4)):
            damaged[place] = (
                rng.integers(256) if kind < 4 else damaged[place] ^ (1 << rng.integers(8))
            )
    else:
        first, last = sorted(rng.integers(len(raw), size=2))
        damaged = damaged[:last] if kind == 6 else damaged[:last] + damaged[first:]
    return bytes(damaged)
