"""The authors' archive of ordinal annotations: meaning, samples, bad files, and our own export."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from photo_files import (
    JOINTS,
    PATTERNS,
    half,
    lspet_array,
    random_points,
    save_half,
    save_images,
    save_mat,
)
from PIL import Image

from ordlib.data import PoseDataset
from ordlib.datasets import lsp_mpii_ordinal
from ordlib.datasets.photos import agreed
from ordlib.errors import InputError
from ordlib.labelling.exporting import export
from ordlib.skeleton import H36M17, LSP14, LSP14_IN_H36M17, MPII16, mean_limb_lengths
from ordlib.synthetic.making import ORDINAL_JOINTS

LSP, MPII = "lsp_dataset_original", "mpii_upis1h"
HALVES = pytest.mark.parametrize("name", [LSP, MPII])
VERSIONS = pytest.mark.parametrize("version", ["5", "7.3"])
NECK, HIP, WRIST = (H36M17.index(j) for j in ("thorax", "left_hip", "right_wrist"))


def _names(name):
    """Joint names of Human3.6M for the joints of a half, None for one that it has not."""
    if name == LSP:
        return ["thorax" if joint == "neck" else joint for joint in LSP14.joints]
    renamed = {"neck": "thorax", "pelvis": None, "thorax": None}
    return [renamed.get(joint, joint) for joint in MPII16.joints]


def _one(tmp_path, name, **changes):
    """The loaded half with some of its content changed, and its only batch."""
    content = half(name) | changes
    dataset = lsp_mpii_ordinal.load(save_half(tmp_path / name, content), size=64)
    return dataset, dataset.batch(list(range(len(dataset))))


# --- the traps -----------------------------------------------------------------------------------


@HALVES
@VERSIONS
def test_relations_are_the_opposite_of_ord_joint_by_joint(tmp_path, name, version):
    content = half(name)
    content["ord"][0, 0, :] = content["ord"][0, :, 0] = np.nan
    batch = lsp_mpii_ordinal.load(save_half(tmp_path / name, content, version)).batch([0, 1, 2])
    for k in range(3):
        for i, first in enumerate(_names(name)):
            for j, second in enumerate(_names(name)):
                if first is None or second is None or i == j:
                    continue
                a, b = H36M17.index(first), H36M17.index(second)
                said = content["ord"][k, i, j]
                assert batch.annotated[k, a, b].item() is bool(np.isfinite(said))
                assert batch.relations[k, a, b] == (0 if np.isnan(said) else -said)
    outside = [j for j in range(17) if j not in ORDINAL_JOINTS]
    assert not batch.annotated[:, outside].any() and not batch.annotated[:, :, outside].any()
    assert not batch.relations[:, outside].any() and not batch.relations[:, :, outside].any()


@pytest.mark.parametrize(
    ("one", "other", "relation", "annotated"),
    [
        (np.nan, np.nan, 0, False),
        (-1, 1, 1, True),
        (1, -1, -1, True),
        (0, 0, 0, True),
        (np.nan, 1, 1, True),
        (1, np.nan, -1, True),
        (0, np.nan, 0, True),
    ],
)
def test_nan_is_no_answer_and_one_side_is_enough(tmp_path, one, other, relation, annotated):
    ordinal = np.zeros((3, 14, 14))
    i, j = LSP14.index("right_wrist"), LSP14.index("neck")
    ordinal[0, i, j], ordinal[0, j, i] = one, other
    _, batch = _one(tmp_path, LSP, ord=ordinal)
    assert batch.relations[0, WRIST, NECK] == relation == -batch.relations[0, NECK, WRIST]
    assert batch.annotated[0, WRIST, NECK] == annotated == batch.annotated[0, NECK, WRIST]


@pytest.mark.parametrize(("one", "other"), [(1, 1), (-1, -1), (0, 1), (-1, 0)])
def test_contradicting_sides_are_left_out_and_counted(tmp_path, one, other):
    content = half(LSP)
    i, j = LSP14.index("right_wrist"), LSP14.index("neck")
    content["ord"][0, i, j], content["ord"][0, j, i] = one, other
    folder = save_half(tmp_path / LSP, content)
    with pytest.warns(UserWarning, match=r"ordinal.mat: 1 pairs contradict themselves"):
        dataset = lsp_mpii_ordinal.load(folder)
    assert dataset.contradictions == {"lsp": 1}
    batch = dataset.batch([0])
    assert not batch.annotated[0, WRIST, NECK] and not batch.annotated[0, NECK, WRIST]
    assert not batch.relations[0, WRIST, NECK] and not batch.relations[0, NECK, WRIST]
    assert batch.annotated.sum() == 14 * 13 - 2


@HALVES
@pytest.mark.parametrize("value", [np.nan, 0, 1, -1])
def test_the_diagonal_is_ignored(tmp_path, name, value):
    content = half(name)
    content["ord"][:, range(JOINTS[name]), range(JOINTS[name])] = value
    _, batch = _one(tmp_path, name, ord=content["ord"])
    assert not batch.annotated.diagonal(dim1=1, dim2=2).any()
    assert not batch.relations.diagonal(dim1=1, dim2=2).any()
    assert batch.annotated.sum() == 3 * 14 * 13


def test_pelvis_and_thorax_of_mpii_are_ignored(tmp_path):
    """The sides of their pairs contradict each other, and nobody is told of it."""
    content = half(MPII)
    content["ord"][:, [6, 7], :] = content["ord"][:, :, [6, 7]] = 1
    dataset, batch = _one(tmp_path, MPII, ord=content["ord"])
    assert dataset.contradictions == {"mpii": 0} and batch.annotated.sum() == 3 * 14 * 13


def test_an_occluded_joint_of_lsp_has_a_position(tmp_path):
    flags = np.zeros((3, 14))
    flags[0, LSP14.index("right_wrist")] = 1
    _, batch = _one(tmp_path, LSP, flags=flags)
    assert batch.visible[:, ORDINAL_JOINTS].all() and batch.keypoints_px[0, WRIST].all()


def test_a_joint_of_mpii_flagged_0_has_none(tmp_path):
    content = half(MPII)
    content["flags"][0, MPII16.index("right_wrist")] = 0
    content["flags"][1, MPII16.index("left_hip")] = 0
    content["points"][1, MPII16.index("left_hip")] = 0
    _, batch = _one(tmp_path, MPII, **content)
    hidden = [(0, WRIST), (1, HIP)]
    expected = [(k, j) for k in range(3) for j in ORDINAL_JOINTS if (k, j) not in hidden]
    assert sorted(map(tuple, batch.visible.nonzero().tolist())) == expected
    assert not batch.keypoints_px[~batch.visible].any()


@HALVES
@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_joint_without_coordinates_has_no_position(tmp_path, name, value):
    points = half(name)["points"]
    points[2, 0] = value  # the right ankle in both
    points[1, 0, 0] = 1.0 if name == MPII else 0.0  # the first column of pixels is a position
    _, batch = _one(tmp_path, name, points=points)
    ankle = H36M17.index("right_ankle")
    assert batch.visible[:, ankle].tolist() == [True, True, False]
    assert batch.annotated[2, ankle].any()  # the order is known all the same


@VERSIONS
def test_swapped_axes_are_refused(tmp_path, version):
    content = half(LSP, images=5)
    folder = save_half(tmp_path / LSP, content, version)
    save_mat(folder / "ordinal.mat", "ord", content["ord"].transpose(1, 2, 0).copy(), version)
    with pytest.raises(InputError, match=r"shape \(images, joints, joints\).* found \(14, 14, 5\)"):
        lsp_mpii_ordinal.load(folder)
    save_half(folder, content, version)
    swapped = lspet_array(content["points"], content["flags"])
    save_mat(folder / "joints.mat", "joints", swapped, version)
    with pytest.raises(InputError, match=r"shape \(3, 14, images\), found \(14, 3, 5\)"):
        lsp_mpii_ordinal.load(folder)


# --- samples -------------------------------------------------------------------------------------


def test_both_halves_are_one_data_set(tmp_path):
    for name in (MPII, LSP):
        save_half(tmp_path / name, half(name))
    dataset = lsp_mpii_ordinal.load(str(tmp_path), size=48)
    assert isinstance(dataset, PoseDataset) and dataset.skeleton is H36M17
    assert (dataset.name, dataset.split, len(dataset)) == ("lsp_mpii_ordinal", "train", 6)
    assert dataset.limb_lengths_mm.equal(mean_limb_lengths())
    batch = dataset.batch(torch.tensor([5, 0, 3, 3]))
    assert batch.images.shape == (4, 3, 48, 48) and batch.joints_mm is None
    assert batch.meta["part"].tolist() == ["mpii", "lsp", "mpii", "mpii"]
    assert batch.meta["frame"].tolist() == [3, 1, 1, 1]
    assert set(batch.meta) == {"subject", "action", "camera", "frame", "part"}
    assert len(dataset.batch([])) == 0
    with pytest.raises(InputError, match="indices: found 6 to 6, expected 0 to 5"):
        dataset.batch([6])


@HALVES
def test_joints_lie_on_their_pixels(tmp_path, name):
    """A dot is painted on the pixel of each joint; LSP counts pixels from 0, MPII from 1."""
    rng = np.random.default_rng(3)
    columns, rows = rng.permutation(70)[None, : JOINTS[name]] + 5, rng.permutation(50)[None, :16]
    rows = rows[:, : JOINTS[name]] + 5
    content = half(name, images=1)
    content["points"] = np.stack([columns, rows], -1) + (1.0 if name == MPII else 0.0)
    folder = save_half(tmp_path / name, content)
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[rows, columns] = 255
    Image.fromarray(pixels).save(folder / "images" / PATTERNS[name].format(1), "PNG")
    batch = lsp_mpii_ordinal.load(folder, size=720).batch([0])
    for joint in ORDINAL_JOINTS:
        x, y = batch.keypoints_px[0, joint].floor().int().tolist()
        assert batch.images[0, 0, y, x] > 220


def test_the_crop_has_a_margin_around_the_joints(tmp_path):
    _, batch = _one(tmp_path, LSP)
    seen = batch.keypoints_px[:, ORDINAL_JOINTS]
    extent = (seen.amax(1) - seen.amin(1)).amax(1)
    assert extent.numpy() == pytest.approx(np.full(3, 64 / 1.25), rel=0.02)
    middle = (seen.amax(1) + seen.amin(1)) / 2
    assert middle.numpy() == pytest.approx(np.full((3, 2), 32), abs=1)


def test_the_assumed_camera_looks_at_the_middle_of_the_image(tmp_path):
    content = half(LSP, images=1)
    content["points"][0, :2] = (39.5, 29.5), (59.5, 29.5)  # centre, and 20 px to the right
    _, batch = _one(tmp_path, LSP, **content)
    intrinsics = batch.intrinsics[0]
    ankle, knee = (batch.keypoints_px[0, H36M17.index(f"right_{j}")] for j in ("ankle", "knee"))
    torch.testing.assert_close(intrinsics[:2, 2], ankle, atol=1e-3, rtol=0)
    # 20 px are this angle for a lens whose focal length is 1.145 times the longer side
    assert (knee - ankle)[0] / intrinsics[0, 0] == pytest.approx(20 / (1.145 * 80), rel=1e-4)


@pytest.mark.parametrize("left", [0, 1])
def test_without_two_joints_the_whole_image_is_shown(tmp_path, left):
    points = half(LSP)["points"]
    points[1, left:] = np.nan
    _, batch = _one(tmp_path, LSP, points=points)
    assert batch.visible[1].sum() == left
    assert batch.images[1, 0, 8:56].all() and not batch.images[1, 0, :7].any()


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 2, st.integers(-1, 1)), max_size=12))
def test_what_is_said_of_a_pair_on_either_side(statements):
    """As counted pair by pair: one relation is taken, several contradict each other."""
    said = torch.zeros(3, 1, 14, 14, dtype=torch.bool)
    expected = {}
    for i, j, relation in statements:
        said[1 - relation, 0, i, j] = True
        if i != j:
            expected.setdefault((min(i, j), max(i, j)), set()).add(relation if i < j else -relation)
    relations, annotated, contradictions = agreed(*said)
    settled = {pair: options.pop() for pair, options in expected.items() if len(options) == 1}
    assert contradictions == len(expected) - len(settled)
    assert annotated.equal(annotated.mT) and relations.equal(-relations.mT)
    assert annotated[0].triu().nonzero().tolist() == [list(pair) for pair in sorted(settled)]
    assert all(relations[0, i, j] == relation for (i, j), relation in settled.items())


# --- where the files are -------------------------------------------------------------------------


@pytest.mark.parametrize("above", [".", "..", "../.."])
def test_the_archive_is_found_from_the_folders_around_it(tmp_path, above):
    folder = save_half(tmp_path / "Daten für uns" / "lsp mpii" / LSP, half(LSP))
    assert len(lsp_mpii_ordinal.load((folder / above).resolve())) == 3


@pytest.mark.parametrize("name", ["", "absent"])
def test_a_folder_without_the_archive(tmp_path, name):
    with pytest.raises(InputError, match=r"expected lsp_dataset_original or mpii_upis1h in this"):
        lsp_mpii_ordinal.load(tmp_path / name)


@HALVES
@pytest.mark.parametrize("lacking", ["joints.mat", "ordinal.mat"])
def test_one_of_the_two_files_is_missing(tmp_path, name, lacking):
    folder = save_half(tmp_path / name, half(name))
    (folder / lacking).unlink()
    for root in (tmp_path, folder):
        with pytest.raises(InputError, match=rf"{name}: expected .* found no {lacking}"):
            lsp_mpii_ordinal.load(root)


# --- bad files -----------------------------------------------------------------------------------


def _set(array, index, value):
    array[index] = value
    return array


@VERSIONS
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: o[:, :13, :13], r"14 or 16 joints .* found \(3, 13, 13\)"),
        (lambda o: o[:, :13], r"found \(3, 13, 14\)"),
        (lambda o: o[0], r"found \(14, 14\)"),
        (lambda o: o[:0], r"found \(0, 14, 14\)"),
        (lambda o: o[:2], r"found 3 images with 14 joints and 2 with 14"),
        (lambda o: np.zeros((3, 16, 16)), r"found 3 images with 14 joints and 3 with 16"),
        (lambda o: _set(o, (0, 1, 2), 2), r"expected -1, 0, 1 or NaN, found 2 and 1 such"),
        (lambda o: _set(o, (0, 1, 2), 0.5), r"expected -1, 0, 1 or NaN, found 0.5 and 1 such"),
        (lambda o: _set(o, (0, 1, 2), -np.inf), r"expected -1, 0, 1 or NaN, found -inf"),
        (lambda o: o * np.nan, r"found NaN alone"),
    ],
)
def test_ordinal_that_cannot_be_used(tmp_path, change, message, version):
    content = half(LSP)
    folder = save_half(tmp_path / LSP, content)
    changed = np.ascontiguousarray(change(content["ord"]))
    save_mat(folder / "ordinal.mat", "ord", changed, version)
    with pytest.raises(InputError, match=message):
        lsp_mpii_ordinal.load(folder)


@HALVES
def test_missing_images_are_named_and_counted(tmp_path, name):
    folder = save_half(tmp_path / name, half(name, images=4))
    for number in (2, 4):
        (folder / "images" / PATTERNS[name].format(number)).unlink()
    first = PATTERNS[name].format(2)
    message = rf"expected 4 images .* found 2 such names; {first} is missing, 2 in all"
    with pytest.raises(InputError, match=message):
        lsp_mpii_ordinal.load(folder)
    save_half(folder, half(name, images=3))
    save_images(folder / "images", [PATTERNS[name].format(number) for number in (4, 5)])
    with pytest.raises(InputError, match=r"expected 3 images .* found 5 such names$"):
        lsp_mpii_ordinal.load(folder)


def test_other_files_among_the_images_do_no_harm(tmp_path):
    folder = save_half(tmp_path / MPII, half(MPII))
    save_images(folder / "images", ["00001_segm.png", "00001.jpg", "Thumbs.png"])
    assert len(lsp_mpii_ordinal.load(folder)) == 3


def test_no_folder_of_images(tmp_path):
    folder = save_half(tmp_path / LSP, half(LSP), images=False)
    with pytest.raises(InputError, match=r"images: expected a folder of images"):
        lsp_mpii_ordinal.load(folder)


def test_a_file_that_is_no_image(tmp_path):
    folder = save_half(tmp_path / LSP, half(LSP))
    dataset = lsp_mpii_ordinal.load(folder)
    (folder / "images" / "im0002.jpg").write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=r"im0002.jpg: expected an image"):
        dataset.batch([1])
    with pytest.raises(InputError, match=r"im0002.jpg: expected an image"):
        lsp_mpii_ordinal.load(folder)
    dataset.batch([0, 2])


def test_a_size_below_one(tmp_path):
    folder = save_half(tmp_path / LSP, half(LSP))
    with pytest.raises(InputError, match="size: expected 1 px or more, found 0"):
        lsp_mpii_ordinal.load(folder, size=0)


@pytest.mark.parametrize(("outside", "warns"), [(4, False), (5, True)])
def test_joints_outside_their_images(tmp_path, outside, warns):
    """42 joints: 5 outside are more than a tenth. They are left out in any case."""
    content = half(LSP)
    content["points"].reshape(-1, 2)[:outside] = (90, 30)
    folder = save_half(tmp_path / LSP, content)
    if warns:
        with pytest.warns(UserWarning, match=r"joints.mat: 5 of 42 joints lie outside"):
            dataset = lsp_mpii_ordinal.load(folder)
    else:
        dataset = lsp_mpii_ordinal.load(folder)
    assert dataset.outside == {"lsp": outside}
    assert dataset.batch([0, 1, 2]).visible.sum() == 42 - outside


# --- our own export ------------------------------------------------------------------------------


def test_what_the_tool_exports_is_read_back(tmp_path):
    rng = np.random.default_rng(5)
    images = save_images(tmp_path / "my photos", ["a.jpg", "b.png", "ç d.jpeg"])
    depth = torch.from_numpy(rng.integers(0, 6, (3, 14)))
    relations = (depth[:, None] - depth[:, :, None]).sign().to(torch.int8)
    settled = torch.from_numpy(rng.random((3, 14, 14)) < 0.6)
    settled = settled & settled.mT & ~torch.eye(14, dtype=torch.bool)
    present = torch.from_numpy(rng.random((3, 14)) < 0.8)
    points = torch.from_numpy(random_points(3)).float()
    export(tmp_path / "out", images, points, present, relations, settled)
    batch = lsp_mpii_ordinal.load(tmp_path / "out", size=64).batch([0, 1, 2])
    slots = torch.tensor(LSP14_IN_H36M17)
    assert batch.visible[:, slots].equal(present)
    assert batch.annotated[:, slots][:, :, slots].equal(settled)
    assert batch.relations[:, slots][:, :, slots].equal(relations * settled)
