"""Images a second of the renderer at 64 px on one thread, and the share of tracing the body."""

import timeit

import pytest
import torch

from ordlib.synthetic.body import sample_appearance
from ordlib.synthetic.render import render, trace
from ordlib.synthetic.scenes import KINDS, sample_scene

COUNT, SIZE = 256, 64


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _standing(generator: torch.Generator) -> torch.Tensor:
    """(COUNT, 17, 3) mm: people with arms spread, turned at random."""
    x = [0, -134, -145, -150, 134, 145, 150, 0, 0, 0, 0, 145, 420, 660, -145, -420, -660]
    y = [0, 0, 449, 890, 0, 449, 890, -238, -490, -587, -702, -440, -430, -400, -440, -430, -400]
    z = [0, 0, -10, 10, 0, -10, 10, 10, 0, -64, -50, 0, 5, 0, 0, 5, 0]
    pose = torch.tensor([x, y, z], dtype=torch.float32).T
    angle = torch.rand(COUNT, generator=generator) * 2 * torch.pi
    turn = torch.eye(3).repeat(COUNT, 1, 1)
    turn[:, 0, 0] = turn[:, 2, 2] = angle.cos()
    turn[:, 0, 2], turn[:, 2, 0] = angle.sin(), -angle.sin()
    return pose @ turn.transpose(1, 2) + torch.tensor([0.0, 0.0, 4500.0])


@pytest.mark.parametrize("kind", KINDS)
def test_images_per_second(benchmark, kind):
    generator = torch.Generator().manual_seed(0)
    joints = _standing(generator)
    intrinsics = torch.tensor([[140.0, 0, 32], [0, 140.0, 32], [0, 0, 1]]).expand(COUNT, 3, 3)
    people = sample_appearance(COUNT, "wild", generator)
    scene = sample_scene(COUNT, kind, generator)
    benchmark(render, joints, intrinsics, people, scene, SIZE, generator)
    if benchmark.disabled:
        return
    body_s = min(timeit.repeat(lambda: trace(joints, intrinsics, people, SIZE), number=1))
    benchmark.extra_info["images_per_second"] = COUNT / benchmark.stats["min"]
    benchmark.extra_info["body_share_of_time"] = body_s / benchmark.stats["min"]
