"""A weak ordering near to answers that contradict each other."""

import torch
from jaxtyping import Bool, Int8, Int64
from torch import Tensor

from ordlib.errors import require_same_shape


def consensus_ranks(
    answers: Int8[Tensor, "*annotators images joints joints"],
    asked: Bool[Tensor, "*annotators images joints joints"],
    present: Bool[Tensor, "images joints"],
) -> Int64[Tensor, "images joints"]:
    """Weak orderings that disagree with few answers, as ranks.

    Joints are lined up in two ways: by how many answers call them closer, less those that call them
    farther (Copeland's score), and by what follows from the majorities. Where a line is cut into
    groups is then the best of all 2^(N-1) ways, by dynamic programming: an order within a group, a
    tie or a reversed order across groups each count as one disagreement. The better of the two
    lines is kept. All relations of a weak ordering give exactly that one; of some of them alone it
    may miss a few.

    Args:
        answers: r(i, j), antisymmetric; with a leading dimension, those of several annotators.
        asked: pairs that were answered, or follow from answers.
        present: joints that take part; answers about others do not count.

    Returns:
        Group of each joint, 0 the closest; -1 for joints that are absent.

    Raises:
        InputError: shapes that differ.
    """
    require_same_shape("asked", asked, "answers", answers)
    asked = asked & present.unsqueeze(-1) & present.unsqueeze(-2)
    shape = answers.shape[-3:]
    closer = ((answers > 0) & asked).reshape(-1, *shape).sum(0)
    tied = ((answers == 0) & asked).reshape(-1, *shape).sum(0)
    net = closer - closer.mT
    found = []
    for score in (net.sum(-1), _reach(net)):
        order = score.masked_fill(~present, torch.iinfo(score.dtype).min)
        order = order.argsort(dim=-1, descending=True, stable=True)
        ranks = _number_groups(_best_cuts(_sorted(tied - closer, order).triu(1)), order)
        found.append((_disagreements(ranks, closer, tied), ranks))
    (first_cost, first), (second_cost, second) = found
    return torch.where((second_cost < first_cost)[:, None], second, first).masked_fill(~present, -1)


def _reach(net: Tensor) -> Tensor:
    """How many joints lie behind each by majorities and their chains, less those in front."""
    ahead = net > 0
    for _ in range(max(1, ahead.shape[-1].bit_length())):
        ahead = ahead | ((ahead.float() @ ahead.float()) > 0)
    # the plain score decides between joints that chains do not tell apart
    return (ahead.sum(-1) - ahead.sum(-2)) * (2 * len(net[0]) ** 2 + 1) + net.sum(-1)


def _disagreements(ranks: Tensor, closer: Tensor, tied: Tensor) -> Tensor:
    """Answers that an ordering goes against, in each image; absent joints have none."""
    first, second = ranks.unsqueeze(-1), ranks.unsqueeze(-2)
    against = closer * (first >= second) + tied * (first < second)
    return against.sum((-2, -1))


def _sorted(matrix: Tensor, order: Tensor) -> Tensor:
    rows = matrix.gather(-2, order.unsqueeze(-1).expand_as(matrix))
    return rows.gather(-1, order.unsqueeze(-2).expand_as(matrix))


def _best_cuts(gain: Tensor) -> Tensor:
    """Whether a group starts at each place of the line, (images, joints).

    `gain[i, j]` is how many disagreements it saves to have places i < j in one group.
    """
    images, joints, _ = gain.shape
    # total(a, b): summed gain of all pairs among the places a to b
    total = gain.flip(-2).cumsum(-2).flip(-2).cumsum(-1)
    best = gain.new_zeros(images, joints + 1)
    start = torch.zeros(images, joints, dtype=torch.int64)
    for end in range(joints):
        # the last group is the places a to `end`; of equally good ones the smallest group
        value = best[:, : end + 1] + total[:, : end + 1, end]
        last = end - value.flip(-1).argmax(-1)
        start[:, end] = last
        best[:, end + 1] = value.gather(-1, last[:, None])[:, 0]
    cuts = torch.zeros(images, joints + 1, dtype=torch.bool)
    place, rows = torch.full((images,), joints), torch.arange(images)
    for _ in range(joints):
        place = torch.where(place > 0, start[rows, (place - 1).clamp_min(0)], 0)
        cuts[rows, place] = True
    return cuts[:, :joints]


def _number_groups(cuts: Tensor, order: Tensor) -> Tensor:
    """Ranks in joint order from the starts of groups along the line; absent joints come last."""
    return torch.empty_like(order).scatter_(-1, order, cuts.cumsum(-1) - 1)
