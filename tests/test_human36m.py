"""Human3.6M in both layouts: traps, samples, the protocol's arithmetic, and bad files."""

import numpy as np
import pytest
import torch
from human36m_files import (
    ALL_KEYS,
    CAMERAS,
    LEFT_FIRST,
    LENS,
    PLACE_OF_32,
    TEST_NAMES,
    USUAL,
    c2f,
    facing_the_camera,
    film_names,
    ordered,
    people,
    save_annot,
    save_c2f,
    save_sequence,
    save_test_set,
    seen_by,
    sequence,
)
from PIL import Image
from scipy.optimize import minimize

from ordlib.camera import backproject, pose_box, project, root_depth
from ordlib.data import PoseDataset
from ordlib.datasets import human36m
from ordlib.datasets.human36m_studio import ACTIONS, OF_32, action_name
from ordlib.errors import InputError
from ordlib.metrics import mpjpe
from ordlib.skeleton import H36M17, mean_limb_lengths

TRAIN_NAMES = film_names(("S1", "S5", "S6", "S7", "S8"))


def _load(root, split="test", size=32, layout=None):
    return human36m.load(root, split=split, size=size, layout=layout)


def _everything(dataset):
    return dataset.batch(np.arange(len(dataset)))


def _image_px(dataset):
    """Joints in pixels of the image."""
    return dataset.frames.keypoints_px.numpy()


@pytest.fixture
def fetched(tmp_path):
    """A small h36m-fetch tree of the test subjects; no image is opened by most tests."""
    for subject in ("S9", "S11"):
        save_sequence(tmp_path / "processed", f"{subject}/Eating-1", sequence())
    return tmp_path


# --- the traps -----------------------------------------------------------------------------------


def test_the_writers_orders_are_those_of_the_formats():
    assert tuple(USUAL) == H36M17.joints
    assert [LEFT_FIRST.index(name) for name in USUAL] == list(human36m.LEFT_LEG_FIRST)
    assert [PLACE_OF_32[name] for name in USUAL] == list(OF_32)


@pytest.mark.parametrize("mat", [False, True])
def test_the_left_leg_comes_first_in_the_files(tmp_path, mat):
    content = c2f(TEST_NAMES)
    keys = ("center", "scale") if mat else ALL_KEYS
    dataset = _load(save_test_set(tmp_path, content, keys=keys, mat=mat))
    joints = dataset.frames.joints_mm.numpy()
    for name in USUAL:
        found = joints[:, H36M17.index(name)]
        np.testing.assert_allclose(found, content["S"][:, LEFT_FIRST.index(name)], atol=1e-3)
        pixels = content["part"][:, LEFT_FIRST.index(name)] + 0.5
        np.testing.assert_allclose(_image_px(dataset)[:, H36M17.index(name)], pixels, atol=2e-3)


def test_someone_who_faces_the_camera_has_their_left_at_the_right_of_the_image(tmp_path):
    content = c2f(TEST_NAMES)
    content["S"] = np.stack([ordered(np.add(facing_the_camera(), (0, 0, 5000)))] * len(TEST_NAMES))
    batch = _everything(_load(save_test_set(tmp_path, content, keys=("center", "scale", "S"))))
    for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"):
        left, right = (H36M17.index(f"{side}_{joint}") for side in ("left", "right"))
        assert (batch.keypoints_px[:, left, 0] > batch.keypoints_px[:, right, 0]).all()
    knee, hip = H36M17.index("left_knee"), H36M17.index("left_hip")
    assert (batch.relations[:, knee, hip] == 1).all()  # bent forward, so nearer


@pytest.mark.parametrize("layout", ["c2f", "h36m-fetch"])
def test_files_with_left_and_right_swapped_are_refused(tmp_path, layout):
    """Knees bend forward; no error in mm would show it."""
    if layout == "c2f":
        content = c2f(TEST_NAMES)
        content["S"] = content["joints"]  # the usual order, the right leg first
        save_test_set(tmp_path, content, keys=("center", "scale", "S"))
    else:
        content, legs = sequence(), [1, 2, 3, 6, 7, 8]
        content["pose/3d"][:, legs] = content["pose/3d"][:, legs[3:] + legs[:3]]
        save_sequence(tmp_path, "S9/Eating-1", content)
    with pytest.raises(
        InputError, match=r"expected knees that bend forward, found \d+ of \d+ that"
    ):
        _load(tmp_path)


