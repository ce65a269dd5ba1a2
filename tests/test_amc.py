"""ASF/AMC: kinematics bone by bone, meaning of the joints, folders, and bad files."""

import numpy as np
import pytest
import torch
from bvh_files import CMU, bvh_text, random_values, save
from scipy.spatial.transform import Rotation

from ordlib.datasets import amc, mocap
from ordlib.errors import InputError
from ordlib.skeleton import H36M17

UNIT_MM = 25.4 / 0.45


def _person(seed=None):
    """Name, parent, direction times length in mm, axis, dof: facing +z, left at +x, y up."""
    rng = np.random.default_rng(seed)
    bones = [
        ("lowerback", "root", (0, 110, -5), "rx ry rz"),
        ("upperback", "lowerback", (2, 112, 0), "rx ry rz"),
        ("thorax", "upperback", (0, 108, 4), "rx ry rz"),
        ("lowerneck", "thorax", (0, 85, 8), "rx ry rz"),
        ("upperneck", "lowerneck", (0, 80, -5), "rx ry rz"),
        ("head", "upperneck", (0, 90, 0), "rx ry rz"),
    ]
    for side, x in (("l", 1), ("r", -1)):
        bones += [
            (side + "hipjoint", "root", (95 * x, -100, 40), ""),
            (side + "femur", side + "hipjoint", (140 * x, -390, 0), "rx ry rz"),
            (side + "tibia", side + "femur", (140 * x, -380, 0), "rx"),
            (side + "foot", side + "tibia", (10 * x, -30, 120), "rx rz"),
            (side + "clavicle", "thorax", (190 * x, 50, 0), "ry rz"),
            (side + "humerus", side + "clavicle", (280 * x, 0, 0), "rz rx ry"),
            (side + "radius", side + "humerus", (190 * x, 0, 0), "rx"),
            (side + "wrist", side + "radius", (90 * x, 0, 0), "ry"),
        ]
    axes = np.zeros((len(bones), 3))
    for row, (name, *_) in zip(axes, bones, strict=True):
        if name[1:] in ("femur", "tibia"):
            row[2] = 20 if name[0] == "l" else -20
    if seed is not None:
        axes = rng.uniform(-180, 180, axes.shape).round(3)
    return [
        (name, parent, np.array(along, float), angles, dof.split())
        for (name, parent, along, dof), angles in zip(bones, axes, strict=True)
    ]


def _asf(person, order="TX TY TZ RX RY RZ", axis="XYZ"):
    """Text of a skeleton, with the habits of real files: limits, comments, loose blanks."""
    lines = ["# made up", ":version 1.10", ":name VICON", ":units", "  mass 1.0", "  length 0.45"]
    lines += ["  angle deg", ":documentation", "   begin (of) words: free, ", ":root"]
    lines += [f"   order {order}", "   axis XYZ", "   position 0 0 0  ", "   orientation 0 0 0 "]
    lines += [":bonedata"]
    for number, (name, _, along, angles, dof) in enumerate(person, 1):
        length = np.linalg.norm(along)
        unit, angles = (" ".join(f"{x:.9g}" for x in v) for v in (along / length, angles))
        lines += ["  begin", f"     id {number} ", f"     name {name}", f"     direction {unit}  "]
        lines += [f"     length {length / UNIT_MM:.9g}", f"     axis {angles}   {axis}"]
        if dof:
            lines += [f"    dof {' '.join(dof)}", "    limits (-160.0 20.0)", "  (-70.0 inf)"]
        lines += ["  end"]
    lines += [":hierarchy", "  begin"]
    for parent in dict.fromkeys(parent for _, parent, *_ in person):
        lines.append(f"    {parent} " + " ".join(n for n, p, *_ in person if p == parent))
    return "\n".join([*lines, "  end", ""]).encode()


def _motion(person, frames=4, degrees=40.0, seed=0):
    """Values by bone (frames, dof), those of the root in the order of its line."""
    rng = np.random.default_rng(seed)
    values = {n: degrees * rng.standard_normal((frames, len(d))) for n, _, _, _, d in person if d}
    return {"root": rng.uniform(-90, 90, (frames, 6)), **values}


