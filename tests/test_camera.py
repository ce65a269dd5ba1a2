"""Rotations, projection there and back, crops, and depth from limb lengths against SciPy."""

from inspect import unwrap

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.spatial.transform import Rotation

from ordlib import camera
from ordlib.errors import InputError
from ordlib.skeleton import H36M17

LIMBS = [134, 449, 446, 134, 449, 446, 238, 255, 116, 115, 149, 280, 250, 149, 280, 250]


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def random_poses(count, generator, lengths=LIMBS):
    """Poses with given limb lengths in random directions, root at 3 to 7 m."""
    joints = torch.zeros(count, 17, 3, dtype=torch.float64)
    shift = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    joints[:, 0] = shift * torch.tensor([1000, 1000, 4000]) + torch.tensor([-500, -500, 3000])
    for (parent, child), length in zip(H36M17.bones, lengths, strict=True):
        step = torch.randn(count, 3, generator=generator, dtype=torch.float64)
        joints[:, child] = joints[:, parent] + length * step / step.norm(dim=-1, keepdim=True)
    return joints


def pinhole(count):
    matrix = torch.tensor([[1145.0, 3.0, 512.0], [0.0, 1143.0, 515.0], [0.0, 0.0, 1.0]])
    return matrix.double().expand(count, 3, 3)


def limbs_of(joints):
    parents, children = zip(*H36M17.bones, strict=True)
    return (joints[..., list(children), :] - joints[..., list(parents), :]).norm(dim=-1)


class TestRotation:
    def test_equals_scipy_down_to_no_rotation(self, generator):
        vectors = torch.randn(5, 20, 3, generator=generator, dtype=torch.float64)
        vectors = vectors * torch.tensor([0.0, 1e-9, 1e-4, 1.0, 3.0])[:, None, None]
        expected = Rotation.from_rotvec(vectors.reshape(-1, 3).numpy()).as_matrix()
        for dtype, tolerance in ((torch.float64, 1e-15), (torch.float32, 1e-6)):
            found = camera.rotation_matrix(vectors.to(dtype)).flatten(0, 1)
            assert np.abs(found.numpy() - expected).max() < tolerance


class TestPinhole:
    def test_hand_worked_with_skew(self):
        matrix = torch.tensor([[100.0, 10.0, 50.0], [0.0, 200.0, 60.0], [0.0, 0.0, 1.0]])
        joints = torch.tensor([[2.0, 4.0, 8.0], [0.0, 0.0, 1.0]])
        assert camera.project(joints, matrix).tolist() == [[80.0, 160.0], [50.0, 60.0]]

    def test_there_and_back_with_any_leading_dimensions(self, generator):
        joints = random_poses(6, generator).view(2, 3, 17, 3)
        matrix = pinhole(6).view(2, 3, 3, 3)
        turned = matrix.clone()
        turned[..., :2, :] = torch.tensor([[0.8, -0.6], [0.6, 0.8]]).double() @ matrix[..., :2, :]
        for intrinsics in (matrix, turned):
            points = camera.project(joints, intrinsics)
            expected = joints @ intrinsics.mT
            torch.testing.assert_close(points, expected[..., :2] / expected[..., 2:])
            found = camera.backproject(points, joints[..., 2], intrinsics)
            torch.testing.assert_close(found, joints)

    def test_gradient(self, generator):
        joints, matrix = random_poses(2, generator)[:, :4].requires_grad_(), pinhole(2).clone()
        assert torch.autograd.gradcheck(camera.project, (joints, matrix.requires_grad_()))


class TestCrop:
    def test_box_is_the_published_rule(self):
        points = torch.tensor([[[10.0, 20.0], [50.0, 140.0], [30.0, 60.0]]])
        centre, side = camera.pose_box(points)
        assert centre.tolist() == [[30.0, 80.0]]
        assert side.tolist() == [160.0]

    def test_crop_is_projection_then_scale_and_shift(self, generator):
        joints, matrix = random_poses(5, generator), pinhole(5)
        points = camera.project(joints, matrix)
        centre, side = camera.pose_box(points)
        cropped = camera.crop_intrinsics(matrix, centre, side, 64)
        corner = centre - side[:, None] / 2
        expected = (points - corner[:, None]) * (64 / side)[:, None, None]
        torch.testing.assert_close(camera.project(joints, cropped), expected)
        assert expected.min() > 0
        assert expected.max() < 64


def loop_root_depth(points, depth, matrix, lengths):
    """Best of bounded searches over many pieces of the range, with NumPy."""
    points, depth, inverse = points.numpy(), depth.numpy(), matrix.inverse().numpy()

    def cost(z):
        joints = [
            (z + d) * (inverse @ [u, v, 1.0]) for (u, v), d in zip(points, depth, strict=True)
        ]
        return sum(
            (float(((joints[c] - joints[p]) ** 2).sum()) ** 0.5 - length) ** 2
            for (p, c), length in zip(H36M17.bones, lengths, strict=True)
        )

    low = 50 - depth.min()
    edges = [low + 50 * 1.6**k for k in range(14)]
    pieces = zip([low, *edges], edges, strict=False)
    searches = [
        minimize_scalar(cost, bounds=piece, method="bounded", options={"xatol": 1e-4})
        for piece in pieces
    ]
    return min(searches, key=lambda found: found.fun).x


