"""Human3.6M: files that cannot be used, damaged files, odd paths and odd images."""

import os
import shutil
import warnings

import h5py
import numpy as np
import pytest
from human36m_files import (
    ALL_KEYS,
    CAMERAS,
    TEST_NAMES,
    c2f,
    film_names,
    save_annot,
    save_c2f,
    save_sequence,
    save_test_set,
    sequence,
)
from PIL import Image

from ordlib.datasets import human36m
from ordlib.errors import InputError


def _load(root, split="test", size=32, layout=None):
    return human36m.load(root, split=split, size=size, layout=layout)


def _everything(dataset):
    return dataset.batch(np.arange(len(dataset)))


@pytest.fixture
def fetched(tmp_path):
    """A small h36m-fetch tree of the test subjects."""
    for subject in ("S9", "S11"):
        save_sequence(tmp_path / "processed", f"{subject}/Eating-1", sequence())
    return tmp_path


# --- bad files: the coarse-to-fine layout --------------------------------------------------------


def _change(array, index, value):
    array = np.array(array, float)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("scale", lambda a: _change(a, 3, 0), r"scale: expected values above 0, found 0 in row 3"),
        ("scale", lambda a: _change(a, 3, -1), r"scale: expected values above 0, found -1"),
        ("scale", lambda a: _change(a, 3, np.nan), r"scale: expected finite .* first in row 3"),
        (
            "scale",
            lambda a: a[:-1],
            r"scale: expected shape \(n\) or \(n, 1\) with n = 16, found \(15,\)",
        ),
        ("scale", lambda a: a[0], r"scale: expected shape .* found \(\)"),
        ("scale", lambda a: a * 1e-4, r"expected squares of 1 to 4096 px around people"),
        ("scale", lambda a: a.astype("S8"), r"scale: expected an array of numbers, found \|S8"),
        ("center", lambda a: a.T, r"center: expected shape \(n, 2\), found \(2, 16\)"),
        ("center", lambda a: a[:, :1], r"center: expected shape \(n, 2\), found \(16, 1\)"),
        ("center", lambda a: _change(a, (2, 1), np.inf), r"center: expected finite values"),
        (
            "part",
            lambda a: a[:, :16],
            r"part: expected shape \(n, 17, 2\) with n = 16, found \(16, 16, 2\)",
        ),
        (
            "part",
            lambda a: a.swapaxes(1, 2),
            r"part: expected shape \(n, 17, 2\) with n = 16, found",
        ),
        ("part", lambda a: _change(a, 2, np.nan), r"part: expected finite .* in 1 of 16 rows"),
        ("zind", lambda a: _change(a, (1, 1), 0), r"zind: expected bins from 1 to 64, found 0 and"),
        ("zind", lambda a: _change(a, (1, 1), 65), r"from 1 to 64, found 65 and 1 such values"),
        ("zind", lambda a: a[:, :14], r"zind: expected shape \(n, 17\) or .*, found \(16, 14\)"),
        ("S", lambda a: a[:, :16], r"S: expected shape \(n, 17, 3\) or \(n, 3, 17\), found"),
        ("S", lambda a: a.transpose(2, 1, 0), r"S: expected .* found \(3, 17, 16\)"),
        (
            "S",
            lambda a: a[:5],
            r"S: expected a row for each of 16 lines of valid_images.txt, found 5",
        ),
        ("S", lambda a: _change(a, (4, 2), np.nan), r"S: expected finite values.*first in row 4"),
        ("S", lambda a: a / 1000, r"S: expected mm, found a median limb of 0.\d+; are these metre"),
        ("S", lambda a: a / 10, r"S: expected mm, found a median limb of \d+(\.\d+)?$"),
        ("S", lambda a: a - a[:, :1], r"S: expected the camera frame, z > 0 .* relative to the"),
        ("S", lambda a: a.astype("S8"), r"S: expected an array of numbers, found \|S8"),
    ],
)
def test_c2f_arrays_that_cannot_be_used(tmp_path, key, change, message):
    content = c2f(TEST_NAMES)
    content[key] = change(content[key])
    with pytest.raises(InputError, match=message) as raised:
        _load(save_test_set(tmp_path, content))
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("key", ["center", "scale"])
def test_a_missing_key_is_named_with_the_keys_found(tmp_path, key):
    keys = [k for k in ALL_KEYS if k != key]
    message = rf"valid.h5: expected the key '{key}', found {', '.join(sorted(keys))}"
    with pytest.raises(InputError, match=message):
        _load(save_test_set(tmp_path, keys=keys))


