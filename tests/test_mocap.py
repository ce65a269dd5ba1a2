"""Motion capture: mapping onto 17 joints, units, resampling, folders, and the real sample."""

from pathlib import Path

import numpy as np
import pytest
import torch
from bvh_files import (
    BIPED_NAMES,
    BLENDER_NAMES,
    CMU,
    CMU_NAMES,
    DIALECTS,
    MIXAMO_NAMES,
    NAMCO_NAMES,
    SMPL_NAMES,
    UNREAL_NAMES,
    WISCONSIN_NAMES,
    ZXY,
    ZYX,
    bvh_text,
    depth_first,
    kinematics,
    person_of,
    random_values,
    rest_values,
    save,
)

from ordlib.datasets import mocap
from ordlib.errors import InputError
from ordlib.skeleton import H36M17

SAMPLE = Path(__file__).parents[2] / "shared" / "data" / "mocap"

# name, parent, offset, channels: one person a dialect, facing +z, left at +x, y up.


def _expected(person, values, names, unit_mm, end=True):
    """The 17 joints by the table of names, in millimetres and camera axes."""
    poses = []
    for place in kinematics(person, values):
        sides = {s: [place[n.format(s, s[0])] for n in names[4:]] for s in ("Left", "Right")}
        pelvis = (sides["Left"][0] + sides["Right"][0]) / 2
        neck, head = place[names[2]], place[names[3]]
        top = place["end of " + names[3]] if end else 2 * head - neck
        joints = [pelvis, *sides["Right"][:3], *sides["Left"][:3], place[names[1]], neck, head, top]
        joints += [*sides["Left"][3:], *sides["Right"][3:]]
        poses.append((np.array(joints) - pelvis) * unit_mm * [1, -1, -1])
    return torch.tensor(np.array(poses), dtype=torch.float32)


@pytest.mark.parametrize(
    ("dialect", "names", "unit_mm"), [("cmu", CMU_NAMES, 56.444), ("bandai-namco", NAMCO_NAMES, 10)]
)
def test_poses_agree_with_kinematics_joint_by_joint(tmp_path, dialect, names, unit_mm):
    person = DIALECTS[dialect]
    values = random_values(person, degrees=400.0 if dialect == "cmu" else 60.0)
    found = mocap.load(save(tmp_path, bvh_text(person, values, frame_time=".1")), up="y")
    expected = _expected(person, values, names, unit_mm, end=dialect == "cmu")
    torch.testing.assert_close(found.poses, expected, atol=0.01, rtol=0)
    assert found.poses.dtype == torch.float32
    assert found.skeleton is H36M17
    assert found.frame.tolist() == [0, 1, 2, 3]
    assert found.clip_names == ("clip",)
    assert len(found) == 4
    assert not found.skipped


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        (MIXAMO_NAMES, ""),
        (MIXAMO_NAMES, "mixamorig:"),
        (MIXAMO_NAMES, "Character1_"),
        (BIPED_NAMES, "Bip01 "),
        (SMPL_NAMES, ""),
        (BLENDER_NAMES, ""),
        (WISCONSIN_NAMES, ""),
        (UNREAL_NAMES, ""),
    ],
)
def test_other_tables_of_joint_names(tmp_path, names, prefix):
    values = random_values(CMU)
    names = [prefix + name for name in names]
    found = mocap.load(save(tmp_path, bvh_text(person_of(56.444, names, ZXY, ZYX), values)))
    expected = mocap.load(save(tmp_path, bvh_text(CMU, values), "cmu.bvh"))
    torch.testing.assert_close(found.poses, expected.poses)


def test_a_clavicle_called_shoulder_is_not_the_shoulder(tmp_path):
    person = person_of(10, MIXAMO_NAMES, ZXY, ZYX)
    clavicle = ("LeftShoulder", "Spine1", np.array([2.0, 15.0, 0.0]), ZXY.split())
    found = mocap.load(
        save(tmp_path, bvh_text([*person, clavicle], rest_values([*person, clavicle])))
    )
    assert found.poses[0, H36M17.index("left_shoulder"), 0] == pytest.approx(180, abs=1)


