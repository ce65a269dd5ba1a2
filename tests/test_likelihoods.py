"""Likelihoods with a tie threshold against formulas, symbols, loops and limits."""

import math
from inspect import unwrap
from itertools import combinations, product

import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ordlib.errors import InputError
from ordlib.likelihoods import (
    MODELS,
    SLOPE_MM,
    answer_log_probabilities,
    listwise_loss,
    minimise,
    tie_likelihood_loss,
)
from ordlib.losses import ranking_loss
from ordlib.relations import relations_from_depth

NAN = float("nan")
each_model = pytest.mark.parametrize("model", sorted(MODELS))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def random_pairs(generator, batch=5, joints=7):
    depth = torch.randn(batch, joints, generator=generator, dtype=torch.float64) * 150
    upper = torch.randint(-1, 2, (batch, joints, joints), generator=generator).triu(1)
    annotated = torch.rand(batch, joints, joints, generator=generator) < 0.5
    return depth, (upper - upper.mT).to(torch.int8), annotated


def logistic(x):
    return 1 / (1 + math.exp(-x))


def probabilities(difference_mm, tie_mm, slope_mm, model):
    """P(+1), P(0), P(-1) by the textbook formulas, with worths exp(-z) as their authors have."""
    x, t = -difference_mm / slope_mm, tie_mm / slope_mm
    if model == "rao_kupper":  # Rao and Kupper: theta = exp(t), worths exp(x) against 1
        worth, theta = math.exp(x), math.exp(t)
        closer, farther = worth / (worth + theta), 1 / (1 + theta * worth)
        return closer, 1 - closer - farther, farther
    parts = math.exp(x), math.exp(t / 2) * math.sqrt(math.exp(x)), 1.0
    return tuple(part / sum(parts) for part in parts)


def loop_loss(depth, relations, annotated, **options):
    total = 0.0
    for z, r, known in zip(depth, relations, annotated, strict=True):
        for i in range(len(z)):
            for j in range(i + 1, len(z)):
                if known[i][j]:
                    chosen = {1: 0, 0: 1, -1: 2}[r[i][j]]
                    total -= math.log(probabilities(z[i] - z[j], **options)[chosen])
    return total / len(depth)


def one_pair(relation):
    return torch.tensor([[[0, relation], [-relation, 0]]], dtype=torch.int8)


class TestProbabilities:
    def test_hand_worked(self):
        at = torch.tensor([-100.0, 0.0])  # at the threshold, and level
        found = answer_log_probabilities(at, tie_mm=100.0, slope_mm=50.0).exp()
        level = [logistic(-2), 1 - 2 * logistic(-2), logistic(-2)]
        expected = torch.tensor([[0.5, 0.5 - logistic(-4), logistic(-4)], level])
        torch.testing.assert_close(found, expected)
        found = answer_log_probabilities(at, tie_mm=100.0, slope_mm=50.0, model="davidson").exp()
        assert found[0, 0] == found[0, 1]  # an order as probable as a tie
        torch.testing.assert_close(found[1], torch.tensor([1, math.e, 1]) / (2 + math.e))

    @each_model
    @given(difference=st.floats(-600, 600), tie=st.floats(1, 300), slope=st.floats(20, 300))
    def test_equal_the_textbook(self, model, difference, tie, slope):
        options = {"tie_mm": tie, "slope_mm": slope, "model": model}
        found = answer_log_probabilities(torch.tensor(difference).double(), **options).exp()
        expected = torch.tensor(probabilities(difference, **options)).double()
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-6)

    def test_rao_kupper_is_the_ordered_logit(self):
        x, theta = sympy.symbols("x theta", positive=True)  # x = exp(advantage), theta = exp(t)
        cumulative = [1 / (1 + x / bound) for bound in (1 / theta, theta)]  # P(latent < bound)
        farther, closer = cumulative[0], 1 - cumulative[1]
        assert sympy.simplify(closer - x / (x + theta)) == 0
        assert sympy.simplify(farther - 1 / (1 + theta * x)) == 0
        tie = (1 - theta**-2) / ((1 + 1 / (theta * x)) * (1 + x / theta))
        assert sympy.simplify(cumulative[1] - cumulative[0] - tie) == 0

    def test_curvature_of_a_tie_is_a_sum_of_variances(self):
        x, t = sympy.symbols("x t", positive=True)
        below, above = (1 / (1 + sympy.exp(-(t + sign * x))) for sign in (1, -1))
        tie = -sympy.log(below - (1 - above))
        curvature = below * (1 - below) + above * (1 - above)
        for values in ({x: 0.3, t: 2}, {x: 5, t: 0.1}, {x: 1, t: 1}):
            gap = (sympy.diff(tie, x, 2) - curvature).evalf(30, subs=values)
            assert abs(gap) < 1e-20

    def test_tie_probability_keeps_its_digits(self):
        # s(x + t) - s(x - t) is 0 in float32 here; the truth is (1 - exp(-2t)) exp(t - x).
        found = answer_log_probabilities(torch.tensor([-5000.0]), tie_mm=100.0, slope_mm=50.0)
        assert found[0, 1].item() == pytest.approx(2 - 100 + math.log1p(-math.exp(-4)), rel=1e-6)


