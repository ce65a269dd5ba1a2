"""Orderings from answers: what is promised, for every strategy, against brute force."""

import itertools
import math
from fractions import Fraction
from functools import partial
from inspect import unwrap

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ordlib import annotation
from ordlib.annotation import (
    PERFECT,
    PERSON,
    STRATEGIES,
    Clock,
    DepthPrior,
    Knowledge,
    SimulatedAnnotator,
    annotate,
    consensus_ranks,
    order_joints,
)
from ordlib.annotation.prior import Belief, truncated_normal
from ordlib.errors import InputError
from ordlib.relations import relations_from_depth

NAMES = tuple(STRATEGIES)


def some_prior(joints=14, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return DepthPrior.learn(300 * torch.randn(500, joints, generator=generator))


def random_weak_orderings(count, joints, seed):
    """Ranks of random weak orderings, from all tied to all different."""
    generator = np.random.default_rng(seed)
    levels = generator.integers(1, joints + 3, count)
    drawn = generator.integers(0, 10**6, (count, joints)) % levels[:, None]
    return torch.tensor(np.stack([np.unique(row, return_inverse=True)[1] for row in drawn]))


def ordered(depth, name, **options):
    return annotate(depth, PERFECT, name, prior=some_prior(depth.shape[1]), **options)


@pytest.mark.parametrize("name", NAMES)
def test_consistent_answers_give_exactly_the_true_ordering(name):
    ranks = random_weak_orderings(1000, 14, 1)
    assert len(torch.unique(ranks, dim=0)) > 800
    result = ordered(ranks * 1000.0, name)
    assert torch.equal(result.ranks, ranks)
    assert torch.equal(result.relations, relations_from_depth(ranks * 1000.0))
    assert (result.questions >= 13).all() and (result.questions <= 91).all()
    at_threshold = torch.tensor([[0.0] * 14, [100.0 * k for k in range(14)], [0.0, 99.0] * 7])
    expected = [[0] * 14, list(range(14)), [0] * 14]
    assert ordered(at_threshold, name).ranks.tolist() == expected


@pytest.mark.parametrize("name", [n for n in NAMES if n != "all"])
def test_ordering_agrees_with_every_answer_even_where_ties_are_not_transitive(name):
    generator = torch.Generator().manual_seed(2)
    depth = torch.cat(
        [
            250 * torch.randn(300, 14, generator=generator),
            torch.arange(14) * 60.0 + 20 * torch.rand(200, 14, generator=generator),
            torch.arange(14) * torch.rand(200, 1, generator=generator) * 200,
        ]
    )
    depth = depth[:, torch.randperm(14, generator=generator)]
    result = ordered(depth, name)
    said = result.relations[result.images, result.pairs[:, 0], result.pairs[:, 1]]
    assert torch.equal(said, result.answers)
    truth = relations_from_depth(depth)
    assert not torch.equal(result.relations, truth), "a weak ordering cannot have all these ties"


@pytest.mark.parametrize("name", [n for n in NAMES if n != "all"])
def test_no_question_is_asked_whose_answer_follows(name):
    depth = 300 * torch.randn(20, 14, generator=torch.Generator().manual_seed(3))
    result = ordered(depth, name)
    for image in range(len(depth)):
        mine = (result.images == image).nonzero()[:, 0].tolist()
        known = {}
        for k in mine:
            first, second = result.pairs[k].tolist()
            assert (first, second) not in closure(known)
            known[first, second] = int(result.answers[k])
        everything = closure(known)
        assert all(pair in everything for pair in itertools.combinations(range(14), 2))


def closure(known):
    """Every relation that follows from some, by repeating the rules until nothing is new."""
    found = dict(known) | {(j, i): -r for (i, j), r in known.items()}
    while True:
        new = {}
        for (i, j), r in found.items():
            for k in range(14):
                s = found.get((j, k))
                if s is not None and i != k and r * s >= 0 and (i, k) not in found:
                    new[i, k] = r or s
        if not new:
            return found
        found |= new | {(j, i): -r for (i, j), r in new.items()}


@pytest.mark.parametrize("name", NAMES)
def test_one_image_asked_by_callable_equals_many(name):
    depth = 250 * torch.randn(30, 14, generator=torch.Generator().manual_seed(4))
    many = ordered(depth, name)
    for image in range(0, 30, 7):
        asked = []
        answers = PERFECT.ask(depth[image])
        ordering = order_joints(
            lambda i, j, answers=answers, asked=asked: asked.append((i, j)) or answers(i, j),
            14,
            name,
            prior=some_prior(),
        )
        assert ordering.questions == len(asked) == many.questions[image]
        assert [list(pair) for pair in asked] == many.pairs[many.images == image].tolist()
        assert torch.equal(ordering.relations(), many.relations[image])
        assert sorted(j for group in ordering.groups for j in group) == list(range(14))


@given(st.lists(st.integers(-500, 500), min_size=1, max_size=20))
def test_any_number_of_joints(depths):
    result = order_joints(lambda i, j: int(np.sign(depths[j] - depths[i])), len(depths))
    expected = [
        tuple(j for j, z in enumerate(depths) if z == level) for level in sorted(set(depths))
    ]
    assert list(result.groups) == expected
    assert result.questions >= len(depths) - 1


@pytest.mark.parametrize("name", NAMES)
def test_absent_joints_are_never_asked_about(name):
    generator = torch.Generator().manual_seed(5)
    depth = 300 * torch.randn(200, 14, generator=generator)
    present = torch.rand(200, 14, generator=generator) < 0.7
    present[0] = False
    present[1] = torch.arange(14) == 3
    result = ordered(depth, name, present=present)
    assert present[result.images[:, None], result.pairs].all()
    assert torch.equal(result.ranks < 0, ~present)
    assert result.questions[:2].tolist() == [0, 0]
    assert (result.relations[~present] == 0).all()
    truth = relations_from_depth(depth) * present[:, :, None] * present[:, None]
    assert ((result.relations == truth).float().mean((1, 2)) > 0.7).all()


def test_counts_of_textbook_cases():
    order = list(range(14))
    # runs that are in order already: the left half of every merge is asked about
    assert order_joints(lambda i, j: (i < j) - (i > j), 14, "merge").questions == 7 + 2 * 11
    assert order_joints(lambda i, j: 0, 14, "insertion").questions == 13
    assert order_joints(lambda i, j: 0, 14, "all").questions == 91
    # binary insertion of n different values: at most the sum of ceil(log2 k)
    bound = sum(math.ceil(math.log2(k)) for k in range(2, 15))
    rng = np.random.default_rng(0)
    for _ in range(50):
        rng.shuffle(order)
        found = order_joints(lambda i, j: (order[i] < order[j]) - (order[i] > order[j]), 14)
        assert 13 <= found.questions <= bound


def test_answers_of_other_types_and_errors_of_the_annotator():
    mixed = order_joints(lambda i, j: np.int8(1) if i < j else -1.0, 3)
    assert mixed.groups == ((0,), (1,), (2,))

    def leaves(first, second):
        raise EOFError("no more answers")

    with pytest.raises(EOFError, match="no more answers"):
        order_joints(leaves, 3)


def test_nothing_to_ask():
    one = torch.arange(14).expand(3, 14) == torch.tensor([[0], [5], [20]])
    result = annotate(torch.full((3, 14), torch.nan).where(~one, 7.0), present=one)
    assert result.questions.tolist() == [0, 0, 0] and len(result.pairs) == 0
    assert result.ranks[0, 0] == 0 and (result.ranks[2] == -1).all()
    assert result.minutes_per_image == 0


def no_order(first, second):
    return 0


LINE, PERFECT_ANSWERS = torch.zeros(1, 2), unwrap(SimulatedAnnotator.answers)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *(
            (partial(unwrap(order_joints), lambda i, j, said=said: said, 3), r"answer: expected")
            for said in (2, True, np.False_, 0.5, "1", None, math.nan)
        ),
        (partial(order_joints, no_order, 3, "bubble"), "strategy: expected one of all, insertion"),
        (partial(order_joints, no_order, 0), "n: expected 1 or more joints, found 0"),
        (partial(order_joints, no_order, 5, "kinematic"), r"skeleton: expected 5 .* 14 \(LSP14\)"),
        (partial(order_joints, no_order, 14, "informed"), "prior: expected a DepthPrior"),
        (
            partial(order_joints, no_order, 5, "informed", prior=some_prior()),
            r"prior: expected shape \(..., 5\)",
        ),
        *(
            (partial(unwrap(annotate), LINE, group_size=size), "group_size: expected a number")
            for size in (0, 2.5, math.nan)
        ),
        (partial(unwrap(annotate), LINE, present=LINE[:, :1] < 1), "present: expected the shape"),
        (partial(PERSON.answers, LINE), "generator: expected one"),
        (partial(PERFECT.answers, LINE + math.nan), "depth_mm: expected finite values"),
        (partial(PERFECT_ANSWERS, PERSON, LINE, None, LINE[0] > 0), "hidden: expected the shape"),
        (partial(SimulatedAnnotator, noise_mm=-1.0), "noise_mm: expected 0 or more, found -1"),
        (partial(SimulatedAnnotator, tie_mm=math.nan), "tie_mm: expected 0 or more, found nan"),
        (partial(SimulatedAnnotator, noise_share=math.inf), "noise_share: expected 0 or more"),
        (partial(SimulatedAnnotator, hidden_bias_mm=math.inf), "hidden_bias_mm: expected millim"),
        (partial(SimulatedAnnotator, lapses=1.5), "lapses: expected a share from 0 to 1"),
        (partial(DepthPrior.learn, LINE, tie_mm=-1.0), "prior: expected poses and a tie_mm of 0"),
        (partial(DepthPrior.learn, LINE[:0]), "prior: expected poses"),
        (partial(DepthPrior.learn, LINE + math.inf), "depth_mm: expected finite values"),
        *(
            (partial(Clock, *wrong), "clock: expected")
            for wrong in ((-1.0, 2.0), (3.5, 3.0), (3.5, 176.0), (math.nan, 7.0))
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


class TestKnowledge:
    def one(self, joints=4):
        return Knowledge(torch.ones(1, joints, dtype=torch.bool))

    def tell(self, knowledge, first, second, answer, row=0):
        knowledge.record(
            torch.tensor([row]), torch.tensor([[first, second]]), torch.tensor([answer])
        )

    def test_transitivity_by_hand(self):
        knowledge = self.one()
        self.tell(knowledge, 0, 1, 1)
        self.tell(knowledge, 2, 1, 0)
        assert knowledge.relations[0, 0].tolist() == [0, 1, 1, 0]
        assert not knowledge.complete[0]
        with pytest.raises(InputError, match="ordering: expected answers that settle every pair"):
            knowledge.ordering(0)
        self.tell(knowledge, 3, 0, 1)
        assert knowledge.complete[0]
        assert knowledge.ordering(0).groups == ((3,), (0,), (1, 2))
        assert knowledge.questions.tolist() == [3]
        assert knowledge.turn[0, 1, 2] == 2

    def test_one_contradicting_answer_does_little_harm(self):
        depth = 300 * torch.randn(60, 14, generator=torch.Generator().manual_seed(0))
        result = annotate(depth, strategy="insertion")
        knowledge = Knowledge(torch.ones(60, 14, dtype=torch.bool))
        for image in range(60):
            mine = result.images == image
            for pair, answer in zip(result.pairs[mine], result.answers[mine], strict=True):
                self.tell(knowledge, *pair.tolist(), int(answer), row=image)
            extra = torch.triu(knowledge.turn[image] == 0, 1).nonzero()[0].tolist()
            truth = int(result.relations[image][tuple(extra)])
            self.tell(knowledge, *extra, -1 if truth >= 0 else 1, row=image)
        ranks = knowledge.ranks(torch.arange(60))
        wrong = annotation.relations_from_ranks(ranks) != result.relations
        assert wrong.float().mean() < 0.02

    def test_contradicting_answers_give_the_consensus(self):
        knowledge = self.one(3)
        for first, second, answer in ((0, 1, 1), (1, 2, 1), (0, 2, -1)):
            self.tell(knowledge, first, second, answer)
        ranks = knowledge.ranks(torch.tensor([0]))
        expected = consensus_ranks(knowledge.answers, knowledge.asked, knowledge.present)
        assert torch.equal(ranks, expected)

    @pytest.mark.parametrize(
        ("rows", "pairs", "answers", "message"),
        [
            ([0], [(0, 0)], [1], "pair: expected two different joints"),
            ([0], [(0, 3)], [1], "of 0 to 2"),
            ([0], [(-1, 2)], [1], "found -1 and 2"),
            ([0], [(0, 2)], [1], "joints that are present"),
            ([0], [(1, 0)], [1], "not asked yet"),
            ([0], [(1, 0)], [2], r"answer: expected \+1"),
            ([0, 0], [(0, 1)] * 2, [1, 1], "rows: expected different images of 0 to 0"),
            ([1], [(0, 1)], [1], "rows: expected different images of 0 to 0"),
            ([-1], [(0, 1)], [1], "rows: expected different images of 0 to 0"),
        ],
    )
    def test_bad_records(self, rows, pairs, answers, message):
        knowledge = Knowledge(torch.tensor([[True, True, False]]))
        self.tell(knowledge, 0, 1, 1)
        with pytest.raises(InputError, match=message):
            knowledge.record(*map(torch.tensor, (rows, pairs, answers)))


class TestConsensus:
    def weak_orderings(self, joints):
        """All weak orderings as ranks, by brute force."""
        return sorted(
            {
                tuple(np.unique(ranks, return_inverse=True)[1])
                for ranks in itertools.product(range(joints), repeat=joints)
            }
        )

    def disagreements(self, ranks, answers, asked):
        relations = relations_from_depth(torch.tensor(ranks).float(), tie_mm=0.0)
        return int(((relations != answers) & asked).triu(1).sum())

    def test_near_the_best_of_all_and_exact_without_contradiction(self):
        candidates = self.weak_orderings(5)
        generator = torch.Generator().manual_seed(0)
        present = torch.ones(40, 5, dtype=torch.bool)
        upper = torch.randint(-1, 2, (40, 5, 5), generator=generator).triu(1).to(torch.int8)
        answers, asked = upper - upper.mT, ~torch.eye(5, dtype=torch.bool).expand(40, 5, 5)
        found = consensus_ranks(answers, asked, present)
        excess = [
            self.disagreements(f.tolist(), a, k)
            - min(self.disagreements(c, a, k) for c in candidates)
            for f, a, k in zip(found, answers, asked, strict=True)
        ]
        # the line is sorted by score, which pure noise seldom makes far from optimal
        assert min(excess) >= 0 and np.mean(excess) < 0.5
        truth = torch.tensor(candidates)
        said = relations_from_depth(truth.float(), tie_mm=0.0)
        asked = (~torch.eye(5, dtype=torch.bool)).expand_as(said)
        again = consensus_ranks(said, asked, torch.ones(len(truth), 5, dtype=torch.bool))
        assert torch.equal(again, truth)
        # two of three annotators are the majority
        several = torch.stack([said, said, -said]), asked.expand(3, *said.shape)
        assert torch.equal(consensus_ranks(*several, truth >= 0), truth)

    def test_cuts_are_the_best_along_the_line(self):
        generator = torch.Generator().manual_seed(1)
        depth = 150 * torch.randn(60, 6, generator=generator)
        answers = relations_from_depth(depth)
        asked = (~torch.eye(6, dtype=torch.bool)).expand_as(answers)
        found = consensus_ranks(answers, asked, torch.ones(60, 6, dtype=torch.bool))
        for ranks, said, known in zip(found, answers, asked, strict=True):
            score = said.sum(-1)
            line = (-score).argsort(stable=True)
            mine = self.disagreements(ranks.tolist(), said, known)
            for cuts in itertools.product([0, 1], repeat=5):
                other = torch.empty(6, dtype=torch.int64)
                other[line] = torch.tensor([0, *np.cumsum(cuts)])
                assert mine <= self.disagreements(other.tolist(), said, known)


class TestAnnotator:
    def test_limit_is_the_true_relation_and_errors_are_repeatable(self):
        depth = 300 * torch.randn(50, 14, generator=torch.Generator().manual_seed(0))
        assert torch.equal(PERFECT.answers(depth), relations_from_depth(depth))
        first, second = (PERSON.answers(depth, torch.Generator().manual_seed(1)) for _ in "ab")
        assert torch.equal(first, second) and torch.equal(first, -first.mT)

    def test_shares_follow_the_model(self):
        person = SimulatedAnnotator(noise_mm=40.0, noise_share=0.15)
        for difference in (0.0, 60.0, 120.0, 300.0):
            depth = torch.tensor([[0.0, difference]]).repeat(20_000, 1)
            said = person.answers(depth, torch.Generator().manual_seed(1))[:, 0, 1].numpy()
            spread = stats.norm(difference, math.hypot(40, 0.15 * difference))
            for answer, share in (
                (1, spread.sf(100)),
                (-1, spread.cdf(-100)),
                (0, spread.cdf(100) - spread.cdf(-100)),
            ):
                assert abs((said == answer).mean() - share) < 4 * math.sqrt(0.25 / 20_000)

    def test_lapses_are_one_of_three(self):
        blind = SimulatedAnnotator(lapses=0.3)
        said = blind.answers(
            torch.tensor([[0.0, 500.0]]).repeat(20_000, 1), torch.Generator().manual_seed(2)
        )[:, 0, 1]
        shares = [(said == answer).float().mean().item() for answer in (1, 0, -1)]
        assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.02)

    def test_hidden_joints_seem_farther_and_are_uncertain(self):
        depth, hidden = torch.zeros(10_000, 2), torch.tensor([[True, False]]).repeat(10_000, 1)
        biased = SimulatedAnnotator(hidden_bias_mm=150.0)
        assert (biased.answers(depth, hidden=hidden)[:, 0, 1] == -1).all()
        draws = torch.Generator().manual_seed(3)
        unsure = SimulatedAnnotator(noise_mm=50.0, hidden_noise=3.0)
        seen, covered = unsure.answers(depth, draws), unsure.answers(depth, draws, hidden)
        assert (covered != 0).float().mean() > 3 * (seen != 0).float().mean()


class TestPrior:
    def test_truncated_normal_equals_scipy(self):
        rng = np.random.default_rng(0)
        mean, spread = rng.normal(0, 200, 200), rng.uniform(20, 300, 200)
        low, high = rng.uniform(-200, 0, 200), rng.uniform(0, 200, 200)
        found = truncated_normal(*map(torch.tensor, (mean, spread**2, low, high)))
        expected = stats.truncnorm((low - mean) / spread, (high - mean) / spread, mean, spread)
        usable = expected.std() > 0.02 * spread
        assert usable.sum() > 150
        for mine, theirs in zip(found, (expected.mean(), expected.var()), strict=True):
            np.testing.assert_allclose(mine.numpy()[usable], theirs[usable], rtol=1e-4, atol=1e-3)
        tail = [torch.tensor([x], dtype=torch.float64) for x in (1e5, 1.0, -100.0, 100.0)]
        far, small = truncated_normal(*tail)
        assert -100 <= far <= 100.001 and 0 < small <= 1

    def test_answers_are_learned_from(self):
        """After the answers the belief is near the mean and covariance of poses that fit them."""
        generator = torch.Generator().manual_seed(0)
        mix = 200 * torch.randn(4, 4, generator=generator, dtype=torch.float64)
        poses = torch.randn(400_000, 4, generator=generator, dtype=torch.float64) @ mix
        poses = poses - poses.mean(1, keepdim=True)
        prior = DepthPrior.learn(poses)
        knowledge = Knowledge(torch.ones(1, 4, dtype=torch.bool))
        belief = Belief(prior, knowledge)
        fits = torch.ones(len(poses), dtype=torch.bool)
        for pair, answer in (((0, 1), 1), ((2, 3), 0)):
            knowledge.record(torch.tensor([0]), torch.tensor([pair]), torch.tensor([answer]))
            fits &= relations_from_depth(poses[:, list(pair)])[:, 0, 1] == answer
        closer = belief.closer_probability(torch.tensor([0]))[0]
        tied = 1 - closer - closer.mT
        relations = relations_from_depth(poses[fits])
        errors = [
            abs(float(found[i, j]) - float((relations[:, i, j] == answer).double().mean()))
            for i, j in itertools.combinations(range(4), 2)
            for found, answer in ((closer, 1), (tied, 0))
        ]
        # a Gaussian in place of the cut one: near, not equal
        assert max(errors) < 0.2 and np.mean(errors) < 0.06


class TestGroups:
    def test_groups_are_about_one_pair_and_at_most_fifty(self):
        depth = 300 * torch.randn(400, 14, generator=torch.Generator().manual_seed(0))
        result = annotate(depth, PERFECT, "kinematic")
        assert result.group_sizes.max() == 50
        assert result.group_sizes.sum() == len(result.pairs) == result.questions.sum()
        start = 0
        for size in result.group_sizes.tolist():
            group = slice(start, start + size)
            assert len({tuple(sorted(pair)) for pair in result.pairs[group].tolist()}) == 1
            assert len(result.images[group].unique()) == size
            start += size
        assert torch.equal(result.images.bincount(minlength=400), result.questions)

    def test_grouping_changes_the_time_and_nothing_else(self):
        depth = 300 * torch.randn(300, 14, generator=torch.Generator().manual_seed(0))
        grouped, one_by_one = annotate(depth), annotate(depth, group_size=1)
        assert torch.equal(grouped.ranks, one_by_one.ranks)
        assert torch.equal(grouped.questions, one_by_one.questions)
        assert one_by_one.minutes_per_image == pytest.approx(
            7.0 * one_by_one.questions.float().mean().item() / 60
        )
        assert grouped.minutes_per_image < one_by_one.minutes_per_image

    def test_few_groups_are_small(self):
        """Images that are far behind are served first, or they would end up alone."""
        depth = 300 * torch.randn(200, 14, generator=torch.Generator().manual_seed(0))
        result = annotate(depth, PERFECT, "insertion")
        assert result.group_sizes.float().mean() > 8

    def test_clock_by_hand(self):
        clock = Clock(3.5, 7.0)
        assert clock.seconds(torch.tensor([50])) == pytest.approx(175.0)
        assert clock.seconds(torch.tensor([1])) == pytest.approx(7.0)
        other = Fraction(175 - 7, 49)
        assert clock.seconds(torch.tensor([50, 3])) == pytest.approx(float(175 + 7 + 2 * other))
