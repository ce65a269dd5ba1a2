"""Folders of pictures and files of 2D joints: what is read, what is left out, what is refused."""

import csv
import os
import re
import shutil

import numpy as np
import pytest
import torch
from photo_files import lsp_array, lspet_array, random_points, save_images, save_mat
from PIL import Image
from scipy.io import savemat

from ordlib.cli import main
from ordlib.data import open_picture
from ordlib.errors import InputError
from ordlib.labelling.folder import image_files, jpeg, pictures
from ordlib.labelling.joints import joints_of, write_joints
from ordlib.skeleton import LSP14

NAMES = ("im0001.jpg", "im0002.jpg", "im0003.jpg")
VERSIONS = pytest.mark.parametrize("version", ["5", "7.3"])


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos of Zoë"
    save_images(folder, NAMES)
    return folder


def read(folder, array, name="joints.mat", version="5"):
    save_mat(folder / name, "joints", array, version)
    return joints_of(pictures(folder), folder / name)


# pictures


def test_images_are_those_of_the_folder_or_of_its_subfolder_by_name(tmp_path):
    save_images(tmp_path / "images", ["sub.jpg"])
    assert image_files(tmp_path) == [tmp_path / "images" / "sub.jpg"]
    save_images(tmp_path, ["b.png", "a.JPG", "c d.jpeg", "é.jpg"])
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "._a.jpg").write_text("left by another system")
    (tmp_path / "._x.heic").write_text("and this")
    assert [p.name for p in image_files(tmp_path)] == ["a.JPG", "b.png", "c d.jpeg", "é.jpg"]
    assert pictures(tmp_path).left_out == []


def spoil(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def odd_name(path):
    shutil.copy(path, os.path.join(os.fsencode(path.parent), b"\xff\xfe.jpg"))


@pytest.mark.parametrize(
    ("change", "line", "count"),
    [
        (spoil, r"left out: .*im0001\.jpg: expected an image, .*", 2),
        (lambda path: path.write_text("no"), r"left out: .*im0001\.jpg: expected an image, .*", 2),
        (odd_name, "\ufffd\ufffd.jpg: left out, its name is not UTF-8", 3),
        (
            lambda path: [(path.parent / n).write_text("") for n in ("1.heic", "2.HEIC", "3.webp")],
            r"left out: 3 files of other kinds \(\.heic, \.webp\)",
            3,
        ),
    ],
)
def test_what_cannot_be_shown_is_left_out_by_name(folder, change, line, count):
    change(folder / NAMES[0])
    shown = pictures(folder)
    assert re.fullmatch(line, *shown.left_out) and len(shown.paths) == len(shown.sizes) == count


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "expected a folder of images, found no such folder"),
        (lambda folder: folder.mkdir(), r"expected images \(jpg, jpeg, png\) here or in images/"),
        (lambda folder: folder.write_text(""), "expected a folder, found: Not a directory"),
        (
            lambda folder: (folder.mkdir(), (folder / "a.webp").write_text("x")),
            r".* found none; left out: 1 file of other kinds \(\.webp\)",
        ),
        (
            lambda folder: (folder.mkdir(), (folder / "a.jpg").write_text("x")),
            r"expected an image that can be shown, found left out: .*a\.jpg: expected an image",
        ),
    ],
)
def test_folders_without_pictures(tmp_path, make, message):
    make(tmp_path / "place")
    with pytest.raises(InputError, match=f"place: {message}"):
        pictures(tmp_path / "place")


def test_a_folder_whose_name_is_not_utf8(folder, capsys):
    os.rename(os.fsencode(folder), os.fsencode(folder) + b"\xff")
    assert main(["annotate", os.fsdecode(os.fsencode(folder) + b"\xff"), "--no-browser"]) == 2
    assert "expected a folder with a name in UTF-8" in capsys.readouterr().err


XMP = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF"
    b" xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description"
    b" xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation='6'/></rdf:RDF></x:xmpmeta>"
)


def save_turned(path):
    exif = Image.Exif()
    exif[274] = 6
    Image.effect_noise((80, 60), 90).save(path, exif=exif)


