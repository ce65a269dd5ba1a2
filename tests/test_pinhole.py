"""Cameras fitted to joints in space and in the image."""

import numpy as np
import pytest
from humaneva_files import K, see, to_camera, view, walk

from ordlib.datasets.pinhole import fit_camera, fit_intrinsics, margin_px
from ordlib.errors import InputError


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


def test_the_margin_of_a_crop_spans_the_same_angle():
    assert margin_px(1147.0) == 40 and margin_px(573.5) == 20
