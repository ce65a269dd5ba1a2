"""Likelihoods of ordinal answers with an explicit tie threshold: alternatives to Eq. 1 and 2.

Eq. 1 takes "i is closer" as a Bradley-Terry likelihood and "roughly the same" as a Gaussian one.
Neither knows at which difference a tie turns into an order, so the margin between joints belongs to
the loss. Here one model gives the probabilities of all three answers from the difference in depth,
and that threshold is known in millimetres. Depths that fit the answers are then in millimetres.
`listwise_loss` does the same for an ordering of all joints at once, groups of ties and all.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ordlib.errors import InputError
from ordlib.losses import pair_differences
from ordlib.shapes import Depths, Pairs, Relations, Scalar, require_same_shape, single_precision

SLOPE_MM = 50.0
"""Millimetres of difference in depth that change the log odds of two answers by about one.

Small: only pairs near the threshold, or beyond it on the wrong side, are moved. Large: every pair.
"""

Answers = tuple[Tensor, Tensor, Tensor]
"""Log-probabilities of +1 (i is closer), 0 (a tie) and -1 (j is closer), in this order."""


def rao_kupper(advantage: Tensor, threshold: float) -> Answers:
    """Rao and Kupper (1967), which is the ordered logit with thresholds at +-t.

    P(+1) = s(x - t), P(-1) = s(-x - t), P(0) = s(x + t) - s(x - t), with s the logistic function, x
    how much closer joint i is (z_j - z_i) and t the threshold, both in slopes. The last is
    (1 - exp(-2t)) s(t + x) s(t - x), a product whose logarithm loses no digits.
    """
    closer, farther = F.logsigmoid(advantage - threshold), F.logsigmoid(-advantage - threshold)
    within = F.logsigmoid(threshold + advantage) + F.logsigmoid(threshold - advantage)
    return closer, within + math.log(-math.expm1(-2 * threshold)), farther


def davidson(advantage: Tensor, threshold: float) -> Answers:
    """Davidson (1970): P(+1) : P(0) : P(-1) = exp(x / 2) : nu : exp(-x / 2).

    With nu = exp(t / 2) a tie is as probable as the order at a difference of t; x and t as above.
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

    The difference z_i - z_j is negative where joint i is closer. At a difference of `tie_mm` a tie
    and the order are equally probable under `davidson`; the order has probability 1/2 under
    `rao_kupper`. See `SLOPE_MM` and `MODELS` for the others.
    """
    if model not in MODELS:
        raise InputError(f"model: expected one of {', '.join(MODELS)}, found {model!r}")
    _require_positive(tie_mm=tie_mm, slope_mm=slope_mm)
    advantage = -single_precision(difference_mm) / slope_mm
    return torch.stack(MODELS[model](advantage, tie_mm / slope_mm), -1)


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise InputError(f"{name}: expected a positive number, found {value}")


def tie_likelihood_loss(
    depth_mm: Depths,
    relations: Relations,
    annotated: Pairs | None = None,
    *,
    tie_mm: float = 100.0,
    slope_mm: float = SLOPE_MM,
    model: str = "rao_kupper",
) -> Scalar:
    """Negative log-likelihood of ordinal answers: sum over annotated pairs i < j, mean over B.

    In the place of Eq. 1 and 2, for depths in millimetres. Arguments and conventions as for
    `losses.ranking_loss` and `answer_log_probabilities`.
    """
    difference, relation, known = pair_differences(depth_mm, relations, annotated)
    closer, same, farther = answer_log_probabilities(
        difference, tie_mm=tie_mm, slope_mm=slope_mm, model=model
    ).unbind(-1)
    likelihood = torch.where(relation > 0, closer, torch.where(relation < 0, farther, same))
    if known is not None:
        likelihood = torch.where(known, likelihood, 0)
    return -likelihood.sum() / len(depth_mm)


# Logarithm of what cannot be: finite, since infinities less infinities have no gradient.
_IMPOSSIBLE = -1e30


def listwise_loss(
    depth_mm: Depths,
    ranks: Int[Tensor, "batch joints"],
    *,
    tie_mm: float = 100.0,
    slope_mm: float = SLOPE_MM,
) -> Scalar:
    """Negative log-likelihood of whole orderings: sum over their groups, mean over the batch.

    Plackett and Luce choose the closest joint, then the closest of those that remain, and so on; a
    joint is chosen in proportion to its worth, exp(-z / slope). For ties this is the Davidson-Luce
    model of Firth, Kosmidis and Turner (2019), which chooses groups: the group G of m joints from
    the remaining R, front to back, with probability

        delta_m g(G) / sum over sizes s and subsets S of R of size s of delta_s g(S),

    where g is the geometric mean of the worths. With delta_s = exp((s - 1) / s tie / slope) a tie
    of s joints is as probable as the choice of its first one alone if that one is `tie_mm` in front
    of all others. Two joints give exactly `davidson`. Convex in the depths; a shift of all changes
    nothing. The sum over subsets is an elementary symmetric polynomial, so it costs O(N^3) and not
    2^N. The closest group has the lowest rank; joints without annotation have a negative one and
    get no gradient, whatever their depths.
    """
    require_same_shape("ranks", ranks, "depth_mm", depth_mm)
    _require_positive(tie_mm=tie_mm, slope_mm=slope_mm)
    present = ranks >= 0
    log_worth = torch.where(present, single_precision(depth_mm), 0) / -slope_mm
    size = (ranks.unsqueeze(-1) == ranks.unsqueeze(-2)).sum(-1).to(log_worth)
    # Each joint carries its share of its group: 1 / m of log delta_m + mean of the log worths.
    chosen = (log_worth + (size - 1) / size * (tie_mm / slope_mm)) / size
    last, totals = _log_totals(log_worth, ranks, tie_mm / slope_mm)
    return (torch.where(last, totals, 0).sum() - torch.where(present, chosen, 0).sum()) / len(ranks)


def _log_totals(log_worth: Tensor, ranks: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Denominators of `listwise_loss`, joints added one by one from back to front, both (B, N).

    Whether a joint completes its group, so that all that are not in front of it are there, and the
    logarithm of the sum over subsets of the joints so far.
    """
    absent_first = torch.where(ranks < 0, torch.iinfo(ranks.dtype).max, ranks)
    rank, order = absent_first.sort(descending=True, stable=True)
    last = (rank != F.pad(rank[:, 1:], (0, 1), value=-1)) & (ranks.gather(1, order) >= 0)
    added = torch.where(ranks >= 0, log_worth, _IMPOSSIBLE).gather(1, order)
    sizes = torch.arange(1, added.shape[1] + 1, device=added.device, dtype=added.dtype)
    log_ties = (sizes - 1) / sizes * threshold
    # sums[:, s - 1, k]: over subsets of k joints, of products of worths to the power 1 / s
    sums = added.new_full((len(added), len(sizes), len(sizes) + 1), _IMPOSSIBLE)
    sums[..., 0] = 0
    totals = []
    for worth in added.unbind(1):
        more = sums[..., :-1] + (worth[:, None] / sizes)[..., None]
        both = torch.stack([sums[..., 1:], more]).logsumexp(0)
        sums = torch.cat([sums[..., :1], both], -1)
        complete = sums[..., 1:].diagonal(dim1=1, dim2=2)
        totals.append((complete + log_ties).logsumexp(1))
    return last, torch.stack(totals, 1)


def minimise(
    loss: Callable[[Tensor], Tensor], start: Float[Tensor, "people joints"]
) -> Float[Tensor, "people joints"]:
    """Depths at which a loss is least, with no network in the way: L-BFGS in double precision.

    The loss is convex, as Eq. 2 and the likelihoods are, or the result depends on `start`; depths
    of about one in size converge fastest. Depths come out minus their mean over joints, since a
    shift of all is free; where the loss has no minimum (orders without contradiction or tie), as
    far as 500 iterations came.
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
