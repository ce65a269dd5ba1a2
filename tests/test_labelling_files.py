"""Files of the annotation tool: joints in all forms, the authors' layout, and damaged files."""

import csv
import json
import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from photo_files import lsp_array, lspet_array, random_points, save_images, save_mat
from PIL import Image
from scipy.io import loadmat, savemat

from ordlib.errors import InputError
from ordlib.labelling.files import export, read_joints, write_joints
from ordlib.labelling.photographs import image_files
from ordlib.skeleton import LSP14

NAMES = ("im0001.jpg", "im0002.jpg", "im0003.jpg")
VERSIONS = pytest.mark.parametrize("version", ["5", "7.3"])


@pytest.fixture
def images(tmp_path):
    return save_images(tmp_path / "photos of Zoë", NAMES)


# --- folders of images ---------------------------------------------------------------------------


def test_images_are_those_of_the_folder_by_name(tmp_path):
    save_images(tmp_path, ["b.png", "a.JPG", "c d.jpeg", "é.jpg"])
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "._a.jpg").write_text("left by another system")
    assert [p.name for p in image_files(tmp_path)] == ["a.JPG", "b.png", "c d.jpeg", "é.jpg"]


def test_images_may_lie_in_a_subfolder(tmp_path):
    save_images(tmp_path / "images", ["a.jpg"])
    assert image_files(tmp_path) == [tmp_path / "images" / "a.jpg"]


@pytest.mark.parametrize(("name", "found"), [("empty", "none"), ("absent", "no such folder")])
def test_a_folder_without_images_is_an_error(tmp_path, name, found):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=rf"{name}: expected .*images.* found {found}"):
        image_files(tmp_path / name)


# --- joints.mat ----------------------------------------------------------------------------------


@VERSIONS
def test_lsp_keeps_occluded_joints(tmp_path, images, version):
    points, flags = random_points(3), np.zeros((3, 14))
    flags[1, 4] = 1  # occluded, with a position
    path = save_mat(tmp_path / "joints.mat", "joints", lsp_array(points, flags), version)
    found = read_joints(path, images)
    assert found.present.all() and not found.problems()
    assert found.keypoints_px.numpy() == pytest.approx(points + 0.5, abs=1e-4)


@VERSIONS
def test_lspet_leaves_out_joints_flagged_0(tmp_path, images, version):
    points, flags = random_points(3), np.ones((3, 14))
    flags[1, 4], points[1, 4] = 0, (-17, 0)
    flags[2, 0], points[2, 0] = 0, (30, 30)
    path = save_mat(tmp_path / "joints.mat", "joints", lspet_array(points, flags), version)
    found = read_joints(path, images)
    assert (found.present.numpy() == (flags == 1)).all() and found.missing == 2
    assert found.keypoints_px.numpy()[flags == 1] == pytest.approx(points[flags == 1] + 0.5, 1e-4)
    assert not found.keypoints_px[1, 4].any()
    assert found.problems() == "2 of 42 joints without a position (im0002.jpg, im0003.jpg)"


def test_one_image_may_come_without_its_axis(tmp_path, images):
    points = random_points(1)
    array = lsp_array(points, np.zeros((1, 14)))[..., 0]
    found = read_joints(save_mat(tmp_path / "j.mat", "joints", array, "7.3"), images[:1])
    assert found.keypoints_px.numpy() == pytest.approx(points + 0.5, abs=1e-4)


def test_numbered_images_take_their_columns(tmp_path):
    some = save_images(tmp_path, ["im00007.jpg", "im00002.jpg"])
    points = random_points(9)
    path = save_mat(tmp_path / "joints.mat", "joints", lspet_array(points, np.ones((9, 14))))
    found = read_joints(path, some)
    assert found.keypoints_px.numpy() == pytest.approx(points[[6, 1]] + 0.5, abs=1e-4)


def test_other_names_take_the_columns_in_order(tmp_path):
    some = save_images(tmp_path, ["DSC_0912.jpg", "beach.png"])
    points = random_points(2)
    path = save_mat(tmp_path / "joints.mat", "joints", lsp_array(points, np.zeros((2, 14))))
    assert read_joints(path, some).keypoints_px.numpy() == pytest.approx(points + 0.5, abs=1e-4)


@pytest.mark.parametrize("name", ["im0010.jpg", "im0000.jpg", "beach.jpg"])
def test_images_that_no_column_belongs_to(tmp_path, name):
    some = save_images(tmp_path, [name])
    path = save_mat(tmp_path / "j.mat", "joints", lsp_array(random_points(9), np.zeros((9, 14))))
    with pytest.raises(InputError, match=rf"expected 1 images.*numbered 1 to 9.*'{name}'"):
        read_joints(path, some)