class TestRootDepth:
    def test_exact_recovery_in_single_precision(self, generator):
        joints = random_poses(20, generator)
        points, root = camera.project(joints, pinhole(20)), joints[:, 0, 2]
        relative = joints[..., 2] - root[:, None]
        lengths = torch.tensor(LIMBS).double()
        for dtype, tolerance in ((torch.float64, 1e-4), (torch.float32, 1.0)):
            inputs = (x.to(dtype) for x in (points, relative, pinhole(20), lengths))
            found = camera.root_depth(*inputs)
            assert found.dtype == dtype
            assert (found - root).abs().max() < tolerance

    def test_equals_scipy_on_poses_that_do_not_fit(self, generator):
        joints = random_poses(6, generator)
        points = camera.project(joints, pinhole(6))
        points = points + 15 * torch.randn(points.shape, generator=generator).double()
        relative = (joints[..., 2] - joints[:, :1, 2]) * torch.linspace(0, 3, 6)[:, None]
        lengths = torch.tensor(LIMBS).double() * torch.linspace(0.5, 1.5, 6)[:, None]
        found = camera.root_depth(points, relative, pinhole(6), lengths)
        expected = [
            loop_root_depth(points[b], relative[b], pinhole(1)[0], lengths[b].tolist())
            for b in range(6)
        ]
        torch.testing.assert_close(found, torch.tensor(expected).double(), rtol=1e-5, atol=0.05)

    def test_all_joints_stay_in_front_of_the_camera(self, generator):
        points = torch.rand(4, 17, 2, generator=generator) * 1000
        relative = torch.randn(4, 17, generator=generator) * 2000
        found = camera.root_depth(points, relative, pinhole(4).float(), torch.tensor(LIMBS) * 1.0)
        assert (found[:, None] + relative > 0).all()

    def test_degenerate_pose_is_finite(self):
        points, lengths = torch.full((1, 17, 2), 512.0), torch.tensor(LIMBS) * 1.0
        depth, matrix = torch.zeros(1, 17), pinhole(1).float()
        assert camera.root_depth(points, depth, matrix, lengths).isfinite().all()


class TestDepthScale:
    @pytest.mark.parametrize("scale", [0.7, 125.0, 4000.0])
    def test_recovers_the_scale_of_mean_bodies(self, generator, scale):
        joints = random_poses(12, generator)
        points = camera.project(joints, pinhole(12))
        depth = (joints[..., 2] - joints[:, :1, 2]) / scale
        inputs = (x.float() for x in (points, depth, pinhole(12), torch.tensor(LIMBS)))
        assert camera.depth_scale(*inputs).item() == pytest.approx(scale, rel=1e-3)

    def test_is_the_minimum_of_the_mean_error(self, generator):
        joints = random_poses(8, generator)
        points = camera.project(joints, pinhole(8)) + 4 * torch.randn(8, 17, 2, generator=generator)
        noise = 40 * torch.randn(8, 17, generator=generator)
        depth = (joints[..., 2] - joints[:, :1, 2] + noise) / 200
        lengths = torch.tensor(LIMBS).double()

        def cost(scale):
            root = camera.root_depth(points, depth * scale, pinhole(8), lengths)
            found = camera.backproject(points, root[:, None] + depth * scale, pinhole(8))
            return (limbs_of(found) - lengths).square().sum(-1).mean().item()

        best = camera.depth_scale(points, depth, pinhole(8), lengths).item()
        costs = [cost(best * factor) for factor in (0.3, 0.7, 0.99, 1.0, 1.01, 1.4, 3.0)]
        assert min(costs) == costs[3]


EYE, LIMB = torch.eye(3).expand(2, 3, 3), torch.ones(16)
POINTS, DEPTH = torch.zeros(2, 17, 2), torch.zeros(2, 17)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (camera.project, (-torch.ones(1, 3), EYE[0]), r"joints_mm: expected depths.*found -1"),
        (camera.project, (torch.ones(2, 5, 3), EYE[0]), r"intrinsics: expected shape"),
        (camera.project, (torch.ones(5, 2), EYE[0]), "joints_mm: expected shape"),
        (camera.backproject, (POINTS, DEPTH + torch.nan, EYE), "depth_mm: expected depths.*finite"),
        (camera.backproject, (POINTS, DEPTH[:1], EYE), "depth_mm: expected shape"),
        (camera.crop_intrinsics, (EYE, POINTS[:, 0], LIMB[:2] * 0, 64), "side_px: expected pos"),
        (camera.pose_box, (POINTS + torch.inf,), "keypoints_px: expected finite values"),
        (camera.root_depth, (POINTS, DEPTH, EYE, LIMB[1:]), "limb_lengths_mm: expected shape"),
        (camera.root_depth, (POINTS[:, :16], DEPTH, EYE, LIMB), "keypoints_px: expected shape"),
        (camera.root_depth, (POINTS, DEPTH[:1], EYE, LIMB), "relative_depth: expected shape"),
        (camera.root_depth, (POINTS, DEPTH, EYE[:1], LIMB), "intrinsics: expected shape"),
        (camera.root_depth, (POINTS / 0, DEPTH, EYE, LIMB), "keypoints_px: expected finite"),
        (camera.depth_scale, (POINTS, DEPTH, EYE, LIMB), "ordinal_depth: expected depths that dif"),
        (camera.weak_perspective, (POINTS, DEPTH[:1], LIMB), "relative_depth_mm: expected shape"),
    ],
)
def test_bad_input_is_named(function, arguments, message):
    with pytest.raises(InputError, match=message):
        unwrap(function)(*arguments)