class TestLoss:
    def test_hand_worked(self):
        depth = torch.tensor([[0.0, 100.0, 150.0]])
        relations = torch.tensor([[[0, 1, -1], [-1, 0, 0], [1, 0, 0]]], dtype=torch.int8)
        parts = 0.5, logistic(-5), logistic(3) - logistic(-1)
        found = tie_likelihood_loss(depth, relations, tie_mm=100.0, slope_mm=50.0).item()
        assert found == pytest.approx(-sum(map(math.log, parts)), rel=1e-6)

    @each_model
    def test_equals_loop(self, model, generator):
        depth, relations, annotated = random_pairs(generator)
        options = {"tie_mm": 80.0, "slope_mm": 40.0, "model": model}
        for mask, known in ((annotated, annotated), (None, torch.ones_like(annotated))):
            found = tie_likelihood_loss(depth, relations, mask, **options).item()
            expected = loop_loss(depth.tolist(), relations.tolist(), known.tolist(), **options)
            assert found == pytest.approx(expected, rel=1e-10)

    @each_model
    def test_gradient_and_convexity(self, model, generator):
        depth, relations, annotated = random_pairs(generator, batch=2)
        options = {"tie_mm": 1.0, "slope_mm": 0.5, "model": model}

        def loss(z):
            return tie_likelihood_loss(z.view(2, 7), relations, annotated, **options)

        assert torch.autograd.gradcheck(loss, (depth / 100).requires_grad_())
        hessian = torch.autograd.functional.hessian(loss, depth.detach().flatten() / 100)
        assert torch.linalg.eigvalsh(hessian).min() > -1e-12

    def test_shift_is_free_and_scale_is_not(self):
        depth = torch.tensor([[0.0, 60.0, 130.0, 190.0, 400.0]], dtype=torch.float64)
        relations = relations_from_depth(depth)
        as_is, moved, half, double = (
            tie_likelihood_loss(z, relations, slope_mm=20.0).item()
            for z in (depth, depth + 1234, depth / 2, depth * 2)
        )
        assert moved == pytest.approx(as_is)
        assert as_is < min(half, double)

    @pytest.mark.parametrize("relation", [-1, 0, 1])
    @pytest.mark.parametrize("difference", [-1e6, 1e6])
    @each_model
    def test_no_overflow(self, model, relation, difference):
        depth = torch.tensor([[difference, 0.0]], requires_grad=True)
        loss = tie_likelihood_loss(depth, one_pair(relation), slope_mm=1.0, model=model)
        loss.backward()
        half = 1.0 if model == "rao_kupper" else 0.5
        beyond = {0: half * (1e6 - 100), **dict.fromkeys((-1, 1), max(0, relation * difference))}
        if model == "rao_kupper" and relation * difference > 0:
            beyond[relation] += 100
        assert loss.item() == pytest.approx(beyond[relation], rel=1e-6)
        assert depth.grad.isfinite().all()

    @pytest.mark.parametrize("difference", [-250.0, -99.0, -40.0, 0.0, 70.0, 180.0])
    def test_slope_to_zero_is_a_hinge(self, difference):
        depth = torch.tensor([[difference, 0.0]], dtype=torch.float64)
        hinge = {
            1: max(0.0, 100 + difference),
            -1: max(0.0, 100 - difference),
            0: max(0.0, abs(difference) - 100),
        }
        for relation, expected in hinge.items():
            loss = tie_likelihood_loss(depth, one_pair(relation), slope_mm=1e-2).item()
            assert 1e-2 * loss == pytest.approx(expected, abs=0.01)

    def test_threshold_to_zero_is_bradley_terry(self, generator):
        depth, relations, _ = random_pairs(generator)
        ordered = relations != 0
        found = tie_likelihood_loss(depth, relations, ordered, tie_mm=1e-9, slope_mm=70.0)
        torch.testing.assert_close(found, ranking_loss(depth / 70, relations, ordered))

    def test_recovers_millimetres_from_noisy_answers(self, generator):
        """Answers drawn as a noisy difference against thresholds; depths found by descent."""
        truth = torch.tensor([0.0, 90.0, 150.0, 320.0, 360.0], dtype=torch.float64)
        pairs = truth[:, None] - truth
        uniform = torch.rand(20_000, 5, 5, generator=generator, dtype=torch.float64)
        heard = -pairs + SLOPE_MM * torch.logit(uniform)
        relations = ((heard > 100).int() - (heard < -100).int()).to(torch.int8)

        found = 100 * minimise(
            lambda z: tie_likelihood_loss(100 * z.expand(20_000, 5), relations), torch.zeros(1, 5)
        )
        torch.testing.assert_close(found[0], truth - truth.mean(), atol=3.0, rtol=0)


