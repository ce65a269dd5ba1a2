"""The test set of MPI-INF-3DHP: its traps, the protocol on loaded data, bad files."""

import shutil
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy.io import savemat
from threedhp_files import (
    NAMES,
    STANDING,
    K,
    content,
    save_annotations,
    save_sequence,
    see,
)

from ordlib import metrics
from ordlib.camera import project
from ordlib.data import PoseDataset
from ordlib.datasets import mpi_inf_3dhp
from ordlib.errors import InputError
from ordlib.skeleton import H36M17, mean_limb_lengths
from ordlib.synthetic.domains import DOMAINS

# MPI-INF-3DHP's joint k is this joint of Human3.6M
FROM_H36M = [10, 8, 14, 15, 16, 11, 12, 13, 1, 2, 3, 4, 5, 6, 0, 7, 9]


def load(root, **options):
    """Without the warnings that small files give; tests of the warnings call `load` itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*(found no TS|found valid frames)")
        return mpi_inf_3dhp.load(root, **options)


def one(tmp_path, data):
    save_sequence(tmp_path / "TS1", data)
    return load(tmp_path, size=64)


# --- the traps -----------------------------------------------------------------------------------


def test_frames_that_are_not_valid_look_as_if_they_were(tmp_path):
    """Their numbers are plausible, and only `valid_frame` tells; their images are not wanted."""
    data = content(frames=8)
    data["valid_frame"][:] = np.array([0, 1, 1, 0, 0, 1, 0, 1])[:, None]
    dataset = one(tmp_path, data)
    batch = dataset.batch([0, 1, 2, 3])
    assert len(dataset) == 4 and batch.meta["frame"].tolist() == [2, 3, 6, 8]
    truth = torch.from_numpy(data["univ_annot3"][[1, 2, 5, 7], 0]).float()
    assert batch.joints_mm[:, FROM_H36M].equal(truth)


def test_a_valid_frame_has_the_image_of_its_number(tmp_path):
    """Row k is image k + 1, wherever that stands in a listing of the folder."""
    save_sequence(tmp_path / "TS1", content(frames=12))
    for number in (1, 3, 11, 12):
        path = tmp_path / f"TS1/imageSequence/img_{number:06d}.jpg"
        path.unlink()
        Image.new("L", (2048, 2048), 10 * number).save(path)
    dataset = load(tmp_path, size=16)
    numbers = dataset.frames.meta["frame"].tolist()
    rows = [numbers.index(number) for number in (1, 3, 11, 12)]
    middle = dataset.batch(rows).images[:, 0, 8, 8].tolist()
    assert middle == pytest.approx([10, 30, 110, 120], abs=2)


@pytest.mark.parametrize("reverse", [False, True])
def test_both_orders_of_axes(tmp_path, reverse):
    """h5py shows MATLAB's axes reversed; a file may also have been written the other way."""
    data = content()
    expected = one(tmp_path / "a", data).batch([0, 4])
    save_sequence(tmp_path / "b/TS1", data)
    save_annotations(tmp_path / "b/TS1/annot_data.mat", data, reverse)
    batch = load(tmp_path / "b", size=64).batch([0, 4])
    assert batch.joints_mm.equal(expected.joints_mm)
    assert batch.keypoints_px.equal(expected.keypoints_px)


@pytest.mark.parametrize("frames", [2, 3, 17])
def test_numbers_of_frames_that_look_like_other_axes(tmp_path, frames):
    data = content(frames=frames)
    data["valid_frame"][:] = 1
    batch = one(tmp_path, data).batch([1])
    assert batch.joints_mm[0, FROM_H36M].numpy() == pytest.approx(data["univ_annot3"][1, 0])


