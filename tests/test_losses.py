"""Losses against loops, at extremes, and their gradients."""

import math
from functools import partial
from inspect import unwrap
from itertools import combinations

import pytest
import torch

from ordlib import losses as L
from ordlib.errors import InputError
from ordlib.likelihoods import tie_likelihood_loss

NAN = float("nan")
pairwise = pytest.mark.parametrize(
    "loss", [L.ranking_loss, tie_likelihood_loss, partial(tie_likelihood_loss, model="davidson")]
)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def random_pairs(generator, batch=5, joints=7):
    depth = torch.randn(batch, joints, generator=generator, dtype=torch.float64) * 3
    upper = torch.randint(-1, 2, (batch, joints, joints), generator=generator).triu(1)
    annotated = torch.rand(batch, joints, joints, generator=generator) < 0.5
    return depth, (upper - upper.mT).to(torch.int8), annotated


def loop_ranking(depth, relations, annotated):
    total = 0.0
    for z, r, known in zip(depth, relations, annotated, strict=True):
        for i, j in combinations(range(len(z)), 2):
            if known[i][j]:
                difference = z[i] - z[j]
                ordered = math.log1p(math.exp(r[i][j] * difference))
                total += ordered if r[i][j] else difference**2
    return total / len(depth)


class TestRanking:
    def test_hand_worked(self):
        depth = torch.tensor([[0.0, 2.0, 3.0]])
        relations = torch.tensor([[[0, 1, -1], [-1, 0, 0], [1, 0, 0]]], dtype=torch.int8)
        expected = math.log1p(math.exp(-2)) + math.log1p(math.exp(3)) + 1.0
        assert L.ranking_loss(depth, relations).item() == pytest.approx(expected, rel=1e-6)

    def test_equals_loop(self, generator):
        depth, relations, annotated = random_pairs(generator)
        everything = torch.ones_like(annotated)
        for mask, known in ((annotated, annotated), (None, everything)):
            found = L.ranking_loss(depth, relations, mask).item()
            expected = loop_ranking(depth.tolist(), relations.tolist(), known.tolist())
            assert found == pytest.approx(expected, rel=1e-12)

    def test_gradient(self, generator):
        depth, relations, annotated = random_pairs(generator)
        depth.requires_grad_()
        assert torch.autograd.gradcheck(
            lambda z: L.ranking_loss(z, relations, annotated), depth, atol=1e-6
        )

    def test_symmetric_under_swapping_joints(self, generator):
        depth, relations, annotated = random_pairs(generator)
        annotated = annotated | annotated.mT
        order = torch.randperm(7, generator=generator)
        permuted = L.ranking_loss(
            depth[:, order], relations[:, order][:, :, order], annotated[:, order][:, :, order]
        )
        torch.testing.assert_close(permuted, L.ranking_loss(depth, relations, annotated))
        mirrored = L.ranking_loss(-depth, -relations, annotated)
        torch.testing.assert_close(mirrored, L.ranking_loss(depth, relations, annotated))

    @pytest.mark.parametrize("relation", [-1, 0, 1])
    @pytest.mark.parametrize("difference", [-1e6, 1e6])
    def test_no_overflow(self, relation, difference):
        depth = torch.tensor([[difference, 0.0]], requires_grad=True)
        relations = torch.tensor([[[0, relation], [-relation, 0]]], dtype=torch.int8)
        loss = L.ranking_loss(depth, relations)
        loss.backward()
        expected = difference**2 if relation == 0 else max(0.0, relation * difference)
        assert loss.item() == pytest.approx(expected)
        assert depth.grad.isfinite().all()

    @pairwise
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_is_computed_in_single(self, loss, dtype):
        relations = torch.tensor([[[0, 1], [-1, 0]]], dtype=torch.int8)
        half = torch.tensor([[1000.0, -1000.0]], dtype=dtype, requires_grad=True)
        found = loss(half, relations)
        found.backward()
        assert found.dtype == torch.float32 and half.grad.dtype == dtype
        torch.testing.assert_close(found, loss(half.float(), relations))
        assert L.ranking_loss(half, 0 * relations).item() == pytest.approx(4e6)

    @pairwise
    def test_pairs_not_annotated_have_zero_gradient(self, loss):
        depth = torch.tensor([[1e30, 3e38, 1.0, -3e38], [1.0, 2.0, 3.0, 4.0]], requires_grad=True)
        annotated = torch.zeros(2, 4, 4, dtype=torch.bool)
        annotated[0, 2, 0] = True  # below the diagonal: not read
        for relation in (-1, 0, 1):
            relations = torch.full((2, 4, 4), relation, dtype=torch.int8)
            value = loss(depth, relations, annotated)
            (grad,) = torch.autograd.grad(value, depth)
            assert value.item() == 0
            assert torch.equal(grad, torch.zeros_like(grad))

    def test_indices_made_in_inference_mode_serve_training(self):
        relations = torch.zeros(1, 23, 23, dtype=torch.int8)
        with torch.inference_mode():
            L.ranking_loss(torch.zeros(1, 23), relations)
        L.ranking_loss(torch.zeros(1, 23, requires_grad=True), relations).backward()


