"""Metrics against loops and SciPy's orthogonal Procrustes."""

from inspect import unwrap

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

from ordlib import metrics
from ordlib.errors import InputError
from ordlib.skeleton import H36M17, LSP14, MPI3DHP17, convert


@pytest.fixture
def poses():
    generator = torch.Generator().manual_seed(0)
    pred, target = torch.randn(2, 6, 17, 3, generator=generator, dtype=torch.float64) * 200
    return pred, target + torch.tensor([0, 0, 5000])


def loop_alignment(pred, target):
    """Umeyama by SciPy, one pose at a time: best orthogonal matrix, reflection turned back."""
    mean = target.mean(0)
    x, y = pred - pred.mean(0), target - mean
    matrix, _ = orthogonal_procrustes(x, y)
    if np.linalg.det(matrix) < 0:
        u, _, vt = np.linalg.svd(x.T @ y)
        matrix = u @ np.diag([1, 1, -1]) @ vt
    scale = np.trace((x @ matrix).T @ y) / (x**2).sum()
    return scale * x @ matrix + mean


def test_mpjpe_equals_loop(poses):
    pred, target = (x.numpy() for x in poses)
    expected = [
        np.mean([np.linalg.norm((p[j] - p[0]) - (t[j] - t[0])) for j in range(17)])
        for p, t in zip(pred, target, strict=True)
    ]
    np.testing.assert_allclose(metrics.mpjpe(*poses), expected)


def test_mpjpe_ignores_translation_and_counts_the_root(poses):
    target = poses[1].float()
    moved = target.clone()
    moved[:, 1:, 0] += 17.0
    assert metrics.mpjpe(moved + 1000, target).tolist() == pytest.approx([16.0] * 6, abs=1e-3)


def test_alignment_equals_scipy(poses):
    mirrored = poses[1] * torch.tensor([-1.0, 1.0, 1.0]) + torch.randn(17, 3).double()
    for pred in (poses[0], mirrored):
        found = metrics.align_similarity(pred, poses[1])
        pairs = zip(pred.numpy(), poses[1].numpy(), strict=True)
        np.testing.assert_allclose(found, [loop_alignment(*pair) for pair in pairs], atol=1e-6)


def test_error_of_a_similar_pose_is_zero(poses):
    target = poses[1].float()
    turn = torch.tensor(Rotation.random(6, rng=0).as_matrix()).float()
    similar = 0.3 * target @ turn.mT + torch.tensor([1.0, -2.0, 3.0])
    assert metrics.reconstruction_error(similar, target).max() < 0.01


def test_error_is_never_above_that_of_random_similarities(poses):
    pred, target = poses
    best = (metrics.align_similarity(pred, target) - target).square().sum((1, 2))
    centred = pred - pred.mean(1, keepdim=True)
    for seed in range(20):
        turn = torch.tensor(Rotation.random(6, rng=seed).as_matrix())
        other = 0.1 * centred @ turn.mT + target.mean(1, keepdim=True)
        assert (best <= (other - target).square().sum((1, 2)) + 1e-6).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