@pytest.mark.parametrize(
    ("raw", "action"),
    [
        *((name, name) for name in ACTIONS),
        ("Sitting_1", "Sitting"),
        ("SittingDown_2", "SittingDown"),
        ("Sitting Down", None),
        ("Walking 1", "Walking"),
        ("WalkDog_1", "WalkDog"),
        ("WalkingDog-2", "WalkDog"),
        ("WalkTogether", "WalkTogether"),
        ("WalkingTogether-1", "WalkTogether"),
        ("TakingPhoto_1", "Photo"),
        ("Photo 1", "Photo"),
        ("Walk", None),
        ("walking", None),
        ("Phoning_1_2", None),
        ("_ALL", None),
        ("", None),
    ],
)
def test_actions_are_told_by_their_whole_name(raw, action):
    if action:
        assert action_name(raw, "name") == action
    else:
        with pytest.raises(InputError, match=r"name: expected an action of Directions.*, found"):
            action_name(raw, "name")


def test_s1_takes_photos_and_walks_dogs_under_other_names(tmp_path):
    actions = ("TakingPhoto", "WalkingDog_1", "SittingDown_2", "Sitting_1")
    names = [*film_names(["S1"], actions), *film_names(["S5"], ("Photo_1", "WalkDog"))]
    dataset = _load(save_c2f(tmp_path, "train", c2f(names)), "train")
    found = dataset.frames.meta["action"].reshape(-1, 8)[:, 0].tolist()
    assert found == ["Photo", "WalkDog", "SittingDown", "Sitting", "Photo", "WalkDog"]


def test_a_line_of_the_list_belongs_to_the_row_of_the_same_number(tmp_path):
    """Lists need not be sorted; images are told apart by their brightness."""
    names = [TEST_NAMES[k] for k in np.random.default_rng(3).permutation(len(TEST_NAMES))]
    content = c2f(names)
    dataset = _load(save_test_set(tmp_path, content))
    batch = _everything(dataset)
    brightness = batch.images[:, :, 12:20, 12:20].float().mean((1, 2, 3))
    torch.testing.assert_close(brightness, 40.0 + 2 * torch.arange(len(names)), atol=1.5, rtol=0)
    np.testing.assert_allclose(batch.joints_mm, content["joints"], atol=1e-3)
    said = [
        f"{s}_Eating_1.{c}_{f:06d}"
        for s, c, f in zip(*(batch.meta[k] for k in ("subject", "camera", "frame")), strict=True)
    ]
    assert said == names


@pytest.mark.parametrize("place", ["h5", "mat"])
@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1)])
def test_s_is_read_with_either_order_of_axes(tmp_path, place, axes):
    content = c2f(TEST_NAMES)
    keys = ("center", "scale") if place == "mat" else ("center", "scale", "S")
    written = content | {"S": content["S"].transpose(axes)}
    save_test_set(tmp_path, written, keys=keys)
    if place == "mat":
        save_annot(tmp_path / "annot" / "valid.mat", TEST_NAMES, written["S"], content)
    np.testing.assert_allclose(_load(tmp_path).frames.joints_mm, content["joints"], atol=1e-3)


@pytest.mark.parametrize("suffix", ["", ".jpg"])
def test_one_pose_in_a_matlab_file_with_names_of_either_kind(tmp_path, suffix):
    content = c2f(TEST_NAMES[:1])
    save_test_set(tmp_path, content, keys=("center", "scale"))
    poses = content["S"].transpose(0, 2, 1)
    names = [name + suffix for name in TEST_NAMES[:1]]
    save_annot(tmp_path / "annot" / "valid.mat", names, poses, content)
    np.testing.assert_allclose(_load(tmp_path).frames.joints_mm, content["joints"], atol=1e-3)


def test_every_row_is_seen_by_its_own_camera():
    joints, cameras = people(8), np.array([*CAMERAS, *CAMERAS[::-1]])
    expected = [seen_by(pose, one) + 0.5 for pose, one in zip(joints, cameras, strict=True)]
    found = human36m.project_h36m(torch.from_numpy(joints), cameras)
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-9)


