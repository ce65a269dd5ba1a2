"""A short training with random images, alone or under torchrun; see test_distributed.py."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from ordlib import training
from ordlib.data import MixedBatch, PoseBatch
from ordlib.experiments.supervision import LOSSES, mixed_volume_losses
from ordlib.networks import build
from ordlib.scales import Scale, get_scale
from ordlib.shapes import single_precision
from ordlib.skeleton import H36M17
from ordlib.training import Budget, fit

SCALE = replace(get_scale("smoke"), features=8, depth_bins=4)
STEPS, BATCH = 14, 4


def random_batch(step: int, size: int, scale: Scale = SCALE) -> PoseBatch:
    """Images of noise, with joints of noise that every loss can be computed from."""
    draws = torch.Generator().manual_seed(step)
    side, joints = scale.image_size, len(H36M17)
    images = torch.randint(0, 256, (size, 3, side, side), generator=draws, dtype=torch.uint8)
    return PoseBatch(
        images,
        side * torch.rand(size, joints, 2, generator=draws),
        torch.rand(size, joints, generator=draws) < 0.8,
        300 * torch.randn(size, joints, 3, generator=draws),
        torch.randint(-1, 2, (size, joints, joints), generator=draws, dtype=torch.int8),
        torch.rand(size, joints, joints, generator=draws) < 0.5,
        torch.eye(3).expand(size, 3, 3),
        {"subject": [f"S{i}" for i in range(size)]},
    )


def mixed_batch(step: int, size: int) -> MixedBatch:
    """As many images with 3D truth as with weak labels, drawn apart."""
    return MixedBatch(random_batch(step, size), random_batch(step + 10_000, size))


def share_statistics(network: nn.Module, device: str = "cpu") -> None:
    """Let batch norms on CPUs see the images of all processes, as PyTorch's do on GPUs."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = SharedBatchNorm


class SharedBatchNorm(_BatchNorm):
    """Batch norm over equal shares: what `nn.SyncBatchNorm` does, which has no CPU version."""

    def forward(self, x: Tensor) -> Tensor:
        """The normalised values, in the precision and layout of `x`."""
        values, mean, variance = single_precision(x), self.running_mean, self.running_var
        if not self.training:
            return nn.functional.batch_norm(
                x, mean, variance, self.weight, self.bias, training=False, eps=self.eps
            )
        over = [dimension for dimension in range(x.ndim) if dimension != 1]
        shape = [-1 if dimension == 1 else 1 for dimension in range(x.ndim)]
        now = _Average.apply(values.mean(over))
        centred = values - now.view(shape)
        spread = _Average.apply(centred.square().mean(over))
        self._remember(
            now.detach(), spread.detach(), x.numel() // x.shape[1] * distributed.get_world_size()
        )
        factor = (spread + self.eps).rsqrt() * self.weight
        return (centred * factor.view(shape) + self.bias.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics, of which the variance is the unbiased one."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum)


class _Average(torch.autograd.Function):
    """Mean over all processes; so is its gradient, if the loss is the mean of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total / distributed.get_world_size()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _Average.forward(ctx, grad)


def train_small(name: str, folder: Path, dies_at: int = STEPS, precision: str = "64-true") -> Path:
    """Train `mixed`, or a network of `LOSSES` weakly; the folder with its log and weights.

    In double precision, where the order of sums does not show in the log.

    Args:
        dies_at: step before which the second process is killed.
    """
    mixed = name == "mixed"
    network = build("volume" if mixed else name, 1, SCALE, 0)

    def batch_at(step: int) -> PoseBatch | MixedBatch:
        if step == dies_at and os.environ.get("RANK") == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return mixed_batch(step, BATCH) if mixed else random_batch(step, BATCH)

    def loss(network: Any, batch: Any) -> dict[str, torch.Tensor]:
        output = network(batch.images)
        if mixed:
            return mixed_volume_losses(output, batch, "ordinal", SCALE, torch.ones(16))
        return LOSSES[name](output, batch, True, SCALE)

    budget = Budget(STEPS, "rmsprop", 1e-4, precision=precision, checkpoint_seconds=0.0)
    fit(network, batch_at, loss, budget, folder)
    return folder


if __name__ == "__main__":
    training.share_statistics = share_statistics
    root, task = Path(sys.argv[1]), sys.argv[2]
    if task == "three networks":
        train_small("mixed", root / "mixed")
        train_small("depth", root / "depth")
        train_small("coordinate", root / "coordinate", precision="32-true")
    elif task == "dies":
        train_small("depth", root, dies_at=12)
    elif task == "goes on":
        train_small("depth", root)
    elif task == "folders apart":
        train_small("depth", root / os.environ["RANK"])