def _amc(values):
    lines = ["#!OML:ASF made up", ":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(len(values["root"])):
        lines.append(str(frame + 1))
        lines += [f"{name} " + " ".join(f"{x:.9g}" for x in v[frame]) for name, v in values.items()]
    return "\n".join([*lines, ""]).encode()


def _ends(person, values, frame, order="TX TY TZ RX RY RZ", axis="XYZ"):
    """Far end of each bone in mm, by SciPy's rotations about fixed axes."""

    def turn(words, angles):
        kept = [(w[1].lower(), a) for w, a in zip(words, angles, strict=True) if w[0] in "rR"]
        names = "".join(name for name, _ in kept)
        return Rotation.from_euler(names, [a for _, a in kept], degrees=True)

    root = values["root"][frame]
    place = {"root": np.zeros(3)}
    turned = {"root": turn(order.split(), root)}
    for name, parent, along, angles, dof in person:
        own = turn([f"r{x}" for x in axis], angles)
        if dof:
            turned[name] = turned[parent] * own * turn(dof, values[name][frame]) * own.inv()
        else:
            turned[name] = turned[parent]
        place[name] = place[parent] + turned[name].apply(along)
    return place


def _expected(person, values, frame, **options):
    """The 17 joints as ends of bones, in camera axes, relative to the pelvis."""
    end = _ends(person, values, frame, **options)
    legs = [[end[side + bone] for bone in ("hipjoint", "femur", "tibia")] for side in "rl"]
    arms = [[end[side + bone] for bone in ("clavicle", "humerus", "radius")] for side in "lr"]
    pelvis = (legs[0][0] + legs[1][0]) / 2
    trunk = [end[bone] for bone in ("lowerback", "lowerneck", "upperneck", "head")]
    joints = np.array([pelvis, *legs[0], *legs[1], *trunk, *arms[0], *arms[1]])
    return torch.tensor((joints - pelvis) * [1, -1, -1], dtype=torch.float32)


def _save(folder, person, values, name="07_01", skeleton="07", **options):
    save(folder, _asf(person, **options), f"{skeleton}.asf")
    return save(folder, _amc(values), f"{name}.amc")


@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize(
    "options",
    [{}, {"order": "RZ RY RX TX TY TZ"}, {"order": "TX RY TY RX TZ RZ"}, {"axis": "ZXY"}],
)
def test_poses_agree_with_kinematics_joint_by_joint(tmp_path, seed, options):
    person = _person(seed)
    values = _motion(person)
    found = mocap.load(_save(tmp_path, person, values, **options), fps=120.0)
    expected = [_expected(person, values, frame, **options) for frame in range(4)]
    torch.testing.assert_close(found.poses, torch.stack(expected), atol=0.01, rtol=0)
    assert found.frame.tolist() == [0, 1, 2, 3] and found.clip_names == ("07_01",)


def test_left_and_right_front_and_bending_knees(tmp_path):
    """At rest the person faces the camera; shins go back and thighs forward as in the files."""
    person = _person()
    values = _motion(person, 2, degrees=0.0)
    values["root"][:] = 0
    values["lfemur"][1, 0], values["ltibia"][1, 0] = -40, 70
    poses = mocap.load(_save(tmp_path, person, values), fps=120.0).poses
    joint = {name: poses[:, i] for i, name in enumerate(H36M17.joints)}
    for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"):
        assert joint[f"left_{part}"][0, 0] > 50 and joint[f"right_{part}"][0, 0] < -50
    heights = [joint[n][0, 1].item() for n in ("head_top", "jaw", "thorax", "spine", "left_ankle")]
    assert heights == sorted(heights) and heights[3] < 0 < heights[4]
    hip, knee, ankle = (joint[f"left_{part}"][1] for part in ("hip", "knee", "ankle"))
    assert knee[2] < hip[2] - 100 and knee[2] < ankle[2] - 100  # forward is towards the camera
    torch.testing.assert_close(joint["right_knee"][0], joint["right_knee"][1])


def test_ten_frames_a_second_of_120(tmp_path):
    person = _person()
    found = mocap.load(_save(tmp_path, person, _motion(person, 37)))
    assert found.frame.tolist() == [0, 12, 24, 36] and found.fps == 10


def test_folders_of_subjects_beside_bvh_files(tmp_path):
    one, two = _person(), _person(5)
    _save(tmp_path / "subjects/07", one, _motion(one, 1), "07_01")
    _save(tmp_path / "subjects/07", one, _motion(one, 2, seed=1), "07_02")
    _save(tmp_path / "subjects/größer 8", two, _motion(two, 1, seed=2), "clip", "person")
    save(tmp_path, bvh_text(CMU, random_values(CMU)), "walk.bvh")
    found = mocap.load(tmp_path, fps=120.0)
    names = ("subjects/07/07_01", "subjects/07/07_02", "subjects/größer 8/clip", "walk")
    assert found.clip_names == names
    assert len(found) == 1 + 2 + 1 + len(found.poses[found.clip == 3])


def test_the_skeleton_that_a_motion_starts_like(tmp_path):
    small, large = _person(), [(n, p, 1.2 * v, a, d) for n, p, v, a, d in _person()]
    values = _motion(small)
    _save(tmp_path, small, values, "07_01", "07")
    _save(tmp_path, large, values, "071_01", "071")
    lengths = [mocap.load(tmp_path / f"{name}_01.amc").limb_lengths_mm for name in ("07", "071")]
    torch.testing.assert_close(lengths[1], 1.2 * lengths[0])
    other = (tmp_path / "071_01.amc").rename(tmp_path / "8_01.amc")
    with pytest.raises(InputError, match=r"8_01.amc: expected .* as 8.asf, found 07.asf, 071.asf"):
        mocap.load(other)


# --- bad files -----------------------------------------------------------------------------------


def test_a_motion_without_a_skeleton(tmp_path):
    path = _save(tmp_path, _person(), _motion(_person()))
    (tmp_path / "07.asf").unlink()
    with pytest.raises(InputError, match=r"07_01.amc: expected the skeleton beside it.* none"):
        mocap.load(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"ltibia ", b"tail ", r"line \d+: found 'tail'; expected a frame number or a bone"),
        (b"ltibia ", b"lfemur ", r"line \d+: found 'lfemur'; expected a frame number or a bone"),
        (b"ltibia ", b"ltibia 5 ", r"line \d+: found 5 .*; expected 1 finite numbers"),
        (b"ltibia ", b"ltibia nan #", r"line \d+: found nan; expected 1 finite numbers"),
        (b"ltibia ", b"ltibia #", r"line \d+: found nothing; expected 1 finite numbers"),
        (b"ltibia ", b"#", r"line \d+: found a frame without ltibia; expected every bone"),
        (b"\n2\n", b"\n3\n", r"line \d+: found frame 3; expected frame 2"),
        (b"\n1\n", b"\n", r"line \d+: found 'root'; expected a frame number"),
        (b":DEGREES", b":RADIANS", r"line 3: found :RADIANS; expected :DEGREES"),
    ],
)
def test_motions_that_break_the_format(old, new, message):
    person = _person()
    text = _amc(_motion(person)).replace(old, new, 1)
    with pytest.raises(InputError, match=rf"m.amc, {message}"):
        amc.parse(_asf(person), text, "s.asf", "m.amc")


