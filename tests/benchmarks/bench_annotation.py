"""Simulated annotation of 15,000 images of 14 joints, against asking about one after the other."""

import timeit

import pytest
import torch

from ordlib.annotation import PERSON, STRATEGIES, DepthPrior, annotate, order_joints
from ordlib.skeleton import LSP14_IN_H36M17
from ordlib.synthetic import skeletons
from ordlib.training import single_thread

IMAGES, SINGLE = 15_000, 50


@pytest.fixture(scope="module")
def depth_mm() -> torch.Tensor:
    return skeletons("wild", "train", IMAGES, 0).joints_mm[:, list(LSP14_IN_H36M17), 2]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_images_per_second(benchmark, depth_mm, strategy):
    prior = DepthPrior.learn(depth_mm[:2000])

    def all_at_once():
        draws = torch.Generator().manual_seed(0)
        return annotate(depth_mm, PERSON, strategy, generator=draws, prior=prior)

    def one_by_one():
        draws = torch.Generator().manual_seed(0)
        for depth in depth_mm[:SINGLE]:
            order_joints(PERSON.ask(depth, draws), 14, strategy, prior=prior)

    with single_thread("cpu"):
        result = benchmark.pedantic(all_at_once, rounds=3)
        assert len(result.ranks) == IMAGES
        if benchmark.disabled:
            return
        single_s = min(timeit.repeat(one_by_one, number=1, repeat=3)) / SINGLE
    per_image_s = benchmark.stats["min"] / IMAGES
    benchmark.extra_info["images_per_second"] = 1 / per_image_s
    benchmark.extra_info["times_faster_than_one_by_one"] = single_s / per_image_s