@pytest.mark.parametrize(
    "save",
    [
        save_turned,
        lambda path: Image.effect_noise((80, 60), 90).convert("RGB").save(path, xmp=XMP),
        lambda path: Image.effect_noise((80, 60), 90).save(path, icc_profile=b"none"),
        lambda path: Image.linear_gradient("L").convert("CMYK").save(path),
        lambda path: Image.fromarray(
            np.linspace(0, 65535, 4800).reshape(60, 80).astype(np.uint16)
        ).save(path.with_suffix(".png")),
        lambda path: Image.linear_gradient("L").convert("P").save(path.with_suffix(".png")),
    ],
)
def test_people_see_the_pixels_that_are_learned_from(tmp_path, save):
    save(tmp_path / "a.jpg")
    (path,) = image_files(tmp_path)
    (tmp_path / "shown.jpg").write_bytes(jpeg(path))
    with Image.open(tmp_path / "shown.jpg") as shown:
        assert shown.format == "JPEG"
        assert not shown.getexif() and "xmp" not in shown.info
        learned = np.array(open_picture(path).decode(), dtype=int)
        assert shown.size == tuple(pictures(tmp_path).sizes[0].tolist())
        assert np.abs(np.array(shown.convert("RGB"), dtype=int) - learned).max() <= 12
        assert learned.std() > 20


# joints.mat


@VERSIONS
def test_lsp_keeps_occluded_joints(folder, version):
    points, flags = random_points(3), np.zeros((3, 14))
    flags[1, 4] = 1  # occluded, with a position
    joints = read(folder, lsp_array(points, flags), version=version)
    assert joints.present.all() and joints.placed.all() and not joints.problems
    assert joints.keypoints_px.numpy() == pytest.approx(points + 0.5, abs=1e-4)


@VERSIONS
def test_lspet_leaves_out_joints_flagged_0(folder, version):
    points, flags = random_points(3), np.ones((3, 14))
    flags[1, 4], points[1, 4] = 0, (-17, 0)
    flags[2, 0], points[2, 0] = 0, (30, 30)
    joints = read(folder, lspet_array(points, flags), version=version)
    assert (joints.present.numpy() == (flags == 1)).all() and not joints.keypoints_px[1, 4].any()
    assert joints.keypoints_px.numpy()[flags == 1] == pytest.approx(points[flags == 1] + 0.5, 1e-4)
    assert joints.problems == "2 of 42 joints without a position (im0002.jpg, im0003.jpg)"


def named(pattern, numbers):
    return [pattern.format(number) for number in numbers]


COLUMNS = [  # names, columns in the file, the column of each name or None
    (named("im{:04d}.jpg", range(1, 10)), 9, range(9)),
    (named("im{:04d}.jpg", range(10)), 10, range(10)),
    (named("im{:04d}.jpg", [2, 5, 9]), 9, [1, 4, 8]),  # the last of all is there
    (named("im{:04d}.jpg", [0, 3]), 9, [0, 3]),  # the first of all is there
    (named("im{}.jpg", [1, 10, 2, 3, 4, 5, 6, 7, 8, 9]), 10, [0, 9, 1, 2, 3, 4, 5, 6, 7, 8]),
    (named("DSC_{}.jpg", [912, 955]), 2, [0, 1]),
    (named("{}.jpg", [1000, 999]), 2, [1, 0]),
    (["DSC_0912.jpg", "beach.png"], 2, [0, 1]),
    (["a2.jpg", "b1.jpg"], 2, [0, 1]),
    (named("im{:04d}.jpg", range(1, 10)), 10, None),  # of 0 to 9 or of 1 to 10?
    (named("im{:04d}.jpg", range(1, 10)), 8, None),
    (named("im{:04d}.jpg", [0, 9]), 9, None),
    (["a1.jpg", "b3.jpg"], 3, None),
    (["beach.jpg"], 9, None),
]