def test_3d_in_neither_file(tmp_path):
    message = r"expected the key 'S', or valid.mat beside it.* found neither"
    with pytest.raises(InputError, match=message):
        _load(save_test_set(tmp_path, keys=("center", "scale")))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("S9_Posing_1.55011271", r"line 3: expected a name like S9_Posing_1.55011271_000321.jpg"),
        ("9_Posing_1.55011271_000001", r"line 3: expected a name like"),
        ("", r"line 3: expected a name like S9_Posing.*, found ''"),
        ("S9_Posing_1.55011271_00001", r"line 3: expected a name like"),
        ("S9_Dancing_1.55011271_000001", r"line 3: expected an action of .*found 'Dancing_1'"),
        ("S9_Posing_1.12345678_000001", r"line 3: expected a camera of .*, found '12345678'"),
    ],
)
def test_names_that_cannot_be_read(tmp_path, name, message):
    content = c2f(TEST_NAMES)
    content["names"][2] = name
    with pytest.raises(InputError, match=rf"valid_images.txt: {message}"):
        _load(save_test_set(tmp_path, content, images=False))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"valid_images.txt: expected a text file of image names"),
        (b"", r"expected a name of an image a line, found none"),
        (b"\xff\xfe\x00", r"expected a text file of image names"),
        (f"{TEST_NAMES[0]}.jpg\n".encode(), r"expected a row for each of 1 lines .* found 16"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path, text, message):
    path = save_test_set(tmp_path) / "annot" / "valid_images.txt"
    path.unlink() if text is None else path.write_bytes(text)
    with pytest.raises(InputError, match=message):
        _load(tmp_path)


def test_lists_with_other_line_ends(tmp_path):
    path = save_test_set(tmp_path) / "annot" / "valid_images.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert len(_load(tmp_path)) == len(TEST_NAMES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda names: names[:-1],
            r"S: expected a row for each of 16 lines of valid_images.txt, found 15",
        ),
        (
            lambda names: [*names[:2], names[3], names[2], *names[4:]],
            r"imgname: expected 'S9_Eating_1.55011271_000001' in row 2, as line 3 .*, found 'S9_",
        ),
    ],
)
def test_a_matlab_file_of_other_images(tmp_path, change, message):
    content = c2f(TEST_NAMES)
    save_test_set(tmp_path, content, keys=("center", "scale"))
    names = change(TEST_NAMES)
    poses = content["S"][: len(names)].transpose(0, 2, 1)
    save_annot(tmp_path / "annot" / "valid.mat", names, poses, content)
    with pytest.raises(InputError, match=rf"valid.mat: {message}"):
        _load(tmp_path)


def test_missing_images_are_named_and_counted(tmp_path):
    save_test_set(tmp_path)
    for k in (3, 7):
        (tmp_path / "images" / f"{TEST_NAMES[k]}.jpg").unlink()
    message = rf"{TEST_NAMES[3]}.jpg: expected an image, found nothing there; 2 of 16 images"
    with pytest.raises(InputError, match=message):
        _load(tmp_path)
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(InputError, match=r"16 of 16 images are missing"):
        _load(tmp_path)


def test_bins_of_other_poses_are_warned_of(tmp_path):
    content = c2f(TEST_NAMES)
    content["zind"] = content["zind"][::-1]
    with pytest.warns(UserWarning, match=r"zind: \d+ of 272 bins are not those of the depths in S"):
        _load(save_test_set(tmp_path, content))


def test_subjects_of_the_other_half_are_left_out_with_a_warning(tmp_path):
    save_test_set(tmp_path, c2f([*TEST_NAMES, *film_names(["S1"])]))
    with pytest.warns(UserWarning, match=r"valid.h5: 8 of 24 frames are of S1 and are left out"):
        assert len(_load(tmp_path)) == 16