@pytest.mark.parametrize("length", [0, 40, 300, 1000, -20])
def test_truncated_motions(length):
    person = _person()
    with pytest.raises(InputError, match=r"m.amc"):
        amc.parse(_asf(person), _amc(_motion(person))[:length], "s.asf", "m.amc")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b":root", b":base", "no lines under :root found"),
        (b":bonedata", b":bones", "no lines under :bonedata found"),
        (b":hierarchy", b":tree", "no lines under :hierarchy found"),
        (b"angle deg", b"angle rad", r"line 7: found angle rad; expected angle deg"),
        (b"orientation 0 0 0", b"orientation 0 9 0", "expected orientation 0 0 0"),
        (b"order TX", b"order TX TX", "expected some of tx, ty, tz, rx, ry, rz, each once"),
        (b"dof rx ry rz", b"dof rx ry l", "found rx ry l; expected some of rx, ry, rz"),
        (b"name lowerback", b"name", r"line \d+: found no name; expected name, direction"),
        (b"name upperback", b"name lowerback", "found a second bone lowerback; expected one"),
        (b"length 1.9", b"length x1.9", "expected 1 finite numbers"),
        (b"direction ", b"direction 1 ", "expected 3 finite numbers"),
        (b"axis 0 0 0   XYZ", b"axis 0 0 0", "expected angles and then XYZ"),
        (b"axis 0 0 0   XYZ", b"axis 0 0 XYZ", "expected 3 finite numbers"),
        (b"    lfemur ltibia", b"    lfemur tail", r"found tail; expected bones among root, "),
        (b"    lfemur ltibia", b"    lfemur", "no parent of ltibia found; expected one"),
        (b"    lfemur ltibia", b"    lfemur ltibia lfemur", "found lfemur twice in :hierarchy"),
    ],
)
def test_skeletons_that_break_the_format(old, new, message):
    person = _person()
    text = _asf(person)
    assert old in text
    with pytest.raises(InputError, match=rf"s.asf.*{message}"):
        amc.parse(text.replace(old, new, 1), _amc(_motion(person)), "s.asf", "m.amc")