def loop_listwise(depth, ranks, tie_mm, slope_mm):
    """Davidson-Luce by its definition: every subset of what remains, one by one."""

    def weight(joints, z):
        size = len(joints)
        delta = math.exp((size - 1) / size * tie_mm / slope_mm)
        return delta * math.prod(math.exp(-z[j] / slope_mm) for j in joints) ** (1 / size)

    total = 0.0
    for z, places in zip(depth, ranks, strict=True):
        for rank in sorted(set(places) - {-1}):
            group = [j for j, place in enumerate(places) if place == rank]
            left = [j for j, place in enumerate(places) if place >= rank]
            subsets = (s for k in range(1, len(left) + 1) for s in combinations(left, k))
            total -= math.log(weight(group, z) / sum(weight(s, z) for s in subsets))
    return total / len(depth)


def weak_orders(joints):
    """Ranks 0, 1, ... without gaps, of every weak ordering."""
    every = product(range(joints), repeat=joints)
    return [ranks for ranks in every if set(ranks) == set(range(max(ranks) + 1))]


class TestListwise:
    options = {"tie_mm": 80.0, "slope_mm": 40.0}  # noqa: RUF012

    def test_hand_worked(self):
        """At equal depths a stage of three has 3 single joints, 3 pairs and 1 triple."""
        level, two, three = torch.zeros(1, 3), math.exp(1.0), math.exp(4 / 3)
        everything = 3 + 3 * two + three
        cases = {
            (0, 0, 0): everything / three,
            (0, 1, 1): everything * (2 + two) / two,
            (2, 0, 1): everything * (2 + two),
        }
        for ranks, expected in cases.items():
            found = listwise_loss(level, torch.tensor([ranks]), **self.options).item()
            assert found == pytest.approx(math.log(expected), rel=1e-6)

    def test_equals_loop(self, generator):
        depth = torch.randn(6, 7, generator=generator, dtype=torch.float64) * 150
        ranks = torch.randint(-1, 5, (6, 7), generator=generator)
        ranks[0] = -1
        found = listwise_loss(depth, ranks, **self.options).item()
        expected = loop_listwise(depth.tolist(), ranks.tolist(), **self.options)
        assert found == pytest.approx(expected, rel=1e-10)

    @settings(max_examples=8)
    @given(depth=st.lists(st.floats(-500, 500), min_size=4, max_size=4))
    def test_probabilities_of_all_orderings_sum_to_one(self, depth):
        z, every = torch.tensor([depth]).double(), weak_orders(4)
        assert len(every) == 75
        losses = [listwise_loss(z, torch.tensor([ranks]), **self.options) for ranks in every]
        torch.testing.assert_close(
            torch.stack(losses).neg().exp().sum(), torch.tensor(1.0).double()
        )

    @given(difference=st.floats(-600, 600), tie=st.floats(1, 300), slope=st.floats(20, 300))
    def test_two_joints_are_davidson(self, difference, tie, slope):
        depth, options = (
            torch.tensor([[difference, 0.0]]).double(),
            {"tie_mm": tie, "slope_mm": slope},
        )
        for ranks, relation in (((0, 1), 1), ((0, 0), 0), ((1, 0), -1)):
            found = listwise_loss(depth, torch.tensor([ranks]), **options)
            pair = tie_likelihood_loss(depth, one_pair(relation), model="davidson", **options)
            torch.testing.assert_close(found, pair, atol=1e-9, rtol=1e-9)

    def test_ties_take_their_share_from_plackett_and_luce(self, generator):
        """Their orders, a softmax over what remains at each place, are more probable."""
        depth = torch.randn(1, 5, generator=generator, dtype=torch.float64) * 100
        order = torch.tensor([3, 0, 4, 1, 2])
        z = depth[0, order] / 40
        softmaxes = sum(torch.logsumexp(-z[k:], 0) + z[k] for k in range(5))
        few, many = (
            listwise_loss(depth, order.argsort()[None], tie_mm=tie, slope_mm=40.0)
            for tie in (1e-9, 80.0)
        )
        assert softmaxes < few < many
        far = 1e4 * torch.arange(5, dtype=torch.float64)[None]
        assert listwise_loss(far, torch.arange(5)[None], **self.options).item() < 1e-9

    def test_a_tie_and_its_first_joint_alone_meet_at_the_threshold(self):
        depth = torch.tensor([[0.0, 80.0, 80.0, 80.0]], dtype=torch.float64)
        alone, rest = torch.tensor([[0, -1, -1, -1]]), torch.tensor([[-1, 0, 0, 0]])
        first = listwise_loss(depth, torch.tensor([[0, 1, 1, 1]]), **self.options)
        tied = listwise_loss(depth, torch.tensor([[0, 0, 0, 0]]), **self.options)
        torch.testing.assert_close(first - listwise_loss(depth, rest, **self.options), tied)
        assert listwise_loss(depth, alone, **self.options) == 0  # nothing else to choose

    def test_gradient_against_symbols(self):
        x, y, w = sympy.symbols("x y w", real=True)
        worth, t = [sympy.exp(-z) for z in (x, y, w)], 2
        two, three = sympy.exp(sympy.Rational(t, 2)), sympy.exp(sympy.Rational(2 * t, 3))
        pairs = [two * sympy.sqrt(a * b) for a, b in combinations(worth, 2)]
        everything = sum(worth) + sum(pairs) + three * sympy.prod(worth) ** sympy.Rational(1, 3)
        loss = -sympy.log(pairs[1] / everything)  # joints 0 and 2 in front, then joint 1 alone
        at = {x: 0.3, y: -0.7, w: 1.1}
        depth = torch.tensor([list(at.values())], dtype=torch.float64, requires_grad=True)
        found = listwise_loss(depth, torch.tensor([[0, 1, 0]]), tie_mm=2.0, slope_mm=1.0)
        assert found.item() == pytest.approx(float(loss.evalf(20, subs=at)))
        (grad,) = torch.autograd.grad(found, depth)
        exact = [float(loss.diff(z).evalf(20, subs=at)) for z in (x, y, w)]
        assert grad[0].tolist() == pytest.approx(exact)

    def test_gradient_and_convexity(self, generator):
        depth = torch.randn(2, 5, generator=generator, dtype=torch.float64)
        ranks = torch.tensor([[0, 1, 1, -1, 2], [4, 4, 4, 0, 7]])
        options = {"tie_mm": 1.0, "slope_mm": 0.5}
        assert torch.autograd.gradcheck(
            lambda z: listwise_loss(z, ranks, **options), depth.clone().requires_grad_()
        )
        hessian = torch.autograd.functional.hessian(
            lambda z: listwise_loss(z.view(2, 5), ranks, **options), depth.flatten()
        )
        assert torch.linalg.eigvalsh(hessian).min() > -1e-12

    def test_shift_is_free_and_scale_is_not(self):
        ranks = torch.tensor([[0, 0, 1, 2, 2]])
        depth = torch.tensor([[0.0, 20.0, 200.0, 400.0, 390.0]], dtype=torch.float64)
        as_is, moved, tenth, tenfold = (
            listwise_loss(z, ranks, slope_mm=20.0).item()
            for z in (depth, depth + 1234, depth / 10, depth * 10)
        )
        assert moved == pytest.approx(as_is)
        assert as_is < min(tenth, tenfold)

    def test_joints_without_annotation_have_zero_gradient(self):
        depth = torch.tensor([[1e30, 50.0, -3e38, 0.0]], requires_grad=True)
        loss = listwise_loss(depth, torch.tensor([[-1, 1, -1, 0]]))
        (grad,) = torch.autograd.grad(loss, depth)
        kept = listwise_loss(depth[:, [1, 3]], torch.tensor([[1, 0]]))
        torch.testing.assert_close(loss, kept)
        assert grad[0, [0, 2]].tolist() == [0, 0] and grad[0, 1] != 0
        none = listwise_loss(depth, torch.full((1, 4), -1))
        assert none.item() == 0 and not torch.autograd.grad(none, depth)[0].any()

    @pytest.mark.parametrize("ranks", [(0, 1, 2), (2, 1, 0), (0, 0, 0)])
    def test_no_overflow(self, ranks):
        depth = torch.tensor([[-1e6, 0.0, 1e6]], requires_grad=True)
        loss = listwise_loss(depth, torch.tensor([ranks], dtype=torch.int8), slope_mm=1.0)
        loss.backward()
        assert loss.isfinite() and depth.grad.isfinite().all()

    def test_half_precision_is_computed_in_single(self):
        depth = torch.tensor([[1024.0, -1024.0]], dtype=torch.bfloat16, requires_grad=True)
        loss = listwise_loss(depth, torch.tensor([[0, 1]]), slope_mm=0.01, tie_mm=0.01)
        loss.backward()
        assert loss.dtype == torch.float32 and loss.item() == pytest.approx(204_800)
        assert depth.grad.dtype == torch.bfloat16


