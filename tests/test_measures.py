"""What is known of test images, and the errors of poses that are measured by it."""

from dataclasses import replace
from pathlib import Path

import humaneva_files
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from ordlib import metrics
from ordlib.arrays import TRUST
from ordlib.errors import InputError
from ordlib.experiments import Run, Setting, get_row, run
from ordlib.experiments.components import training_skeletons
from ordlib.experiments.evaluation import Truth, measure
from ordlib.relations import relations_from_depth
from ordlib.skeleton import H36M17
from ordlib.synthetic import DOMAINS

SAMPLES = 60


@pytest.fixture
def known() -> Truth:
    people = training_skeletons(SAMPLES, 0)
    relations = relations_from_depth(people.joints_mm[..., 2])
    return Truth(
        people.relative_mm,
        people.keypoints_px,
        relations,
        torch.ones_like(relations, dtype=torch.bool),
        people.intrinsics,
        DOMAINS["studio"].limb_lengths_mm.mean(0),
    )


def test_true_poses_have_no_error(known: Truth) -> None:
    found = measure(known.joints_mm, known)
    for name in ("mpjpe", "plane_error", "depth_error"):
        assert not found[name].any()
    assert (found["pck3d"] == 100).all() and (found["ordinal_accuracy"].nan_to_num(1) == 1).all()
    torch.testing.assert_close(found["auc3d"], torch.full((SAMPLES,), 100 * 30 / 31))


def test_errors_in_the_plane_and_in_depth_are_told_apart(known: Truth) -> None:
    beside, behind = (known.joints_mm.clone() for _ in range(2))
    beside[:, 1:, :2] += torch.tensor([30.0, 40.0])
    behind[:, 1:, 2] += 17.0
    plane, depth = (measure(pose, known) for pose in (beside, behind))
    share = 16 / 17
    torch.testing.assert_close(plane["plane_error"], torch.full((SAMPLES,), 50.0 * share))
    assert not plane["depth_error"].any() and not depth["plane_error"].any()
    torch.testing.assert_close(depth["depth_error"], torch.full((SAMPLES,), 16.0))
    torch.testing.assert_close(plane["mpjpe"], plane["plane_error"])
    torch.testing.assert_close(depth["mpjpe"], depth["depth_error"])


IN_MM = ("mpjpe", "reconstruction_error", "plane_error", "depth_error")


def _off(known: Truth, mm: float = 40.0) -> torch.Tensor:
    noise = torch.randn(known.joints_mm.shape, generator=torch.Generator().manual_seed(3))
    noise[:, 0] = 0
    return known.joints_mm + mm * noise


def _aligned_error(pose: np.ndarray, target: np.ndarray) -> float:
    """Mean distance of one pose after rotation, scale and translation, by SciPy's alignment."""
    x, y = pose - pose.mean(0), target - target.mean(0)
    x = Rotation.align_vectors(y, x)[0].apply(x)
    return float(np.linalg.norm((x * y).sum() / (x * x).sum() * x - y, axis=-1).mean())


def _errors(pose: np.ndarray, target: np.ndarray) -> tuple[float, ...]:
    off = pose - target
    return (
        float(np.linalg.norm(off, axis=-1).mean()),
        _aligned_error(pose, target),
        float(np.linalg.norm(off[:, :2], axis=-1).mean()),
        float(np.abs(off[:, 2]).mean()),
    )


def test_errors_are_means_over_the_scored_joints_of_each_sample(known: Truth) -> None:
    scored = torch.ones(SAMPLES, 17, dtype=torch.bool)
    scored[:, [H36M17.index("spine"), H36M17.index("jaw")]] = False
    scored[::3, H36M17.index("head_top")] = False
    pose = _off(known)
    found = measure(pose, replace(known, scored=scored))
    for row in range(SAMPLES):
        joints = np.flatnonzero(scored[row].numpy())
        assert len(joints) == (14 if row % 3 == 0 else 15)
        expected = _errors(*(x[row, joints].double().numpy() for x in (pose, known.joints_mm)))
        assert [found[name][row].item() for name in IN_MM] == pytest.approx(expected, rel=1e-4)
    everywhere = measure(pose, known)  # all joints are scored by default
    assert everywhere["mpjpe"].equal(metrics.mpjpe(pose, known.joints_mm))
    for name in ("pck3d", "auc3d", "ordinal_accuracy"):
        assert torch.equal(found[name].nan_to_num(-1), everywhere[name].nan_to_num(-1))
    moved = torch.where(scored[..., None], pose, pose + 1000)
    again = measure(moved, replace(known, scored=scored))
    assert all(again[name].equal(found[name]) for name in IN_MM)


