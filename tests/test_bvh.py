"""The BVH parser and its forward kinematics: layouts, channel orders, damaged files."""

import re

import numpy as np
import pytest
import torch
from bvh_files import (
    CMU,
    CMU_NAMES,
    ZXY,
    ZYX,
    bvh_text,
    person_of,
    random_values,
    rest_values,
    save,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ordlib.datasets import bvh, mocap
from ordlib.errors import InputError


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX", "ZXZ", "Y", "XYZX"])
def test_rotation_channels_multiply_in_the_order_listed(order):
    channels = [f"{axis}rotation" for axis in order]
    person = [("a", "", np.zeros(3), channels), ("", "a", np.array([1.0, 2.0, 3.0]), [])]
    angles = 50 + 100 * np.random.default_rng(1).random((3, len(order)))
    places = bvh.positions(bvh.parse(bvh_text(person, angles), "clip"), [0, 2])
    matrices = [Rotation.from_rotvec(np.eye(3)["XYZ".index(a)] * np.pi / 180) for a in order]
    for place, row in zip(places, angles[[0, 2]], strict=True):
        vector = np.array([1.0, 2.0, 3.0])
        for matrix, angle in reversed(list(zip(matrices, row, strict=True))):
            vector = (matrix**angle).apply(vector)
        np.testing.assert_allclose(place[1], vector, atol=1e-6)


def test_position_channels_replace_the_offset_component_by_component():
    person = [
        ("root", "", np.array([1.0, 2.0, 3.0]), ["Yposition", "Zrotation"]),
        ("arm", "root", np.array([4.0, 0.0, 0.0]), ["Xposition"]),
    ]
    places = bvh.positions(bvh.parse(bvh_text(person, [[20.0, 90.0, 7.0]]), "clip"), [0])
    np.testing.assert_allclose(places[0], [[1, 20, 3], [1, 27, 3]], atol=1e-9)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: (
            text.split(b"MOTION")[0].replace(b"\n", b"\r\n")
            + b"MOTION\n"
            + text.split(b"MOTION\n")[1]
        ),
        lambda text: b"\n \n\t\n" + text + b"\n\n",
        lambda text: b"\xef\xbb\xbf" + text.replace(b"  ", b"\t"),
        lambda text: re.sub(rb"\n +", b"\n", text),
        lambda text: re.sub(rb"\n\s*\{", b" {", text),
        lambda text: text.replace(b"Frames:\t", b"Frames:").replace(b"0.0333333", b".0333333"),
        lambda text: text.replace(b" ", b"  ").replace(b"\n", b"  \n"),
        lambda text: text.replace(b"Zrotation", b"ZROTATION").replace(b"MOTION\n", b"Motion\n"),
    ],
)
def test_layouts_that_mean_the_same_give_the_same_poses(tmp_path, change):
    text = bvh_text(CMU, random_values(CMU))
    plain = mocap.load(save(tmp_path, text))
    assert change(text) != text
    changed = mocap.load(save(tmp_path, change(text), "changed.bvh"))
    torch.testing.assert_close(changed.poses, plain.poses, atol=0, rtol=0)


GOOD = bvh_text(CMU, random_values(CMU, frames=3))
LINES = GOOD.split(b"\n")
ROW = LINES.index(b"Frame Time: 0.0333333") + 2  # line number of the first row of motion
EMPTY = GOOD.split(b"Frame Time")[0].replace(b"Frames:\t3", b"Frames: 0") + b"Frame Time: .1\n"


