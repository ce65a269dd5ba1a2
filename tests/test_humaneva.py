"""HumanEva-I: safe reading of pickles, cameras, frame numbers, samples, bad files."""

import io
import os
import pickle
import warnings
import zipfile
from collections import OrderedDict
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
    projections,
    save_all_images,
    save_archives,
    save_images,
    save_matlab,
    see,
    to_camera,
    view,
    walk,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ordlib import metrics
from ordlib.camera import project
from ordlib.datasets import humaneva, npz
from ordlib.datasets.humaneva_archives import RANGES, Chunk, frame_numbers
from ordlib.datasets.pinhole import fit_camera, fit_intrinsics
from ordlib.errors import InputError
from ordlib.reconstruction import skeletons_from_poses
from ordlib.sample import PoseDataset
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


# --- pickles -------------------------------------------------------------------------------------


def save_pickle(path, raw, key="positions_3d", shape=()):
    """An archive whose one member is a pickled array, whatever the bytes of its pickle are."""
    member = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{key}.npy", member.getvalue() + raw)
    return path


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


# --- cameras -------------------------------------------------------------------------------------


@pytest.mark.parametrize("camera", range(3))
def test_the_published_camera_is_found_again(camera):
    joints = walk(40)
    pixels = see(joints)[camera].astype(np.float64).reshape(-1, 2)
    found = fit_camera(joints.astype(np.float64).reshape(-1, 3) * 1000, pixels, "here")
    rotation, centre = view(camera)
    assert found.intrinsics == pytest.approx(K, rel=1e-4, abs=1e-6)
    assert found.rotation == pytest.approx(rotation, abs=1e-4)
    assert -found.rotation.T @ found.shift == pytest.approx(centre, abs=0.5)
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    assert found.error_px < 1e-3


def test_noise_of_a_pixel_leaves_the_camera_nearly_right():
    joints = walk(300).astype(np.float64)
    pixels = see(joints)[1].reshape(-1, 2) + np.random.default_rng(0).normal(0, 1, (4500, 2))
    found = fit_camera(joints.reshape(-1, 3) * 1000, pixels, "here")
    assert found.intrinsics == pytest.approx(K, rel=0.02, abs=1e-6)
    assert found.error_px == pytest.approx(np.sqrt(np.pi / 2), rel=0.1)
    seen = found.to_camera(joints * 1000)
    assert np.abs(seen - to_camera(joints, 1)).max() < 100


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((20, 3)), "found 20 that do not"),
        (np.random.default_rng(0).normal(size=(30, 3)) * (1, 1, 0), "found 30 that do not"),
        (np.random.default_rng(0).normal(size=(5, 3)), "found 5 that do not"),
    ],
)
def test_points_that_settle_no_camera(points, message):
    with pytest.raises(
        InputError, match=rf"^here: expected joints that settle a camera, {message}"
    ):
        fit_camera(points, points[:, :2], "here")


def test_points_without_spread_settle_no_intrinsics():
    with pytest.raises(InputError, match=r"^here: .* found focal lengths"):
        fit_intrinsics(np.ones((9, 3)), np.ones((9, 2)), "here")


# --- poses ---------------------------------------------------------------------------------------


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


# --- samples -------------------------------------------------------------------------------------


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
    known = batch.visible
    torch.testing.assert_close(seen[known], batch.keypoints_px[known], atol=0.02, rtol=0)


def test_pixels_count_from_the_edge(tmp_path):
    """The archive gives the first pixel's centre as 0, the project as 0.5."""
    frames = loaded(tmp_path, positions(1)).frames
    assert frames.intrinsics[0, :2, 2].numpy() == pytest.approx(K[:2, 2] + 0.5, abs=0.05)


def test_spine_and_jaw_are_not_known(tmp_path):
    batch = loaded(tmp_path).batch([0, 1])
    missing = [H36M17.index("spine"), H36M17.index("jaw")]
    others = [j for j in range(17) if j not in missing]
    assert not batch.visible[:, missing].any() and batch.visible[:, others].all()
    assert not batch.annotated[:, missing].any() and not batch.annotated[:, :, missing].any()
    assert batch.annotated[0].sum() == 15 * 14
    halfway = (batch.joints_mm[:, 0] + batch.joints_mm[:, H36M17.index("thorax")]) / 2
    torch.testing.assert_close(batch.joints_mm[:, missing[0]], halfway)


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


