"""The weak ordering nearest to answers that contradict each other."""

import torch
from jaxtyping import Bool, Int8, Int64
from torch import Tensor

from ordlib.checks import require_same_shape


def consensus_ranks(
    answers: Int8[Tensor, "*annotators images joints joints"],
    asked: Bool[Tensor, "*annotators images joints joints"],
    present: Bool[Tensor, "images joints"],
) -> Int64[Tensor, "images joints"]:
    """Weak orderings that disagree with as few answers as possible, as ranks.

    Joints are lined up by how many answers call them closer, less those that call them farther
    (Copeland's score). Where this line is cut into groups is then the best of all 2^(N-1) ways, by
    dynamic programming: an order within a group, a tie or a reversed order across groups each count
    as one disagreement. Answers that agree with a weak ordering give exactly that one.

    Args:
        answers: r(i, j), antisymmetric; with a leading dimension, those of several annotators.
        asked: pairs that were answered.
        present: joints that take part.

    Returns:
        Group of each joint, 0 the closest; -1 for joints that are absent.
    """
    require_same_shape("asked", asked, "answers", answers)
    shape = answers.shape[-3:]
    says_closer = ((answers > 0) & asked).reshape(-1, *shape).sum(0)
    says_tied = ((answers == 0) & asked).reshape(-1, *shape).sum(0)
    order = _line(says_closer, present)
    gain = _sorted(says_tied - says_closer, order).triu(1)
    return _number_groups(_best_cuts(gain), order, present)


def _line(says_closer: Tensor, present: Tensor) -> Tensor:
    """Joints from closest to farthest by score, absent ones last."""
    score = (says_closer - says_closer.mT).sum(-1)
    lowest = -score.new_tensor(score.shape[-1]) * max(1, int(says_closer.max()) + 1)
    return score.where(present, lowest).argsort(dim=-1, descending=True, stable=True)


def _sorted(matrix: Tensor, order: Tensor) -> Tensor:
    rows = matrix.gather(-2, order.unsqueeze(-1).expand_as(matrix))
    return rows.gather(-1, order.unsqueeze(-2).expand_as(matrix))


def _best_cuts(gain: Tensor) -> Tensor:
    """Whether a group starts at each place of the line, (images, joints).

    `gain[i, j]` is how many disagreements it saves to have places i < j in one group.
    """
    images, joints, _ = gain.shape
    # pairs(a, b): summed gain of all pairs among the places a to b
    total = gain.flip(-2).cumsum(-2).flip(-2).cumsum(-1)
    best = gain.new_zeros(images, joints + 1)
    start = torch.zeros(images, joints, dtype=torch.int64, device=gain.device)
    for end in range(joints):
        # the last group is the places a to `end`; of equally good ones the smallest group
        value = best[:, : end + 1] + total[:, : end + 1, end]
        last = end - value.flip(-1).argmax(-1)
        start[:, end] = last
        best[:, end + 1] = value.gather(-1, last[:, None])[:, 0]
    cuts = torch.zeros(images, joints + 1, dtype=torch.bool, device=gain.device)
    place, rows = torch.full((images,), joints, device=gain.device), torch.arange(images)
    for _ in range(joints):
        place = torch.where(place > 0, start[rows, (place - 1).clamp_min(0)], 0)
        cuts[rows, place] = True
    return cuts[:, :joints]


def _number_groups(cuts: Tensor, order: Tensor, present: Tensor) -> Tensor:
    """Ranks in joint order from the starts of groups along the line."""
    ranks = torch.empty_like(order).scatter_(-1, order, cuts.cumsum(-1) - 1)
    # absent joints come last and may have opened groups of their own
    return ranks.masked_fill(~present, -1)