class TestSquaredErrors:
    def test_keypoints_equal_loop(self, generator):
        pred, target = torch.randn(2, 3, 5, 2, generator=generator)
        visible = torch.rand(3, 5, generator=generator) < 0.5
        expected = sum(
            (float(pred[b, n, k]) - float(target[b, n, k])) ** 2
            for b in range(3)
            for n in range(5)
            for k in range(2)
            if visible[b, n]
        )
        found = L.keypoint_loss(pred, target, visible).item()
        assert found == pytest.approx(expected / 3, rel=1e-5)

    def test_pose_hand_worked(self):
        pred = torch.zeros(2, 1, 3)
        target = torch.tensor([[[1.0, 2.0, 2.0]], [[0.0, 0.0, 1.0]]])
        assert L.pose_loss(pred, target).item() == 5.0

    def test_heatmaps_hand_worked_and_rectangular(self):
        pred, target = torch.zeros(2, 3, 4, 6), torch.zeros(2, 3, 4, 6)
        target[0, 1, 2, 3], target[1, 2] = 3.0, 1.0
        assert L.heatmap_loss(pred, target).item() == (9 + 24) / 2
        visible = torch.tensor([[True, True, True], [True, True, False]])
        assert L.heatmap_loss(pred, target, visible).item() == 4.5

    @pytest.mark.parametrize(
        ("loss", "shape"),
        [
            (L.keypoint_loss, (2, 3, 2)),
            (L.heatmap_loss, (2, 3, 4, 5)),
            (L.heatmap_cross_entropy, (2, 3, 4, 5)),
        ],
    )
    def test_targets_that_are_not_visible_do_not_leak(self, loss, shape, generator):
        pred = torch.rand(shape, generator=generator, requires_grad=True)
        target = torch.rand(shape, generator=generator)
        visible = torch.tensor([[True, False, True], [False, True, True]])
        target[~visible] = NAN
        value = loss(pred, target, visible)
        value.backward()
        assert value.isfinite()
        assert pred.grad.isfinite().all()
        assert (pred.grad[~visible] == 0).all()
        assert (pred.grad[visible] != 0).any()


class TestTargets:
    def test_heatmap_is_a_normalised_gaussian(self):
        found = L.gaussian_heatmaps(torch.tensor([[[2.2, 3.9], [0.0, 5.0]]]), (5, 9), 1.3)
        assert found.shape == (1, 2, 5, 9)
        expected = torch.tensor(
            [
                [
                    math.exp(-((x + 0.5 - 2.2) ** 2 + (y + 0.5 - 3.9) ** 2) / 2 / 1.69)
                    for x in range(9)
                ]
                for y in range(5)
            ]
        )
        torch.testing.assert_close(found[0, 0], expected / expected.sum())
        torch.testing.assert_close(found.sum((2, 3)), torch.ones(1, 2))

    def test_centre_of_first_pixel_is_at_one_half(self):
        found = L.gaussian_heatmaps(torch.tensor([[[0.5, 0.5], [3.5, 1.5]]]), 4, 0.5)
        assert found.flatten(2).argmax(-1).tolist() == [[0, 1 * 4 + 3]]

    @pytest.mark.parametrize("place", [-1e3, 1e3, 1e30, -float("inf")])
    def test_outside_the_map_lies_on_the_border(self, place):
        found = L.gaussian_heatmaps(torch.full((1, 1, 2), place), (3, 4), 1.0)[0, 0]
        assert found[(0, 0) if place < 0 else (-1, -1)].item() == pytest.approx(1.0)

    def test_line_over_bins(self):
        bins = torch.tensor([-100.0, 0.0, 100.0])
        found = L.gaussian_line(torch.tensor([[0.0, 50.0]]), bins, 50.0)
        torch.testing.assert_close(found.sum(-1), torch.ones(1, 2))
        assert found[0, 0, 0] == found[0, 0, 2] < found[0, 0, 1]
        torch.testing.assert_close(found[0, 1, 1], found[0, 1, 2])


