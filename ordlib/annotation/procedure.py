"""The annotation procedure of Section 4.1: questions in groups, until every joint is ordered."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int8, Int64
from torch import Generator, Tensor

from ordlib.annotation.annotators import PERFECT, SimulatedAnnotator
from ordlib.annotation.knowledge import Ask, Knowledge, Ordering, relations_from_ranks
from ordlib.annotation.prior import DepthPrior
from ordlib.annotation.strategies import STRATEGIES, WITH_PRIOR, Strategy
from ordlib.errors import InputError
from ordlib.skeleton import LSP14, Skeleton

GROUP_SIZE = 50
"""Images that are shown in a row with questions about one pair (Section 4.1)."""


@dataclass(frozen=True)
class Clock:
    """How long an annotator takes for questions, seconds.

    Attributes:
        grouped_s: a question in a group of 50 about one pair, on average (3.5 in Section 4.1).
        changing_s: a question about another pair than the last one. The paper calls this much
            slower and prints no number; twice as long is our assumption.
    """

    grouped_s: float = 3.5
    changing_s: float = 7.0

    def seconds(self, group_sizes: Int64[Tensor, " groups"]) -> float:
        """Time for groups of questions, each about one pair: its first question is the slow one."""
        first = self.changing_s
        others = (GROUP_SIZE * self.grouped_s - first) / (GROUP_SIZE - 1)
        return float((first - others) * len(group_sizes) + others * group_sizes.sum())


def make_strategy(
    name: str, knowledge: Knowledge, skeleton: Skeleton = LSP14, **prior: Any
) -> Strategy:
    """A strategy by its name in `STRATEGIES`.

    Args:
        prior: `prior` and `keypoints` of the strategies that use a prior.

    Raises:
        InputError: unknown name, a prior that is missing or does not fit.
    """
    if name not in STRATEGIES:
        raise InputError(f"strategy: expected one of {', '.join(STRATEGIES)}, found {name!r}")
    return STRATEGIES[name](knowledge, skeleton, **(prior if name in WITH_PRIOR else {}))


def order_joints(
    ask: Ask,
    n: int,
    strategy: str = "insertion",
    skeleton: Skeleton = LSP14,
    prior: DepthPrior | None = None,
) -> Ordering:
    """Ask about pairs of joints until a global weak ordering by depth can be inferred.

    What is promised: the ordering agrees with every answer that was given. So if the answers are
    those of some weak ordering, exactly that one comes out. Depths with a tie threshold need not
    be: with 0, 60 and 120 mm and ties below 100 mm the outer two are ordered although both are tied
    with the middle one. Then an ordering comes out that depends on which pairs were asked. The
    strategy `all` collects every answer, and gives the ordering that disagrees with the fewest.

    Args:
        ask: answers about a first and a second joint: +1 the first is closer, -1 it is farther, 0
            about the same. A person, a simulation or a file.
        n: joints, asked about by index.
        strategy: a name in `STRATEGIES`.
        skeleton: joint set, for strategies that use its bones.
        prior: for strategies that use one.

    Raises:
        InputError: fewer than one joint, an unknown strategy, an answer that is none of the three.
    """
    if n < 1:
        raise InputError(f"n: expected 1 or more joints, found {n}")
    knowledge = Knowledge(torch.ones(1, n, dtype=torch.bool))
    chooser = make_strategy(strategy, knowledge, skeleton, prior=prior)
    image = torch.zeros(1, dtype=torch.int64)
    while True:
        pairs = chooser.next_pairs(image)
        first, second = pairs[0].tolist()
        if first < 0:
            return knowledge.ordering(0)
        knowledge.record(image, pairs, torch.tensor([int(ask(first, second))]))


@dataclass(frozen=True)
class Annotations:
    """What annotating B images gave.

    Attributes:
        ranks: group of each joint, 0 the closest, -1 for absent joints, (B, N).
        questions: questions of each image, (B,).
        images, pairs, answers: all questions in the order in which they were asked.
        group_sizes: how many questions in a row were about one pair.
        clock: how long a question takes.
    """

    ranks: Int64[Tensor, "images joints"]
    questions: Int64[Tensor, " images"]
    images: Int64[Tensor, " questions"]
    pairs: Int64[Tensor, "questions 2"]
    answers: Int8[Tensor, " questions"]
    group_sizes: Int64[Tensor, " groups"]
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
    keypoints: Float[Tensor, "images joints 2"] | None = None,
    group_size: int = GROUP_SIZE,
    clock: Clock = Clock(),
) -> Annotations:
    """Simulate the annotation of many images by the procedure of Section 4.1.

    Images that wait for the same pair are shown one after the other, at most `group_size` of them.
    Full groups are served first; when there is none, the pair for which most images wait.

    Args:
        depth_mm: true depths of the joints; the annotator sees them, the result holds none.
        annotator: who answers.
        strategy: a name in `STRATEGIES`.
        skeleton: joint set.
        generator: source of the annotator's errors.
        hidden: joints that the body covers.
        present: joints to be ordered; all by default.
        prior, keypoints: for strategies that use them.
        group_size: questions in a row about one pair; 1 changes the pair every time.
        clock: seconds a question.

    Raises:
        InputError: arguments that do not fit, depths that are not finite.
    """
    if group_size < 1:
        raise InputError(f"group_size: expected 1 or more, found {group_size}")
    said = annotator.answers(depth_mm, generator, hidden)
    part = torch.ones_like(depth_mm, dtype=torch.bool) if present is None else present
    knowledge = Knowledge(part)
    chooser = make_strategy(strategy, knowledge, skeleton, prior=prior, keypoints=keypoints)
    log: list[tuple[Tensor, Tensor, Tensor]] = []
    sizes: list[Tensor] = []
    for images, pairs, counts in _groups_to_ask(chooser, len(part), part.shape[1], group_size):
        answers = said[images, pairs[:, 0], pairs[:, 1]]
        knowledge.record(images, pairs, answers)
        log.append((images, pairs, answers))
        sizes.append(counts)
    images, pairs, answers = (torch.cat(column) for column in zip(*log, strict=True))
    return Annotations(
        knowledge.ranks(torch.arange(len(part))),
        knowledge.questions,
        images,
        pairs,
        answers,
        torch.cat(sizes),
        clock,
    )


def _groups_to_ask(
    chooser: Strategy, images: int, joints: int, group_size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Images and pairs to ask about now, and sizes of their groups, until nothing is left to ask.

    The answers are to be recorded before the next step.
    """
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
            served = torch.where(counts == counts.max(), counts, 0)
        place = torch.arange(len(code)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        taken = place < served.repeat_interleave(counts)
        changed = waiting[taken]
        yield changed, pairs[changed], _sizes(served[served > 0], group_size)


def _sizes(served: Tensor, group_size: int) -> Tensor:
    """Sizes of the groups that so many questions about each pair make."""
    full = torch.full((int((served // group_size).sum()),), group_size)
    rest = served % group_size
    return torch.cat([full, rest[rest > 0]])