@pytest.mark.parametrize(("names", "count", "columns"), COLUMNS)
def test_columns_are_those_of_the_images_or_an_error(tmp_path, names, count, columns):
    save_images(tmp_path, names)
    points = random_points(count)
    if columns is None:
        message = rf"found {count} columns and {len(names)} images.* put back .* joints\.csv"
        with pytest.raises(InputError, match=message):
            read(tmp_path, lsp_array(points, np.zeros((count, 14))))
    else:
        joints = read(tmp_path, lsp_array(points, np.zeros((count, 14))))
        assert joints.names == sorted(names)
        order = [dict(zip(names, columns, strict=True))[name] for name in joints.names]
        assert joints.keypoints_px.numpy() == pytest.approx(points[order] + 0.5, abs=1e-4)


def test_columns_count_images_that_cannot_be_shown(folder):
    spoil(folder / NAMES[0])
    points = random_points(3)
    joints = read(folder, lsp_array(points, np.zeros((3, 14))))
    assert joints.keypoints_px.numpy() == pytest.approx(points[1:] + 0.5, abs=1e-4)


def test_joints_outside_are_left_out_and_counted(folder):
    points = random_points(3)
    points[0, 0], points[1, 1], points[2, 2] = (79.4, 59.4), (80, 30), (-3, 30)
    joints = read(folder, lsp_array(points, np.zeros((3, 14))))
    assert joints.present.sum() == 40 and joints.present[0, 0]
    assert joints.problems == "2 of 42 joints outside their image (im0002.jpg, im0003.jpg)"


def _with(array, index, value):
    array[index] = value
    return array


WRONG = [
    (lambda a: a.transpose(2, 1, 0), r"found \(3, 14, 3\)|expected 0 or 1"),
    (lambda a: a[:, :13], r"found \(3, 13, 3\)"),
    (lambda a: a[..., :0], r"found \(3, 14, 0\)"),
    (lambda a: a[None], r"found \(1, 3, 14, 3\)"),
    (lambda a: a[..., :1], "found 1 columns and 3 images, numbered 1 to 3"),
    (lambda a: _with(a, (2, 3, 1), 2), r"expected 0 or 1 as the third value, found 2"),
    (lambda a: _with(a, (0, 3, 1), np.inf), r"found infinite"),
    (lambda a: _with(a, slice(0, 2), -200), r"found 42 of 42 outside.*wrong way round"),
    (lambda a: a * 1j, "expected an array of numbers"),
    (lambda a: "text", "expected an array of numbers"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_other_arrays_are_refused(folder, change, message):
    array = change(lsp_array(random_points(3), np.zeros((3, 14))))
    with pytest.raises(InputError, match=rf"joints\.mat: .*({message})"):
        read(folder, array)


def test_a_joint_flagged_as_annotated_needs_a_position(folder):
    with pytest.raises(InputError, match="expected positions of annotated joints, found NaN"):
        read(folder, lspet_array(_with(random_points(3), (0, 0, 0), np.nan), np.ones((3, 14))))


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_bytes_never_end_the_process(folder, compressed):
    """Any byte of the tags may be wrong: the file is read, or the message says what is wrong."""
    shown, path = pictures(folder), folder / "joints.mat"
    array = lsp_array(random_points(3), np.zeros((3, 14)))
    savemat(path, {"joints": array}, do_compression=compressed)
    whole = path.read_bytes()
    for place in range(124, 216):
        for value in (0, 8, 20, 128, 255):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                joints_of(shown)
            except InputError as error:
                assert str(error).startswith(f"{path}: ")


def test_real_file_of_lsp_extended(shared_data):
    joints = joints_of(pictures(shared_data / "lspet"))
    assert len(joints.names) == 1500 and joints.placed.all()
    assert "joints outside their image" in joints.problems


# joints.csv and which file


def test_csv_gives_back_what_was_written(folder):
    points = torch.from_numpy(random_points(3)).float()
    points[0, 0] = torch.tensor([1 / 3, 2**-20])
    present = torch.rand(3, 14, generator=torch.Generator().manual_seed(1)) < 0.7
    write_joints(folder / "joints.csv", NAMES, points, present)
    joints = joints_of(pictures(folder))
    assert joints.present.equal(present)
    assert joints.keypoints_px.equal(points.where(present[..., None], 0))


def _csv(path, lines, columns=("image", "joint", "x", "y")):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *lines])
    return path


