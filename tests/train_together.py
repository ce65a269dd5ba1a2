"""A short training with random images, alone or under torchrun; see test_distributed.py."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ordlib.data import MixedBatch, PoseBatch
from ordlib.experiments.supervision import LOSSES, build, mixed_volume_losses
from ordlib.scales import Scale, get_scale
from ordlib.skeleton import H36M17
from ordlib.training import TrainingConfig, save_weights, single_thread, train

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

    def losses(output: Any, batch: Any) -> dict[str, torch.Tensor]:
        if mixed:
            return mixed_volume_losses(output, batch, "ordinal", SCALE, torch.ones(16))
        return LOSSES[name](output, batch, True, SCALE)

    config = TrainingConfig(STEPS, "rmsprop", 1e-4, "constant", precision, 0.0)
    with single_thread("cpu"):
        train(network, batch_at, losses, config, folder)
    if os.environ.get("RANK", "0") == "0":
        save_weights(folder / "weights.safetensors", network, name)
    return folder


if __name__ == "__main__":
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