@pytest.mark.parametrize(
    "heights_mm", [(90, 110, 110, 100), (60, 140, 200), (200, 150), (420,), ()]
)
def test_spine_is_the_joint_nearest_half_way_to_the_neck(tmp_path, heights_mm):
    person = [row for row in CMU if row[0] not in ("Chest", "Neck")]
    chain = ["Hips", *(f"Spine{i}" for i in range(len(heights_mm)))]
    person = [(n, chain[-1] if p == "Chest" else p, o, c) for n, p, o, c in person]
    for parent, name, height in zip(chain, chain[1:], heights_mm, strict=False):
        person.append((name, parent, np.array([0, height / 56.444, 0]), ZYX.split()))
    neck_mm = 480 - sum(heights_mm)
    person.append(("Neck", chain[-1], np.array([0, neck_mm / 56.444, 0]), ZYX.split()))
    pose = mocap.load(save(tmp_path, bvh_text(person, rest_values(person)))).poses[0]
    nearest = min(np.cumsum(heights_mm) + 20, key=lambda h: abs(h - 250), default=250)
    assert pose[H36M17.index("spine"), 1] == pytest.approx(-nearest, abs=0.1)


def test_left_and_right_and_front_at_rest(tmp_path):
    # The person faces +z, y up, with the left at +x. Turned by 180 degrees about x, they face the
    # camera (-z), upright (the head at negative y), with the left still at +x: seen on the right,
    # as in a photograph of somebody who faces us.
    pose = mocap.load(save(tmp_path, bvh_text(CMU, rest_values(CMU)))).poses[0]
    joint = {name: pose[i] for i, name in enumerate(H36M17.joints)}
    assert pose[0].abs().max() == 0
    for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"):
        assert joint[f"left_{part}"][0] > 50
        assert joint[f"right_{part}"][0] < -50
    assert joint["head_top"][1] < joint["jaw"][1] < joint["thorax"][1] < 0 < joint["left_knee"][1]
    assert joint["jaw"][2] < joint["thorax"][2]  # the head's offset is 10 mm to the front


def test_knees_bend_forward(tmp_path):
    values = rest_values(CMU)
    columns = [(n, c) for n, _, _, channels in depth_first(CMU) for c in channels]
    values[0, columns.index(("LeftHip", "Xrotation"))] = -40  # the thigh goes up to the front
    values[0, columns.index(("LeftKnee", "Xrotation"))] = 70  # the shin goes back
    poses = mocap.load(save(tmp_path, bvh_text(CMU, values))).poses
    assert _knee_ahead(poses, "left")[0] > 100
    assert _knee_ahead(poses, "right")[0].abs() < 10


def _knee_ahead(poses, side):
    """How far the knee lies in front of the line from hip to ankle, mm, along the facing."""
    hip, knee, ankle = (poses[:, H36M17.index(f"{side}_{j}")] for j in ("hip", "knee", "ankle"))
    axis = torch.nn.functional.normalize(ankle - hip, dim=-1)
    off = knee - hip
    off = off - (off * axis).sum(-1, keepdim=True) * axis
    return (off * _facing(poses)).sum(-1)


def _facing(poses):
    """Front of the body: up (away from y) and the line from the right to the left hip."""
    across = poses[:, H36M17.index("left_hip")] - poses[:, H36M17.index("right_hip")]
    up = poses[:, H36M17.index("thorax")]
    return torch.nn.functional.normalize(torch.linalg.cross(across, up), dim=-1)


