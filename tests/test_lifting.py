"""Baselines that guess depth from 2D joints."""

import pytest
import torch

from ordlib.errors import InputError
from ordlib.experiments.lifting import depth_by_position, fit_depth_from_keypoints
from ordlib.relations import ordinal_accuracy, relations_from_depth

JOINTS = 5


def _poses(samples, seed):
    """Poses whose depths follow from all positions together."""
    points = torch.rand(samples, JOINTS, 2, generator=torch.Generator().manual_seed(seed))
    mixed = points.flatten(1) @ torch.randn(
        2 * JOINTS, JOINTS, generator=torch.Generator().manual_seed(99)
    )
    return points, 500 * mixed


def _fit(seed=0, steps=150, **options):
    points, depth = _poses(400, 1)
    generator = torch.Generator().manual_seed(seed)
    relations = relations_from_depth(depth)
    return fit_depth_from_keypoints(points, relations, steps=steps, generator=generator, **options)


def _accuracy(network, points, depth):
    return ordinal_accuracy(network(points), relations_from_depth(depth)).nanmean().item()


def test_order_of_new_poses_is_learned():
    points, depth = _poses(300, 2)
    assert _accuracy(_fit(), points, depth) > 0.95
    assert _accuracy(_fit(steps=0), points, depth) < 0.8


def test_noise_costs_accuracy():
    points, depth = _poses(300, 2)
    noisy = points + 0.3 * torch.randn(points.shape, generator=torch.Generator().manual_seed(3))
    assert _accuracy(_fit(noise=0.3), noisy, depth) < _accuracy(_fit(), points, depth) - 0.05


def test_result_depends_on_the_generator_alone():
    points, _ = _poses(7, 2)
    torch.manual_seed(1)
    first = _fit(steps=5, noise=0.1)(points)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(_fit(steps=5, noise=0.1)(points), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(_fit(seed=1, steps=5, noise=0.1)(points), first)
    assert first.shape == (7, JOINTS) and not first.requires_grad


def test_depth_by_position_against_a_loop():
    points, depth = _poses(60, 4)
    query, _ = _poses(40, 5)
    found = depth_by_position(points, depth, query, cells=3)
    for row in range(len(query)):
        for joint in range(JOINTS):
            same = ((points[:, joint] * 3).long() == (query[row, joint] * 3).long()).all(-1)
            values = torch.cat([depth[same, joint], depth[:, joint].mean()[None]])
            torch.testing.assert_close(found[row, joint], values.mean())


def test_positions_outside_the_crop_count_for_its_border():
    points = torch.tensor([[[0.1, 0.1]], [[0.9, 0.9]]])
    depth = torch.tensor([[-10.0], [10.0]])
    query = torch.tensor([[[-3.0, -1.0]], [[1.0, 7.0]]])
    assert depth_by_position(points, depth, query, cells=2).flatten().tolist() == [-5.0, 5.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": torch.full((4, JOINTS, 2), torch.nan)}, "keypoints"),
        ({"relations": torch.zeros(4, JOINTS, 2, dtype=torch.int8)}, "relations"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_bad_input_of_the_fit_is_named(change, message, request):
    if request.config.getoption("--jaxtyping-packages", None):
        pytest.skip("the shape checks speak first")
    values = {
        "keypoints": torch.zeros(4, JOINTS, 2),
        "relations": torch.zeros(4, JOINTS, JOINTS, dtype=torch.int8),
    }
    with pytest.raises(InputError, match=message):
        fit_depth_from_keypoints(**(values | change), steps=1, generator=torch.Generator())
