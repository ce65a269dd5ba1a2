"""Which pair to ask about next, until a global ordering of the joints can be inferred.

A strategy looks at what is known of many images at once and names one pair for each. It keeps
nothing that the answers do not give again, so a session that was interrupted goes on from them.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from ordlib.annotation.knowledge import Knowledge, group_places
from ordlib.annotation.prior import Belief, DepthPrior
from ordlib.errors import InputError
from ordlib.shapes import require_shape
from ordlib.skeleton import Skeleton


@runtime_checkable
class Strategy(Protocol):
    """Chooses questions about the images of one `Knowledge`."""

    def next_pairs(self, rows: Int64[Tensor, " rows"]) -> Int64[Tensor, "rows 2"]:
        """First and second joint to ask about in each of the images `rows`; -1 where none is left.

        The same answers give the same pairs, in whatever order images are asked about.
        """
        ...


class AllPairs:
    """Every pair, in the order of the joints, whatever follows from earlier answers."""

    def __init__(self, knowledge: Knowledge, skeleton: Skeleton) -> None:
        self._knowledge = knowledge

    def next_pairs(self, rows: Int64[Tensor, " rows"]) -> Int64[Tensor, "rows 2"]:
        """See Strategy.next_pairs."""
        present = self._knowledge.present[rows]
        left = present.unsqueeze(-1) & present.unsqueeze(-2) & (self._knowledge.turn[rows] == 0)
        flat = left.triu(1).flatten(1)
        first = flat.to(torch.uint8).argmax(-1)
        return _pair(first // left.shape[-1], first % left.shape[-1], flat.any(-1))


class Insertion:
    """One joint after the other is placed among the ordered groups by binary search."""

    def __init__(self, knowledge: Knowledge, skeleton: Skeleton) -> None:
        self._knowledge = knowledge
        joints = knowledge.present.shape[1]
        # where each joint stands in the line of insertion
        self._place = torch.tensor(self._line(skeleton, joints)).argsort()

    def _line(self, skeleton: Skeleton, joints: int) -> list[int]:
        return list(range(joints))

    def next_pairs(self, rows: Int64[Tensor, " rows"]) -> Int64[Tensor, "rows 2"]:
        """See Strategy.next_pairs."""
        joint, candidates = self._current(rows)
        near, groups = _groups(candidates, self._knowledge, rows)
        return _pair(joint, _at(near, groups // 2), groups > 0)

    def _current(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The joint to place, and the placed joints that it may still be compared with."""
        place = self._place
        earlier = self._knowledge.unsettled(rows) & (place[:, None] > place)
        waits = earlier.any(-1)
        joint = place.expand_as(waits).masked_fill(~waits, len(place)).argmin(-1)
        return joint, earlier[torch.arange(len(rows)), joint]


