"""Files of arrays against a layout: formats, axes, damage, pickles that try to run something."""

import os
import pickle
import struct
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import h5py
import numpy as np
import pytest
from array_files import FORMATS, mutated, save, save_pickle
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat, savemat

from ordlib.arrays import TRUST, read, read_joints, read_pickled
from ordlib.errors import InputError

ARRAYS = {
    "centre": np.arange(10.0).reshape(5, 2),
    "scale": np.arange(5, dtype="f4"),
    "points": np.arange(-30, 30, dtype="i2").reshape(5, 3, 4),
}
LAYOUT = {"centre": "n 2", "scale": "n | n 1 | 1 n", "points": "n 4 3 | n 3 4"}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_arrays(tmp_path, kind):
    found = read(save(tmp_path / "a", kind, ARRAYS), **LAYOUT, absent="n 3?")
    assert list(found) == list(LAYOUT)
    assert all(array.dtype == np.float64 for array in found.values())
    assert np.array_equal(found["centre"], ARRAYS["centre"])
    assert np.array_equal(found["scale"], ARRAYS["scale"])
    assert np.array_equal(found["points"], ARRAYS["points"].transpose(0, 2, 1))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"lens": "n"}, "expected the key 'lens', found centre, "),
        ({"centre": "n 3"}, r"centre: expected shape \(n, 3\), found \(5, 2\)"),
        ({"centre": "n m", "points": "m 3 4"}, r"\(m, 3, 4\) with m = 2, found \(5, 3, 4\)"),
        ({"points": "3 n 4 | n 4 | 4 3 n"}, r"\(3, n, 4\) or \(n, 4\) or \(4, 3, n\), found"),
        ({"centre": "text n 2"}, "centre: expected an array of texts, found float64"),
    ],
)
def test_a_layout_that_does_not_fit(tmp_path, kind, layout, message):
    with pytest.raises(InputError, match=rf"a\.\w+: .*{message}"):
        read(save(tmp_path / "a", kind, ARRAYS), **layout)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
def test_numbers_are_finite_in_single_precision(tmp_path, kind, bad):
    path = save(tmp_path / "a", kind, {"x": np.array([[1, 2], [bad, 3], [bad, 4.0]])})
    with pytest.raises(InputError, match=r"x: expected finite .* in 2 of 3 rows, first in row 1"):
        read(path, x="n 2")
    assert read(path, finite=False, x="n 2")["x"].shape == (3, 2)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("value", [np.array(["a", "b"], dtype="S1"), np.eye(2) * 1j])
def test_other_things_than_numbers(tmp_path, kind, value):
    with pytest.raises(InputError, match="x: expected an array of numbers, found"):
        read(save(tmp_path / "a", kind, {"x": value}), x="2 2")


@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(max_dims=4, min_side=0)), st.booleans())
def test_matlab_numbers_are_those_of_scipy(tmp_path_factory, array, compressed):
    if array.dtype.kind not in "uif" or array.dtype.itemsize > 8 or array.dtype == np.float16:
        return
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    savemat(path, {"first": "text", "x": array}, do_compression=compressed)
    expected = loadmat(str(path))["x"]
    axes = " ".join(f"a{i}" for i in range(expected.ndim))
    found = read(path, finite=False, x=axes)["x"]
    assert np.array_equal(found, expected.astype(np.float64), equal_nan=True)


def test_structs_and_texts_of_matlab(tmp_path):
    names = np.array(["S9_a", "é", ""], dtype=object)[:, None]
    annotations = {"S": np.zeros((3, 2)), "name": names, "K": {"f": np.eye(2)}, "cells": [[], {}]}
    savemat(tmp_path / "a.mat", {"annot": annotations, "title": "x" * 1000})
    layout = {"annot/S": "n 2", "annot/name": "text n | n 1", "annot/K/f": "2 2"}
    found = read(tmp_path / "a.mat", **layout)
    assert found["annot/name"].tolist() == ["S9_a", "é", ""]
    assert np.array_equal(found["annot/K/f"], np.eye(2))
    for key in ("annot", "annot/cells", "title"):
        with pytest.raises(InputError, match=f"a.mat: {key}: expected an array of numbers"):
            read(tmp_path / "a.mat", **{key: "n"})
    for key in ("annot/T", "annot/S/x", "none/S"):
        with pytest.raises(InputError, match=f"expected the key '{key}', found annot, title"):
            read(tmp_path / "a.mat", **{key: "n"})