def test_joints_outside_are_left_out_and_counted(tmp_path, images):
    points = random_points(3)
    points[0, 0], points[1, 1], points[2, 2] = (79.4, 59.4), (80, 30), (-3, 30)
    path = save_mat(tmp_path / "j.mat", "joints", lsp_array(points, np.zeros((3, 14))))
    found = read_joints(path, images)
    assert found.present[0, 0] and not found.present[1, 1] and not found.present[2, 2]
    assert found.outside == 2
    assert found.problems() == "2 of 42 joints outside their image (im0002.jpg, im0003.jpg)"


def test_visibility_read_the_wrong_way_round(tmp_path, images):
    points, flags = random_points(3), np.zeros((3, 14))
    flags[:, :3], points[:, :3] = 1, (-200, 0)
    path = save_mat(tmp_path / "j.mat", "joints", lspet_array(points, flags))
    with pytest.raises(InputError, match=r"found 9 of 9 outside.*wrong way round"):
        read_joints(path, images)


def _with(array, index, value):
    array[index] = value
    return array


@VERSIONS
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.transpose(2, 1, 0), r"expected shape \(3, 14, images\) or .* found \(3, 14"),
        (lambda a: a.transpose(1, 2, 0), r"found \(14, \d, 3\)"),
        (lambda a: a[:, :13], r"found \(3, 13, 4\)"),
        (lambda a: a[:2], r"found \(2, 14, 4\)"),
        (lambda a: a[..., :0], r"found \(3, 14, 0\)"),
        (lambda a: a[None], r"found \(1, 3, 14, 4\)"),
        (lambda a: _with(a, (2, 3, 1), 2), r"expected 0 or 1 as the third value, found 2 and 1"),
        (lambda a: _with(a, (2, 3, 1), np.nan), r"expected 0 or 1 as the third value, found nan"),
        (lambda a: _with(a, (0, 3, 1), np.inf), r"found infinite"),
    ],
)
def test_other_arrays_are_refused(tmp_path, change, message, version):
    images = save_images(tmp_path, [f"{k}.jpg" for k in range(1, 5)])
    array = lsp_array(random_points(4), np.zeros((4, 14)))
    changed = np.ascontiguousarray(change(array))
    if changed.shape == (4, 14, 3):
        message = r"found \(4, 14, 3\)"
    with pytest.raises(InputError, match=message):
        read_joints(save_mat(tmp_path / "j.mat", "joints", changed, version), images)


def test_a_joint_flagged_as_annotated_needs_a_position(tmp_path, images):
    array = lspet_array(_with(random_points(3), (0, 0, 0), np.nan), np.ones((3, 14)))
    with pytest.raises(InputError, match="expected positions of annotated joints, found NaN"):
        read_joints(save_mat(tmp_path / "j.mat", "joints", array), images)


@pytest.mark.parametrize(
    "value", ["text", np.array(["a", 1], dtype=object), {"x": 1}, np.ones((3, 14, 3)) * 1j]
)
def test_other_types_are_refused(tmp_path, images, value):
    with pytest.raises(InputError, match=r"j.mat: joints: expected an array of numbers, found"):
        read_joints(save_mat(tmp_path / "j.mat", "joints", value), images)


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8"])
@VERSIONS
def test_other_number_types_are_read(tmp_path, images, dtype, version):
    points = random_points(3).round()
    array = lsp_array(points, np.zeros((3, 14))).astype(dtype)
    found = read_joints(save_mat(tmp_path / "j.mat", "joints", array, version), images)
    assert (found.keypoints_px.numpy() == points + 0.5).all()


@VERSIONS
def test_the_keys_of_a_file_without_joints_are_listed(tmp_path, images, version):
    with pytest.raises(InputError, match=r"expected the key 'joints', found ord"):
        read_joints(save_mat(tmp_path / "j.mat", "ord", np.ones((3, 14, 14)), version), images)


