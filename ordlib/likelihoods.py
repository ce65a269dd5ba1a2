"""Likelihoods of ordinal answers with an explicit tie threshold: alternatives to Eq. 1 and 2.

Eq. 1 takes "i is closer" as a Bradley-Terry likelihood and "roughly the same" as a Gaussian one.
Neither knows at which difference a tie turns into an order, so the margin between joints belongs to
the loss. Here one model gives the probabilities of all three answers from the difference in depth,
and that threshold is known in millimetres. Depths that fit the answers are then in millimetres.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ordlib.checks import (
    looks_at_values,
    require_finite,
    require_same_shape,
    require_shape,
    single_precision,
)
from ordlib.errors import InputError
from ordlib.losses import upper_pairs

SLOPE_MM = 50.0
"""Millimetres of difference in depth that change the log odds of two answers by about one.

Small: answers are almost certain, and only pairs near the threshold or beyond it on the wrong side
are moved. Large: answers are noisy, and every pair is moved a little.
"""

Answers = tuple[Tensor, Tensor, Tensor]
"""Log-probabilities of +1 (i is closer), 0 (a tie) and -1 (j is closer), in this order."""


def rao_kupper(advantage: Tensor, threshold: float) -> Answers:
    """Rao and Kupper (1967), which is the ordered logit with thresholds at +-t.

    P(+1) = s(x - t), P(-1) = s(-x - t), P(0) = s(x + t) - s(x - t), with s the logistic function.
    The last is (1 - exp(-2t)) s(t + x) s(t - x), a product whose logarithm loses no digits.

    Args:
        advantage: x = z_j - z_i, how much closer joint i is, in slopes.
        threshold: t, in slopes.
    """
    closer, farther = F.logsigmoid(advantage - threshold), F.logsigmoid(-advantage - threshold)
    within = F.logsigmoid(threshold + advantage) + F.logsigmoid(threshold - advantage)
    return closer, within + math.log(-math.expm1(-2 * threshold)), farther


def davidson(advantage: Tensor, threshold: float) -> Answers:
    """Davidson (1970): P(+1) : P(0) : P(-1) = exp(x / 2) : nu : exp(-x / 2).

    With nu = exp(t / 2) a tie is as probable as the order at a difference of t.
    Arguments as for `rao_kupper`.
    """
    tie = torch.full_like(advantage, threshold / 2)
    scores = torch.stack([advantage / 2, tie, -advantage / 2])
    closer, same, farther = scores.log_softmax(0).unbind()
    return closer, same, farther


MODELS: dict[str, Callable[[Tensor, float], Answers]] = {
    "rao_kupper": rao_kupper,
    "davidson": davidson,
}
"""Models of an answer, by name: functions of the difference and the threshold, both in slopes."""


def answer_log_probabilities(
    difference_mm: Float[Tensor, "*shape"],
    *,
    tie_mm: float = 100.0,
    slope_mm: float = SLOPE_MM,
    model: str = "rao_kupper",
) -> Float[Tensor, "*shape 3"]:
    """Log-probabilities of the answers +1, 0 and -1 (last dimension) about two joints.

    Args:
        difference_mm: z_i - z_j, negative where joint i is closer.
        tie_mm: difference at which a tie turns into an order. A tie and the order are equally
            probable there under `davidson`; the order has probability 1/2 under `rao_kupper`.
        slope_mm: see `SLOPE_MM`.
        model: a name in `MODELS`.

    Raises:
        InputError: unknown model; threshold or slope that is not positive and finite; differences
            that are not finite (on the CPU).
    """
    if looks_at_values(difference_mm):
        require_finite("difference_mm", difference_mm)
    difference = single_precision(difference_mm)
    return torch.stack(_answers(difference, tie_mm, slope_mm, model), -1)


def _answers(difference: Tensor, tie_mm: float, slope_mm: float, model: str) -> Answers:
    if model not in MODELS:
        raise InputError(f"model: expected one of {', '.join(MODELS)}, found {model!r}")
    for name, value in (("tie_mm", tie_mm), ("slope_mm", slope_mm)):
        if not 0 < value < math.inf:
            raise InputError(f"{name}: expected a positive number, found {value}")
    return MODELS[model](-difference / slope_mm, tie_mm / slope_mm)


def tie_likelihood_loss(
    depth_mm: Float[Tensor, "batch joints"],
    relations: Int[Tensor, "batch joints joints"],
    annotated: Bool[Tensor, "batch joints joints"] | None = None,
    *,
    tie_mm: float = 100.0,
    slope_mm: float = SLOPE_MM,
    model: str = "rao_kupper",
) -> Float[Tensor, ""]:
    """Negative log-likelihood of ordinal answers: sum over annotated pairs i < j, mean over B.

    In the place of Eq. 1 and 2, for depths in millimetres. Conventions as in
    `losses.ranking_loss`: only the upper triangle is read, half precision is computed in float32,
    other pairs give no gradient, whatever their depths.

    Args:
        depth_mm: predicted depths, larger is farther away; a shift of all changes nothing.
        relations: +1 where joint i is closer than j, -1 where it is farther, 0 where tied.
        annotated: pairs that carry a relation; None means every pair.
        tie_mm, slope_mm, model: see `answer_log_probabilities`.

    Raises:
        InputError: shapes that do not fit; depths that are not finite (on the CPU); unknown model;
            threshold or slope that is not positive and finite.
    """
    if depth_mm.ndim != 2 or depth_mm.numel() == 0:
        raise InputError(
            f"depth_mm: expected 2 dimensions, none of them 0, found shape {tuple(depth_mm.shape)}"
        )
    require_shape("relations", relations, *depth_mm.shape, depth_mm.shape[1])
    if looks_at_values(depth_mm):
        require_finite("depth_mm", depth_mm)
    z = single_precision(depth_mm)
    first, second, place = upper_pairs(z.shape[1], z.device)
    relation = relations.flatten(1).index_select(1, place)
    difference = z.index_select(1, first) - z.index_select(1, second)
    if annotated is not None:
        require_same_shape("annotated", annotated, "relations", relations)
        known = annotated.flatten(1).index_select(1, place)
        difference = torch.where(known, difference, 0)
    closer, same, farther = _answers(difference, tie_mm, slope_mm, model)
    likelihood = torch.where(relation > 0, closer, torch.where(relation < 0, farther, same))
    if annotated is not None:
        likelihood = torch.where(known, likelihood, 0)
    return -likelihood.sum() / len(z)


def minimise(
    loss: Callable[[Tensor], Tensor], start: Float[Tensor, "people joints"]
) -> Float[Tensor, "people joints"]:
    """Depths at which a loss is least, with no network in the way: L-BFGS in double precision.

    Args:
        loss: of depths (people, joints) to a scalar; convex, as Eq. 2 and the likelihoods are, or
            the result depends on `start`. Depths of about one in size converge fastest.
        start: where the descent begins.

    Returns:
        Depths minus their mean over joints, since a shift of all is free. Where the loss has no
        minimum (orders without contradiction or tie), as far as 500 iterations came.
    """
    z = start.detach().double().clone().requires_grad_()
    descent = torch.optim.LBFGS(
        [z],
        max_iter=500,
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        descent.zero_grad()
        value = loss(z)
        value.backward()
        return value

    descent.step(closure)
    return (z - z.mean(-1, keepdim=True)).detach()
