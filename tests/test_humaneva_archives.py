"""Archives of HumanEva-I that cannot be used."""

import pickle
import warnings

import numpy as np
import pytest
from array_files import save_pickle
from humaneva_files import (
    positions,
    projections,
    save_archives,
    walk,
)

from ordlib.datasets import humaneva
from ordlib.errors import InputError

FILE_3D, FILE_2D = "data_3d_humaneva15.npz", "data_2d_humaneva15_gt.npz"


def load(root, **options):
    return humaneva.load(root, trust_pickle=True, **{"size": 32, **options})


NAME = "Walking 1 chunk0"


def _set(array, index, value):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda j: j[:, :14], r"shape \(frames, 15, 3\), found \(3, 14, 3\)"),
        (lambda j: j[..., :2], r"found \(3, 15, 2\)"),
        (lambda j: j[0], r"found \(15, 3\)"),
        (lambda j: j[:0], "expected frames, found none"),
        (lambda j: j.mT, r"found \(3, 3, 15\)"),
        (lambda j: j.astype("U9"), "expected an array of numbers, found <U9"),
        (lambda j: j.tolist(), "an array of numbers, found none"),
        (lambda j: None, "an array of numbers, found none"),
        (
            lambda j: _set(j, (1, 2, 0), np.nan),
            "expected finite values, found others in 1 of 3 rows",
        ),
        (lambda j: _set(j, 1, np.inf), "in 1 of 3 rows, first in row 1"),
        (lambda j: j * 1000, r"expected metres, found \d+.*are these mm"),
    ],
)
def test_poses_that_cannot_be_used(tmp_path, change, message):
    table = positions()
    seen = projections(table)
    table["Train/S2"][NAME] = change(table["Train/S2"][NAME])
    save_archives(tmp_path, table, seen)
    for read in (load, lambda root: humaneva.poses(root, trust_pickle=True)):
        with pytest.raises(InputError, match=rf"{FILE_3D}: Train/S2: {NAME}: .*{message}"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[:2], ": expected a list of 3 cameras, found"),
        (lambda s: 3, ": expected a list of 3 cameras, found"),
        (lambda s: [s[0], s[1][:2], s[2]], r", C2: .* with frames = 3, found \(2, 15, 2\)"),
        (lambda s: [s[0], s[1], s[2][:, :13]], r", C3: .* found \(3, 13, 2\)"),
        (lambda s: [s[0] * np.nan, s[1], s[2]], ", C1: expected finite .* in 3 of 3 rows"),
    ],
)
def test_2d_joints_that_cannot_be_used(tmp_path, change, message):
    table = positions()
    seen = projections(table)
    seen["Train/S2"][NAME] = change(seen["Train/S2"][NAME])
    save_archives(tmp_path, table, seen)
    with pytest.raises(InputError, match=rf"{FILE_2D}: Train/S2: {NAME}{message}"):
        load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: [s[1], s[2], s[0]],
        lambda s: [p[:, ::-1] for p in s],
        lambda s: [p[::-1] for p in s],
        lambda s: [p[..., ::-1] for p in s],
        lambda s: [p * 0 for p in s],
    ],
)
def test_2d_joints_that_are_no_projections(tmp_path, change):
    """Other cameras, joints, frames or axes in a part of the archive."""
    table = positions(8)
    seen = projections(table)
    seen["Train/S2"] = {name: change(views) for name, views in seen["Train/S2"].items()}
    save_archives(tmp_path, table, seen)
    with pytest.raises(InputError, match=rf"{FILE_2D}: S2 C1: expected 2D .*joints"):
        load(tmp_path)


def test_chunks_without_2d_joints(tmp_path):
    table = positions()
    for key, name in (("Train/S2", NAME), ("Validate/S1", None)):
        seen = projections(table)
        seen[key] = {k: v for k, v in seen[key].items() if k != name} if name else None
        save_archives(tmp_path, table, seen)
        with pytest.raises(InputError, match=rf"{FILE_2D}: expected 2D joints of {key}: .* none"):
            load(tmp_path)
    (tmp_path / FILE_2D).unlink()
    with pytest.raises(InputError, match=rf"{FILE_2D}: expected a file of arrays, found nothing"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"S1": {}, "S9": {}}, "expected keys such as 'Train/S1', found S1, S9"),
        ({"Train/S1": 3}, "expected keys such as 'Train/S1', found Train/S1"),
        ({}, "expected keys such as 'Train/S1', found no keys"),
        ([1, 2], "expected a dictionary of subjects, found ndarray"),
        ({"Train/S1": {"Box 1 chunk0": walk(2)}}, "found none with motion capture"),
        ({"Train/S1": {"Walking 2 chunk0": walk(2)}}, "found none with motion capture"),
    ],
)
def test_archives_of_something_else(tmp_path, table, message):
    save_archives(tmp_path, table, {})
    with pytest.raises(InputError, match=rf"{FILE_3D}: .*{message}"):
        humaneva.poses(tmp_path, trust_pickle=True)


def test_archives_of_another_key(tmp_path):
    save_archives(tmp_path)
    np.savez(tmp_path / FILE_3D, positions=positions(1))
    with pytest.raises(InputError, match=rf"{FILE_3D}: expected the key 'positions_3d', found"):
        load(tmp_path)


def test_other_actions_are_left_out_and_absent_subjects_said(tmp_path):
    table = positions()
    table["Train/S1"] |= {"Box 1 chunk0": walk(5), "Walking 2 chunk0": walk(5)}
    table["Unlabeled/S1"] = {"Box 1": None}
    del table["Train/S3"]
    del table["Train/S2"]["Jog 1 chunk0"]
    save_archives(tmp_path, table, projections({k: v for k, v in table.items() if k[0] != "U"}))
    message = r"found no chunk of Train/S3 Walking 1, Train/S2 Jog 1, Train/S3 Jog 1$"
    with pytest.warns(UserWarning, match=message):
        assert len(humaneva.poses(tmp_path, trust_pickle=True)) == 9


def test_an_unknown_split(tmp_path):
    for read in (load, humaneva.poses):
        with pytest.raises(InputError, match="split: expected one of train, validation, found 'te"):
            read(tmp_path, split="test")


def test_truncated_archives(tmp_path):
    for name in (FILE_3D, FILE_2D):
        save_archives(tmp_path)
        whole = (tmp_path / name).read_bytes()
        for length in (0, 200, len(whole) // 2, len(whole) - 8):
            (tmp_path / name).write_bytes(whole[:length])
            with pytest.raises(
                InputError, match=rf"{name}: expected a file of HDF5, MATLAB or NumPy, found dam"
            ):
                load(tmp_path)


def test_damaged_pickles_end_in_one_error_or_none(tmp_path):
    """Whatever 20 wrong bytes do to a pickle, nothing else than InputError comes out."""
    whole = np.frombuffer(pickle.dumps(np.array(positions(1), dtype=object), 4), np.uint8)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        broken = whole.copy()
        broken[rng.integers(0, min(len(whole), 3000), 20)] = rng.integers(0, 256, 20)
        save_archives(tmp_path, positions(1))
        save_pickle(tmp_path / FILE_3D, broken.tobytes())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                humaneva.poses(tmp_path, trust_pickle=True)
        except InputError as error:
            assert FILE_3D in str(error)


def test_the_archives_have_to_be_trusted(tmp_path):
    save_archives(tmp_path)
    for read in (humaneva.load, humaneva.poses):
        with pytest.raises(InputError, match=rf"{FILE_3D}: positions_3d: .*trust_pickle=True"):
            read(tmp_path)