def test_the_lens_is_not_opencvs_and_not_a_pinhole(tmp_path):
    """OpenCV doubles the tangential terms."""
    dataset = _load(save_test_set(tmp_path))
    pinhole = project(dataset.frames.joints_mm, dataset.frames.intrinsics)
    off = (pinhole - dataset.frames.keypoints_px).norm(dim=-1)
    assert 0.5 < off.max() < 12 and off.min() < 0.5
    pose, camera = people(1)[0], "55011271"
    fx, fy, cx, cy, k1, k2, k3, px, py = LENS[camera]
    x, y = pose[:, 0] / pose[:, 2], pose[:, 1] / pose[:, 2]
    r = x * x + y * y
    radial = 1 + k1 * r + k2 * r**2 + k3 * r**3
    # tangential terms of OpenCV, p2 = px along x and p1 = py along y
    opencv = np.stack(
        [
            fx * (x * radial + 2 * py * x * y + px * (r + 2 * x * x)) + cx + 0.5,
            fy * (y * radial + py * (r + 2 * y * y) + 2 * px * x * y) + cy + 0.5,
        ],
        -1,
    )
    ours = human36m.project_h36m(torch.from_numpy(pose)[None], np.array([camera]))[0].numpy()
    assert 1e-3 < np.abs(opencv - ours).max() < 0.5


# --- samples -------------------------------------------------------------------------------------


def test_both_layouts_give_the_same_samples(tmp_path):
    written = sequence()
    save_sequence(tmp_path / "processed", "S9/WalkingDog-2", written)
    cameras, frames = written["camera"], written["frame"]
    pairs = zip(cameras, frames, strict=True)
    content = c2f([f"S9_WalkDog_1.{camera}_{frame:06d}" for camera, frame in pairs])
    save_test_set(tmp_path / "h36m", content)
    batches = [_everything(_load(tmp_path, layout=layout)) for layout in human36m.LAYOUTS]
    for key in ("images", "visible", "annotated", "relations"):
        assert getattr(batches[0], key).equal(getattr(batches[1], key)), key
    for key in ("keypoints_px", "joints_mm", "intrinsics"):
        first, second = (getattr(batch, key) for batch in batches)
        torch.testing.assert_close(first, second, atol=2e-3, rtol=1e-5)
    for key in ("subject", "action", "camera", "frame", "part"):
        assert batches[0].meta[key].tolist() == batches[1].meta[key].tolist()
    assert batches[0].meta["action"][0] == "WalkDog" and batches[0].meta["part"][0] == "Studio"


def test_the_first_layout_that_is_there_is_taken(fetched, tmp_path):
    assert _load(fetched).frames.folder == fetched / "processed"
    assert _load(fetched / "processed").frames.folder == fetched / "processed"
    save_test_set(tmp_path / "h36m")
    assert _load(tmp_path).frames.folder == tmp_path / "h36m" / "images"
    assert isinstance(_load(tmp_path), PoseDataset)


@pytest.mark.parametrize("keys", [ALL_KEYS, ("center", "scale", "S")])
def test_boxes_follow_the_rule_of_the_authors(tmp_path, keys):
    """`part` or projections, the boxes of the files are those around them, 40 px larger."""
    dataset = _load(save_test_set(tmp_path, keys=keys))
    centre, side = pose_box(dataset.frames.keypoints_px)
    torch.testing.assert_close(dataset.frames.boxes[:, :2], centre, atol=1e-3, rtol=0)
    torch.testing.assert_close(dataset.frames.boxes[:, 2], side, atol=1e-3, rtol=0)