def test_csv_in_any_order_and_of_other_images(folder):
    lines = [
        ("12.5", "im0003.jpg", "3", "neck"),
        ("", "im0001.jpg", "", "left_hip"),
        *((f"{k}", f"foo{k}.jpg", "3", "neck") for k in range(4)),
    ]
    _csv(folder / "joints.csv", lines, ("y", "image", "x", "joint"))
    joints = joints_of(pictures(folder))
    assert joints.keypoints_px[2, LSP14.index("neck")].tolist() == [3, 12.5]
    assert joints.present.sum() == 1 and joints.placed.tolist() == [False, False, True]
    assert "2 images without any joint (im0001.jpg, im0002.jpg)" in joints.problems
    assert "4 joints of images not in the folder (foo0.jpg, foo1.jpg, foo2.jpg, …)" in (
        joints.problems
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([("im0001.jpg", "nose", 1, 2)], r"line 2: .*right_ankle.* once, found 'nose'"),
        ([("im0001.jpg", "neck", "a", 2)], r"line 2: expected numbers x and y, found 'a', '2'"),
        ([("im0001.jpg", "neck", "", 2)], r"line 2: expected numbers x and y, found '', '2'"),
        ([("im0001.jpg", "neck", "nan", 2)], r"line 2: expected numbers"),
        ([("im0001.jpg", "neck", 10**400, 2)], r"line 2: expected numbers"),
        ([("im0001.jpg", "neck", 1)], r"line 2: expected 4 values"),
        ([("im0001.jpg", "neck", 1, 2, 3)], r"line 2: expected 4 values"),
        ([("other.jpg", "neck", 1, 2)], r"such as 'im0001.jpg', found none of them"),
        ([], r"such as 'im0001.jpg', found none of them"),
        ([("im0001.jpg", "neck", 1, 2)] * 2, r"line 3: .* once, found 'neck'"),
        ([("im0001.jpg", "neck", 500, 2)], "expected joints inside their images, found 1 of 1"),
    ],
)
def test_csv_that_cannot_be_used(folder, lines, message):
    _csv(folder / "joints.csv", lines)
    with pytest.raises(InputError, match=rf"joints\.csv: .*{message}"):
        joints_of(pictures(folder))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("joints.csv", b"\xff\xfe\x00", "expected a CSV file, found"),
        ("joints.csv", b"file,x,y\n", "the columns image, joint, x, y, found file, x, y"),
        ("joints.csv", b"", "the columns image, joint, x, y, found nothing"),
        ("joints.mat", b"none", "expected"),
        ("joints.npy", b"", r"expected a \.mat or \.csv file"),
        ("absent.csv", None, "expected a CSV file, found"),
        ("absent.mat", None, "expected a .* found nothing"),
    ],
)
def test_files_that_are_none(folder, name, content, message):
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: .*{message}"):
        joints_of(pictures(folder), folder / name)


def test_which_file_of_joints(folder):
    shown = pictures(folder)
    assert not joints_of(shown).placed.any() and joints_of(shown).file is None
    for name in ("joints.mat", "joints.csv"):
        (folder / name).write_text("")
    with pytest.raises(InputError, match=r"found joints\.mat and joints\.csv; name one"):
        joints_of(shown)


def test_joints_are_given_in_the_upright_image(tmp_path):
    save_turned(tmp_path / "a.jpg")  # 80 x 60 in the file, shown as 60 x 80
    _csv(tmp_path / "joints.csv", [("a.jpg", "neck", 30, 70), ("a.jpg", "head_top", 70, 30)])
    joints = joints_of(pictures(tmp_path))
    assert joints.present[0].nonzero().flatten().tolist() == [LSP14.index("neck")]


def test_the_box_shows_the_person_with_a_margin(folder):
    points = np.full((3, 14, 2), (30.0, 20.0))
    points[0, 0] = (50, 40)
    joints = read(folder, lsp_array(points, np.zeros((3, 14))))
    assert joints.box(0, (80, 60)) == pytest.approx([22.5, 12.5, 58.5, 48.5])
