"""Augmentation keeps images, keypoints, 3D joints, relations and intrinsics consistent."""

import math
from dataclasses import replace

import pytest
import torch

from ordlib.augment import Augmentation, augment, mirror, rotate_and_scale
from ordlib.data import PoseBatch
from ordlib.relations import relations_from_depth
from ordlib.skeleton import H36M17


def project(joints: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
    rays = torch.einsum("bij,bnj->bni", intrinsics, joints)
    return rays[..., :2] / rays[..., 2:]


def make_batch(count: int = 6, height: int = 48, width: int = 64, skew: float = 0.0) -> PoseBatch:
    generator = torch.Generator().manual_seed(3)
    joints = torch.randn(count, 17, 3, generator=generator) * 300
    joints[..., 2] += 4000
    intrinsics = torch.tensor([[90.0, skew, width / 2 + 3], [0, 97.0, height / 2 - 2], [0, 0, 1]])
    intrinsics = intrinsics.expand(count, 3, 3).clone()
    relations = relations_from_depth(joints[..., 2])
    return PoseBatch(
        images=torch.randint(
            0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8
        ),
        keypoints_px=project(joints, intrinsics),
        visible=torch.rand(count, 17, generator=generator) < 0.8,
        joints_mm=joints,
        relations=relations,
        annotated=~torch.eye(17, dtype=torch.bool).expand(count, 17, 17),
        intrinsics=intrinsics,
        meta={},
    )


@pytest.mark.parametrize("skew", [0.0, 1.5])
def test_keypoints_stay_the_projection_of_the_joints(skew: float) -> None:
    batch = make_batch(skew=skew)
    changed = augment(batch, torch.Generator().manual_seed(0))
    assert changed.joints_mm is not None and batch.joints_mm is not None
    torch.testing.assert_close(
        project(changed.joints_mm, changed.intrinsics), changed.keypoints_px, atol=1e-3, rtol=1e-4
    )
    torch.testing.assert_close(
        changed.relations, relations_from_depth(changed.joints_mm[..., 2]), msg="relations"
    )
    assert not torch.equal(changed.keypoints_px, batch.keypoints_px)


def test_depths_of_named_joints_survive() -> None:
    batch = make_batch()
    chosen = torch.tensor([True, False] * 3)
    changed = mirror(batch, chosen, H36M17)
    assert changed.joints_mm is not None and batch.joints_mm is not None
    left, right = H36M17.index("left_wrist"), H36M17.index("right_wrist")
    assert torch.equal(changed.joints_mm[chosen, left, 2], batch.joints_mm[chosen, right, 2])
    assert torch.equal(changed.joints_mm[~chosen], batch.joints_mm[~chosen])
    assert torch.equal(changed.visible[chosen, left], batch.visible[chosen, right])


def test_mirror_twice_is_the_identity() -> None:
    batch = make_batch(skew=0.7)
    everything = torch.ones(len(batch), dtype=torch.bool)
    twice = mirror(mirror(batch, everything, H36M17), everything, H36M17)
    assert torch.equal(twice.images, batch.images)
    torch.testing.assert_close(twice.keypoints_px, batch.keypoints_px)
    torch.testing.assert_close(twice.intrinsics, batch.intrinsics)
    assert torch.equal(twice.relations, batch.relations)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 80)])
def test_a_bright_spot_moves_with_its_keypoint(height: int, width: int) -> None:
    """Warp a blurred dot and find it where the keypoint says it is."""
    batch = make_batch(8, height, width)
    ys, xs = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    generator = torch.Generator().manual_seed(1)
    centre = torch.tensor([width / 2, height / 2])
    spots = centre + (torch.rand(8, 2, generator=generator) - 0.5) * 20
    squared = (xs - spots[:, 0, None, None]) ** 2 + (ys - spots[:, 1, None, None]) ** 2
    image = (250 * torch.exp(-squared / 8)).round().to(torch.uint8)
    images, points = image[:, None].repeat(1, 3, 1, 1), spots[:, None].repeat(1, 17, 1)
    batch = replace(batch, images=images, keypoints_px=points, joints_mm=None)
    angle = torch.linspace(-0.5, 0.5, 8)
    changed = rotate_and_scale(batch, angle, torch.linspace(0.8, 1.25, 8))
    weight = changed.images[:, 0].float() * (changed.images[:, 0] > 20)
    total = weight.sum((1, 2))
    found = torch.stack([(weight * at).sum((1, 2)) / total for at in (xs, ys)], -1)
    torch.testing.assert_close(found, changed.keypoints_px[:, 0], atol=0.15, rtol=0)


def test_rotation_turns_clockwise_on_the_screen() -> None:
    batch = make_batch(1, 64, 64)
    point = torch.full((1, 17, 2), 32.0)
    point[..., 0] = 42.0
    batch = replace(batch, keypoints_px=point)
    turned = rotate_and_scale(batch, torch.tensor([math.pi / 2]), torch.ones(1))
    torch.testing.assert_close(turned.keypoints_px[0, 0], torch.tensor([32.0, 42.0]))


def test_ranges_are_the_papers_and_randomness_is_the_generators() -> None:
    assert Augmentation() == Augmentation(30.0, 0.75, 1.25, 0.5)
    batch = make_batch()
    torch.manual_seed(1)
    first = augment(batch, torch.Generator().manual_seed(5))
    torch.manual_seed(2)
    second = augment(batch, torch.Generator().manual_seed(5))
    assert torch.equal(first.images, second.images)
    other = augment(batch, torch.Generator().manual_seed(6))
    assert not torch.equal(first.images, other.images)


def test_a_batch_without_depth_stays_without() -> None:
    batch = make_batch()
    changed = augment(replace(batch, joints_mm=None), torch.Generator().manual_seed(0))
    assert changed.joints_mm is None and changed.relations is not None
