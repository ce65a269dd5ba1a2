"""A weak ordering near to answers that contradict each other."""

import torch
from jaxtyping import Bool, Int8, Int64
from torch import Tensor

from ordlib.shapes import require_same_shape


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
    may miss a few. Answers are antisymmetric r(i, j); those about joints that are not present do
    not count, and the rank of these is -1.
    """
    require_same_shape("asked", asked, "answers", answers)
    asked = asked & present.unsqueeze(-1) & present.unsqueeze(-2)
    shape = answers.shape[-3:]
    closer = ((answers > 0) & asked).reshape(-1, *shape).sum(0)
    tied = ((answers == 0) & asked).reshape(-1, *shape).sum(0)
    net = closer - closer.mT
    lines = []
    for score in (net.sum(-1), _reach(net)):
        order = score.masked_fill(~present, torch.iinfo(score.dtype).min)
        order = order.argsort(dim=-1, descending=True, stable=True)
        line = (torch.arange(len(order))[:, None, None], order.unsqueeze(-1), order.unsqueeze(-2))
        cuts = _best_cuts((tied - closer)[line].triu(1))
        ranks = torch.empty_like(order).scatter_(-1, order, cuts.cumsum(-1) - 1)
        lines.append((_disagreements(ranks, closer, tied), ranks))
    (first_cost, first), (second_cost, second) = lines
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


def _best_cuts(gain: Tensor) -> Tensor:
    """Whether a group starts at each place; `gain[i, j]` is saved if places i < j share one."""
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
