"""Depth guessed from 2D joints alone, without an image: baselines that show what images add.

Keypoints are fractions of the crop's side, so that the crop spans 0 to 1.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from ordlib.losses import ranking_loss
from ordlib.shapes import require_finite, require_shape
from ordlib.training import Budget, Losses, fit

HIDDEN = 128
BATCH_SIZE = 256
BUDGET = partial(Budget, optimizer="adam", learning_rate=5e-3, schedule="cosine", warmup=0.0)


def fit_depth_from_keypoints(
    keypoints: Float[Tensor, "samples joints 2"],
    relations: Int[Tensor, "samples joints joints"],
    *,
    steps: int,
    generator: Generator,
    noise: float = 0.0,
    loss: Callable[[Tensor, Tensor], Tensor] = ranking_loss,
) -> nn.Module:
    """A multilayer perceptron from all 2D joints of a pose to depths, trained on relations.

    Two hidden layers of 128 units, Adam with a cosine schedule, every pair annotated.

    Args:
        steps: batches of at most 256 poses, drawn with replacement.
        generator: source of the weights, the batches and the noise.
        noise: standard deviation of what is added to the positions, new in each step.
        loss: of depths and relations; Eq. 2 by default.

    Returns:
        A module from (batch, joints, 2) to (batch, joints) depths in the unit of the loss.

    Raises:
        InputError: shapes that do not fit; keypoints that are not finite.
    """
    require_finite("keypoints", keypoints)
    samples, joints, _ = keypoints.shape
    require_shape("relations", relations, samples, joints, joints)
    network = _perceptron(joints, generator).to(keypoints)

    def batch_at(step: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(samples, (min(BATCH_SIZE, samples),), generator=generator)
        blur = noise * torch.randn(len(chosen), joints, 2, generator=generator)
        return keypoints[chosen] + blur.to(keypoints), relations[chosen]

    def terms(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Losses:
        return {"loss": loss(network(batch[0]), batch[1])}

    return fit(network, batch_at, terms, BUDGET(steps)).requires_grad_(False)


class _Centre(nn.Module):
    """Fractions of the crop to -1 to 1, all joints in one row."""

    def forward(self, keypoints: Tensor) -> Tensor:
        return (2 * keypoints - 1).flatten(1)


def _perceptron(joints: int, generator: Generator) -> nn.Module:
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            _Centre(),
            nn.Linear(2 * joints, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, joints),
        )


def depth_by_position(
    keypoints: Float[Tensor, "samples joints 2"],
    depth: Float[Tensor, "samples joints"],
    query: Float[Tensor, "queries joints 2"],
    cells: int = 8,
) -> Float[Tensor, "queries joints"]:
    """Mean depth that each joint has in `keypoints`, `depth` in the cell of the crop it lies in.

    Each joint by itself, on a grid of `cells` x `cells`; its mean over all cells counts as one more
    sample of each, and so stands alone where nothing was seen.
    """
    samples, joints, _ = keypoints.shape
    require_shape("depth", depth, samples, joints)
    seen, wanted = (_cell(points, cells) for points in (keypoints, query))
    count = depth.new_ones(joints * cells**2)
    total = depth.mean(0).repeat_interleave(cells**2)
    count.index_add_(0, seen.flatten(), torch.ones_like(depth).flatten())
    total.index_add_(0, seen.flatten(), depth.flatten())
    return (total / count)[wanted]


def _cell(keypoints: Tensor, cells: int) -> Tensor:
    """(..., joints) number of the cell, different for each joint."""
    column, row = (keypoints * cells).long().clamp(0, cells - 1).unbind(-1)
    joint = torch.arange(keypoints.shape[-2], device=keypoints.device)
    return (joint * cells + row) * cells + column