class TestDegenerate:
    def test_constant_prediction_falls_on_the_mean(self, poses, dtype):
        target = poses[1].to(dtype)
        pred = torch.full_like(target, 5000.0 / 3)
        found = metrics.align_similarity(pred, target)
        torch.testing.assert_close(found, target.mean(1, keepdim=True).expand_as(target))

    def test_constant_target_is_met(self, poses, dtype):
        target = torch.full((6, 17, 3), 1234.5, dtype=dtype)
        assert metrics.reconstruction_error(poses[0].to(dtype), target).max() < 1e-2

    def test_collinear_poses_reach_the_optimum(self, poses, dtype):
        """Along unit directions the optimum is the best scalar fit of one line on the other."""
        generator = torch.Generator().manual_seed(3)
        along = torch.randn(2, 17, 1, generator=generator, dtype=torch.float64) * 200
        axes = torch.randn(2, 3, generator=generator, dtype=torch.float64)
        axes = axes / axes.norm(dim=-1, keepdim=True)
        pred, target = (a * axis for a, axis in zip(along, axes, strict=True))
        x, y = (a - a.mean() for a in along[..., 0])
        residual = y.abs() if not x.any() else (y - (x @ y) / (x @ x) * x).abs()
        found = metrics.reconstruction_error(pred[None].to(dtype), target[None].to(dtype))
        assert found.item() == pytest.approx(residual.mean().item(), rel=1e-4)

    def test_collinear_prediction_of_a_full_pose_is_finite_and_optimal(self, poses, dtype):
        line = torch.linspace(-1, 1, 17, dtype=torch.float64)[:, None] * torch.tensor([1.0, 2, 3])
        target = poses[1]
        found = metrics.align_similarity(line.expand(6, 17, 3).to(dtype), target.to(dtype))
        centred = target - target.mean(1, keepdim=True)
        t = (line / line.norm()).sum(-1) / torch.tensor([1.0, 2, 3]).sum()
        t = t / t.norm()
        gain = (t @ centred).norm(dim=-1)
        expected = centred.square().sum((1, 2)) - gain**2
        residual = (found.double() - target).square().sum((1, 2))
        torch.testing.assert_close(residual, expected, rtol=1e-4, atol=1e-2)


def test_pck_counts_14_joints_strictly_below_the_threshold():
    target = torch.zeros(1, 17, 3)
    pred = target.clone()
    for joint, error in (("head_top", 150.0), ("left_wrist", 149.9), ("spine", 900), ("jaw", 900)):
        pred[0, H36M17.index(joint), 1] = error
    assert metrics.pck3d(pred, target).item() == pytest.approx(13 / 14)
    assert metrics.pck3d(pred, target, 140.0).item() == pytest.approx(12 / 14)


def test_pck_and_auc_equal_loops_and_do_not_depend_on_the_order(poses):
    pred, target = poses[0] * 0.3, poses[1] * 0.3
    ours = [convert(x, H36M17, MPI3DHP17) for x in (pred, target)]
    p, t = ((x - x[:, 14:15])[:, :14].numpy() for x in ours)
    distance = np.linalg.norm(p - t, axis=-1)
    for order, pair in ((H36M17, (pred, target)), (MPI3DHP17, ours)):
        found = metrics.pck3d(*pair, 100.0, skeleton=order)
        np.testing.assert_allclose(found, (distance < 100).mean(1))
        auc = np.mean([(distance < edge).mean(1) for edge in range(0, 151, 5)], axis=0)
        np.testing.assert_allclose(metrics.auc3d(*pair, skeleton=order), auc)
    assert metrics.auc3d(target, target).tolist() == pytest.approx([30 / 31] * 6)


def test_image_and_depth_errors():
    pred, target = torch.zeros(2, 4, 2), torch.tensor([3.0, 4.0]).expand(2, 4, 2)
    assert metrics.keypoint_error_px(pred, target).tolist() == [5.0, 5.0]
    depth = torch.tensor([[10.0, 20.0, 0.0]])
    assert metrics.depth_error(depth, torch.zeros(1, 3)).item() == pytest.approx(20 / 3)


@pytest.mark.parametrize("metric", [metrics.mpjpe, metrics.align_similarity, metrics.pck3d])
def test_bad_input_is_named(metric):
    bare, pose = unwrap(metric), torch.zeros(2, 17, 3)
    with pytest.raises(InputError, match="target: expected the shape of pred"):
        bare(pose, pose[:1])
    with pytest.raises(InputError, match=r"pred: expected shape \(..., .*3\)"):
        bare(pose[..., :2], pose[..., :2])
    with pytest.raises(InputError, match="target: expected finite values, found 102 of 102"):
        bare(pose, pose + float("nan"))
    with pytest.raises(InputError, match="expected at least one value"):
        bare(pose[:0], pose[:0])


def test_skeleton_without_a_pelvis_is_named():
    with pytest.raises(InputError, match="pelvis"):
        metrics.pck3d(torch.zeros(1, 14, 3), torch.zeros(1, 14, 3), skeleton=LSP14)
