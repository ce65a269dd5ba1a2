"""What is known about depths before anybody is asked, and what each answer adds."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ordlib.annotation.knowledge import Knowledge
from ordlib.errors import InputError
from ordlib.shapes import require_finite

JITTER_MM = 10.0
"""Standard deviation that no prior goes below: two poses are never known to be the same."""

_LARGE = 1e6


@dataclass(frozen=True)
class DepthPrior:
    """A Gaussian over the depths of a person's joints, relative to their mean, mm."""

    mean: Float[Tensor, " joints"]
    covariance: Float[Tensor, "joints joints"]
    tie_mm: float = 100.0  # difference below which annotators see a tie

    @staticmethod
    def learn(depth_mm: Float[Tensor, "poses joints"], *, tie_mm: float = 100.0) -> "DepthPrior":
        """The prior that fits poses, given the depths of their joints as cameras see them."""
        require_finite("depth_mm", depth_mm)
        if not (len(depth_mm) and 0 <= tie_mm < math.inf):
            raise InputError(
                f"prior: expected poses and a tie_mm of 0 or more, found {len(depth_mm)} poses and"
                f" {tie_mm}"
            )
        depth = depth_mm.double()
        depth = depth - depth.mean(-1, keepdim=True)
        mean = depth.mean(0)
        floor = JITTER_MM**2 * torch.eye(len(mean), dtype=depth.dtype)
        return DepthPrior(mean, (depth - mean).mT @ (depth - mean) / len(depth) + floor, tie_mm)


class Belief:
    """Depths of many images after their answers, as Gaussians.

    Each answer says on which side of the tie threshold a difference of two depths lies. The
    Gaussian is replaced by the one with the mean and covariance that it has after that (assumed
    density filtering), in the order of the questions.
    """

    def __init__(self, prior: DepthPrior, knowledge: Knowledge) -> None:
        self._knowledge, self._tie_mm = knowledge, prior.tie_mm
        # single precision takes half the time and asks the same questions
        self._mean = prior.mean.float().expand(knowledge.present.shape).clone()
        self._covariance = prior.covariance.float().expand(*self._mean.shape, -1).clone()
        self._taken = torch.zeros(len(self._mean), dtype=torch.int64)

    def closer_probability(
        self, rows: Int64[Tensor, " rows"]
    ) -> Float[Tensor, "rows joints joints"]:
        """Probability that joint i is closer than j; that of a tie is what is left of the two."""
        self._take_answers(rows)
        mean, covariance = self._mean[rows], self._covariance[rows]
        variance = covariance.diagonal(dim1=1, dim2=2)
        spread = (variance.unsqueeze(-1) + variance.unsqueeze(-2)).sub_(covariance, alpha=2)
        advantage = (mean.unsqueeze(-2) - mean.unsqueeze(-1)).sub_(self._tie_mm)
        return torch.special.ndtr(advantage.mul_(spread.clamp_min_(1.0).rsqrt_()))

    def _take_answers(self, rows: Tensor) -> None:
        """Take in the answers given since the last call, one of each image at a time."""
        while True:
            late = rows[self._taken[rows] < self._knowledge.questions[rows]]
            if not len(late):
                return
            self._taken[late] += 1
            now = self._knowledge.turn[late] == self._taken[late, None, None]
            pair = now.triu(1).flatten(1).to(torch.uint8).argmax(-1)
            joints = now.shape[-1]
            self._condition(late, pair // joints, pair % joints)

    def _condition(self, rows: Tensor, first: Tensor, second: Tensor) -> None:
        k, answer = torch.arange(len(rows)), self._knowledge.answers[rows, first, second]
        mean, covariance = self._mean[rows], self._covariance[rows]
        with_all = covariance[k, second] - covariance[k, first]
        variance = with_all[k, second] - with_all[k, first]
        advantage = mean[k, second] - mean[k, first]
        low = torch.where(answer > 0, self._tie_mm, torch.where(answer < 0, -_LARGE, -self._tie_mm))
        high = torch.where(answer < 0, -self._tie_mm, torch.where(answer > 0, _LARGE, self._tie_mm))
        variance = variance.clamp_min(1.0)
        new_mean, new_variance = truncated_normal(
            *(x.double() for x in (advantage, variance, low, high))
        )
        gain = with_all / variance[:, None]
        shrink = (new_variance.float() - variance)[:, None]
        self._mean[rows] = mean + gain * (new_mean.float() - advantage)[:, None]
        self._covariance[rows] = covariance.baddbmm_(
            (gain * shrink).unsqueeze(-1), gain.unsqueeze(-2)
        )


def truncated_normal(
    mean: Float[Tensor, " rows"],
    variance: Float[Tensor, " rows"],
    low: Float[Tensor, " rows"],
    high: Float[Tensor, " rows"],
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """Mean and variance of a Gaussian that is known to lie between two bounds.

    Where almost none of it lies there, the nearer bound and a small variance.
    """
    scale = variance.sqrt()
    a, b = (low - mean) / scale, (high - mean) / scale
    mirrored = a + b > 0  # the tail's logarithm is exact on the left
    a, b = torch.where(mirrored, -b, a), torch.where(mirrored, -a, b)
    log_a, log_b = torch.special.log_ndtr(a), torch.special.log_ndtr(b)
    log_mass = log_b + torch.log1p(-(log_a - log_b).exp().clamp_max(1 - 1e-15))
    constant = math.log(2 * math.pi) / 2
    density_a, density_b = ((-x.square() / 2 - constant - log_mass).exp() for x in (a, b))
    shift = torch.minimum(torch.maximum(density_a - density_b, a), b)
    spread = 1 + a * density_a - b * density_b - shift.square()
    shift = torch.where(mirrored, -shift, shift)
    return mean + scale * shift, variance * spread.nan_to_num(0).clamp(1e-4, 1)