def test_joints_go_where_their_names_say(tmp_path):
    names = [
        *("head_top", "thorax", "right_shoulder", "right_elbow", "right_wrist"),
        *("left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle"),
        *("left_hip", "left_knee", "left_ankle", "pelvis", "spine", "jaw"),
    ]
    data = content()
    batch = one(tmp_path, data).batch([0])
    for k, name in enumerate(names):
        joint = batch.joints_mm[0, H36M17.index(name)]
        assert joint.numpy() == pytest.approx(data["univ_annot3"][0, 0, k], rel=1e-5)
    assert batch.visible.all() and batch.annotated[0].sum() == 17 * 16


def test_the_right_side_of_who_faces_the_camera_is_on_the_left_of_the_image(tmp_path):
    data = content(frames=2)
    data["valid_frame"][:] = 1
    facing = np.add(STANDING, (0, 0, 4000))
    data["annot3"][0, 0] = data["univ_annot3"][0, 0] = facing
    data["annot2"][0, 0] = see(facing)
    points = one(tmp_path, data).batch([0]).keypoints_px[0]
    assert points[H36M17.index("right_wrist"), 0] < points[H36M17.index("left_wrist"), 0]
    assert points[H36M17.index("head_top"), 1] < points[H36M17.index("left_ankle"), 1]


def test_the_camera_comes_from_annot3_and_the_truth_from_univ_annot3(tmp_path):
    """The universal pose does not project onto the image: a camera fitted to it would be wrong."""
    data = content(ratio=1.3)
    save_sequence(tmp_path / "TS1", data)
    frames = load(tmp_path).frames
    assert frames.intrinsics[0].numpy() == pytest.approx(K, rel=1e-5, abs=1e-3)
    seen = project(torch.from_numpy(data["annot3"][:1, 0]).float(), frames.intrinsics[:1])
    torch.testing.assert_close(seen, frames.keypoints_px[:1, FROM_H36M], atol=0.01, rtol=0)
    assert frames.joints_mm[0, FROM_H36M].numpy() == pytest.approx(
        data["univ_annot3"][0, 0], rel=1e-5
    )
    assert frames.joints_mm[0, 0].numpy() == pytest.approx(data["annot3"][0, 0, 14], rel=1e-5)


def test_joints_lie_where_they_are_painted(tmp_path):
    data = content(frames=3)
    save_sequence(tmp_path / "TS1", data)
    path = tmp_path / "TS1/imageSequence/img_000001.jpg"
    path.unlink()
    image = Image.new("L", (2048, 2048))
    for x, y in data["annot2"][0, 0]:
        ImageDraw.Draw(image).ellipse((x - 9, y - 9, x + 8, y + 8), fill=255)
    image.save(path, "JPEG", quality=95)
    batch = load(tmp_path, size=512).batch([0])
    for x, y in batch.keypoints_px[0].floor().int().tolist():
        assert batch.images[0, 0, y, x] > 200
    for corner in (batch.keypoints_px.amin(1), 512 - batch.keypoints_px.amax(1)):
        assert (corner > 0).all()
    margin = 512 - (batch.keypoints_px.amax(1) - batch.keypoints_px.amin(1)).max()
    side = 512 / batch.intrinsics[0, 0, 0] * K[0, 0]
    assert margin * side / 512 == pytest.approx(40 * K[0, 0] / 1147, rel=0.01)


# --- the protocol --------------------------------------------------------------------------------


def test_pck_and_auc_of_the_authors_on_what_is_loaded(tmp_path):
    """Joints 0 to 13 of the files, pelvis subtracted, strictly below; pooled over the frames."""
    data = content(frames=30, seed=3)
    dataset = one(tmp_path, data)
    truth = dataset.batch(np.arange(len(dataset))).joints_mm
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)) * 90
    predicted = truth + noise
    valid = np.flatnonzero(data["valid_frame"])
    poses = predicted[:, FROM_H36M].numpy()
    counts, shares = 0, []
    for threshold in range(0, 151, 5):
        near = []
        for row, frame in enumerate(valid):
            there = data["univ_annot3"][frame, 0] - data["univ_annot3"][frame, 0, 14]
            here = poses[row] - poses[row, 14]
            near += [np.linalg.norm(here[k] - there[k]) < threshold for k in range(14)]
        counts, shares = len(near), [*shares, np.mean(near)]
    assert counts == 14 * len(valid)
    assert metrics.pck3d(predicted, truth).mean().item() == pytest.approx(shares[-1], abs=1e-6)
    assert metrics.auc3d(predicted, truth).mean().item() == pytest.approx(np.mean(shares), abs=1e-6)