def test_no_frame_of_the_split(tmp_path):
    save_c2f(tmp_path, "train", c2f(film_names(["S1", "S5"])))
    with pytest.raises(InputError, match=r"train.h5: expected frames of S8, found those of S1, S5"):
        _load(tmp_path, "val")


# --- bad files: the layout of h36m-fetch ---------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("pose/3d", lambda a: a[:-1], r"pose/3d: expected shape .* with n = 12, found \(11, 32, 3"),
        ("pose/2d", lambda a: a[:-1], r"pose/2d: expected shape \(n, j, 2\) with n = 12, j = 32"),
        ("camera", lambda a: a[:-1], r"camera: expected shape \(n\) with n = 12, found \(11,\)"),
        ("frame", lambda a: a[:, None], r"frame: expected shape \(n\), found \(12, 1\)"),
        ("frame", lambda a: a * 0, r"frame: expected whole numbers from 1, found 0"),
        ("frame", lambda a: a + 0.25, r"frame: expected whole numbers from 1, found 1.25"),
        ("frame", lambda a: a + 1, r"with frames 1, 6, 11 and so on, found 1 files and no such"),
        (
            "pose/3d",
            lambda a: a[:, :14],
            r"pose/2d: expected shape \(n, j, 2\) with n = 12, j = 14",
        ),
        ("pose/3d", lambda a: a.swapaxes(1, 2), r"pose/3d: expected shape .* found \(12, 3, 32\)"),
        ("pose/2d", lambda a: a[..., :1], r"pose/2d: expected shape \(n, j, 2\)"),
        ("pose/3d", lambda a: _change(a, (5, 1), np.nan), r"pose/3d: expected finite .* in row 5"),
        ("pose/2d", lambda a: _change(a, (5, 1), np.nan), r"pose/2d: expected finite .* in row 5"),
        ("pose/3d", lambda a: a / 1000, r"pose/3d: expected mm, .*; are these metres"),
        ("pose/3d", lambda a: a.astype("S8"), r"pose/3d: expected an array of numbers, found"),
        ("camera", lambda a: a * 0 + 5, r"expected a camera of 54138969, .* found '5'"),
    ],
)
def test_fetched_arrays_that_cannot_be_used(tmp_path, key, change, message):
    content = sequence()
    content[key] = change(content[key])
    save_sequence(tmp_path, "S9/Eating-1", content, images=False)
    with pytest.raises(InputError, match=message) as raised:
        _load(tmp_path)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("key", ["pose/2d", "pose/3d", "camera", "frame"])
def test_a_missing_key_of_h36m_fetch(tmp_path, key):
    content = sequence()
    del content[key]
    save_sequence(tmp_path, "S9/Eating-1", content, images=False)
    message = rf"annot.h5: expected the key '{key}', found .*pose"
    with pytest.raises(InputError, match=message):
        _load(tmp_path)


def test_an_unknown_camera_or_action_of_h36m_fetch(tmp_path):
    content = sequence()
    content["camera"] = np.full(12, 12345678)
    folder = save_sequence(tmp_path, "S9/Eating-1", content, images=False)
    with pytest.raises(InputError, match=r"expected a camera of 54138969, .* found '12345678'"):
        _load(tmp_path)
    shutil.rmtree(folder)
    save_sequence(tmp_path, "S9/Dancing-1", sequence(), images=False)
    with pytest.raises(InputError, match=r"S9/Dancing-1: expected an action of"):
        _load(tmp_path)


def test_missing_images_of_h36m_fetch(fetched):
    gone = fetched / "processed" / "S11" / "Eating-1" / "imageSequence" / CAMERAS[2]
    shutil.rmtree(gone)
    with pytest.raises(InputError, match=rf"{CAMERAS[2]}/img_000001.jpg: .*; 3 of 24 images are"):
        _load(fetched)


# --- bad files: both -----------------------------------------------------------------------------