@pytest.mark.parametrize("layout", ["c2f", "h36m-fetch"])
def test_joints_lie_where_the_image_shows_them(tmp_path, layout):
    """Dots painted around pixels of the data set, which begin at 0, are seen there."""
    if layout == "c2f":
        content = c2f(TEST_NAMES[:1])
        image = save_test_set(tmp_path, content) / "images" / f"{TEST_NAMES[0]}.jpg"
        points = ordered(content["part"][0], [LEFT_FIRST[USUAL.index(n)] for n in LEFT_FIRST])
    else:
        content = sequence(frames=(1,), cameras=CAMERAS)
        folder = save_sequence(tmp_path, "S9/Eating-1", content)
        image = folder / "imageSequence" / CAMERAS[0] / "img_000001.jpg"
        points = content["pose/2d"][0, [PLACE_OF_32[name] for name in USUAL]]
    pixels = np.zeros((1000, 1000, 3), np.uint8)
    for x, y in points.round().astype(int):
        pixels[y - 4 : y + 5, x - 4 : x + 5] = 255
    Image.fromarray(pixels).save(image, quality=98)
    batch = _load(tmp_path, size=400).batch([0])
    for x, y in batch.keypoints_px[0].floor().int().tolist():
        assert batch.images[0, :, y, x].min() > 200


def test_keypoints_are_near_what_the_pinhole_of_the_crop_gives(tmp_path):
    batch = _everything(_load(save_test_set(tmp_path), size=256))
    off = (project(batch.joints_mm, batch.intrinsics) - batch.keypoints_px).norm(dim=-1)
    assert off.mean() < 4 and ((batch.keypoints_px > 0) & (batch.keypoints_px < 256)).all()


def test_joints_without_a_place_in_part_are_not_visible(tmp_path):
    content = c2f(TEST_NAMES)
    content["part"][2, LEFT_FIRST.index("left_wrist")] = (0, 0)
    content["part"][3, LEFT_FIRST.index("right_knee")] = (-3.5, 20)
    batch = _everything(_load(save_test_set(tmp_path, content)))
    assert (~batch.visible).nonzero().tolist() == [
        [2, H36M17.index("left_wrist")],
        [3, H36M17.index("right_knee")],
    ]
    assert batch.annotated[2].sum() == 17 * 16  # its depth is known all the same


@pytest.mark.parametrize(
    ("split", "subjects"),
    [
        ("train", {"S1", "S5", "S6", "S7", "S8"}),
        ("test", {"S9", "S11"}),
        ("fit", {"S1", "S5", "S6", "S7"}),
        ("val", {"S8"}),
    ],
)
def test_splits_hold_their_subjects(tmp_path, split, subjects):
    save_test_set(save_c2f(tmp_path / "a", "train", c2f(TRAIN_NAMES)))
    for subject in ("S1", "S5", "S6", "S7", "S8", "S9", "S11"):
        save_sequence(tmp_path / "b", f"{subject}/Posing-1", sequence())
    for root in (tmp_path / "a", tmp_path / "b"):
        dataset = _load(root, split)
        assert set(dataset.frames.meta["subject"]) == subjects and dataset.split == split


def test_limb_lengths_are_those_of_the_training_poses_or_as_published(tmp_path):
    save_test_set(tmp_path)
    assert _load(tmp_path).limb_lengths_mm.equal(mean_limb_lengths())
    content = c2f(TRAIN_NAMES)
    save_c2f(tmp_path, "train", content)
    bones = content["joints"][:, 1:] - content["joints"][:, list(H36M17.parents[1:])]
    expected = np.linalg.norm(bones, axis=-1).mean(0)
    for split in ("test", "train", "fit", "val"):
        np.testing.assert_allclose(_load(tmp_path, split).limb_lengths_mm, expected, rtol=1e-5)
    save_c2f(tmp_path, "train", content, keys=("center", "scale"))
    assert _load(tmp_path).limb_lengths_mm.equal(mean_limb_lengths())


def test_h36m_fetch_is_read_at_10_frames_a_second(tmp_path):
    save_sequence(tmp_path, "S9/Eating-1", sequence(frames=range(1, 24)))
    dataset = _load(tmp_path)
    assert dataset.frames.meta["frame"].tolist() == [1, 6, 11, 16, 21] * 4
    assert dataset.frames.meta["camera"].tolist() == np.repeat(CAMERAS, 5).tolist()


def test_the_scripts_default_choice_of_frames_is_warned_of(tmp_path):
    """Test subjects: every 64th frame, so that frames 1, 321, 641 are left."""
    save_sequence(tmp_path, "S9/Eating-1", sequence(frames=range(1, 700, 64)), images=True)
    with pytest.warns(UserWarning, match=r"8 of 8 steps .* not 5 frames but up to 320"):
        assert len(_load(tmp_path)) == 12