@pytest.mark.parametrize("end_mm", [0.0, 0.01, 100.0])
def test_head_top_is_the_end_site_or_extrapolated(tmp_path, end_mm):
    person = person_of(10, CMU_NAMES, ZXY, ZYX, end_mm=end_mm)
    pose = mocap.load(save(tmp_path, bvh_text(person, random_values(person)))).poses[0]
    neck, head, top = pose[8], pose[9], pose[10]
    if end_mm > 1:
        assert (top - head).norm() == pytest.approx(100, abs=0.1)
        assert not torch.allclose(top - head, head - neck, atol=1)
    else:
        torch.testing.assert_close(top - head, head - neck, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("rate", "fps", "count", "expected"),
    [
        (120, 10.0, 37, [0, 12, 24, 36]),
        (120, 10.0, 36, [0, 12, 24]),
        (30, 10.0, 7, [0, 3, 6]),
        (25, 10.0, 11, [0, 3, 5, 8, 10]),
        (24, 10.0, 12, [0, 2, 5, 7, 10]),
        (1 / 0.0777, 10.0, 6, [0, 1, 3, 4]),
        (120, 10.0, 5, [0]),
        (30, 10.0, 1, [0]),
        (5, 10.0, 4, [0, 1, 2, 3]),
        (30, 30.0, 4, [0, 1, 2, 3]),
    ],
)
def test_resampling_takes_the_nearest_frames(tmp_path, rate, fps, count, expected):
    text = bvh_text(CMU, rest_values(CMU, count), frame_time=f"{1 / rate:.7f}".lstrip("0"))
    found = mocap.load(save(tmp_path, text), fps=fps)
    assert found.frame.tolist() == expected
    assert found.fps == fps
    assert len(found.poses) == len(expected)


def _person(leg_units, unit_mm=10.0):
    """A body whose thigh and shin have together so many units."""
    return person_of(830.1 / leg_units, CMU_NAMES, ZXY, ZYX)


@pytest.mark.parametrize(
    ("leg", "unit", "note"),
    [
        (83.0, "cm", ""),
        (51.0, "cm", ""),  # a child
        (37.0, "cm", "taken for cm, could be inch"),  # a small one, or a tall adult in inches
        (35.0, "inch", ""),
        (0.42, "m", ""),
        (0.9, "m", ""),
        (480.0, "mm", ""),
        (16.0, "cmu", ""),
    ],
)
def test_unit_is_the_first_that_makes_legs_plausible(tmp_path, leg, unit, note):
    person = _person(leg)
    path = save(tmp_path, bvh_text(person, rest_values(person)))
    motion = mocap.load(path)
    assert motion.limb_lengths_mm[[1, 2]].sum() == pytest.approx(
        leg * mocap.UNITS_MM[unit], rel=1e-3
    )
    assert motion.notes.get("clip", "") == note
    given = mocap.load(path, unit=unit)
    assert torch.equal(given.poses, motion.poses) and not given.notes


def test_given_unit_may_be_any_length(tmp_path):
    person = _person(21.68)
    path = save(tmp_path, bvh_text(person, rest_values(person)))
    with pytest.raises(InputError, match=r"thigh plus shin is 21\.68 units.*or give the unit"):
        mocap.load(path)
    legs = mocap.load(path, unit="40").limb_lengths_mm[[1, 2]]
    assert legs.sum() == pytest.approx(21.68 * 40, rel=1e-3)


UP = {"z": [1, 0, 0, 0, 0, -1, 0, 1, 0], "-y": [1, 0, 0, 0, -1, 0, 0, 0, -1],
      "-z": [1, 0, 0, 0, 0, 1, 0, -1, 0], "x": [0, 1, 0, -1, 0, 0, 0, 0, 1],
      "-x": [0, -1, 0, 1, 0, 0, 0, 0, 1]}  # fmt: skip


def _turned(person, values, rows):
    """The same person and motion in other axes; angles must be those of rest."""
    turn = np.array(rows).reshape(3, 3)
    values = values.copy()
    values[:, :3] = values[:, :3] @ turn.T
    return [(name, parent, turn @ offset, c) for name, parent, offset, c in person], values


@pytest.mark.parametrize("up", UP)
def test_the_axis_from_feet_to_head_is_turned_up(tmp_path, up):
    upright = mocap.load(save(tmp_path, bvh_text(CMU, rest_values(CMU, 3)), "upright.bvh"))
    person, values = _turned(CMU, rest_values(CMU, 3), UP[up])
    path = save(tmp_path, bvh_text(person, values))
    motion = mocap.load(path)
    torch.testing.assert_close(motion.poses, upright.poses, atol=0.01, rtol=0)
    assert motion.notes == {"clip": f"{up} points up: turned"} and not upright.notes
    assert torch.equal(mocap.load(path, up=up).poses, motion.poses)
    lying = mocap.load(path, up="y").poses[:, H36M17.index("head_top"), 1]
    assert (lying > -100).all()