def test_arguments_that_cannot_be_used(tmp_path):
    save_test_set(tmp_path)
    with pytest.raises(InputError, match=r"split: expected one of train, test, fit, val, found 'v"):
        _load(tmp_path, "validation")
    with pytest.raises(InputError, match=r"layout: expected one of c2f, h36m-fetch, found 'npz'"):
        _load(tmp_path, layout="npz")
    with pytest.raises(InputError, match=r"size: expected 1 px or more, found 0"):
        _load(tmp_path, size=0)


@pytest.mark.parametrize("name", ["", "absent"])
def test_a_folder_with_neither_layout(tmp_path, name):
    message = r"expected annot/train.h5 and annot/valid.h5 \(c2f\), or processed/S1/Eating-1/annot"
    with pytest.raises(InputError, match=message):
        _load(tmp_path / name)
    save_test_set(tmp_path / name)
    with pytest.raises(InputError, match=r"expected processed/S1/Eating-1/annot.h5"):
        _load(tmp_path / name, layout="h36m-fetch")
    with pytest.raises(InputError, match=r"train_images.txt: expected a text file"):
        _load(tmp_path / name, "train")


@pytest.mark.parametrize("name", ["annot/valid.h5", "annot/valid.mat", "S9/Eating-1/annot.h5"])
def test_truncated_and_damaged_files_never_crash(tmp_path, name):
    if name.startswith("annot"):
        mat = name.endswith(".mat")
        save_test_set(tmp_path, keys=("center", "scale") if mat else ALL_KEYS, mat=mat)
    else:
        save_sequence(tmp_path, "S9/Eating-1", sequence())
    path, rng = tmp_path / name, np.random.default_rng(0)
    whole = path.read_bytes()
    for length in (0, 7, 130, len(whole) // 2, len(whole) - 8):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"{path.name}: "):
            _load(tmp_path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=rf"{path.name}: expected .* found damage"):
        _load(tmp_path)
    for _ in range(15):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 30):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                _load(tmp_path)
            except InputError as error:
                assert str(tmp_path) in str(error)


def test_a_folder_in_the_place_of_a_file(tmp_path):
    path = save_test_set(tmp_path) / "annot" / "valid.h5"
    path.unlink()
    with pytest.raises(InputError, match=r"valid.h5: expected a file of arrays, found nothing"):
        _load(tmp_path)
    path.mkdir()
    with pytest.raises(InputError, match=r"valid.h5: expected a file of arrays, found a folder"):
        _load(tmp_path)


def test_a_group_in_the_place_of_an_array(tmp_path):
    path = save_test_set(tmp_path, keys=("center", "scale")) / "annot" / "valid.h5"
    with h5py.File(path, "a") as file:
        file.create_group("S")
    with pytest.raises(InputError, match=r"S: expected an array of numbers, found none"):
        _load(tmp_path)


@pytest.mark.parametrize("layout", ["c2f", "h36m-fetch"])
def test_paths_with_blanks_and_other_letters_and_links(tmp_path, layout):
    root = tmp_path / "Daten für uns" / "人 3.6M [1]"
    if layout == "c2f":
        save_test_set(root)
    else:
        save_sequence(root / "processed", "S9/Eating-1", sequence())
    first = _everything(_load(root))
    os.symlink(root, tmp_path / "link")
    image = next((tmp_path / "link").resolve().rglob("*_000001.jpg"))
    image.rename(tmp_path / "elsewhere.jpg")
    image.symlink_to(tmp_path / "elsewhere.jpg")
    assert _everything(_load(tmp_path / "link")).images.equal(first.images)
    (tmp_path / "elsewhere.jpg").unlink()
    dataset = _load(tmp_path / "link")
    with pytest.raises(InputError, match=rf"{image.name}: expected an image, found no"):
        _everything(dataset)


def test_images_of_another_format_than_their_names(tmp_path):
    save_test_set(tmp_path)
    path = tmp_path / "images" / f"{TEST_NAMES[4]}.jpg"
    Image.new("L", (1000, 1002), 200).save(path, "PNG")
    batch = _load(tmp_path).batch([4])
    assert batch.images[0, :, 10:20, 10:20].float().mean() == 200
