"""MPII: meaning of its two forms, which agree with each other, and bad files."""

import h5py
import numpy as np
import pytest
import torch
from mpii_files import (
    LEFT_HIP,
    RIGHT_WRIST,
    hourglass,
    people,
    person_of,
    release_of,
    save_h5,
    save_release,
)
from photo_files import save_images
from PIL import Image

from ordlib.data import PoseDataset
from ordlib.datasets import mpii
from ordlib.errors import InputError
from ordlib.skeleton import H36M17, MPII16
from ordlib.synthetic.making import ORDINAL_JOINTS

WRIST, HIP = H36M17.index("right_wrist"), H36M17.index("left_hip")
NAME = "mpii_human_pose_v1_u12_1.mat"


def _save_mat(folder, content, flag=float):
    """The MATLAB file of the people, one an image, all of them for training."""
    rows = [(name, [person_of(content, k, flag)]) for k, name in enumerate(content["names"])]
    save_images(folder / "images", content["names"])
    save_release(folder / NAME, release_of(rows, [1] * len(rows)))
    return folder


FORMS = pytest.mark.parametrize("save", [save_h5, _save_mat], ids=["h5", "mat"])


def _all(folder, **options):
    dataset = mpii.load(folder, size=50, **options)
    return dataset, dataset.batch(list(range(len(dataset))))


# --- the traps -----------------------------------------------------------------------------------


def test_the_two_forms_of_the_same_people_agree(tmp_path):
    """The square is enlarged once: by the authors of the one file, by the reader of the other."""
    content = people()
    content["part"][0, RIGHT_WRIST] = 0
    content["visible"][0, RIGHT_WRIST] = content["visible"][1, LEFT_HIP] = 0
    _, one = _all(save_h5(tmp_path / "h5", content))
    _, other = _all(_save_mat(tmp_path / "mat", content))
    for name in ("images", "keypoints_px", "visible", "intrinsics"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name))
    assert one.meta["frame"].tolist() == other.meta["frame"].tolist()


def test_centre_and_scale_of_the_h5_file_are_used_as_they_are(tmp_path):
    """A joint at the centre is the middle of the crop; 100 px times scale away is its edge."""
    content = people(1)
    centre, scale = np.array([[40.0, 30.0]]), np.array([0.15])
    content["part"][0, RIGHT_WRIST] = centre
    content["part"][0, LEFT_HIP] = centre + np.array([15, -15])
    folder = save_h5(tmp_path, content, center=centre, scale=scale)
    batch = mpii.load(folder, size=60).batch([0])
    assert batch.keypoints_px[0, WRIST].numpy() == pytest.approx([30, 30], abs=1.01)
    assert batch.keypoints_px[0, HIP].numpy() == pytest.approx([60, 0], abs=1.01)


def test_the_square_of_the_matlab_file_is_enlarged_once(tmp_path):
    """15 px of a person of 200 px further down, and 1.25 times as large."""
    content = people(1)
    content["position"], content["scale"] = np.array([[40.0, 28.0]]), np.array([0.16])
    content["part"][0, RIGHT_WRIST] = 40, 30.4  # 28 + 15 * 0.16
    content["part"][0, LEFT_HIP] = 40 + 20, 30.4 - 20  # 0.16 * 1.25 * 200 / 2
    batch = mpii.load(_save_mat(tmp_path, content), size=80).batch([0])
    assert batch.keypoints_px[0, WRIST].numpy() == pytest.approx([40, 40], abs=1.01)
    assert batch.keypoints_px[0, HIP].numpy() == pytest.approx([80, 0], abs=1.01)


@FORMS
def test_a_joint_is_missing_where_both_coordinates_are_zero(tmp_path, save):
    content = people(2)
    content["part"][0, RIGHT_WRIST], content["visible"][0, RIGHT_WRIST] = 0, 0
    content["part"][1, RIGHT_WRIST] = 1, 0  # above the first row of pixels: outside
    content["part"][1, LEFT_HIP] = 0.5, 20  # one small coordinate is a position
    dataset, batch = _all(save(tmp_path, content))
    assert not batch.visible[:, WRIST].any() and not batch.keypoints_px[:, WRIST].any()
    assert batch.visible[1, HIP]
    assert dataset.outside == {"mpii": 1}


@FORMS
def test_an_occluded_joint_has_a_position(tmp_path, save):
    content = people()
    content["visible"][:] = 0
    dataset, batch = _all(save(tmp_path, content))
    assert batch.visible[:, ORDINAL_JOINTS].all()
    assert dataset.outside == {"mpii": 0}


