"""The annotation procedure of Section 4.1: questions in groups, until every joint is ordered."""

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8, Int64
from torch import Generator, Tensor

from ordlib.annotation.annotators import PERFECT, SimulatedAnnotator
from ordlib.annotation.knowledge import Ask, Knowledge, Ordering, relations_from_ranks
from ordlib.annotation.prior import DepthPrior
from ordlib.annotation.strategies import STRATEGIES, WITH_PRIOR, Strategy
from ordlib.errors import InputError
from ordlib.shapes import require_same_shape
from ordlib.skeleton import LSP14, Skeleton

GROUP_SIZE = 50
"""Images that are shown in a row with questions about one pair (Section 4.1)."""


@dataclass(frozen=True)
class Clock:
    """How long an annotator takes for questions, seconds.

    The paper measured the average in a group of 50 about one pair (Section 4.1). It calls a change
    of the pair much slower and prints no number; twice as long is our assumption.
    """

    grouped_s: float = 3.5  # a question in a group, on average
    changing_s: float = 7.0  # a question about another pair than the last one

    def __post_init__(self) -> None:
        if not 0 <= self.grouped_s <= self.changing_s <= GROUP_SIZE * self.grouped_s:
            raise InputError(
                f"clock: expected 0 <= grouped_s <= changing_s <= {GROUP_SIZE} grouped_s, found"
                f" {self.grouped_s} and {self.changing_s}"
            )

    def seconds(self, group_sizes: Int64[Tensor, " groups"]) -> float:
        """Time for groups of questions, each about one pair: its first question is the slow one."""
        first = self.changing_s
        others = (GROUP_SIZE * self.grouped_s - first) / (GROUP_SIZE - 1)
        return (first - others) * len(group_sizes) + others * int(group_sizes.sum())


def make_strategy(
    name: str, knowledge: Knowledge, skeleton: Skeleton = LSP14, prior: DepthPrior | None = None
) -> Strategy:
    """A strategy by its name in `STRATEGIES`, which takes what it needs of skeleton and prior."""
    if name not in STRATEGIES:
        raise InputError(f"strategy: expected one of {', '.join(STRATEGIES)}, found {name!r}")
    given = {"prior": prior} if name in WITH_PRIOR else {}
    return STRATEGIES[name](knowledge, skeleton, **given)


def order_joints(
    ask: Ask,
    n: int,
    strategy: str = "insertion",
    skeleton: Skeleton = LSP14,
    prior: DepthPrior | None = None,
) -> Ordering:
    """Ask about pairs of joints until a global weak ordering by depth can be inferred.

    What is promised: if the answers are those of some weak ordering, exactly that one comes out.
    Depths with a tie threshold need not be: with 0, 60 and 120 mm and ties below 100 mm the outer
    two are ordered although both are tied with the middle one. Then an ordering comes out that
    agrees with every answer given, and depends on which pairs were asked. The strategy `all` is the
    exception: it collects answers that contradict each other, and gives an ordering that disagrees
    with few of them (`consensus_ranks`).

    `ask` may be a person, a simulation or a file; what it raises is passed on, and an answer that
    is none of the three is an InputError. The other arguments are those of `make_strategy`.
    """
    if n < 1:
        raise InputError(f"n: expected 1 or more joints, found {n}")
    knowledge = Knowledge(torch.ones(1, n, dtype=torch.bool))
    chooser = make_strategy(strategy, knowledge, skeleton, prior)
    image = torch.zeros(1, dtype=torch.int64)
    while True:
        pairs = chooser.next_pairs(image)
        first, second = pairs[0].tolist()
        if first < 0:
            return knowledge.ordering(0)
        knowledge.record(image, pairs, torch.tensor([_answer(ask(first, second))]))


def _answer(given: object) -> int:
    """An answer of `ask`; a truth value would make a tie of every "farther"."""
    if isinstance(given, (bool, np.bool_)) or given not in (-1, 0, 1):
        raise InputError(f"answer: expected +1, -1 or 0, found {given!r}")
    return int(given)


