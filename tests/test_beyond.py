"""Studies beyond the paper: networks side by side, annotations in part, what is measured."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from scipy import stats

from ordlib.annotation import PERFECT, annotate
from ordlib.errors import InputError
from ordlib.experiments import Setting, beyond
from ordlib.experiments.beyond import CHOSEN, Lifters, Size, Study
from ordlib.experiments.evaluation import lift
from ordlib.relations import relations_from_depth
from ordlib.skeleton import H36M17, LSP14_IN_H36M17

JOINTS = list(LSP14_IN_H36M17)
RANKING = CHOSEN["ranking"]

SMOKE = Setting("smoke", device="cpu")


@pytest.fixture(scope="module")
def world():
    return beyond.make_world(replace(SMOKE, seed=3))


@pytest.fixture(scope="module")
def done():
    depth = 300 * torch.randn(20, 14, generator=torch.Generator().manual_seed(0))
    return annotate(depth, PERFECT)


def _parameters(world, setting):
    return [p.detach() for p in beyond.train(world, setting).parameters()]


def _same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_networks_of_all_seeds_are_networks_by_themselves():
    networks = Lifters(3, torch.Generator().manual_seed(0))
    points = torch.rand(3, 4, 17, 2)
    found = networks(points)
    for seed in range(3):
        x = 2 * points[seed].flatten(1) - 1
        layers = [p[seed] for p in networks.parameters()]
        for weight, bias in zip(layers[::2], layers[1::2], strict=True):
            x = x @ weight + bias
            x = x.relu() if weight is not layers[-2] else x
        torch.testing.assert_close(found[seed], 1000 * (x - x[:, :1]))


@pytest.mark.parametrize("name", sorted(CHOSEN))
def test_one_seed_does_not_touch_another(world, name):
    """Other studio people for the second seed change its network and not the first one's."""
    joints = world.studio.joints_mm.clone()
    joints[1] = joints[1].flip(0)
    limbs = world.limb_lengths_mm
    before = _parameters(world, CHOSEN[name])
    other = replace(world, studio=replace(world.studio, joints_mm=joints))
    torch.testing.assert_close(other.limb_lengths_mm, limbs)
    after = _parameters(other, CHOSEN[name])
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a[0], b[0], atol=1e-4, rtol=0)  # sums of limbs are rounded
        assert (a[1] - b[1]).abs().max() > 1e-3


def test_result_depends_on_the_world_and_the_setting_alone(world):
    torch.manual_seed(1)
    first = _parameters(world, RANKING)
    torch.manual_seed(2)
    assert _same(first, _parameters(world, RANKING))
    assert _same(first, _parameters(beyond.make_world(replace(SMOKE, seed=3)), RANKING))
    assert not _same(first, _parameters(world, CHOSEN["likelihood"]))
    assert not _same(first, _parameters(beyond.make_world(replace(SMOKE, seed=4)), RANKING))


def test_no_weight_is_no_supervision(world):
    none = _parameters(world, Study())
    assert _same(none, _parameters(world, replace(RANKING, weight=0.0)))
    assert not _same(none, _parameters(world, RANKING))
    assert not _same(none, _parameters(world, CHOSEN["limbs"]))