@FORMS
def test_joints_lie_on_their_pixels_counted_from_1(tmp_path, save):
    """A dot is painted on the pixel of each joint."""
    content = people(1)
    rng = np.random.default_rng(3)
    columns, rows = rng.permutation(50)[:16] + 15, rng.permutation(40)[:16] + 10
    content["part"][0] = np.stack([columns + 1, rows + 1], -1)
    content["position"], content["scale"] = np.array([[41.0, 28.6]]), np.array([0.24])
    folder = save(tmp_path, content)
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[rows, columns] = 255
    Image.fromarray(pixels).save(folder / "images" / content["names"][0], "PNG")
    batch = mpii.load(folder, size=600).batch([0])
    for joint in ORDINAL_JOINTS:
        x, y = batch.keypoints_px[0, joint].floor().int().tolist()
        assert batch.images[0, 0, y, x] > 220


def test_pelvis_and_thorax_are_left_out_and_the_upper_neck_is_the_neck(tmp_path):
    content = people(1)
    content["part"][0, MPII16.index("thorax")] = 5, 5
    _, batch = _all(save_h5(tmp_path, content))
    neck = batch.keypoints_px[0, H36M17.index("thorax")]
    expected = content["part"][0, MPII16.index("neck")] - content["part"][0, RIGHT_WRIST]
    # crops of 0.2 * 200 = 40 px are shown with 50 px
    found = (neck - batch.keypoints_px[0, WRIST]) * 40 / 50
    assert found.numpy() == pytest.approx(expected, abs=1e-3)
    assert not batch.visible[0, H36M17.index("pelvis")]


# --- samples -------------------------------------------------------------------------------------


def test_samples_are_people_and_splits_are_files(tmp_path):
    content = people(3)
    content["names"] = ["001.jpg", "ü 7.jpg", "001.jpg"]
    folder = save_h5(tmp_path / "Daten für uns", content)
    save_h5(folder, people(1), "valid")
    dataset, batch = _all(str(folder))
    assert isinstance(dataset, PoseDataset) and dataset.skeleton is H36M17
    assert (dataset.name, dataset.split, len(dataset)) == ("mpii", "train", 3)
    assert batch.meta["frame"].tolist() == [1, 7, 1]
    assert batch.meta["part"].tolist() == ["mpii"] * 3
    assert batch.relations is None and batch.annotated is None and batch.joints_mm is None
    valid = mpii.load(folder, split="valid")
    assert (valid.split, len(valid)) == ("valid", 1)


def _codes(names):
    return np.array([list(name.encode().ljust(16, b"\0")) for name in names], float)


@pytest.mark.parametrize(
    "write", [lambda n: np.array(n, "S"), lambda n: np.array(n, object), _codes]
)
def test_names_as_text_or_codes_of_characters(tmp_path, write):
    content = people()
    folder = save_h5(tmp_path, content, imgname=write(content["names"]))
    assert len(mpii.load(folder)) == 3


@pytest.mark.parametrize("flag", [str, int, lambda v: np.empty((0, 0)), lambda v: str(int(v))])
def test_visibility_in_any_spelling(tmp_path, flag):
    content = people()
    content["visible"][1] = 0
    _, batch = _all(_save_mat(tmp_path, content, flag))
    assert batch.visible[:, ORDINAL_JOINTS].all()


def test_who_counts_in_the_matlab_file(tmp_path):
    """Training images; people with joints and a square; one struct or several."""
    content = people(4)
    one, two, three, four = (person_of(content, k) for k in range(4))
    del two["annopoints"]
    del three["objpos"]
    images = [("1.jpg", [one, two, three]), ("2.jpg", [four]), ("3.jpg", []), ("4.jpg", [one])]
    save_images(tmp_path / "images", ["1.jpg", "2.jpg"])
    save_release(tmp_path / "annotation" / NAME, release_of(images, [1, 1, 1, 0]))
    _, batch = _all(tmp_path)
    assert batch.meta["frame"].tolist() == [1, 2]
    with pytest.raises(InputError, match=r"expected annot/valid.h5 in this folder"):
        mpii.load(tmp_path, split="valid")


def test_people_that_nobody_looked_at_have_no_joints(tmp_path):
    content = people()
    content["part"][1], content["visible"][1] = -1, -1
    dataset, batch = _all(save_h5(tmp_path, content))
    assert not batch.visible[1].any() and dataset.outside == {"mpii": 0}


def test_links_and_other_image_formats(tmp_path):
    content = people()
    folder = save_h5(tmp_path / "there", content)
    Image.new("L", (80, 60), 200).save(folder / "images" / content["names"][1], "PNG")
    for name in ("annot", "images"):
        (tmp_path / name).symlink_to(folder / name)
    assert mpii.load(tmp_path).batch([1]).images.max() == 200


# --- bad files -----------------------------------------------------------------------------------


def _with(array, index, value):
    array = array.copy()
    array[index] = value
    return array


ARRAYS = hourglass(people())


