"""HumanEva-I: poses, samples, frame numbers and images."""

import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from humaneva_files import (
    CAMERAS,
    SEQUENCES,
    STANDING,
    K,
    positions,
    save_all_images,
    save_archives,
    save_images,
    to_camera,
    walk,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ordlib import metrics
from ordlib.camera import project
from ordlib.data import PoseDataset
from ordlib.datasets import humaneva
from ordlib.datasets.humaneva_archives import RANGES, Chunk, frame_numbers
from ordlib.errors import InputError
from ordlib.experiments.components import skeletons_from_poses
from ordlib.skeleton import H36M17, HUMANEVA15
from ordlib.synthetic.domains import DOMAINS

FILE_3D, FILE_2D = "data_3d_humaneva15.npz", "data_2d_humaneva15_gt.npz"


def load(root, **options):
    return humaneva.load(root, trust_pickle=True, **{"size": 32, **options})


def loaded(tmp_path, table=None, **options):
    """The data set of a table whose chunks begin where their sequences do."""
    save_archives(tmp_path, table)
    if not (tmp_path / "images").exists():
        save_all_images(tmp_path)
    return load(tmp_path, **options)


# --- poses ----------------------------------------------------------------------------------------


def test_poses_are_in_mm_with_y_down(tmp_path):
    """The archive has metres and z up; a person must neither stand on the head nor be mirrored."""
    table = positions()
    table["Train/S1"]["Walking 1 chunk0"] = STANDING[None].astype(np.float32)
    save_archives(tmp_path, table)
    (tmp_path / FILE_2D).unlink()
    captured = humaneva.poses(tmp_path, trust_pickle=True)
    row = captured.clip_names.index("Train/S1/Walking 1 chunk0")
    pose = captured.poses[captured.clip == row][0]
    named = dict(zip(H36M17.joints, pose.tolist(), strict=True))
    assert named["pelvis"] == [0, 0, 0]
    assert named["head_top"][1] == pytest.approx(-770, abs=0.1)
    assert named["left_ankle"][1] == pytest.approx(850, abs=0.1)
    up = -pose[:, 1]
    to_left = pose[H36M17.index("left_hip")] - pose[H36M17.index("right_hip")]
    forward = pose[H36M17.index("left_knee")] - pose[H36M17.index("left_hip")]
    side = torch.linalg.cross(torch.tensor([0.0, -1.0, 0.0]), forward)  # up x forward is left
    assert up[H36M17.index("jaw")] > up[H36M17.index("spine")] > 0 and side @ to_left > 0


def test_poses_of_a_split(tmp_path):
    table = positions(4)
    save_archives(tmp_path, table)
    train = humaneva.poses(tmp_path, trust_pickle=True)
    held_out = humaneva.poses(str(tmp_path), "validation", trust_pickle=True)
    assert len(train) == len(held_out) == 24 and train.fps == 60
    assert train.frame[:5].tolist() == [0, 1, 2, 3, 0]
    assert all(name.startswith("Validate/S") for name in held_out.clip_names)
    assert not train.poses.equal(held_out.poses)
    parts = skeletons_from_poses(train.poses, torch.Generator().manual_seed(0))
    assert len(parts) == 24
    lengths = [np.linalg.norm(j[:, 3] - j[:, 2], axis=-1) for j in _chunks(table, "Train")]
    elbow = H36M17.index("left_elbow") - 1
    assert train.limb_lengths_mm[elbow].item() == pytest.approx(np.mean(lengths) * 1000, rel=1e-4)


def _chunks(table, split):
    return [joints for key in table if key.startswith(split) for joints in table[key].values()]


# --- samples --------------------------------------------------------------------------------------


def test_joints_by_name_in_every_camera(tmp_path):
    table = positions()
    dataset = loaded(tmp_path, table)
    batch = dataset.batch(np.arange(len(dataset)))
    assert len(dataset) == 6 * 3 * 3
    for row in range(len(dataset)):
        subject, camera = batch.meta["subject"][row], CAMERAS.index(batch.meta["camera"][row])
        action = {"Walking": "Walking", "Jogging": "Jog"}[batch.meta["action"][row]]
        first = RANGES[action, subject][1]
        joints = table[f"Train/{subject}"][f"{action} 1 chunk0"][batch.meta["frame"][row] - first]
        truth = to_camera(joints, camera)
        for name, position in zip(HUMANEVA15.joints, truth, strict=True):
            index = H36M17.index("head_top" if name == "head" else name)
            assert batch.joints_mm[row, index].numpy() == pytest.approx(position, abs=1)
    seen = project(batch.joints_mm, batch.intrinsics)
    measured = list(humaneva.IN_H36M17)
    torch.testing.assert_close(
        seen[:, measured], batch.keypoints_px[:, measured], atol=0.02, rtol=0
    )
    torch.testing.assert_close(seen, batch.keypoints_px, atol=0.2, rtol=0)  # half-way in 2D too


def test_pixels_count_from_the_edge(tmp_path):
    """The archive gives the first pixel's centre as 0, the project as 0.5."""
    frames = loaded(tmp_path, positions(1)).frames
    assert frames.intrinsics[0, :2, 2].numpy() == pytest.approx(K[:2, 2] + 0.5, abs=0.05)


def test_spine_and_jaw_are_interpolated_to_learn_from(tmp_path):
    dataset = loaded(tmp_path)
    batch = dataset.batch([0, 1])
    assert batch.visible.all() and dataset.frames.known.all()
    assert batch.annotated[0].sum() == 17 * 16
    for name, ends in (("spine", ("pelvis", "thorax")), ("jaw", ("thorax", "head_top"))):
        joint, first, second = (H36M17.index(n) for n in (name, *ends))
        halfway = (batch.joints_mm[:, first] + batch.joints_mm[:, second]) / 2
        torch.testing.assert_close(batch.joints_mm[:, joint], halfway)
    scored = [name not in ("spine", "jaw") for name in H36M17.joints]
    assert dataset.scored.tolist() == [scored] * len(dataset)


def test_the_error_is_a_mean_over_the_15_joints(tmp_path):
    truth = loaded(tmp_path).batch([0, 5]).joints_mm
    predicted = truth + torch.randn(truth.shape, generator=torch.Generator().manual_seed(1)) * 30
    judged = list(humaneva.IN_H36M17)
    names = ["head" if j == "head_top" else j for j in (H36M17.joints[k] for k in judged)]
    assert tuple(names) == HUMANEVA15.joints
    error = metrics.reconstruction_error(predicted[:, judged], truth[:, judged])
    predicted[:, [H36M17.index("spine"), H36M17.index("jaw")]] += 1000
    again = metrics.reconstruction_error(predicted[:, judged], truth[:, judged])
    assert error.equal(again) and (error > 10).all() and (error < 100).all()


def test_what_a_data_set_says_of_itself(tmp_path):
    table = positions()
    for split, key in (("train", "Train"), ("validation", "Validate")):
        dataset = loaded(tmp_path, table, split=split)
        assert isinstance(dataset, PoseDataset)
        assert (dataset.name, dataset.split) == ("humaneva", split)
        meta = dataset.frames.meta
        assert set(meta["part"]) == set(DOMAINS["duo"].parts)
        assert set(meta["action"]) == set(DOMAINS["duo"].actions)
        assert set(meta["subject"]) == set(DOMAINS["duo"].people)
        assert set(meta["camera"]) == set(CAMERAS)
        firsts = {RANGES[action, subject][key == "Train"] for subject, action in SEQUENCES}
        assert firsts <= set(meta["frame"].tolist())
        lengths = [
            np.linalg.norm(j[:, 13] - j[:, 12], axis=-1).mean() for j in _chunks(table, "Train")
        ]
        shin = H36M17.index("right_ankle") - 1
        assert dataset.limb_lengths_mm[shin].item() == pytest.approx(
            np.mean(lengths) * 1000, rel=1e-4
        )


# --- frame numbers and images ---------------------------------------------------------------------


def test_an_image_is_later_than_its_frame_by_the_offset_of_its_video(tmp_path):
    """S2 Walking: frame 438 is the 438 + 115th image in C1 and C2 and the 438 + 114th in C3."""
    save_archives(tmp_path)
    save_all_images(tmp_path)
    for camera, number in (("C1", 553), ("C2", 553), ("C3", 552)):
        folder = tmp_path / f"images/S2/Walking_1_{camera}"
        folder.unlink()
        save_images(folder, range(550, 560))
        path = folder / f"{number:06d}.jpg"
        path.unlink()
        Image.new("L", (640, 480), 200).save(path)
    dataset = load(tmp_path)
    meta = dataset.frames.meta
    bright = dataset.batch(np.arange(len(dataset))).images[:, 0, 16, 16] > 150
    expected = (meta["subject"] == "S2") & (meta["action"] == "Walking") & (meta["frame"] == 438)
    assert bright.numpy().tolist() == expected.tolist() and expected.sum() == 3


def _sequence(valid, seed=0):
    """A sequence as its MATLAB file has it, and its chunks."""
    joints = walk(len(valid), seed)
    joints[~np.asarray(valid)] = np.nan
    edges = [0, *(np.flatnonzero(np.diff(valid)) + 1).tolist(), len(valid)]
    chunks = {
        f"Jog 1 chunk{number}": joints[left:right]
        for number, (left, right) in enumerate(pairwise(edges))
        if valid[left]
    }
    return joints, chunks


def _valid(length, *wrong):
    valid = np.ones(length, dtype=bool)
    for left, right in wrong:
        valid[left:right] = False
    return valid


def _jog(tmp_path, valid, seed=4):
    """The data set with such a jogging of S3 to train on, and its rows of that."""
    table = positions(1)
    joints, chunks = _sequence(valid, seed)
    del table["Train/S3"]["Jog 1 chunk0"]
    table["Train/S3"] |= chunks
    dataset = loaded(tmp_path, table)
    meta = dataset.frames.meta
    rows = (meta["subject"] == "S3") & (meta["action"] == "Jogging") & (meta["camera"] == "C2")
    frames = meta["frame"][rows]
    expected = to_camera(joints[frames - 401], 1)[:, 0]
    assert dataset.frames.joints_mm[torch.from_numpy(rows), 0].numpy() == pytest.approx(
        expected, abs=2
    )
    return frames.tolist()


@pytest.mark.parametrize(
    "wrong", [(), ((0, 1),), ((100, 101), (300, 301)), ((440, 441),), ((400, 441),)]
)
def test_numbers_that_the_chunks_leave_no_doubt_of(tmp_path, wrong):
    """Runs of one frame, which the lengths tell, and frames lost at the end."""
    valid = _valid(441, *wrong)
    assert _jog(tmp_path, valid) == (np.flatnonzero(valid) + 401).tolist()


def test_numbers_after_a_gap_of_unknown_length(tmp_path):
    """Chunk numbers have gaps, and the frames that are lost may be in any of them."""
    valid = _valid(441, (100, 120))
    with pytest.warns(UserWarning, match=r"the number of 321 of 426 frames is not known"):
        assert _jog(tmp_path, valid) == list(range(401, 501))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=7), st.booleans())