def test_pelvis_spine_and_jaw_are_not_judged(tmp_path):
    truth = one(tmp_path, content()).batch([0]).joints_mm
    predicted = truth.clone()
    predicted[:, [H36M17.index("spine"), H36M17.index("jaw")]] += 500
    assert metrics.pck3d(predicted, truth) == 1
    predicted[:, H36M17.index("head_top")] += 500
    assert metrics.pck3d(predicted, truth) == pytest.approx(13 / 14)


def test_the_weights_of_table_7():
    """Frames of a scene are pooled, so its weight is its number of valid frames."""
    pooled = dict.fromkeys(mpi_inf_3dhp.PARTS.values(), 0)
    for name, count in mpi_inf_3dhp.VALID_FRAMES.items():
        pooled[mpi_inf_3dhp.PARTS[name]] += count
    assert pooled == {name: count for name, (count, _) in DOMAINS["shift"].parts.items()}
    scores = {"Studio GS": 76.5, "Studio no GS": 63.1, "Outdoor": 77.5}
    total = sum(pooled[part] * score for part, score in scores.items()) / 2929
    assert total == pytest.approx(71.9, abs=0.05)


# --- what is loaded ------------------------------------------------------------------------------


def test_all_sequences_as_first_published(tmp_path):
    """With the usual numbers of valid frames there is nothing to warn of."""
    for seed, (name, count) in enumerate(mpi_inf_3dhp.VALID_FRAMES.items()):
        save_sequence(tmp_path / name, content(frames=count + 1, seed=seed))
    dataset = mpi_inf_3dhp.load(tmp_path, size=8)
    assert isinstance(dataset, PoseDataset) and len(dataset) == 2929
    assert (dataset.name, dataset.split) == ("mpi_inf_3dhp", "test")
    assert dataset.limb_lengths_mm.equal(mean_limb_lengths())
    meta = dataset.frames.meta
    assert set(meta["part"]) == set(DOMAINS["shift"].parts)
    for name, part in mpi_inf_3dhp.PARTS.items():
        assert set(meta["part"][meta["subject"] == name]) == {part}
    assert set(meta["action"]) == set(DOMAINS["shift"].actions)
    first = dataset.batch([0, 1])
    assert first.meta["action"].tolist() == ["standing/walking", "sitting"]
    assert set(first.meta) == {"subject", "action", "camera", "frame", "part"}


def test_other_numbers_of_valid_frames_are_said(tmp_path):
    for name in NAMES:
        save_sequence(tmp_path / name)
    usual = "TS1 603, TS2 540, TS3 505, TS4 553, TS5 276, TS6 452"
    with pytest.warns(UserWarning, match=rf"TS5 5, TS6 5; expected {usual}, as first published"):
        assert len(mpi_inf_3dhp.load(tmp_path)) == 30


def test_an_absent_sequence_is_said(tmp_path):
    for name, seed in (("TS2", 0), ("TS5", 1)):
        count = mpi_inf_3dhp.VALID_FRAMES[name]
        save_sequence(tmp_path / name, content(frames=count + 1, seed=seed))
    with pytest.warns(UserWarning, match="found no TS1, TS3, TS4, TS6"):
        dataset = mpi_inf_3dhp.load(tmp_path)
    assert set(dataset.frames.meta["part"]) == {"Studio GS", "Outdoor"}