def test_a_camera_that_failed_is_warned_of(fetched):
    save_sequence(fetched / "processed", "S11/Posing-2", sequence(cameras=CAMERAS[1:]))
    with pytest.warns(UserWarning, match=r"1 of 3 sequences have fewer than 4.*S11/Posing-2"):
        assert len(_load(fetched)) == 33


def test_files_with_17_joints(tmp_path):
    content = sequence()
    places = [PLACE_OF_32[name] for name in USUAL]
    narrow = {key: content[key][:, places] for key in ("pose/3d", "pose/2d")}
    save_sequence(tmp_path, "S9/Eating-1", content | narrow)
    np.testing.assert_allclose(_load(tmp_path).frames.joints_mm, narrow["pose/3d"], atol=1e-3)


# --- the protocol's arithmetic -------------------------------------------------------------------


def test_bins_span_the_volume_of_the_coarse_to_fine_authors():
    first, step = human36m.FIRST_BIN_MM, human36m.BIN_MM
    edges = first - step / 2 + step * np.arange(human36m.BINS + 1)
    assert edges[[0, -1]] == pytest.approx([-1005.1859, 980.8599], abs=0.02)
    assert first + step * np.array([31, 32, 33]) == pytest.approx([-27.68, 3.35, 34.39], abs=0.02)


def _seen(count=40, size=1.0):
    """People by a pinhole: joints, their pixels, the pinhole and their own limb lengths."""
    joints = torch.from_numpy(people(count))
    joints = (joints - joints[:, :1]) * size + joints[:, :1]
    intrinsics = torch.tensor([[1145.0, 0, 512], [0, 1144, 515], [0, 0, 1]]).double()
    intrinsics = intrinsics.expand(count, 3, 3)
    bones = joints[:, 1:] - joints[:, list(H36M17.parents[1:])]
    return joints, project(joints, intrinsics), intrinsics, bones.norm(dim=-1)


def test_the_bins_alone_cost_about_eight_millimetres():
    joints, points, intrinsics, _ = _seen()
    depth = joints[..., 2] - joints[:, :1, 2]
    first, step = human36m.FIRST_BIN_MM, human36m.BIN_MM
    binned = ((depth - first) / step).round() * step + first
    lifted = backproject(points, binned + joints[:, :1, 2], intrinsics)
    errors = mpjpe(lifted - lifted[:, :1], joints - joints[:, :1])
    assert 6 < errors.mean() < 10
    assert (binned - depth).abs().max() <= step / 2 + 1e-6


def test_root_depth_from_ones_own_limbs_is_exact_and_from_mean_limbs_too_near():
    """Modes 2 and 3. A person 5 % larger than the mean stands 5 % of the way too near."""
    joints, points, intrinsics, own = _seen()
    depth = joints[..., 2] - joints[:, :1, 2]
    second = root_depth(points, depth, intrinsics, own)
    torch.testing.assert_close(second, joints[:, 0, 2], rtol=1e-5, atol=0)
    third = root_depth(points, depth, intrinsics, own / 1.05)
    assert 0.90 < (third / joints[:, 0, 2]).mean() < 0.97
    lifted = backproject(points, depth + third[:, None], intrinsics)
    floor = mpjpe(lifted - lifted[:, :1], joints - joints[:, :1]).mean()
    assert 10 < floor < 35  # 22.6 mm on the authors' sample of S9


def test_root_depth_is_where_a_simplex_search_ends():
    """`recType 3`: the root of the sum of squared differences to the mean limbs, from 2000 mm."""
    joints, points, intrinsics, _ = _seen(4)
    depth, lengths = joints[..., 2] - joints[:, :1, 2], mean_limb_lengths().double()
    found = root_depth(points, depth, intrinsics, lengths)
    for k in range(4):

        def cost(z, k=k):
            pose = backproject(points[k], depth[k] + z[0], intrinsics[k])
            bones = pose[1:] - pose[list(H36M17.parents[1:])]
            return (bones.norm(dim=-1) - lengths).square().sum().sqrt().item()

        best = minimize(cost, [2000.0], method="Nelder-Mead", options={"xatol": 1e-3})
        assert found[k].item() == pytest.approx(best.x[0], rel=1e-4)
