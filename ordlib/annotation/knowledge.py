"""What annotators' answers about pairs of joints say, directly and by transitivity."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int, Int8, Int64
from torch import Tensor

from ordlib.annotation.consensus import consensus_ranks
from ordlib.errors import InputError
from ordlib.relations import relations_from_depth

Ask = Callable[[int, int], int]
"""Answers r(first, second): +1 the first joint is closer, -1 it is farther, 0 about the same."""


@dataclass(frozen=True)
class Ordering:
    """A weak ordering of joints by depth, from which every relation follows."""

    groups: tuple[tuple[int, ...], ...]  # front to back; joints that take no part are in none
    questions: int  # how many it took
    joints: int  # in all

    def relations(self) -> Int8[Tensor, "joints joints"]:
        """r(i, j) of Section 3.1: +1 where joint i is closer, 0 in a group and without a part."""
        ranks = torch.full((self.joints,), -1)
        for rank, group in enumerate(self.groups):
            ranks[list(group)] = rank
        return relations_from_ranks(ranks)


def relations_from_ranks(
    ranks: Int64[Tensor, "*batch joints"],
) -> Int8[Tensor, "*batch joints joints"]:
    """Relations of weak orderings, 0 the closest group; a negative rank is related to none."""
    present = ranks >= 0
    both = present.unsqueeze(-1) & present.unsqueeze(-2)
    return relations_from_depth(ranks.float(), tie_mm=0.0) * both.to(torch.int8)


class Knowledge:
    """Answers about pairs of joints of B images, and what follows from them.

    An answer counts for the tied and the closer joints too: i closer than j and j tied with k make
    i closer than k. An answer to a pair that is settled already changes nothing of this; it is
    kept, and where it contradicts, `ranks` gives the ordering nearest to all answers.
    """

    def __init__(self, present: Bool[Tensor, "images joints"]) -> None:
        images, joints = present.shape
        self.present = present  # joints that take part; the rest lies beside it on the CPU
        # joint i is known to be closer than j, (B, N, N)
        self.closer = torch.zeros(images, joints, joints, dtype=torch.bool)
        # joints i and j are known to be tied, the diagonal included
        self.tied = self.closer | torch.eye(joints, dtype=torch.bool)
        # number of the question about a pair, from 1, in both directions; 0: not asked
        self.turn = self.closer.to(torch.int16)
        self.answers = self.closer.to(torch.int8)  # r(i, j) of the pairs that were asked
        self.questions = torch.zeros(images, dtype=torch.int64)  # taken for each image

    @property
    def settled(self) -> Bool[Tensor, "images joints joints"]:
        """Pairs whose relation follows from the answers, and the diagonal."""
        return self.closer | self.closer.mT | self.tied

    @property
    def relations(self) -> Int8[Tensor, "images joints joints"]:
        """r(i, j) of the settled pairs, 0 elsewhere."""
        return self.closer.to(torch.int8) - self.closer.mT.to(torch.int8)

    @property
    def asked(self) -> Bool[Tensor, "images joints joints"]:
        """Pairs that were asked, in both directions."""
        return self.turn > 0

    @property
    def complete(self) -> Bool[Tensor, " images"]:
        """Whether the relations of all pairs of an image are settled."""
        return ~self.unsettled(torch.arange(len(self.present))).any(-1).any(-1)

    def unsettled(self, rows: Int64[Tensor, " rows"]) -> Bool[Tensor, "rows joints joints"]:
        """Pairs of present joints that are open, in both directions, of the images `rows`."""
        present, closer = self.present[rows], self.closer[rows]
        both = present.unsqueeze(-1) & present.unsqueeze(-2)
        return both & ~(closer | closer.mT | self.tied[rows])

    def record(
        self,
        rows: Int64[Tensor, " rows"],
        pairs: Int64[Tensor, "rows 2"],
        answers: Int[Tensor, " rows"],
    ) -> None:
        """Take one answer r(first, second) for each of the images `rows`, which are different ones.

        InputError for what cannot be: a pair that was asked before, a joint that is absent, ...
        """
        first, second = pairs.unbind(-1)
        self._check(rows, first, second, answers)
        answers = answers.to(torch.int8)
        self.questions[rows] += 1
        turn = self.questions[rows].to(torch.int16)
        self.turn[rows, first, second] = self.turn[rows, second, first] = turn
        self.answers[rows, first, second] = answers
        self.answers[rows, second, first] = -answers
        known = self.closer[rows, first, second] | self.closer[rows, second, first]
        new = ~(known | self.tied[rows, first, second])
        rows, first, second, answers = (x[new] for x in (rows, first, second, answers))
        near, far = torch.where(answers < 0, second, first), torch.where(answers < 0, first, second)
        for wanted, infer in ((answers != 0, _order), (answers == 0, _tie)):
            chosen = rows[wanted]
            closer, tied = infer(self.closer[chosen], self.tied[chosen], near[wanted], far[wanted])
            self.closer[chosen], self.tied[chosen] = closer, tied

    def _check(self, rows: Tensor, first: Tensor, second: Tensor, answers: Tensor) -> None:
        bad = ~torch.isin(answers, answers.new_tensor([-1, 0, 1]))
        if bad.any():
            raise InputError(f"answer: expected +1, -1 or 0, found {answers[bad][0].item()}")
        images, joints = self.present.shape
        if len(rows.unique()) < len(rows) or not ((rows >= 0) & (rows < images)).all():
            raise InputError(
                f"rows: expected different images of 0 to {images - 1}, found {rows.tolist()}"
            )
        inside = (torch.minimum(first, second) >= 0) & (torch.maximum(first, second) < joints)
        wrong = ~(inside & (first != second))
        if wrong.any():
            raise InputError(
                f"pair: expected two different joints of 0 to {joints - 1},"
                f" found {int(first[wrong][0])} and {int(second[wrong][0])}"
            )
        if not (self.present[rows, first] & self.present[rows, second]).all():
            raise InputError("pair: expected joints that are present, found one that is not")
        if (self.turn[rows, first, second] > 0).any():
            raise InputError("pair: expected one that was not asked yet, found one that was")

    def ranks(self, rows: Int64[Tensor, " rows"]) -> Int64[Tensor, "rows joints"]:
        """Group of each joint, 0 the closest, -1 for joints that are absent.

        Where all answers agree with what follows from them, that ordering; else the consensus.
        InputError for an image whose ordering is not complete.
        """
        if self.unsettled(rows).any():
            raise InputError("ordering: expected answers that settle every pair, found open pairs")
        closer, tied, present = self.closer[rows], self.tied[rows], self.present[rows]
        ranks, _ = group_places(present, closer, tied)
        implied = closer.to(torch.int8) - closer.mT.to(torch.int8)
        said = torch.where(self.turn[rows] > 0, self.answers[rows], implied)
        against = (said != implied).flatten(1).any(-1)
        if against.any():
            everything = torch.ones_like(closer[against])
            ranks[against] = consensus_ranks(said[against], everything, present[against])
        return ranks.masked_fill(~present, -1)

    def ordering(self, row: int) -> Ordering:
        """The ordering of one image. Raises InputError where it is not complete."""
        ranks = self.ranks(torch.tensor([row]))[0]
        groups = [(ranks == rank).nonzero()[:, 0].tolist() for rank in range(int(ranks.max()) + 1)]
        return Ordering(tuple(map(tuple, groups)), int(self.questions[row]), len(ranks))


def group_places(
    chosen: Bool[Tensor, "rows joints"],
    closer: Bool[Tensor, "rows joints joints"],
    tied: Bool[Tensor, "rows joints joints"],
) -> tuple[Int64[Tensor, "rows joints"], Bool[Tensor, "rows joints"]]:
    """Place of each chosen joint's group among theirs, front to back, and the groups' first joints.

    Relations among the chosen joints are settled; other joints get places of no meaning.
    """
    leads = chosen & ~(tied.tril(-1) & chosen.unsqueeze(-2)).any(-1)
    return (closer & leads.unsqueeze(-1)).sum(-2), leads


def _order(closer: Tensor, tied: Tensor, near: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
    """`near` is closer: so is all that is not behind it than all that is not in front of `far`."""
    k = torch.arange(len(near))
    front = closer[k, :, near] | tied[k, :, near]
    back = closer[k, far] | tied[k, far]
    return closer | (front.unsqueeze(-1) & back.unsqueeze(-2)), tied


def _tie(closer: Tensor, tied: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two groups become one, behind all that is in front of either."""
    k = torch.arange(len(first))
    group = tied[k, first] | tied[k, second]
    front = closer[k, :, first] | closer[k, :, second]
    back = closer[k, first] | closer[k, second]
    closer = closer | (front.unsqueeze(-1) & (group | back).unsqueeze(-2))
    closer = closer | (group.unsqueeze(-1) & back.unsqueeze(-2))
    return closer, tied | (group.unsqueeze(-1) & group.unsqueeze(-2))