def test_a_corrected_file_goes_first(tmp_path):
    folder = save_sequence(tmp_path / "TS6")
    corrected = content(seed=9)
    save_annotations(folder / "annot_data-corr.mat", corrected)
    joints = load(tmp_path).frames.joints_mm
    assert joints[0, 0].numpy() == pytest.approx(corrected["annot3"][0, 0, 14], rel=1e-5)
    (folder / "annot_data.mat").unlink()
    assert load(tmp_path).frames.joints_mm.equal(joints)


def test_paths_with_spaces_and_links(tmp_path):
    place = tmp_path / "Daten für uns" / "mpi_inf_3dhp_test_set"
    save_sequence(place / "TS3")
    elsewhere = tmp_path / "images of TS3"
    shutil.move(place / "TS3/imageSequence", elsewhere)
    (place / "TS3/imageSequence").symlink_to(elsewhere)
    (tmp_path / "link").symlink_to(place.parent)
    for root in (place, place.parent, tmp_path / "link", str(tmp_path / "link")):
        assert load(root, size=8).batch([0]).images.shape == (1, 3, 8, 8)


# --- bad files -----------------------------------------------------------------------------------


def _without(key):
    return lambda data: data.pop(key)


def _set(key, index, value):
    def change(data):
        data[key][index] = value

    return change


def _replace(key, function):
    return lambda data: data.update({key: np.ascontiguousarray(function(data[key]))})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("univ_annot3"), "expected the key 'univ_annot3', found .*annot2.*annot3"),
        (_without("annot3"), "expected the key 'annot3'"),
        (_without("annot2"), "expected the key 'annot2'"),
        (_without("valid_frame"), "expected the key 'valid_frame'"),
        (_without("activity_annotation"), "expected the key 'activity_annotation'"),
        (_replace("annot2", lambda a: a[:, :, :14]), r"annot2: .* found \(2, 14, 1, 6\)"),
        (_replace("annot3", lambda a: a[..., :2]), r"annot3: .* found \(2, 17, 1, 6\)"),
        (_replace("annot3", lambda a: a.mT), r"annot3: .* found \(17, 3, 1, 6\)"),
        (_replace("univ_annot3", lambda a: a[0, 0, 0]), r"univ_annot3: .* found \(3,\)"),
        (_replace("univ_annot3", lambda a: np.float64(3)), "univ_annot3: expected"),
        (_replace("univ_annot3", lambda a: a.astype("S9")), "univ_annot3: expected an array of"),
        (_replace("annot2", lambda a: a[:5]), r"annot2: .* with n = 6, found \(2, 17, 1, 5\)"),
        (
            _replace("valid_frame", lambda a: a[:5]),
            r"activity_annotation: .* with n = 5, found \(1, 6\)",
        ),
        (_replace("valid_frame", lambda a: a * 0), "expected valid frames, found none among 6"),
        (_replace("valid_frame", lambda a: a + 1), "numbers from 0 to 1, found 2 and 5 such"),
        (
            _replace("valid_frame", lambda a: a * a.T),
            r"valid_frame: expected shape \(n, 1\).*, found \(6, 6\)",
        ),
        (_set("valid_frame", 2, np.nan), "valid_frame: .* found nan and 1 such"),
        (_set("activity_annotation", 2, 8), "numbers from 1 to 7, found 8 and 1 such"),
        (_set("annot2", (3, 0, 2, 1), np.nan), "annot2: expected finite .* found 1 values of 170"),
        (_set("univ_annot3", (3, 0), np.inf), "univ_annot3: expected finite .* found 51 values"),
        (_replace("univ_annot3", lambda a: a / 1000), "univ_annot3: expected positions in mm"),
        (_replace("annot3", lambda a: a / 1000), "annot3: expected positions in mm"),
        (_set("annot3", (2, 0, 0, 2), -9.0), "annot3: expected joints in front .* z = -9"),
        (_replace("annot3", lambda a: a * (-1, 1, 1)), "found focal lengths -1"),
        (_replace("annot3", lambda a: a[::-1]), r"(project onto annot2, found \d+|focal lengths)"),
        (_replace("annot2", lambda a: a * 0), "found focal lengths"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, change, message):
    save_sequence(tmp_path / "TS1")
    data = content()
    change(data)
    save_annotations(tmp_path / "TS1/annot_data.mat", data)
    with pytest.raises(InputError, match=rf"(?s)TS1/annot_data.mat: .*{message}"):
        load(tmp_path)


