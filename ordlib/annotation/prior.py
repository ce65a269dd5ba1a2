"""What is known about depths before anybody is asked, and what each answer adds."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor, nn

from ordlib.annotation.knowledge import Knowledge
from ordlib.errors import InputError, require_finite, require_shape
from ordlib.likelihoods import tie_likelihood_loss
from ordlib.relations import relations_from_depth

JITTER_MM = 10.0
"""Standard deviation that no prior goes below: two poses are never known to be the same."""

KEYPOINT_NOISE = 0.01
"""Error of annotated 2D joints that a prior learns to expect, as a share of the person's box."""

_LARGE = 1e6


@dataclass(frozen=True)
class DepthPrior:
    """A Gaussian over the depths of a person's joints, relative to their mean, mm.

    Attributes:
        mean: what is expected without any knowledge of the image.
        covariance: of the depths around what is expected.
        tie_mm: difference below which annotators see a tie.
        lifter: from 2D joints in their box (fractions of its side) to expected depths, or None.
    """

    mean: Float[Tensor, " joints"]
    covariance: Float[Tensor, "joints joints"]
    tie_mm: float = 100.0
    lifter: nn.Module | None = None

    @staticmethod
    def learn(
        depth_mm: Float[Tensor, "poses joints"],
        keypoints: Float[Tensor, "poses joints 2"] | None = None,
        *,
        tie_mm: float = 100.0,
        steps: int = 2000,
        generator: Generator | None = None,
    ) -> "DepthPrior":
        """The prior that fits poses; with their 2D joints one that depends on an image's 2D joints.

        The latter is a multilayer perceptron trained on the poses' relations (Rao and Kupper's
        likelihood, so that its depths are in mm), and the covariance of what it leaves unexplained.

        Args:
            depth_mm: depths of poses as cameras see them.
            keypoints: their 2D joints, any unit.
            steps, generator: of the perceptron's training.

        Raises:
            InputError: shapes that do not fit, no poses, values that are not finite, a negative
                `tie_mm`.
        """
        require_shape("depth_mm", depth_mm, None, None)
        require_finite("depth_mm", depth_mm)
        if not (len(depth_mm) and 0 <= tie_mm < math.inf):
            raise InputError(
                f"prior: expected poses and a tie_mm of 0 or more, found {len(depth_mm)} poses and"
                f" {tie_mm}"
            )
        depth = _about_mean(depth_mm.double())
        mean = depth.mean(0)
        plain = DepthPrior(mean, _covariance(depth - mean), tie_mm)
        if keypoints is None:
            return plain
        require_shape("keypoints", keypoints, *depth.shape, 2)
        boxed = in_box(keypoints.float())
        from ordlib.experiments.lifting import fit_depth_from_keypoints

        lifter = fit_depth_from_keypoints(
            boxed,
            relations_from_depth(depth_mm, tie_mm),
            steps=steps,
            generator=generator or torch.Generator().manual_seed(0),
            noise=KEYPOINT_NOISE,
            loss=tie_likelihood_loss,
        )
        error = depth - _about_mean(lifter(boxed).double())
        return replace(plain, covariance=_covariance(error), lifter=lifter)

    def expected(
        self,
        present: Bool[Tensor, "images joints"],
        keypoints: Float[Tensor, "images joints 2"] | None,
    ) -> Float[Tensor, "images joints"]:
        """Expected depths, mm, relative to their mean.

        Raises:
            InputError: a prior that was learned with 2D joints gets none, or some of another shape
                or not finite.
        """
        if self.lifter is None:
            return self.mean.expand(present.shape)
        if keypoints is None:
            raise InputError(
                "keypoints: expected 2D joints, as the prior was learned with, found none"
            )
        require_shape("keypoints", keypoints, *present.shape, 2)
        require_finite("keypoints", keypoints[present])
        return _about_mean(self.lifter(in_box(keypoints.float(), present)).double())


def _about_mean(depth: Tensor) -> Tensor:
    return depth - depth.mean(-1, keepdim=True)


def _covariance(error: Tensor) -> Tensor:
    floor = JITTER_MM**2 * torch.eye(error.shape[-1], dtype=error.dtype)
    return error.mT @ error / len(error) + floor


def in_box(
    keypoints: Float[Tensor, "images joints 2"],
    present: Bool[Tensor, "images joints"] | None = None,
) -> Float[Tensor, "images joints 2"]:
    """2D joints as fractions of the square around the present ones; absent ones in its middle."""
    part = torch.ones_like(keypoints[..., :1]).bool() if present is None else present[..., None]
    low = keypoints.where(part, math.inf).amin(1, keepdim=True)
    high = keypoints.where(part, -math.inf).amax(1, keepdim=True)
    side = (high - low).amax(-1, keepdim=True).clamp_min(1e-9)
    return ((keypoints - (low + high) / 2) / side + 0.5).where(part, 0.5)


class Belief:
    """Depths of many images after their answers, as Gaussians.

    Each answer says on which side of the tie threshold a difference of two depths lies. The
    Gaussian is replaced by the one with the mean and covariance that it has after that (assumed
    density filtering), in the order of the questions.
    """

    def __init__(
        self, prior: DepthPrior, knowledge: Knowledge, keypoints: Tensor | None = None
    ) -> None:
        self._knowledge, self._tie_mm = knowledge, prior.tie_mm
        # single precision takes half the time and asks the same questions
        self._mean = prior.expected(knowledge.present, keypoints).float().clone()
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
            place = now.triu(1).flatten(1).to(torch.uint8).argmax(-1)
            joints = now.shape[-1]
            self._condition(late, place // joints, place % joints)

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