class KinematicInsertion(Insertion):
    """Insertion from the trunk outwards that asks first about the joint's kinematic parent.

    A bone is short, so the parent's group is a good guess of where a joint lies. In front of it or
    behind it, groups are then tried from the parent's side in steps that double, and by halves once
    the joint is between two.
    """

    def __init__(self, knowledge: Knowledge, skeleton: Skeleton) -> None:
        joints = knowledge.present.shape[1]
        if joints != len(skeleton):
            raise InputError(
                f"skeleton: expected {joints} joints as in the images, found {len(skeleton)}"
                f" ({skeleton.name})"
            )
        self._parents = torch.tensor(skeleton.parents)
        super().__init__(knowledge, skeleton)

    def _line(self, skeleton: Skeleton, joints: int) -> list[int]:
        """Joints in the order of their distance from the root."""
        depth = [0] * joints
        for joint in range(joints):
            ancestor = skeleton.parents[joint]
            while ancestor >= 0:
                depth[joint] += 1
                ancestor = skeleton.parents[ancestor]
        return sorted(range(joints), key=lambda joint: depth[joint])

    def next_pairs(self, rows: Int64[Tensor, " rows"]) -> Int64[Tensor, "rows 2"]:
        """See Strategy.next_pairs."""
        joint, candidates = self._current(rows)
        near, groups = _groups(candidates, self._knowledge, rows)
        k, parent = torch.arange(len(rows)), self._parents[joint]
        beside = candidates[k, parent.clamp_min(0)] & (parent >= 0)
        place = self._from_the_parent(rows, joint, groups)
        return _pair(joint, torch.where(beside, parent, _at(near, place)), groups > 0)

    def _from_the_parent(self, rows: Tensor, joint: Tensor, groups: Tensor) -> Tensor:
        """Which of the open groups to compare a joint with that was compared with its parent's."""
        answers = self._knowledge.answers[rows, joint]
        asked = (self._knowledge.turn[rows, joint] > 0).sum(-1)
        front, behind = (answers > 0).any(-1), (answers < 0).any(-1)
        step = torch.minimum(2 ** (asked - 1).clamp_min(0) - 1, (groups - 1).clamp_min(0))
        one_sided = torch.where(front, groups - 1 - step, step)
        return torch.where(front ^ behind, one_sided, groups // 2)


class Merge:
    """Merge sort: neighbouring runs of joints are merged, their heads compared, ties united."""

    def __init__(self, knowledge: Knowledge, skeleton: Skeleton) -> None:
        self._knowledge = knowledge
        joints = knowledge.present.shape[1]
        self._stage = torch.full((joints, joints), joints)
        self._divide(0, joints, 0)

    def _divide(self, start: int, stop: int, stage: int) -> int:
        """Number the merges below a run, halves first; the stage of a pair is its merge."""
        if stop - start < 2:
            return stage
        middle = (start + stop + 1) // 2
        stage = self._divide(middle, stop, self._divide(start, middle, stage))
        self._stage[start:middle, middle:stop] = stage
        return stage + 1

    def next_pairs(self, rows: Int64[Tensor, " rows"]) -> Int64[Tensor, "rows 2"]:
        """See Strategy.next_pairs."""
        stage = self._stage.expand(len(rows), -1, -1)
        stage = stage.masked_fill(~self._knowledge.unsettled(rows), len(self._stage))
        current = stage.amin((1, 2), keepdim=True)
        open_pairs = (stage == current) & (current < len(self._stage))
        first, second = (
            _at(_groups(side, self._knowledge, rows)[0], torch.zeros_like(rows))
            for side in (open_pairs.any(2), open_pairs.any(1))
        )
        return _pair(first, second, open_pairs.any(-1).any(-1))


class Informed:
    """The open pair with the fewest joints expected in between, under a prior learned from poses.

    Whatever is asked, the ordering of N joints is certain only after an answer for each two
    neighbouring groups and enough ties within each group: N - 1 answers, each between joints with
    none in between. Any other question is one too many, however much was learned from it. A joint
    counts as between two if it is untied with both, behind one and in front of the other, as if the
    two were independent.
    """

    def __init__(
        self, knowledge: Knowledge, skeleton: Skeleton, prior: DepthPrior | None = None
    ) -> None:
        if not isinstance(prior, DepthPrior):
            raise InputError(f"prior: expected a DepthPrior for this strategy, found {prior!r}")
        require_shape("prior", prior.mean, knowledge.present.shape[1])
        self._knowledge = knowledge
        self._belief = Belief(prior, knowledge)

    def next_pairs(self, rows: Int64[Tensor, " rows"]) -> Int64[Tensor, "rows 2"]:
        """See Strategy.next_pairs."""
        open_pairs = self._knowledge.unsettled(rows).triu(1)
        closer = self._belief.closer_probability(rows)
        between = closer @ closer  # behind the one and in front of the other
        value = -(between + between.mT)
        best = value.masked_fill(~open_pairs, -torch.inf).flatten(1).argmax(-1)
        joints = open_pairs.shape[-1]
        return _pair(best // joints, best % joints, open_pairs.any(-1).any(-1))


def _groups(
    candidates: Bool[Tensor, "rows joints"], knowledge: Knowledge, rows: Int64[Tensor, " rows"]
) -> tuple[Int64[Tensor, "rows joints"], Int64[Tensor, " rows"]]:
    """Place of each group's first joint among the candidates' groups, and how many there are.

    Candidates whose relations among each other are settled; all others get place -1.
    """
    place, leads = group_places(candidates, knowledge.closer[rows], knowledge.tied[rows])
    return place.masked_fill(~leads, -1), leads.sum(-1)


def _at(places: Tensor, wanted: Tensor) -> Tensor:
    """The joint at a place."""
    return (places == wanted.unsqueeze(-1)).to(torch.uint8).argmax(-1)


def _pair(first: Tensor, second: Tensor, some: Tensor) -> Tensor:
    return torch.stack([first, second], -1).masked_fill(~some.unsqueeze(-1), -1)


STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "all": AllPairs,
    "insertion": Insertion,
    "kinematic": KinematicInsertion,
    "merge": Merge,
    "informed": Informed,
}
"""Strategies by name, made from a `Knowledge` and the skeleton of its joints."""

WITH_PRIOR = ("informed",)
"""Strategies that are made from a `DepthPrior` too."""
