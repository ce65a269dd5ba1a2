"""Limb lengths in place of ordinal relations: the loss of [64] and its weak perspective."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from ordlib.camera import weak_perspective
from ordlib.errors import InputError
from ordlib.losses import LIMB_GROUPS, limb_loss
from ordlib.skeleton import H36M17


def poses(count: int, seed: int) -> torch.Tensor:
    return 300 * torch.randn(count, 17, 3, generator=torch.Generator().manual_seed(seed))


def lengths(seed: int) -> torch.Tensor:
    return 100 + 300 * torch.rand(16, generator=torch.Generator().manual_seed(seed))


def loop_loss(joints: np.ndarray, mean: np.ndarray, visible: np.ndarray) -> float:
    total = 0.0
    for pose, shown in zip(joints, visible, strict=True):
        for ends in LIMB_GROUPS.values():
            ratios = [
                np.linalg.norm(pose[end] - pose[H36M17.parents[end]]) / mean[end - 1]
                for end in ends
                if shown[end] and shown[H36M17.parents[end]]
            ]
            total += float(np.var(ratios)) if ratios else 0.0
    return total / len(joints)


@given(st.integers(0, 1000), st.floats(0.2, 1.0))
def test_loss_against_loops(seed, share):
    joints, mean = poses(3, seed).double(), lengths(seed).double()
    visible = torch.rand(3, 17, generator=torch.Generator().manual_seed(seed)) < share
    found = limb_loss(joints, mean, visible)
    expected = loop_loss(joints.numpy(), mean.numpy(), visible.numpy())
    assert float(found) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_groups_hold_mirrored_limbs():
    for ends in LIMB_GROUPS.values():
        assert {H36M17.flip[end] for end in ends} == set(ends)


def test_no_loss_for_people_of_mean_proportions():
    """Whatever their size, and whatever the bones outside the groups."""
    joints = poses(2, 0)
    mean = (joints[0, 1:] - joints[0, [p for p, _ in H36M17.bones]]).norm(dim=-1)
    assert float(limb_loss(1.7 * joints[:1], mean)) < 1e-9
    assert float(limb_loss(joints[1:], mean)) > 0.01


def test_gradient_is_finite_for_bones_of_no_length():
    joints = torch.zeros(1, 17, 3, requires_grad=True)
    limb_loss(joints, lengths(0)).backward()
    assert joints.grad is not None and bool(joints.grad.isfinite().all())


@given(st.integers(0, 1000))
def test_scale_of_weak_perspective_is_the_best(seed):
    points, depth, mean = (
        poses(1, seed)[..., :2] / 10,
        poses(1, seed + 1)[..., 2] / 4,
        lengths(seed),
    )
    found = weak_perspective(points, depth, mean)
    torch.testing.assert_close(found[..., 2], depth)
    scale = float(found[0, 5, 0] / points[0, 5, 0])
    bones = np.array(H36M17.bones)
    flat = ((points[0, bones[:, 1]] - points[0, bones[:, 0]]) ** 2).sum(-1).numpy()
    deep = ((depth[0, bones[:, 1]] - depth[0, bones[:, 0]]) ** 2).numpy()
    rest = np.maximum(mean.numpy() ** 2 - deep, 0)
    best = minimize_scalar(lambda s: ((s**2 * flat - rest) ** 2).sum(), bounds=(0, 1e3))
    assert scale == pytest.approx(best.x, rel=1e-2)


def test_hidden_joints_do_not_count():
    points, depth, mean = poses(1, 3)[..., :2], poses(1, 4)[..., 2] / 4, lengths(3)
    visible = torch.ones(1, 17, dtype=torch.bool)
    visible[0, [3, 16]] = False
    garbage = points.clone()
    garbage[0, [3, 16]] = torch.nan
    first = weak_perspective(points, depth, mean, visible)
    second = weak_perspective(garbage, depth, mean, visible)
    torch.testing.assert_close(first, second)
    assert bool(second.isfinite().all())


def test_depth_alone_gets_the_gradient():
    points = poses(1, 5)[..., :2].requires_grad_()
    depth = (poses(1, 6)[..., 2] / 4).requires_grad_()
    limb_loss(weak_perspective(points, depth, lengths(5)), lengths(5)).backward()
    assert depth.grad is not None and float(depth.grad.abs().sum()) > 0


@pytest.mark.parametrize(
    ("joints", "bones", "name"), [((2, 16, 3), 16, "joints_mm"), ((2, 17, 3), 1, "limb_lengths_mm")]
)
def test_wrong_shapes_are_named(joints, bones, name):
    with pytest.raises(InputError, match=f"{name}: expected"):
        limb_loss(torch.zeros(joints), torch.ones(bones))