# --- frame numbers and images --------------------------------------------------------------------


def test_an_image_is_later_than_its_frame_by_the_offset_of_its_video(tmp_path):
    """S2 Walking: frame 438 is the 438 + 115th image in C1 and C2 and the 438 + 114th in C3."""
    save_archives(tmp_path)
    save_all_images(tmp_path)
    for camera, number in (("C1", 553), ("C2", 553), ("C3", 552)):
        path = tmp_path / f"images/S2/Walking_1_{camera}/{number:06d}.jpg"
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


def _jog(tmp_path, valid, matlab=False, seed=4):
    """The data set with such a jogging of S3 to train on, and its rows of that."""
    table = positions(1)
    joints, chunks = _sequence(valid, seed)
    del table["Train/S3"]["Jog 1 chunk0"]
    table["Train/S3"] |= chunks
    if matlab:
        save_matlab(tmp_path / "Train/S3/Jog_1.mat", joints)
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


def test_the_matlab_file_tells_the_numbers(tmp_path):
    valid = _valid(441, (0, 7), (100, 120), (300, 310))
    assert _jog(tmp_path, valid, matlab=True) == (np.flatnonzero(valid) + 401).tolist()


@pytest.mark.parametrize("place", ["", "converted_15j"])
def test_a_matlab_file_that_does_not_fit(tmp_path, place):
    save_archives(tmp_path)
    path = tmp_path / place / "Train/S2/Walking_1.mat"
    save_matlab(path, walk(437))
    with pytest.raises(InputError, match=r"expected shape \(438, 15, 3\), found \(437, 15, 3\)"):
        load(tmp_path)
    save_matlab(path, walk(438))
    with pytest.raises(InputError, match=r"mat: expected 3 frames .* run 0, .* found 438"):
        load(tmp_path)
    save_matlab(path, np.full((438, 15, 3), np.nan))
    with pytest.raises(InputError, match=r"mat: expected 3 frames .* run 0, .* found 0"):
        load(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"Walking_1.mat: expected a MATLAB file, found damage"):
        load(tmp_path)


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


# --- the defect of the head ----------------------------------------------------------------------


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
    assert not batch.annotated[:, head].any() and not batch.visible[:, head].any()
    assert (batch.joints_mm[:, head] - batch.joints_mm[:, 8]).norm(dim=-1).max() < 200
    assert dataset.limb_lengths_mm[head - 1] * 2 == pytest.approx(270, abs=30)
    with pytest.warns(UserWarning, match=message):
        assert len(humaneva.poses(tmp_path, trust_pickle=True)) == 18
    load(tmp_path, split="validation")  # nothing to warn of there


# --- bad files -----------------------------------------------------------------------------------


NAME = "Walking 1 chunk0"


def _set(array, index, value):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda j: j[:, :14], r"shape \(frames, 15, 3\), found float32 \(3, 14, 3\)"),
        (lambda j: j[..., :2], r"found float32 \(3, 15, 2\)"),
        (lambda j: j[0], r"found float32 \(15, 3\)"),
        (lambda j: j[:0], r"found float32 \(0, 15, 3\)"),
        (lambda j: j.mT, r"found float32 \(3, 3, 15\)"),
        (lambda j: j.astype("U9"), r"found <U9 \(3, 15, 3\)"),
        (lambda j: j.tolist(), "found list"),
        (lambda j: None, "found NoneType"),
        (lambda j: _set(j, (1, 2, 0), np.nan), "expected finite positions, found 1 of 135"),
        (lambda j: _set(j, 1, np.inf), "found 45 of 135 that are not"),
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
        (lambda s: s[:2], ": expected a list of 3 cameras, found 2"),
        (lambda s: 3, ": expected a list of 3 cameras, found no list"),
        (lambda s: [s[0], s[1][:2], s[2]], r", C2: .* \(3, 15, 2\), found float32 \(2, 15, 2\)"),
        (lambda s: [s[0], s[1], s[2][:, :13]], r", C3: .* found float32 \(3, 13, 2\)"),
        (lambda s: [s[0] * np.nan, s[1], s[2]], ", C1: expected finite .* found 90 of 90"),
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
    with pytest.raises(InputError, match=rf"{FILE_2D}: expected a NumPy archive, found nothing"):
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
            with pytest.raises(InputError, match=rf"{name}: expected a NumPy archive, found dam"):
                load(tmp_path)