def test_big_endian_files_of_matlab(tmp_path):
    def element(kind: int, raw: bytes) -> bytes:
        return struct.pack(">II", kind, len(raw)) + raw + b"\0" * (-len(raw) % 8)

    parts = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", 1, 2))
    short = struct.pack(">HH", 1, 1) + b"x\0\0\0"
    matrix = element(14, parts + short + element(4, struct.pack(">HH", 3, 500)))
    (tmp_path / "a.mat").write_bytes(b" " * 124 + b"\1\0MI" + matrix)
    assert read(tmp_path / "a.mat", x="1 2")["x"].tolist() == [[3, 500]]


@pytest.mark.parametrize(
    "content", [b"", b"<html>not found</html>", b"PK\3\4", b"\x89HDF\r\n\x1a\n"]
)
def test_files_that_are_none(tmp_path, content):
    path = tmp_path / "a.mat"
    for found in ("nothing", "a folder"):
        with pytest.raises(InputError, match=f"expected a file of arrays, found {found}"):
            read(path if found == "nothing" else tmp_path, x="n")
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a.mat: expected a file of HDF5, MATLAB or NumPy, found"):
        read(path, x="n")


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_bytes_give_an_error_or_arrays_of_the_layout(tmp_path, kind):
    """Where a checksum tells, as it does of what is compressed, other numbers are an error."""
    path = save(tmp_path / "a", kind, ARRAYS)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    right = read(path, **LAYOUT)
    for _ in range(300):
        path.write_bytes(mutated(whole, rng))
        try:
            found = read(path, **LAYOUT)
        except InputError as error:
            assert str(path) in str(error)
            continue
        assert found["centre"].shape == (len(found["scale"]), 2)
        assert all(np.isfinite(array).all() for array in found.values())
        if kind in ("compressed mat", "npz"):
            assert all(np.array_equal(found[key], right[key]) for key in right)


def test_bytes_at_which_scipy_crashes(tmp_path):
    path = tmp_path / "joints.mat"
    savemat(path, {"joints": np.zeros((3, 14, 3))})
    raw = bytearray(path.read_bytes())
    raw[141], raw[192] = 130, 89
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"joints.mat: expected a file of HDF5, MATLAB or NumPy"):
        read_joints(path, [14])


def _huge_mat(path: Path) -> Path:
    savemat(path, {"x": np.zeros((3, 2))}, do_compression=False)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(struct.pack("<ii", 3, 2), struct.pack("<ii", 2**30, 2)))
    return path


def _huge_hdf5(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (2**36, 2), "f8", chunks=(1024, 2))
    return path


def _huge_npz(path: Path) -> Path:
    np.savez(path, x=np.zeros((3, 2)))
    raw = path.read_bytes().replace(struct.pack("<I", 176), struct.pack("<I", 2**31))
    path.write_bytes(raw)
    return path


def test_sizes_that_a_file_states_take_no_memory(tmp_path):
    code = (
        "import resource, sys; from pathlib import Path; from ordlib.arrays import read\n"
        "used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    try: read(Path(path), x='n 2')\n"
        "    except ValueError as error: print(error)\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < used + 200_000"
    )
    makers = {"a.mat": _huge_mat, "a.h5": _huge_hdf5, "a.npz": _huge_npz}
    paths = [make(tmp_path / name) for name, make in makers.items()]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert done.stdout.count("found damage") == 3