def test_who_lies_on_the_floor_stays_there(tmp_path):
    values = rest_values(CMU, 3)
    columns = [c for _, _, _, channels in depth_first(CMU) for c in channels]
    values[:, columns.index("Xrotation")] = -90
    values[:, :3] = np.array([300.0, 120.0, 2000.0]) / 56.444
    motion = mocap.load(save(tmp_path, bvh_text(CMU, values)))
    assert motion.poses[:, H36M17.index("head_top"), 1].abs().max() < 100
    assert not motion.notes


@pytest.mark.parametrize(
    ("names", "performers", "known"),
    [
        (["07_01", "07_02", "x/08_01", "09_1"], ["07", "07", "08", "09"], True),
        (["walk1_subject1", "run_subject1", "run_subject12", "run_subject5"],
         ["subject1", "subject1", "subject12", "subject5"], True),
        (["Actor_01_walk", "b/actor1_run", "actor2", "actor03"],
         ["actor1", "actor1", "actor2", "actor3"], True),
        (["anna/run", "anna/walk", "ben/run", "cho/a/walk"],
         ["anna", "anna", "ben", "cho/a"], True),
        (["run", "walk", "jump"], ["run", "walk", "jump"], False),
        (["all/run", "all/walk", "all/jump"], ["all/run", "all/walk", "all/jump"], False),
        (["run", "anna/walk", "ben/jump"], ["run", "anna", "ben"], False),
    ],
)  # fmt: skip
def test_performers_are_known_by_names_or_said_not_to_be(tmp_path, names, performers, known):
    for seed, name in enumerate(names):
        save(tmp_path, bvh_text(CMU, random_values(CMU, seed=seed)), f"{name}.bvh")
    motion = mocap.load(tmp_path)
    expected = dict(zip(names, performers, strict=True))
    assert dict(zip(motion.clip_names, motion.performers, strict=True)) == expected
    assert bool(motion.caveat) != known


def test_files_that_cannot_be_used_are_listed_and_the_rest_is_read(tmp_path):
    good = bvh_text(CMU, random_values(CMU))
    head = good.rsplit(b"Frame Time", 1)[0]
    save(tmp_path, head.replace(b"Frames:\t4", b"Frames: 0") + b"Frame Time: .1\n", "empty.bvh")
    save(tmp_path, good + good.splitlines()[-1] + b"\n\x1a", "more.bvh")
    save(tmp_path, bvh_text(CMU, random_values(CMU, seed=1)) + b"\x1a", "old.bvh")
    (tmp_path / "lost.bvh").symlink_to(tmp_path / "gone")
    for companion in ("._more.bvh", "__MACOSX/more.bvh", ".hidden/more.bvh"):
        save(tmp_path, b"\0\5\26\7", companion)
    motion = mocap.load(tmp_path)
    assert motion.clip_names == ("more", "old")
    assert motion.notes == {"more": "1 more rows of motion than Frames says, cut off"}
    assert set(motion.skipped) == {"empty", "lost"}
    assert "Frames 0; expected Frames > 0" in motion.skipped["empty"]
    assert "lost.bvh: No such file" in motion.skipped["lost"]
    same = mocap.load(save(tmp_path, good, "same.bvh")).poses
    assert torch.equal(motion.poses[motion.clip == 0], same)


