"""NumPy archives: plain ones, pickles of every age, pickles that try to run something."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from humaneva_files import save_pickle, walk

from ordlib.datasets import npz
from ordlib.errors import InputError


class _Calls:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


class _Named:
    """Pickles as a call of whatever has a name, imported or not."""

    def __init__(self, module, name):
        self.raw = f"c{module}\n{name}\n(S'mkdir trap'\ntR.".encode()


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
        expected = "found the name .* expected arrays and" if trust else "pass trust_pickle=True"
        with pytest.raises(InputError, match=rf"a.npz: .*{expected}"):
            npz.read(path, "positions_3d", trust_pickle=trust)
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
        ("ordlib.datasets.npz", "pickle.loads"),
    ],
)
def test_names_beside_those_of_arrays_are_refused(tmp_path, monkeypatch, module, name):
    monkeypatch.chdir(tmp_path)
    path = save_pickle(tmp_path / "a.npz", _Named(module, name).raw)
    with pytest.raises(InputError, match=rf"found the name \w+.*{name}, expected arrays"):
        npz.read(path, "positions_3d", trust_pickle=True)
    assert not Path("trap").exists()


def test_nothing_that_is_allowed_can_be_changed(tmp_path):
    """A pickle may set attributes of what it finds; what it finds here has none to set."""
    for module, name in ((b"_codecs", b"encode"), (b"numpy", b"dtype"), (b"numpy", b"ndarray")):
        raw = b"\x80\x02c" + module + b"\n" + name + b"\nN}X\x01\x00\x00\x00aK\x01s\x86b."
        path = save_pickle(tmp_path / "a.npz", raw)
        with pytest.raises(InputError, match="found damage"):
            npz.read(path, "positions_3d", trust_pickle=True)


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("numpy_1", [False, True])
def test_pickles_of_every_age_are_read(tmp_path, protocol, numpy_1):
    """NumPy 1 named its module otherwise; up to protocol 2, bytes are texts to be encoded."""
    table = {"Train/S1": {"Jog 1 chunk0": walk(2), "b": [walk(1), (1, "ç", None, 2.5, True)]}}
    raw = pickle.dumps(np.array(table, dtype=object), protocol)
    if numpy_1 and protocol < 4:
        raw = raw.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path = save_pickle(tmp_path / "a.npz", raw)
    read = npz.read(path, "positions_3d", trust_pickle=True)
    assert np.array_equal(read["Train/S1"]["Jog 1 chunk0"], table["Train/S1"]["Jog 1 chunk0"])
    assert read["Train/S1"]["b"][1] == (1, "ç", None, 2.5, True)


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.eye(3, dtype="f4", order="F")])
def test_plain_arrays_need_no_trust(tmp_path, array):
    np.savez(tmp_path / "a.npz", x=array, y=array.T)
    assert np.array_equal(npz.read(tmp_path / "a.npz", "x"), array)
    assert np.array_equal(npz.read(tmp_path / "a.npz", "y"), array.T)


def test_archives_that_are_none(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(InputError, match=r"a.npz: expected a NumPy archive, found nothing"):
        npz.read(path, "x")
    with pytest.raises(InputError, match="found a folder"):
        npz.read(tmp_path, "x")
    np.savez(path, y=np.zeros(3), z=np.zeros(3))
    with pytest.raises(InputError, match=r"expected the key 'x', found y, z"):
        npz.read(path, "x")
    whole = path.read_bytes()
    damaged = [b"", b"<html>not found</html>", whole[:60], whole[:-5]]
    damaged.append(whole.replace(np.zeros(3).tobytes(), np.ones(3).tobytes(), 1))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a.npz: expected a NumPy archive, found damage"):
            npz.read(path, "y")