def _row(number, change):
    lines = list(LINES)
    lines[number - 1] = change(lines[number - 1])
    return b"\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "file is empty"),
        (b"\n \n", "file is empty"),
        (bytes(range(256)) * 20, "no line HIERARCHY"),
        (GOOD.replace(b"HIERARCHY", b"x"), "no line HIERARCHY"),
        (b"junk\n" + GOOD, "line 1: found 'junk'; expected HIERARCHY"),
        (GOOD.replace(b"MOTION", b""), "no line MOTION"),
        (GOOD + b"=======\n" + GOOD, f"line {len(LINES) + 1}: found a second HIERARCHY"),
        (GOOD.replace(b"Frames:\t3", b"Frames: 5"), "found 3 rows of motion; expected 5"),
        (GOOD[: len(GOOD) * 2 // 3], "expected"),
        (GOOD[:400], "no line MOTION"),
        (_row(ROW, lambda r: r + b" 1"), f"line {ROW}: found 52 numbers; expected 51"),
        (_row(ROW + 1, lambda r: r[: r.rindex(b" ")]), f"line {ROW + 1}: found 50 numbers"),
        (_row(ROW + 2, lambda r: b"nan" + r[r.index(b" ") :]), f"line {ROW + 2}: found 'nan'"),
        (_row(ROW + 1, lambda r: b"1e999" + r[r.index(b" ") :]), f"line {ROW + 1}: found '1e999'"),
        (_row(ROW + 1, lambda r: b"a\xff" + r[r.index(b" ") :]), f"line {ROW + 1}: found 'a"),
        (GOOD.replace(b"Zrotation", b"Wrotation", 1), "line 5: found 'Wrotation'; expected"),
        (GOOD.replace(b"CHANNELS 6", b"CHANNELS 5", 1), "line 5: found 'Xrotation'; expected"),
        (GOOD.replace(b"CHANNELS 6", b"CHANNELS 7", 1), "line 5: found '7 channels'"),
        (
            GOOD.replace(b"OFFSET 0", b"OFFSET q", 1),
            "found 'q.0885833747'; expected a finite number",
        ),
        (GOOD.replace(b"    OFFSET 0", b"    ", 1), "found '3.54"),
        (GOOD.replace(b"LeftKnee", b"Knie_L"), "no joint for left_knee; expected one of leftknee"),
        (GOOD.replace(b"JOINT Neck", b"JOINT Hals"), "found Hips, Chest, Hals, Head, LeftShoulder"),
        (GOOD.replace(b"0.0333333", b"0"), "Frame Time 0; expected Frame Time > 0"),
        (GOOD.replace(b"0.0333333", b"-.1"), "Frame Time -0.1; expected Frame Time > 0"),
        (GOOD.replace(b"0.0333333", b"fast"), "found 'Frame Time: fast'"),
        (EMPTY, "Frames 0; expected Frames > 0"),
        (GOOD.split(b"Frames")[0], "ends after MOTION"),
        (GOOD.replace(b"}\nMOTION", b"MOTION"), "every { closed by }"),
        (GOOD.replace(b"}\nMOTION", b"}\n}\nMOTION"), "found '}'"),
        (GOOD.replace(b"}\nMOTION", b"}\nROOT B\n{\n}\nMOTION"), "after the one root"),
        (bvh_text(person_of(3.0, CMU_NAMES, ZXY, ZYX), rest_values(CMU)), "give the unit"),
        (
            bvh_text(person_of(56.444, CMU_NAMES, ZXY, ZYX, end_mm=1e200), rest_values(CMU)),
            "overflow",
        ),
    ],
)
def test_bad_files_are_named_with_the_reason(tmp_path, text, message):
    path = save(tmp_path, text, "bad.bvh")
    with pytest.raises(InputError, match=re.escape(message)) as error:
        mocap.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_raise_input_errors_or_give_finite_poses(data, tmp_path_factory):
    text = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place] = data.draw(st.one_of(st.sampled_from(b" \n{}-e.9"), st.integers(0, 255)))
    text = text[: data.draw(st.one_of(st.just(len(text)), st.integers(0, len(text))))]
    path = save(tmp_path_factory.getbasetemp(), bytes(text), "damaged.bvh")
    try:
        poses = mocap.load(path).poses
    except InputError as error:
        message = str(error)
    else:
        message = str(path)
        assert poses.isfinite().all()
        assert len(poses) > 0
    assert str(path) in message