@dataclass(frozen=True)
class Annotations:
    """What annotating B images gave."""

    ranks: Int64[Tensor, "images joints"]  # group of each joint, 0 the closest, -1 for absent ones
    questions: Int64[Tensor, " images"]  # of each image
    # all questions in the order in which they were asked
    images: Int64[Tensor, " questions"]
    pairs: Int64[Tensor, "questions 2"]
    answers: Int8[Tensor, " questions"]
    group_sizes: Int64[Tensor, " groups"]  # how many in a row were about one pair
    clock: Clock = Clock()

    @property
    def relations(self) -> Int8[Tensor, "images joints joints"]:
        """r(i, j) that follow from the orderings; 0 for absent joints."""
        return relations_from_ranks(self.ranks)

    @property
    def minutes_per_image(self) -> float:
        """Time of the annotators."""
        return self.clock.seconds(self.group_sizes) / 60 / len(self.ranks)


def annotate(
    depth_mm: Float[Tensor, "images joints"],
    annotator: SimulatedAnnotator = PERFECT,
    strategy: str = "kinematic",
    *,
    skeleton: Skeleton = LSP14,
    generator: Generator | None = None,
    hidden: Bool[Tensor, "images joints"] | None = None,
    present: Bool[Tensor, "images joints"] | None = None,
    prior: DepthPrior | None = None,
    group_size: int = GROUP_SIZE,
    clock: Clock = Clock(),
) -> Annotations:
    """Simulate the annotation of many images by the procedure of Section 4.1.

    Images that wait for the same pair are shown one after the other, at most `group_size` of them.
    Full groups are served first. When there is none, the image with the fewest answers so far is,
    in the largest group that has such an image: who is far behind would end up alone.

    The annotator sees the depths (`SimulatedAnnotator.answers`), the strategy does not
    (`make_strategy`). Joints that are not `present` (None: all are) are not ordered, and their
    depths may be anything.
    """
    if not (isinstance(group_size, Integral) and group_size >= 1):
        raise InputError(f"group_size: expected a number of 1 or more, found {group_size}")
    if present is None:
        present = torch.ones_like(depth_mm, dtype=torch.bool)
    require_same_shape("present", present, "depth_mm", depth_mm)
    said = annotator.answers(depth_mm.where(present, 0), generator, hidden)
    knowledge = Knowledge(present)
    chooser = make_strategy(strategy, knowledge, skeleton, prior)
    none = torch.empty(0, dtype=torch.int64)
    log = [(none, none.view(0, 2), none.to(torch.int8), none)]
    for images, pairs, sizes in _groups_to_ask(chooser, knowledge, group_size):
        answers = said[images, pairs[:, 0], pairs[:, 1]]
        knowledge.record(images, pairs, answers)
        log.append((images, pairs, answers, sizes))
    columns = (torch.cat(column) for column in zip(*log, strict=True))
    ranks = knowledge.ranks(torch.arange(len(present)))
    return Annotations(ranks, knowledge.questions, *columns, clock)


def _groups_to_ask(
    chooser: Strategy, knowledge: Knowledge, group_size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Images and pairs to ask about now, and sizes of their groups, until nothing is left to ask.

    The answers are to be recorded before the next step.
    """
    images, joints = knowledge.present.shape
    pairs = torch.full((images, 2), -1)
    changed = torch.arange(images)
    while True:
        pairs[changed] = chooser.next_pairs(changed)
        waiting = (pairs[:, 0] >= 0).nonzero()[:, 0]
        if not len(waiting):
            return
        # a pair is the same question in both directions
        code = pairs[waiting].amin(1) * joints + pairs[waiting].amax(1)
        by_pair = code.argsort(stable=True)
        waiting, code = waiting[by_pair], code[by_pair]
        _, counts = code.unique_consecutive(return_counts=True)
        served = counts // group_size * group_size
        if not served.any():
            served = _furthest_behind(counts, knowledge.questions[waiting])
        place = torch.arange(len(code)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        taken = place < served.repeat_interleave(counts)
        changed = waiting[taken]
        yield changed, pairs[changed], _sizes(served[served > 0], group_size)


def _furthest_behind(counts: Tensor, answered: Tensor) -> Tensor:
    """How many of each group to serve: all of the one that holds the image with fewest answers."""
    group = torch.arange(len(counts)).repeat_interleave(counts)
    fewest = torch.full_like(counts, len(answered) + int(answered.max()))
    fewest.scatter_reduce_(0, group, answered, "amin")
    best = (counts - (len(answered) + 1) * fewest).argmax()
    return torch.where(torch.arange(len(counts)) == best, counts, 0)


def _sizes(served: Tensor, group_size: int) -> Tensor:
    """Sizes of the groups that so many questions about each pair make."""
    full = torch.full((int((served // group_size).sum()),), group_size)
    rest = served % group_size
    return torch.cat([full, rest[rest > 0]])