@VERSIONS
def test_a_truncated_file_is_an_input_error(tmp_path, images, version):
    array = lsp_array(random_points(3), np.zeros((3, 14)))
    whole = save_mat(tmp_path / "j.mat", "joints", array, version).read_bytes()
    for length in {0, 1, 127, 128, 140, 200, 513, 600, len(whole) // 2, len(whole) - 9}:
        (tmp_path / "cut.mat").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut.mat: expected"):
            read_joints(tmp_path / "cut.mat", images)


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_bytes_never_end_the_process(tmp_path, images, compressed):
    """Any byte of the tags may be wrong: the file is read, or the message says what is wrong."""
    path = tmp_path / "j.mat"
    array = lsp_array(random_points(3), np.zeros((3, 14)))
    savemat(path, {"joints": array}, do_compression=compressed)
    whole = path.read_bytes()
    for place in range(124, 216):
        for value in (0, 8, 20, 128, 255):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                read_joints(path, images)
            except InputError as error:
                assert str(error).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["absent.mat", "absent.json", "absent.csv", "joints.npy"])
def test_files_that_are_not_there_or_of_another_kind(tmp_path, images, name):
    with pytest.raises(InputError, match=rf"{name}: expected a"):
        read_joints(tmp_path / name, images)


def test_the_same_name_twice_is_refused(tmp_path, images):
    with pytest.raises(InputError, match=r"no name twice, found im0002\.jpg 2 times"):
        read_joints(tmp_path / "joints.csv", [*images, images[1]])
    with pytest.raises(InputError, match="images: expected at least one file, found none"):
        read_joints(tmp_path / "joints.csv", [])


# --- the real sample -----------------------------------------------------------------------------


def test_real_file_of_lsp_extended(shared_data):
    folder = shared_data / "lspet"
    found = read_joints(folder / "joints.mat", image_files(folder))
    raw = loadmat(str(folder / "joints.mat"))["joints"].transpose(2, 0, 1)
    assert found.missing == (raw[..., 2] == 0).sum()
    assert 0 < found.outside < 10
    assert (found.present.sum() + found.missing + found.outside) == 14 * len(raw)
    three = [folder / "images" / f"im{number:05d}.jpg" for number in (7, 1203, 20)]
    some = read_joints(folder / "joints.mat", three)
    torch.testing.assert_close(some.keypoints_px, found.keypoints_px[[6, 1202, 19]])


# --- JSON and CSV --------------------------------------------------------------------------------


@given(st.data())
def test_json_gives_back_what_was_written(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("à b")
    names = data.draw(st.lists(st.text("aé 1,_", min_size=1, max_size=6), min_size=1, unique=True))
    images = save_images(folder, [f"x{name}.png" for name in names])
    numbers = st.floats(0, 60, width=32)
    count = len(images) * 14
    points = data.draw(st.lists(numbers, min_size=2 * count, max_size=2 * count))
    points = torch.tensor(points).reshape(-1, 14, 2)
    present = torch.tensor(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    present = present.reshape(-1, 14)
    write_joints(folder / "joints.json", images, points, present)
    found = read_joints(folder / "joints.json", images)
    assert found.present.equal(present) and found.missing == int((~present).sum())
    assert found.keypoints_px.equal(torch.where(present[..., None], points, 0))


def _csv(path, lines, columns=("image", "joint", "x", "y")):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *lines])
    return path


def test_csv_in_any_order(tmp_path, images):
    lines = [("12.5", "im0003.jpg", "3", "neck"), ("", "im0001.jpg", "", "left_hip")]
    path = _csv(tmp_path / "joints.csv", lines, ("y", "image", "x", "joint"))
    found = read_joints(path, images)
    assert found.keypoints_px[2, LSP14.index("neck")].tolist() == [3, 12.5]
    assert found.present.sum() == 1 and found.missing == 41


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("im0001.jpg", "nose", 1, 2), r"line 2: expected one of right_ankle.* found 'nose'"),
        (("im0001.jpg", "neck", "a", 2), r"line 2: expected numbers x and y, found 'a', '2'"),
        (("im0001.jpg", "neck", "", 2), r"line 2: expected numbers x and y, found '', '2'"),
        (("im0001.jpg", "neck", "nan", 2), r"line 2: expected two finite numbers"),
        (("im0001.jpg", "neck", "1e300", 2), r"line 2: expected two finite numbers"),
        (("im0001.jpg", "neck", 1), r"line 2: expected 4 values"),
        (("im0001.jpg", "neck", 1, 2, 3), r"line 2: expected 4 values"),
        (("other.jpg", "neck", 1, 2), r"such as 'im0001.jpg', found none of them"),
    ],
)
def test_csv_that_cannot_be_used(tmp_path, images, line, message):
    with pytest.raises(InputError, match=message):
        read_joints(_csv(tmp_path / "joints.csv", [line]), images)