def test_numbers_of_frames_that_are_not_valid_may_be_anything(tmp_path):
    data = content()
    for key in ("annot2", "annot3", "univ_annot3"):
        data[key][1] = np.nan
    assert len(one(tmp_path, data)) == 5


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_was_saved_again_as_v5(tmp_path, compressed):
    data = content()
    first = one(tmp_path, data)
    matlab = {key: values.T for key, values in data.items()}
    savemat(tmp_path / "TS1/annot_data.mat", matlab, do_compression=compressed)
    torch.testing.assert_close(load(tmp_path).frames.joints_mm, first.frames.joints_mm)


def test_truncated_files(tmp_path):
    path = save_sequence(tmp_path / "TS1") / "annot_data.mat"
    whole = path.read_bytes()
    for length in (600, len(whole) // 2, len(whole) - 8):
        path.write_bytes(whole[:length])
        with pytest.raises(
            InputError, match=r"annot_data.mat: expected a file of HDF5, MATLAB or NumPy"
        ):
            load(tmp_path)


def test_damaged_bytes_end_in_one_error_or_none(tmp_path):
    """Whatever 40 wrong bytes do to a file, nothing else than InputError comes out."""
    path = save_sequence(tmp_path / "TS1") / "annot_data.mat"
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        broken = whole.copy()
        broken[rng.integers(512, len(whole), 40)] = rng.integers(0, 256, 40)
        path.write_bytes(broken.tobytes())
        try:
            load(tmp_path)
        except InputError as error:
            assert "TS1" in str(error)


@pytest.mark.parametrize("root", ["", "absent", "TS1/imageSequence"])
def test_no_sequence_there(tmp_path, root):
    save_sequence(tmp_path / "data/TS1")
    with pytest.raises(InputError, match="expected folders TS1 to TS6 in this folder, found none"):
        load(tmp_path / root)


def test_a_sequence_without_annotations(tmp_path):
    (tmp_path / "TS4").mkdir()
    with pytest.raises(InputError, match=r"TS4: expected annot_data.mat or annot_data-corr.mat"):
        load(tmp_path)


def test_missing_images_are_named_and_counted(tmp_path):
    folder = save_sequence(tmp_path / "TS1")
    for number in (3, 6):
        (folder / f"imageSequence/img_{number:06d}.jpg").unlink()
    with pytest.raises(InputError, match=r"img_000003.jpg: .* 2 of 5 images are missing"):
        load(tmp_path)
    shutil.rmtree(folder / "imageSequence")
    with pytest.raises(InputError, match=r"img_000001.jpg: .* 5 of 5 images are missing"):
        load(tmp_path)


def test_an_image_that_goes_away_or_is_cut(tmp_path):
    dataset = one(tmp_path, content())
    path = tmp_path / "TS1/imageSequence/img_000004.jpg"
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"img_000004.jpg: expected an image"):
        dataset.batch([2])
    dataset.batch([0, 1])


def test_a_size_below_one(tmp_path):
    save_sequence(tmp_path / "TS1")
    with pytest.raises(InputError, match="size: expected 1 px or more, found 0"):
        load(tmp_path, size=0)


def test_someone_behind_the_camera_who_is_not_valid(tmp_path):
    data = content()
    data["annot3"][1, 0, :, 2] = -1
    assert len(one(tmp_path, data)) == 5