def test_folder_is_searched_below_sorted_and_freed_of_duplicates(tmp_path):
    first, second = (bvh_text(CMU, random_values(CMU, seed=seed)) for seed in (1, 2))
    save(tmp_path, first, "b/größer als 1.BVH")
    save(tmp_path, first.replace(b"\n", b"\r\n"), "c.bvh")
    target = save(tmp_path.parent, second, f"{tmp_path.name}-outside.bvh")
    (tmp_path / "a.bvh").symlink_to(target)
    save(tmp_path, b"not motion", "readme.txt")
    found = mocap.load(tmp_path, fps=30.0)
    assert found.clip_names == ("a", "b/größer als 1")
    assert dict(found.skipped) == {"c": "duplicate of b/größer als 1"}
    assert found.clip.tolist() == [0] * 4 + [1] * 4
    again = mocap.load(str(tmp_path), fps=30.0)
    assert torch.equal(again.poses, found.poses)


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        (None, {}, "nowhere: not found; expected a folder"),
        ([], {}, r"no file \*\.bvh found here or below; expected some"),
        (["07.asf", "07_01.amc"], {}, "found ASF/AMC files, which are not read; expected some"),
        (
            ["a.bvh", "b.bvh"],
            {},
            r"none of 2 BVH files can be used; the first: .*a\.bvh: ",
        ),
        ([], {"fps": 0.0}, "fps: found 0.0; expected a positive number"),
        ([], {"fps": float("nan")}, "fps: found nan"),
        ([], {"unit": "ell"}, "unit: found 'ell'; expected one of cm, m, mm"),
        ([], {"unit": -1.0}, "unit: found -1.0"),
        ([], {"up": "w"}, "up: found 'w'; expected one of y, -y, z"),
    ],
)
def test_bad_arguments(tmp_path, files, options, message):
    for name in files or []:
        save(tmp_path, b" ", name)
    with pytest.raises(InputError, match=message):
        mocap.load(tmp_path if files is not None else tmp_path / "nowhere", **options)


@pytest.fixture(scope="module")
def sample():
    if not SAMPLE.is_dir():
        pytest.skip("the real motion capture sample is not beside the repository")
    return mocap.load(SAMPLE)


def test_real_sample_has_plausible_limbs(sample):
    assert len(sample.clip_names) == 222
    assert not sample.skipped
    lengths = {d: _clips(sample, d + "/").poses for d in DIALECTS}
    for dialect, poses in lengths.items():
        bones = dict(zip(H36M17.joints[1:], mocap._bones(poses).norm(dim=-1).mean(0), strict=True))
        leg = bones["left_knee"] + bones["left_ankle"]
        assert 750 < leg < 950, dialect
        torch.testing.assert_close(bones["left_hip"], bones["right_hip"])
        for part in ("knee", "ankle", "elbow", "wrist"):
            assert bones[f"left_{part}"] == pytest.approx(bones[f"right_{part}"].item(), rel=0.05)
            assert 170 < bones[f"left_{part}"] < 450
        assert 170 < bones["spine"] < 260
        assert 60 < bones["jaw"] < 130


def _clips(sample, start):
    """The poses of the clips whose names start so."""
    keep = torch.tensor([name.startswith(start) for name in sample.clip_names])[sample.clip]
    return mocap.MotionCapture(
        sample.poses[keep], sample.clip[keep], sample.clip_names, sample.frame[keep], 10.0
    )


@pytest.mark.parametrize("start", ["cmu/", "bandai-namco/walk_", "bandai-namco/run_"])
def test_real_people_walk_upright_with_knees_forward(sample, start):
    poses = _clips(sample, start).poses
    above = -poses[:, H36M17.index("head_top"), 1]
    assert (above > 300).all()
    assert above.median() > 450
    assert (poses[:, H36M17.index("left_ankle"), 1] > 0).float().mean() > 0.99
    for side in ("left", "right"):
        ahead = _knee_ahead(poses, side)
        bent = ahead[ahead.abs() > 30]
        assert (bent > 0).float().mean() > 0.99
        assert len(bent) > 0.3 * len(ahead)


def test_real_people_walk_where_they_face(sample):
    # The standing foot goes back relative to the pelvis: the ankle is lowest while it does.
    for start in ("cmu/", "bandai-namco/walk_"):
        clips = _clips(sample, start)
        same = clips.clip[1:] == clips.clip[:-1]
        front = _facing(clips.poses)[:-1]
        left, right = (clips.poses[:, H36M17.index(f"{side}_ankle")] for side in ("left", "right"))
        low = left[:-1, 1] > right[:-1, 1]
        step = torch.where(low[:, None], left[1:] - left[:-1], right[1:] - right[:-1])
        assert ((step * front).sum(-1)[same]).mean() < -30