def test_a_number_is_right_or_not_given(lengths, starts_valid):
    """Whatever the runs with and without motion capture are."""
    lengths = [*lengths, 441 - sum(lengths)]
    edges = np.cumsum([0, *lengths]) + 401
    chunks = [
        Chunk("Train", "S3", "Jog", number, np.zeros((length, 15, 3)), None)
        for number, length in enumerate(lengths)
        if number % 2 != starts_valid
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        numbers = frame_numbers(Path("nowhere"), chunks)
    for chunk in chunks:
        assert numbers.get(chunk.name, edges[chunk.number]) == edges[chunk.number]
    if starts_valid:
        assert numbers["Train/S3/Jog 1 chunk0"] == 401


def test_more_frames_than_a_sequence_has(tmp_path):
    table = positions(1)
    table["Train/S3"]["Jog 1 chunk0"] = walk(441)
    table["Train/S3"]["Jog 1 chunk2"] = walk(1)
    save_archives(tmp_path, table)
    with pytest.raises(InputError, match=r"at most 441 frames .* found 442 and 1 runs without"):
        load(tmp_path)


def test_no_frame_has_a_number(tmp_path):
    table = {
        key: {name.replace("chunk0", "chunk2"): joints for name, joints in chunks.items()}
        for key, chunks in positions().items()
    }
    save_archives(tmp_path, table)
    with (
        pytest.warns(UserWarning, match="the number of 18 of 18 frames is not known"),
        pytest.raises(InputError, match=r"npz: expected frames of known number, found none"),
    ):
        load(tmp_path)


def test_without_images_it_is_said_how_to_get_them(tmp_path):
    save_archives(tmp_path)
    message = (
        r"images: expected frames of the videos, .*ffmpeg -i .*Walking_1_\(C1\).*humaneva.poses"
    )
    with pytest.raises(InputError, match=message):
        load(tmp_path)
    assert len(humaneva.poses(tmp_path, trust_pickle=True)) == 18


def test_missing_images_are_named_and_counted(tmp_path):
    save_archives(tmp_path)
    save_images(tmp_path / "images/S1/Jog_1_C1", range(1, 420))
    message = r"S1/Jog_1_C1/000420.jpg: expected an image, .* 52 of 54 images are missing"
    with pytest.raises(InputError, match=message):
        load(tmp_path)


def test_paths_with_spaces_and_links(tmp_path):
    place = tmp_path / "Daten für uns"
    save_archives(place / "human eva")
    save_all_images(place)
    (place / "human eva/images").symlink_to(place / "images")
    (tmp_path / "link").symlink_to(place / "human eva")
    for root in (place / "human eva", str(tmp_path / "link")):
        assert load(root).batch([0]).images.shape == (1, 3, 32, 32)


# --- the defect of the head -----------------------------------------------------------------------


def test_a_head_at_the_chest_is_marked_and_counted(tmp_path):
    """In S3's walking the head lies in front of the chest in most frames."""
    table = positions()
    joints = table["Train/S3"]["Walking 1 chunk0"]
    joints[1:, 14] = joints[1:, 1] + (0.1, 0.1, -0.05)
    message = r"Train/S3/Walking 1: the head lies at the chest in 2 of 3 frames"
    with pytest.warns(UserWarning, match=message):
        dataset = loaded(tmp_path, table)
    meta, head = dataset.frames.meta, H36M17.index("head_top")
    walking = (meta["subject"] == "S3") & (meta["action"] == "Walking")
    wrong = walking & (meta["frame"] > 448)
    assert dataset.frames.visible[:, head].tolist() == (~wrong).tolist()
    batch = dataset.batch(np.flatnonzero(wrong))
    for joint in (head, H36M17.index("jaw")):
        assert not batch.annotated[:, joint].any() and not batch.visible[:, joint].any()
    judged = [name not in ("spine", "jaw", "head_top") for name in H36M17.joints]
    assert dataset.scored[torch.from_numpy(wrong)].tolist() == [judged] * int(wrong.sum())
    assert (dataset.scored.sum(-1).numpy() == 15 - wrong).all()
    assert (batch.joints_mm[:, head] - batch.joints_mm[:, 8]).norm(dim=-1).max() < 200
    assert dataset.limb_lengths_mm[head - 1] * 2 == pytest.approx(270, abs=30)
    with pytest.warns(UserWarning, match=message):
        assert len(humaneva.poses(tmp_path, trust_pickle=True)) == 18
    load(tmp_path, split="validation")  # nothing to warn of there