def test_fewer_images_are_the_first_ones(world):
    """The others may be anything: what they hold does not reach training."""
    setting = replace(RANKING, images=0.2)
    keypoints = world.wild.keypoints.clone()
    keypoints[:, world.size.people // 5 :] = 9.0
    other = replace(world, wild=replace(world.wild, keypoints=keypoints))
    assert _same(_parameters(world, setting), _parameters(other, setting))
    assert not _same(_parameters(world, RANKING), _parameters(other, RANKING))


class TestLabels:
    def test_an_annotator_without_errors_knows_the_order(self, world):
        said = beyond.labels(world, replace(RANKING, errors=0.0))
        truth = relations_from_depth(world.wild.joints_mm[..., JOINTS, 2])
        assert said.annotated.all()
        assert ((said.relations * truth) < 0).double().mean() < 0.01  # ties strung together
        fine = beyond.labels(world, replace(RANKING, errors=0.0, tie_mm=1e-3))
        exact = relations_from_depth(world.wild.joints_mm[..., JOINTS, 2], tie_mm=0.0)
        assert (fine.relations == exact).double().mean() > 0.99

    def test_errors_grow_with_the_factor(self, world):
        truth = relations_from_depth(world.wild.joints_mm[..., JOINTS, 2])
        wrong = [
            (beyond.labels(world, replace(RANKING, errors=errors)).relations * truth < 0).sum()
            for errors in (0.0, 1.0, 4.0)
        ]
        assert wrong[0] < wrong[1] < wrong[2]

    def test_a_share_of_pairs(self, world):
        said = beyond.labels(world, replace(RANKING, pairs=0.3))
        assert said.annotated.double().mean() == pytest.approx(0.3, abs=0.02)
        everything = beyond.labels(world, RANKING)
        assert torch.equal(said.relations, everything.relations)

    def test_orderings_and_relations_agree(self, world):
        said = beyond.labels(world, RANKING)
        rank = said.ranks
        ahead = (rank[..., :, None] < rank[..., None, :]).to(torch.int8)
        assert torch.equal(ahead - ahead.mT, said.relations)


class TestQuestions:
    def test_one_question_settles_one_pair(self, done):
        relations, settled = beyond.after_questions(done, 1)
        assert (settled.triu(1).sum((1, 2)) == 1).all()
        for image in range(20):
            turn = int((done.images == image).nonzero()[0, 0])
            first, second = done.pairs[turn].tolist()
            assert settled[image, first, second]
            assert relations[image, first, second] == done.answers[turn]

    def test_answers_add_up_to_the_ordering(self, done):
        known = [beyond.after_questions(done, count)[1] for count in (0, 3, 9, 90)]
        for fewer, more in pairwise(known):
            assert (fewer <= more).all() and fewer.sum() < more.sum()
        relations, settled = beyond.after_questions(done, 90)
        assert settled.all() and torch.equal(relations, done.relations)


class TestMeasure:
    def test_of_the_truth(self, world):
        found = beyond.measure(world, lambda seen: world.shift.depth_mm)
        for name, ideal in (("depth_error", 0), ("accuracy", 1), ("spread", 1), ("factor", 1)):
            assert found[name] == pytest.approx([ideal] * 2, abs=1e-5)
        assert found["correlation"] == pytest.approx([1, 1])
        assert (found["mpjpe"] < 60).all()  # what mean limb lengths leave open

    def test_of_flat_depths(self, world):
        half = beyond.measure(world, lambda seen: world.shift.depth_mm / 2)
        assert half["spread"] == pytest.approx([0.5, 0.5])
        assert half["factor"] == pytest.approx([2, 2])
        assert half["correlation"] == pytest.approx([1, 1]) and (half["accuracy"] == 1).all()
        error = world.shift.depth_mm.abs().mean((1, 2)) / 2
        assert half["depth_error"] == pytest.approx(error.tolist(), rel=1e-5)

    def test_intrinsics_give_the_true_pose(self, world):
        joints, points = (x[0] for x in (world.shift.joints_mm, world.shift.keypoints))
        one, intrinsics = slice(0, 1), beyond._pinhole(joints, points)
        bones = joints[one, 1:] - joints[one, [parent for parent, _ in H36M17.bones]]
        found = lift(
            points[one], world.shift.depth_mm[0, one], intrinsics[one], bones.norm(dim=-1)[0]
        )
        torch.testing.assert_close(found, joints[one] - joints[one, :1], atol=0.5, rtol=0)

    def test_of_held_out_answers(self, world):
        truth = world.held_out.depth_mm
        right = beyond.held_out_accuracy(world, lambda seen: truth)
        assert ((right > 0.9) & (right <= 1)).all()
        assert beyond.held_out_accuracy(world, lambda seen: -truth) == pytest.approx(
            1 - right, abs=1e-5
        )


def test_interval_is_that_of_a_t_test():
    values = torch.randn(5, generator=torch.Generator().manual_seed(0)).double().numpy()
    mean, low, high = beyond.interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((values.mean(), *expected))


def test_learning_lowers_the_error(world):
    small = beyond.make_world(replace(SMOKE, seed=5))
    longer = replace(small, size=Size(small.size.people, small.size.tests, steps=150, seeds=2))
    none = beyond.measure(
        small, beyond.train(replace(small, size=replace(small.size, steps=0)), Study())
    )
    taught = beyond.measure(longer, beyond.train(longer, RANKING))
    assert (taught["accuracy"] > none["accuracy"] + 0.1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "hinge"}, "loss: expected one of ranking, likelihood, listwise, found 'hinge'"),
        ({"images": 0.0}, "images: expected a share above 0, at most 1, found 0.0"),
        ({"pairs": 1.5}, "pairs: expected a share above 0, at most 1, found 1.5"),
        ({"loss": "listwise", "questions": 3}, "listwise: expected complete orderings"),
        ({"loss": "listwise", "pairs": 0.5}, "listwise: expected complete orderings"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(InputError, match=message):
        replace(RANKING, **change)