class TestCrossEntropies:
    def test_heatmap_equals_formula_and_is_least_at_the_target(self, generator):
        p = torch.rand(2, 3, 4, 5, generator=generator).flatten(2).softmax(-1).view(2, 3, 4, 5)
        target = torch.rand(2, 3, 4, 5, generator=generator) * 7
        q = target / target.sum((2, 3), keepdim=True)
        found = L.heatmap_cross_entropy(p, target)
        torch.testing.assert_close(found, -(q * p.log()).sum() / 2)
        assert L.heatmap_cross_entropy(q, target) < found

    def test_zero_probability_is_finite(self):
        p, q = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
        p[..., 0, 0], q[..., 1, 1] = 1.0, 1.0
        p.requires_grad_()
        loss = L.heatmap_cross_entropy(p, q)
        loss.backward()
        assert loss.isfinite()
        assert p.grad.isfinite().all()

    def naive(self, scores, q_xy, q_z):
        log_p = scores.flatten(2).log_softmax(-1).view_as(scores)
        return -(q_xy[:, :, None] * q_z[..., None, None] * log_p).sum() / len(scores)

    def targets(self, generator, dtype=torch.float32):
        points = torch.rand(2, 3, 2, generator=generator, dtype=dtype) * 4
        q_xy = L.gaussian_heatmaps(points, (4, 5), 1.0)
        bins = torch.arange(6, dtype=dtype)
        q_z = L.gaussian_line(torch.rand(2, 3, generator=generator, dtype=dtype) * 6, bins, 1.0)
        return q_xy, q_z

    @pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
    def test_volume_equals_log_softmax(self, generator, layout):
        q_xy, q_z = self.targets(generator)
        flat = torch.randn(2, 18, 4, 5, generator=generator) * 3
        flat = flat.to(memory_format=layout)
        scores = flat.unflatten(1, (3, 6)).requires_grad_()
        found, expected = L.volume_cross_entropy(scores, q_xy, q_z), self.naive(scores, q_xy, q_z)
        torch.testing.assert_close(found, expected)
        (grad,) = torch.autograd.grad(found, scores)
        torch.testing.assert_close(grad, torch.autograd.grad(expected, scores)[0])
        assert grad.stride() == scores.stride()

    def test_volume_gradient(self, generator):
        q_xy, q_z = self.targets(generator, torch.float64)
        scores = torch.randn(2, 3, 6, 4, 5, generator=generator, dtype=torch.float64)
        visible = torch.tensor([[True, False, True], [True, True, False]])
        assert torch.autograd.gradcheck(
            lambda s: L.volume_cross_entropy(s, q_xy, q_z, visible), scores.requires_grad_()
        )

    def test_volume_leaves_out_what_is_not_visible(self, generator):
        q_xy, q_z = self.targets(generator)
        visible = torch.tensor([[True, False, True], [True, True, False]])
        scores = torch.randn(2, 3, 6, 4, 5, generator=generator, requires_grad=True)
        shown = L.volume_cross_entropy(scores, q_xy, q_z, visible)
        q_xy[~visible], q_z[~visible] = NAN, NAN
        loss = L.volume_cross_entropy(scores, q_xy, q_z, visible)
        assert loss == shown
        loss.backward()
        assert (scores.grad[~visible] == 0).all()
        assert scores.grad.isfinite().all()

    def test_volume_half_precision_and_extremes(self, generator):
        q_xy, q_z = self.targets(generator)
        scores = torch.randn(2, 3, 6, 4, 5, generator=generator)
        half = scores.bfloat16().requires_grad_()
        loss = L.volume_cross_entropy(half, q_xy, q_z)
        loss.backward()
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, self.naive(half.detach().float(), q_xy, q_z))
        assert half.grad.dtype == torch.bfloat16
        loss = L.volume_cross_entropy(scores.sign() * 1e4, q_xy, q_z)
        torch.testing.assert_close(loss, self.naive(scores.sign() * 1e4, q_xy, q_z))


PAIRS, MORE = torch.zeros(2, 3, 3, dtype=torch.int8), torch.ones(1, 3, 3, dtype=torch.bool)
MAPS, VOLUMES = torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 6, 4, 5)


@pytest.mark.parametrize(
    ("loss", "arguments", "message"),
    [
        (L.ranking_loss, (torch.zeros(2, 4), PAIRS), r"relations: expected shape \(..., 2, 4, 4\)"),
        (L.ranking_loss, (torch.zeros(3), PAIRS), "depth: expected shape"),
        (L.ranking_loss, (torch.zeros(2, 3), PAIRS, MORE), "annotated: expected the shape of"),
        (L.keypoint_loss, (torch.zeros(2, 3, 2), torch.zeros(1, 3, 2)), "target: expected the"),
        (L.pose_loss, (torch.zeros(2, 3, 3), torch.zeros(2, 1, 3)), "target: expected the shape"),
        (L.heatmap_loss, (MAPS, MAPS[:1]), "target: expected the shape"),
        (L.heatmap_loss, (MAPS, MAPS, MORE[0, :1]), "visible: expected shape"),
        (L.heatmap_cross_entropy, (MAPS, MAPS[:1]), "target: expected the shape"),
        (L.volume_cross_entropy, (VOLUMES, MAPS, MAPS[..., 0]), "q_z: expected shape"),
        (L.gaussian_heatmaps, (torch.zeros(1, 1, 2), 4, 0.0), "sigma: expected a positive number"),
        (L.gaussian_heatmaps, (torch.zeros(1, 1, 2), (4, 0), 1.0), "size: expected positive"),
    ],
)
def test_what_would_broadcast_in_silence_is_named(loss, arguments, message):
    with pytest.raises(InputError, match=message):
        unwrap(loss)(*arguments)


def test_what_is_no_number_gives_none():
    depth = torch.tensor([[0.0, NAN, 0.0], [0.0, 0.0, 0.0]])
    assert L.ranking_loss(depth, PAIRS).isnan()
    assert L.keypoint_loss(torch.full((1, 2, 2), NAN), torch.zeros(1, 2, 2)).isnan()
    assert L.volume_cross_entropy(VOLUMES + NAN, MAPS, MAPS.sum(-1).new_zeros(2, 3, 6)).isnan()
