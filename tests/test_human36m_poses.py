"""Human3.6M's motion capture with cameras and detections, as 3d-pose-baseline has them."""

import h5py
import numpy as np
import pytest
import torch
from human36m_files import CAMERAS, OF_32, USUAL, people, save_baseline, seen_by

from ordlib.camera import project
from ordlib.datasets import human36m
from ordlib.datasets.recognise import recognise
from ordlib.errors import InputError
from ordlib.skeleton import H36M17, MPII16

pytestmark = pytest.mark.filterwarnings("ignore:.*found motion capture of")
TAKES = {"S9": ("Directions", "WalkingDog 1"), "S11": ("Photo 2",)}
TWINS = {"head_top": "head_top", "jaw": "neck"}  # of H36M17 and of MPII


@pytest.mark.parametrize("transposed", [False, True])
def test_poses_are_those_of_each_camera(tmp_path, transposed):
    written = save_baseline(tmp_path, TAKES, transposed=transposed)
    poses = human36m.poses(tmp_path, "test")
    assert len(poses) == 3 * 4 * 3
    meta = poses.meta
    assert meta["frame"][:4].tolist() == [1, 6, 11, 1]
    assert set(zip(meta["subject"], meta["action"], meta["take"].tolist(), strict=True)) == {
        ("S9", "Directions", 0), ("S9", "WalkDog", 1), ("S11", "Photo", 2),
    }  # fmt: skip
    for row in range(len(poses)):
        subject, action, take, camera, frame = (meta[key][row] for key in meta)
        seen = written[subject, str(action), int(take), str(camera)][(int(frame) - 1)]
        np.testing.assert_allclose(poses.joints_mm[row], seen, atol=0.05)
        pixels = seen_by(seen, camera) + 0.5
        np.testing.assert_allclose(poses.keypoints_px[row], pixels, atol=0.02)
    torch.testing.assert_close(project(poses.joints_mm, poses.intrinsics), poses.pinhole_px)
    off = (poses.pinhole_px - poses.keypoints_px).norm(dim=-1)
    assert 0.1 < off.mean() < 6


def test_detections_are_those_of_the_same_place_of_the_body(tmp_path):
    """The writer puts a detection its number in pixels to the right of the joint."""
    save_baseline(tmp_path, TAKES)
    poses = human36m.poses(tmp_path, "test")
    there = ~poses.detections_px.isnan().any(-1)
    lacking = [H36M17.index(name) for name in ("spine", "thorax")]
    assert not there[:, lacking].any() and there.sum(1).eq(15).all()
    off = (poses.detections_px - poses.keypoints_px)[..., 0]
    for index, name in enumerate(USUAL):
        if index not in lacking:
            expected = MPII16.index(TWINS.get(name, name))
            torch.testing.assert_close(
                off[:, index], torch.full_like(off[:, index], expected), atol=0.05, rtol=0
            )


def test_files_that_are_not_there_are_counted(tmp_path):
    save_baseline(tmp_path, TAKES)
    folder = tmp_path / "S9/StackedHourglass"
    (folder / f"Directions.{CAMERAS[1]}.h5").unlink()
    (folder / f"._Directions.{CAMERAS[1]}.h5").write_bytes(b"\0\5\x16\7")
    with pytest.warns(
        UserWarning, match="capture of 3 of 60 takes, and detections of 11 of its 12"
    ):
        poses = human36m.poses(tmp_path, "test")
    gone = (poses.meta["action"] == "Directions") & (poses.meta["camera"] == CAMERAS[1])
    assert poses.detections_px[torch.from_numpy(gone)].isnan().all() and gone.sum() == 3
    (found,) = recognise(tmp_path)
    assert found.name == "Human3.6M, poses" and found.samples == {"test": len(poses)}
    assert "train: " in found.problem and "found none" in found.problem


@pytest.mark.parametrize(
    ("file", "key", "change", "message"),
    [
        (
            "S9/MyPoses/3D_positions/Directions.h5",
            "3D_positions",
            lambda a: a[:95],
            r"\(96, t\) or",
        ),
        (
            "S9/MyPoses/3D_positions/Directions.h5",
            "3D_positions",
            lambda a: a / 1000,
            "these metre",
        ),
        ("S9/MyPoses/3D_positions/Directions.h5", "3D_positions", lambda a: a * np.nan, "finite"),
        ("cameras.h5", "subject9/camera1/R", lambda a: a * 2, "expected a rotation"),
        ("cameras.h5", "subject9/camera2/T", lambda a: a[:2], r"T: expected shape \(3\)"),
        ("cameras.h5", "subject11/camera1/Name", lambda a: a + 1, "expected a camera of 54138969"),
        (f"S9/StackedHourglass/Directions.{CAMERAS[0]}.h5", "poses", lambda a: a[:, :9], "16, 2"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, file, key, change, message):
    save_baseline(tmp_path, TAKES)
    with h5py.File(tmp_path / file, "a") as content:
        array = content[key][()]
        del content[key]
        content[key] = change(array)
    with pytest.raises(InputError, match=f"{file}: .*{message}"):
        human36m.poses(tmp_path, "test")
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(InputError, match=f"{file}: expected a file of HDF5"):
        human36m.poses(tmp_path, "test")


def test_neither_poses_nor_a_split(tmp_path):
    with pytest.raises(InputError, match="expected motion capture of S9, S11, such as"):
        human36m.poses(tmp_path, "test")
    with pytest.raises(InputError, match="split: expected one of train"):
        human36m.poses(tmp_path, "validation")


def test_the_order_of_the_writers_joints():
    assert len(OF_32) == len(USUAL) == len(people(1)[0])