def test_without_its_root_a_sample_has_no_error(known: Truth) -> None:
    scored = torch.ones(SAMPLES, 17, dtype=torch.bool)
    scored[1, 0] = False
    found = measure(_off(known), replace(known, scored=scored))
    assert all(found[name].isnan().nonzero().tolist() == [[1]] for name in IN_MM)


def test_truth_of_humaneva_scores_what_was_measured(tmp_path: Path, monkeypatch) -> None:
    """15 joints, and in frames with a defective head the other 14."""
    monkeypatch.setenv(TRUST, "data_3d_humaneva15.npz, data_2d_humaneva15_gt.npz")
    table = humaneva_files.positions()
    joints = table["Validate/S3"]["Walking 1 chunk0"]
    joints[1:, 14] = joints[1:, 1] + (0.1, 0.1, -0.05)
    humaneva_files.save_archives(tmp_path, table)
    humaneva_files.save_all_images(tmp_path)
    here = Setting(scale="smoke", data=str(tmp_path), device="cpu")
    with pytest.warns(UserWarning, match="the head lies at the chest in 2 of 3 frames"):
        known = Run(get_row("table6/duo"), here).truth("duo")
    assert known.scored is not None
    assert known.scored.sum(-1).bincount().tolist()[14:] == [2 * 3, len(known.joints_mm) - 2 * 3]
    assert (known.meta["subject"][known.scored.sum(-1) == 14] == "S3").all()
    pose = known.joints_mm.clone()
    pose[:, [H36M17.index("spine"), H36M17.index("jaw")]] += 500
    pose[~known.scored] += 500
    found = measure(pose, known)
    assert not found["mpjpe"].any() and found["reconstruction_error"].max() < 0.01


def test_truth_is_that_of_the_test_images_and_agrees_with_what_evaluation_stored(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("ORDLIB_OUTPUTS", str(tmp_path))
    done = run("table2/keypoints", Setting(scale="smoke", device="cpu"))
    for domain in ("studio", "shift"):
        known, stored = done.truth(domain), done.predictions(domain)
        assert not known.joints_mm[:, 0].any()
        found = measure(stored["joints_mm"], known)
        close = {"rtol": 1e-3, "atol": 0.02, "equal_nan": True}
        for name in ("mpjpe", "reconstruction_error", "depth_error", "ordinal_accuracy"):
            torch.testing.assert_close(found[name], stored[name], **close)
        for name in ("pck3d", "auc3d"):
            torch.testing.assert_close(found[name], stored[name])
        off_px = (stored["keypoints_px"] - known.keypoints_px).norm(dim=-1).mean(-1)
        torch.testing.assert_close(stored["keypoint_error"], off_px * (100 / 32))
    test_set = done.setting.load("studio", "test")
    batch = test_set.batch(np.arange(len(test_set)))
    known = done.truth("studio")
    assert list(known.meta["action"]) == list(batch.meta["action"])
    bone = batch.joints_mm[:, 5] - batch.joints_mm[:, 2]
    torch.testing.assert_close(known.joints_mm[:, 5] - known.joints_mm[:, 2], bone)


@pytest.mark.parametrize(
    ("row", "domain"), [("table2/keypoints", "duo"), ("choice/mixed/studio", "wild")]
)
def test_truth_is_refused_where_there_is_none(row: str, domain: str) -> None:
    with pytest.raises(InputError, match=r"found|expected 3D joints"):
        Run(get_row(row), Setting(scale="smoke", device="cpu")).truth(domain)