def test_csv_with_a_joint_twice_or_other_columns(tmp_path, images):
    line = ("im0001.jpg", "neck", 1, 2)
    with pytest.raises(InputError, match=r"line 3: expected each joint once, found neck"):
        read_joints(_csv(tmp_path / "j.csv", [line, line]), images)
    with pytest.raises(InputError, match=r"the columns image, joint, x, y, found file, x, y"):
        read_joints(_csv(tmp_path / "j.csv", [], ("file", "x", "y")), images)
    (tmp_path / "j.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="expected a CSV file, found"):
        read_joints(tmp_path / "j.csv", images)


def _json(**changes):
    content = {"joints": list(LSP14.joints), "images": {"im0001.jpg": {"neck": [1, 2]}}}
    return json.dumps(content | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a JSON file"),
        (_json()[:-9], "expected a JSON file"),
        ("[" * 100_000, "expected a JSON file"),
        ('{"joints": 1, "joints": 2}', "'joints' stands twice"),
        ("[1, 2]", 'a list "joints" and an object "images"'),
        (_json(images=[]), 'a list "joints" and an object "images"'),
        (_json(joints=["nose"]), r"expected the joints right_ankle, .*, found \['nose'\]"),
        (_json(images={"im0001.jpg": [1, 2]}), r"im0001.jpg: expected joints by name"),
        (_json(images={"im0001.jpg": {"nose": [1, 2]}}), "found 'nose'"),
        (_json(images={"im0001.jpg": {"neck": [1, 2, 3]}}), "expected two finite numbers"),
        (_json(images={"im0001.jpg": {"neck": [1, True]}}), "expected two finite numbers"),
        (_json(images={"im0001.jpg": {"neck": [1, float("nan")]}}), "expected two finite numbers"),
        (_json(images={"im0001.jpg": {"neck": [1, 10**400]}}), "expected two finite numbers"),
        (_json(images={"im0001.jpg": {"neck": "1 2"}}), "expected two finite numbers"),
        (_json(images={}), r"such as 'im0001.jpg', found none of them"),
    ],
)
def test_json_that_cannot_be_used(tmp_path, images, text, message):
    (tmp_path / "joints.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_joints(tmp_path / "joints.json", images)


def test_joints_are_given_in_the_upright_image(tmp_path):
    """A photograph taken with the camera on its side: 80 x 60 in the file, shown as 60 x 80."""
    exif = Image.Exif()
    exif[274] = 6
    images = save_images(tmp_path, ["a.jpg"], exif=exif)
    path = _csv(tmp_path / "j.csv", [("a.jpg", "neck", 30, 70), ("a.jpg", "head_top", 70, 30)])
    found = read_joints(path, images)
    assert found.present[0].nonzero().flatten().tolist() == [LSP14.index("neck")]
    assert found.outside == 1


# --- writing -------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path, images):
    points = torch.full((3, 14, 2), 5.0)
    path = tmp_path / "joints.json"
    write_joints(path, images, points, torch.ones(3, 14, dtype=torch.bool))
    before = path.read_bytes()
    points[0, 0] = torch.nan
    with pytest.raises(InputError, match="present joints: expected finite values"):
        write_joints(path, images, points, torch.ones(3, 14, dtype=torch.bool))
    assert path.read_bytes() == before and os.listdir(tmp_path).count("joints.json") == 1


def test_writing_where_a_folder_stands_in_the_way(tmp_path, images):
    (tmp_path / "joints.json").mkdir()
    nowhere = torch.zeros(3, 14, dtype=torch.bool)
    with pytest.raises(InputError, match=r"joints.json: could not be written"):
        write_joints(tmp_path / "joints.json", images, torch.zeros(3, 14, 2), nowhere)


def _annotated(count, seed=0):
    """Joints, presence, relations and settled pairs of images, from random depths."""
    rng = np.random.default_rng(seed)
    depth = torch.from_numpy(rng.integers(0, 5, (count, 14)))
    relations = (depth[:, None, :] - depth[:, :, None]).sign().to(torch.int8)
    settled = torch.from_numpy(rng.random((count, 14, 14)) < 0.7)
    points = torch.from_numpy(random_points(count, seed=seed)).float()
    present = torch.from_numpy(rng.random((count, 14)) < 0.8)
    return points, present, relations, settled & settled.mT


def test_export_has_the_layout_of_the_authors(tmp_path):
    images = save_images(tmp_path / "in", ["a b.jpg", "ü.png"])
    points, present, relations, settled = _annotated(2)
    export(tmp_path / "out", images, points, present, relations, settled)
    folder = tmp_path / "out" / "lsp_dataset_original"
    assert sorted(p.name for p in folder.iterdir()) == [
        *("images", "joints.mat", "names.csv", "ordinal.mat"),
    ]
    joints, ordinal = loadmat(folder / "joints.mat"), loadmat(folder / "ordinal.mat")["ord"]
    assert joints["joints"].shape == (3, 14, 2) and ordinal.shape == (2, 14, 14)
    for k in range(2):
        for i in range(14):
            x, y, occluded = joints["joints"][:, i, k]
            if present[k, i]:
                assert [x, y] == pytest.approx((points[k, i] - 0.5).tolist()) and occluded == 0
            else:
                assert np.isnan(x) and np.isnan(y) and occluded == 1
            for j in range(14):
                if settled[k, i, j] and i != j:
                    assert ordinal[k, i, j] == -relations[k, i, j].item()
                else:
                    assert np.isnan(ordinal[k, i, j])
    with (folder / "names.csv").open(encoding="utf-8") as file:
        names = {row["image"]: row["original"] for row in csv.DictReader(file)}
    assert names == {"im0001.jpg": "a b.jpg", "im0002.jpg": "ü.png"}


def test_export_copies_jpeg_and_encodes_the_rest(tmp_path):
    images = save_images(tmp_path / "in", ["a.jpg", "b.png", "c.png"])
    images[0].rename(tmp_path / "in" / "a.png")  # JPEG whatever its name says
    images[0] = tmp_path / "in" / "a.png"
    export(tmp_path, images, *_annotated(3))
    folder = tmp_path / "lsp_dataset_original" / "images"
    assert (folder / "im0001.jpg").read_bytes() == images[0].read_bytes()
    for name, original in (("im0002.jpg", images[1]), ("im0003.jpg", images[2])):
        with Image.open(folder / name) as copy, Image.open(original) as source:
            assert copy.format == "JPEG" and copy.size == source.size
            assert np.abs(np.array(copy, int) - np.array(source, int)).max() <= 2


def test_exported_joints_are_read_back(tmp_path):
    images = save_images(tmp_path / "in", NAMES)
    points, present, relations, settled = _annotated(3)
    export(tmp_path, images, points, present, relations, settled)
    folder = tmp_path / "lsp_dataset_original"
    found = read_joints(folder / "joints.mat", image_files(folder))
    assert found.present.equal(present) and not found.outside
    torch.testing.assert_close(found.keypoints_px, torch.where(present[..., None], points, 0))


def test_export_replaces_an_earlier_export_only(tmp_path):
    images = save_images(tmp_path / "in", NAMES)
    export(tmp_path, images, *_annotated(3))
    export(tmp_path, images[:1], *_annotated(1))
    folder = tmp_path / "lsp_dataset_original"
    assert len(image_files(folder)) == 1
    with pytest.raises(InputError, match="expected images outside the export"):
        export(tmp_path, image_files(folder), *_annotated(1))
    (folder / "names.csv").unlink()
    with pytest.raises(InputError, match="found other data"):
        export(tmp_path, images, *_annotated(3))
    assert len(image_files(folder)) == 1


def test_a_failed_export_leaves_nothing(tmp_path):
    images = save_images(tmp_path / "in", NAMES)
    images[2].write_bytes(b"no image")
    with pytest.raises(InputError, match=r"im0003.jpg: expected an image"):
        export(tmp_path / "out", images, *_annotated(3))
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r, s: (r, s & False), "at least one pair"),
        (lambda r, s: (r * 3, s), "expected -1, 0 or 1"),
        (lambda r, s: (r.abs(), s), "expected r"),
        (lambda r, s: (r, s.triu()), "expected r"),
    ],
)
def test_export_of_relations_that_are_none(tmp_path, change, message):
    images = save_images(tmp_path / "in", NAMES)
    points, present, relations, settled = _annotated(3)
    with pytest.raises(InputError, match=message):
        export(tmp_path / "out", images, points, present, *change(relations, settled))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_export_of_other_numbers_of_images(tmp_path, request, number):
    if request.config.getoption("--jaxtyping-packages", None):
        pytest.skip("shape checks refuse the call before export does")
    arguments = [tmp_path / "out", save_images(tmp_path / "in", NAMES), *_annotated(3)]
    arguments[number] = arguments[number][:1]
    with pytest.raises(InputError, match=r"expected shape \(\.\.\., 3, 14.*found \(1, 14"):
        export(*arguments)
