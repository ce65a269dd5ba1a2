"""Where the time of a step of mixed training goes, at scale `quick` on one core.

Each part is timed with the parts before it already done; read the shares of the whole step.
"""

import pytest
import torch

from ordlib import synthetic
from ordlib.batches import batch_at
from ordlib.experiments.rows import get_row
from ordlib.experiments.supervision import mixed_volume_losses
from ordlib.networks import build
from ordlib.training import OPTIMIZERS, single_thread

PARTS = ("data", "forward", "losses", "backward", "optimiser", "whole step")


class Step:
    """A training step in parts."""

    def __init__(self) -> None:
        row = get_row("table2/ordinal")
        self.scale = row.scaled("quick")
        self.studio, self.wild = (
            synthetic.load(name, "train", "quick", 0) for name in ("studio", "wild")
        )
        network = build(row.network, row.stacks, self.scale, 0)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = OPTIMIZERS["adam"](network.parameters(), lr=1e-3)
        self.number = 0

    def data(self) -> None:
        half = self.scale.batch_size // 2
        self.batch = batch_at(self.studio, self.wild, half, 0, "cpu", self.number)
        self.number += 1

    def forward(self) -> None:
        self.output = self.network(self.batch.images)

    def losses(self) -> None:
        lengths = self.studio.limb_lengths_mm
        terms = mixed_volume_losses(self.output, self.batch, "ordinal", self.scale, lengths)
        self.loss = torch.stack(tuple(terms.values())).sum()

    def backward(self) -> None:
        self.optimizer.zero_grad()
        self.loss.backward()

    def optimiser(self) -> None:
        self.optimizer.step()

    def all(self, names: tuple[str, ...]) -> None:
        for name in names:
            getattr(self, name)()


@pytest.mark.benchmark(group="parts of a training step, 4 + 4 images of 64 px")
@pytest.mark.parametrize("part", PARTS)
def test_step(benchmark, part: str) -> None:
    step, parts = Step(), PARTS[:-1]
    if part == "whole step":
        before, timed = (), parts
    else:
        before, timed = parts[: parts.index(part)], (part,)
    with single_thread("cpu"):
        benchmark.pedantic(
            lambda: step.all(timed), setup=lambda: step.all(before), rounds=30, warmup_rounds=5
        )