class _Calls:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize(
    "payload",
    [
        _Calls(os.mkdir, "trap"),
        _Calls(eval, "__import__('os').mkdir('trap')"),
        {"Train/S1": [_Calls(os.mkdir, "trap")]},
        np.array([_Calls(os.mkdir, "trap")], dtype=object),
        _Calls(getattr, np.ndarray, "tofile"),
        _Calls(np.load, "trap.npy"),
        OrderedDict(a=1),
        Path("trap"),
    ],
)
def test_a_pickle_runs_nothing(tmp_path, monkeypatch, payload, trust):
    monkeypatch.chdir(tmp_path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path = save_pickle(tmp_path / "a.npz", pickle.dumps(payload, protocol))
        expected = "found .*the name" if trust else "pass trust_pickle=True"
        with pytest.raises(InputError, match=rf"a.npz: .*{expected}"):
            read_pickled(path, "positions_3d", trust=trust)
    assert not Path("trap").exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "exec"),
        ("__builtin__", "eval"),
        ("numpy", "ndarray.tofile"),
        ("numpy", "fromfile"),
        ("numpy.core.multiarray", "scalar"),
        ("_codecs", "decode"),
        ("ordlib.arrays", "pickle.loads"),
    ],
)
def test_names_beside_those_of_arrays_are_refused(tmp_path, monkeypatch, module, name):
    monkeypatch.chdir(tmp_path)
    path = save_pickle(tmp_path / "a.npz", f"c{module}\n{name}\n(S'mkdir trap'\ntR.".encode())
    with pytest.raises(InputError, match=rf"arrays and containers, found .*name \w+.*{name}"):
        read_pickled(path, "positions_3d", trust=True)
    assert not Path("trap").exists()


def test_nothing_that_is_allowed_can_be_changed(tmp_path):
    """A pickle may set attributes of what it finds; what it finds here has none to set."""
    for module, name in ((b"_codecs", b"encode"), (b"numpy", b"dtype"), (b"numpy", b"ndarray")):
        raw = b"\x80\x02c" + module + b"\n" + name + b"\nN}X\x01\x00\x00\x00aK\x01s\x86b."
        path = save_pickle(tmp_path / "a.npz", raw)
        with pytest.raises(InputError, match="expected arrays and containers"):
            read_pickled(path, "positions_3d", trust=True)


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("numpy_1", [False, True])
def test_pickles_of_every_age_are_read(tmp_path, monkeypatch, protocol, numpy_1):
    """NumPy 1 named its module otherwise; up to protocol 2, bytes are texts to be encoded."""
    walk = np.arange(90, dtype="f4").reshape(2, 15, 3)
    table = {"Train/S1": {"Jog 1 chunk0": walk, "b": [walk[1:], (1, "ç", None, 2.5, True)]}}
    raw = pickle.dumps(np.array(table, dtype=object), protocol)
    if numpy_1 and protocol < 4:
        raw = raw.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path = save_pickle(tmp_path / "a.npz", raw)
    monkeypatch.setenv(TRUST, "other.npz, a.npz")
    found = read_pickled(path, "positions_3d")
    assert np.array_equal(found["Train/S1"]["Jog 1 chunk0"], walk)
    assert found["Train/S1"]["b"][1] == (1, "ç", None, 2.5, True)
    with pytest.raises(
        InputError, match="positions_3d: expected an array of numbers, found a pick"
    ):
        read(path, positions_3d="n")
    with pytest.raises(InputError, match="expected the key 'metadata', found positions_3d"):
        read_pickled(path, "metadata")


def test_joints_of_leeds_sports_pose(tmp_path):
    points = np.random.default_rng(0).uniform(0, 99, (4, 14, 2)).round(3)
    points[1, 2] = 0
    points[2, 3, 0] = np.nan
    table = np.concatenate([points, np.arange(56).reshape(4, 14, 1) % 2], -1)
    for joints_first, axes in ((False, (2, 1, 0)), (True, (1, 2, 0))):
        savemat(tmp_path / "joints.mat", {"joints": table.transpose(axes)})
        found = read_joints(tmp_path / "joints.mat", [14, 16])
        assert found.joints_first is joints_first
        assert np.allclose(found.points, points, equal_nan=True)
        assert np.array_equal(found.flags, table[..., 2] == 1)
        assert found.missing.nonzero().tolist() == [[1, 2], [2, 3]]
        savemat(tmp_path / "joints.mat", {"joints": table[0].transpose(axes[0] - 1, axes[1] - 1)})
    for bad, message in (
        (
            table[:, :13].T,
            r"\(3, 14 or 16, images\) or \(14 or 16, 3, images\), found \(3, 13, 4\)",
        ),
        (np.zeros((3, 14, 0)), "found"),
        (table.T + np.array([0, 0, 1])[:, None, None], "0 or 1 as the third value, found 2 and 28"),
        (np.where(table == table[0, 0, 0], np.inf, table).T, "found infinite ones"),
    ):
        savemat(tmp_path / "joints.mat", {"joints": bad})
        with pytest.raises(InputError, match=f"joints.mat: joints: expected .*{message}"):
            read_joints(tmp_path / "joints.mat", [14, 16])
