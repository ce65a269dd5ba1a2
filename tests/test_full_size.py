"""One step of every network at the paper's sizes, on the CPU with one image a batch."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn
from train_together import random_batch

from ordlib.experiments import components, supervision
from ordlib.experiments.components import CONFIGS
from ordlib.experiments.rows import get_row
from ordlib.networks import ReconstructionNet, build
from ordlib.scales import get_scale
from ordlib.training import Budget, fit

PAPER = get_scale("paper")


def copied(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in network.named_parameters()}


def assert_all_learned(network: nn.Module, before: dict[str, torch.Tensor]) -> None:
    """Every matrix and every filter moved; biases before a batch norm have nothing to learn."""
    for name, weight in network.named_parameters():
        assert weight.isfinite().all(), name
        if weight.ndim > 1:
            assert not torch.equal(weight, before[name]), name


def test_the_sizes_are_those_of_the_paper() -> None:
    """Section 4.2 and the hourglasses of [31] and [32]."""
    sizes = (PAPER.image_size, PAPER.features, PAPER.levels, PAPER.depth_bins)
    assert sizes == (256, 256, 4, 64) and PAPER.heatmap_size == 64
    assert (PAPER.optimizer, PAPER.learning_rate, PAPER.batch_size) == ("rmsprop", 2.5e-4, 4)


@pytest.mark.parametrize(
    "row",
    [
        *("table1/depth/weak", "table1/coordinate/full", "table1/volume1/weak"),
        *("table1/volume2/weak", "table1/volume2/full"),
    ],
)
def test_one_step_of_a_convnet(row: str, tmp_path: Path) -> None:
    spec = get_row(row)
    scale = spec.scaled("paper")
    network = build(spec.network, spec.stacks, scale, 0)
    before = copied(network)
    budget = Budget(1, scale.optimizer, scale.learning_rate, scale.schedule)
    loss = supervision.loss(spec, scale, torch.ones(16))
    fit(network, lambda step: random_batch(step, 1, scale), loss, budget, tmp_path)
    log = pd.read_csv(tmp_path / "log.csv")
    assert len(log) == 1 and (log.drop(columns="step") > 0).all(axis=None)
    assert_all_learned(network, before)


def test_one_step_of_the_reconstruction_component(monkeypatch) -> None:
    config = replace(CONFIGS["paper"], steps=1)
    assert (config.width, config.dropout, config.batch_size) == (1024, 0.5, 64)
    made = []

    def recording(*sizes, **options) -> ReconstructionNet:
        network = ReconstructionNet(*sizes, **options)
        made.append(copied(network))
        return network

    monkeypatch.setattr(components, "ReconstructionNet", recording)
    network = components.fit_component(components.training_skeletons(128, 0), config)
    assert network.first[0].out_features == 1024 and len(network.units) == 2
    assert_all_learned(network, made[0])