@pytest.mark.parametrize(
    ("key", "array", "message"),
    [
        ("part", ARRAYS["part"][:, :14], r"part: expected shape \(3, 16, 2\), .*\(3, 14, 2\)"),
        ("part", ARRAYS["part"].transpose(2, 1, 0), r"part: expected shape .*\(2, 16, 3\)"),
        ("part", ARRAYS["part"][:2], r"3 names of images, found \(2, 16, 2\)"),
        ("part", _with(ARRAYS["part"], (1, 2, 0), np.nan), "points: expected finite .* found nan"),
        ("part", np.array(["x"], "S"), r"part: expected an array of numbers, found \|S1"),
        ("center", _with(ARRAYS["center"], 0, np.inf), "centre: expected finite .* found inf"),
        ("center", ARRAYS["center"] + 500, r"05601864.jpg: expected a box that meets this image"),
        ("scale", _with(ARRAYS["scale"], 2, 0), "scale: expected positive numbers, found 0"),
        ("scale", _with(ARRAYS["scale"], 2, -1), "scale: expected positive numbers, found -1"),
        ("visible", ARRAYS["visible"] * 2, "visible: expected 0 or 1, found 2"),
        ("visible", ARRAYS["visible"] * np.nan, "visible: expected 0 or 1, found nan"),
        ("imgname", np.array([b"\xff\xfe.jpg"] * 3), "imgname: expected names of images, found"),
        ("imgname", np.zeros((3, 4)), r"3 of 3 images are missing"),
        ("imgname", np.float64(3), "expected the array imgname, found center, "),
        ("imgname", ARRAYS["imgname"][:0], "3 names|0 names"),
        *((key, None, rf"{key}.* found ") for key in ("part", "center", "scale", "visible")),
        ("imgname", None, "expected the array imgname, found center, "),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path, key, array, message):
    folder = save_h5(tmp_path, people(), **{key: array})
    with pytest.raises(InputError, match=message):
        mpii.load(folder)


def test_truncated_and_other_h5_files(tmp_path):
    path = save_h5(tmp_path, people()) / "annot" / "train.h5"
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[: len(whole) // 2], whole[:-8], b"<html>no</html>"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"train.h5: expected an HDF5 file, found damage"):
            mpii.load(tmp_path)


def test_groups_in_place_of_arrays(tmp_path):
    path = save_h5(tmp_path, people(), part=None, imgname=None) / "annot" / "train.h5"
    with h5py.File(path, "a") as file:
        file.create_group("imgname")
    with pytest.raises(InputError, match="expected the array imgname"):
        mpii.load(tmp_path)


def test_truncated_matlab_files(tmp_path):
    path = _save_mat(tmp_path, people()) / NAME
    whole = path.read_bytes()
    for length in (0, 100, 130, len(whole) // 2, len(whole) - 8):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"{NAME}: expected"):
            mpii.load(tmp_path)


@pytest.mark.parametrize(
    ("release", "message"),
    [
        ({"img_train": 1.0}, "annolist"),
        (np.zeros(3), "expected a struct in a file of MATLAB v5 to v7, found ndarray"),
        (release_of([("1.jpg", [])], [1, 1]), "1 images and 2 values of img_train"),
        (release_of([("1.jpg", [])], [1]), "expected annotated people, found none"),
        (release_of([("1.jpg", [{"annopoints": 3.0}])], [1]), "point"),
    ],
)
def test_matlab_files_of_other_structure(tmp_path, release, message):
    save_release(tmp_path / NAME, release)
    with pytest.raises(InputError, match=rf"{NAME}.*{message}"):
        mpii.load(tmp_path)


def test_a_joint_that_mpii_has_not(tmp_path):
    content = people(1)
    person = person_of(content, 0)
    person["annopoints"]["point"][0, 3]["id"] = 16.0
    save_release(tmp_path / NAME, release_of([("1.jpg", [person])], [1]))
    with pytest.raises(InputError, match="a joint with id 16"):
        mpii.load(tmp_path)


def test_a_file_of_v73(tmp_path):
    with h5py.File(tmp_path / NAME, "w", userblock_size=512) as file:
        file.create_group("RELEASE")
    with pytest.raises(InputError, match="expected a struct in a file of MATLAB v5 to v7, found"):
        mpii.load(tmp_path)


def test_nothing_there_or_another_split(tmp_path):
    with pytest.raises(InputError, match=r"expected annot/train.h5 or mpii_human_pose\*.mat in"):
        mpii.load(tmp_path / "absent")
    with pytest.raises(InputError, match="split: expected one of train, valid, found 'test'"):
        mpii.load(tmp_path, split="test")


@FORMS
def test_missing_images_are_named_and_counted(tmp_path, save):
    content = people(4)
    folder = save(tmp_path, content)
    for k in (1, 3):
        (folder / "images" / content["names"][k]).unlink()
    message = rf"{content['names'][1]}: expected an image, found nothing there; 2 of 4"
    with pytest.raises(InputError, match=message):
        mpii.load(folder)
    for path in (folder / "images").iterdir():
        path.unlink()
    (folder / "images").rmdir()
    with pytest.raises(InputError, match=r"4 of 4 images are missing"):
        mpii.load(folder)


def test_a_truncated_image(tmp_path):
    content = people()
    folder = save_h5(tmp_path, content)
    path = folder / "images" / content["names"][1]
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"15601864.jpg: expected an image"):
        mpii.load(folder).batch([1])