LEVEL, RANKS = torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64)


@pytest.mark.parametrize("bad", [0.0, -1.0, NAN, math.inf])
@pytest.mark.parametrize("name", ["tie_mm", "slope_mm"])
def test_bad_numbers_are_named(name, bad):
    calls = (
        lambda: answer_log_probabilities(LEVEL[0], **{name: bad}),
        lambda: tie_likelihood_loss(LEVEL, RANKS[..., None].expand(2, 3, 3), **{name: bad}),
        lambda: listwise_loss(LEVEL, RANKS, **{name: bad}),
    )
    for call in calls:
        with pytest.raises(InputError, match=f"{name}: expected a positive number, found {bad}"):
            call()


def test_bad_model_and_ranks_are_named():
    with pytest.raises(InputError, match="model: expected one of rao_kupper, davidson, found"):
        answer_log_probabilities(LEVEL[0], model="thurstone")
    with pytest.raises(InputError, match="ranks: expected the shape of depth_mm"):
        unwrap(listwise_loss)(LEVEL, RANKS[:1])


def test_minimum_of_many_people_hand_worked():
    """Three in seven say i is closer: z_j - z_i = log(3 / 4), whatever the start."""
    answers = torch.cat([one_pair(1)] * 3 + [one_pair(-1)] * 4)

    def loss(z):
        return sum(ranking_loss(person.expand(7, 2), answers) for person in z)

    start = torch.tensor([[0.0, 0.0], [5.0, -3.0]], requires_grad=True)
    found = minimise(loss, start)
    expected = torch.tensor([-0.5, 0.5]).double() * math.log(3 / 4)
    torch.testing.assert_close(found, expected.expand(2, 2), atol=1e-6, rtol=0)
    assert found.dtype == torch.float64 and not found.requires_grad
    assert start.tolist() == [[0, 0], [5, -3]]


def test_network_trained_on_relations_alone_predicts_millimetres():
    draw = torch.Generator().manual_seed(1)
    points = torch.rand(900, 8, generator=draw)
    depth = 400 * points @ torch.randn(8, 4, generator=draw)
    relations = relations_from_depth(depth[:600])
    weights = torch.zeros(8, 4, requires_grad=True)
    descent = torch.optim.Adam([weights], lr=0.05)
    for _ in range(300):
        descent.zero_grad()
        z = 1000 * points[:600] @ weights
        tie_likelihood_loss(z, relations, slope_mm=20.0).backward()
        descent.step()
    found, truth = (
        z - z.mean(1, keepdim=True) for z in (1000 * points[600:] @ weights.detach(), depth[600:])
    )
    assert (found * truth).sum() / found.square().sum() == pytest.approx(1, abs=0.1)
