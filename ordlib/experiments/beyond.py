"""Studies that the paper did not make (notebook 16), with networks that train in seconds.

The mixed setting of Section 4.2 without images: a perceptron from 2D joints to depths, as in
`lifting`, sees people of `studio` with exact depths and people of `wild` of whom only 2D joints and
ordinal answers are known, and is judged on `shift`. Everything exists once for each seed, with
people, answers, weights and batches of its own; all seeds are trained at once, as one batched
matrix product. Settings of one seed share all their draws, so that their differences are paired.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from operator import itemgetter

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8, Int64
from scipy import stats
from torch import Generator, Tensor, nn

from ordlib import metrics, synthetic
from ordlib.annotation import PERSON, Annotations, Knowledge, annotate
from ordlib.camera import self_occluded, weak_perspective
from ordlib.errors import InputError
from ordlib.experiments.evaluation import lift
from ordlib.experiments.setting import Setting
from ordlib.likelihoods import listwise_loss, tie_likelihood_loss
from ordlib.losses import limb_loss, ranking_loss
from ordlib.relations import ordinal_accuracy, relations_from_depth
from ordlib.skeleton import H36M17, LSP14_IN_H36M17
from ordlib.training import Budget, Losses, fit

NOISE = 0.02
"""Standard deviation of the 2D joints that a network gets, in x and y, of the crop's side."""

HIDDEN, HALF_BATCH, FULL_UNIT_MM = 128, 64, 125.0
"""Errors of the last count 1 in the squared error on `studio`."""

Networks = Callable[[Tensor], Tensor]
"""From 2D joints (S, P, 17, 2) to relative depths (S, P, 17) in mm, one network a seed."""
Index = tuple[Tensor, Tensor]
BUDGET = partial(Budget, optimizer="adam", learning_rate=3e-3, schedule="cosine", warmup=0.0)
_JOINTS = list(LSP14_IN_H36M17)


@dataclass(frozen=True)
class Size:
    """People of a training domain and of a test, steps of a training, and seeds."""

    people: int
    tests: int
    steps: int
    seeds: int = 5


SIZES = {
    "smoke": Size(100, 50, steps=10, seeds=2),
    "quick": Size(3000, 1000, steps=250),
    **dict.fromkeys(("desk", "paper"), Size(16_000, 2000, steps=1500)),
}


@dataclass(frozen=True)
class Study:
    """How the people of `wild` are annotated, and what is learned from that."""

    loss: str = ""  # a name in `LOSSES`, or nothing for no use of the answers
    width_mm: float = 1.0  # unit of Eq. 1, or slope of a likelihood
    weight: float = 0.0  # of the loss beside the squared error on `studio`
    limb_weight: float = 0.0  # of `losses.limb_loss` on the same people; 0 for none
    images: float = 1.0  # share of the people who are there; answers weigh in proportion
    pairs: float = 1.0  # share of the pairs of their joints that are kept, at random
    questions: int | None = None  # asked about each person; None for a complete ordering
    errors: float = 1.0  # factor on the errors of `annotation.PERSON`
    tie_mm: float = 100.0  # below this the annotator sees no difference; likelihoods are told

    def __post_init__(self) -> None:
        if self.loss and self.loss not in LOSSES:
            raise InputError(f"loss: expected one of {', '.join(LOSSES)}, found {self.loss!r}")
        for name in ("images", "pairs"):
            if not 0 < (share := getattr(self, name)) <= 1:
                raise InputError(f"{name}: expected a share above 0, at most 1, found {share}")
        if self.loss == "listwise" and (self.pairs < 1 or self.questions is not None):
            raise InputError("listwise: expected complete orderings, found some pairs or questions")


@dataclass(frozen=True)
class Labels:
    """What annotators say about people: relations, which of them are known, and orderings."""

    relations: Int8[Tensor, "*people 14 14"]
    annotated: Bool[Tensor, "*people 14 14"]
    ranks: Int64[Tensor, "*people 14"]

    def each(self, change: Callable[[Tensor], Tensor]) -> "Labels":
        """The same change made to all three."""
        return Labels(change(self.relations), change(self.annotated), change(self.ranks))


LOSSES: Mapping[str, Callable[[Tensor, Labels, Study], Tensor]] = {
    "ranking": lambda z, said, how: ranking_loss(z / how.width_mm, said.relations, said.annotated),
    "likelihood": lambda z, said, how: tie_likelihood_loss(
        z, said.relations, said.annotated, tie_mm=how.tie_mm, slope_mm=how.width_mm
    ),
    "listwise": lambda z, said, how: listwise_loss(
        z, said.ranks, tie_mm=how.tie_mm, slope_mm=how.width_mm
    ),
}
"""Losses of depths (people, 14) in mm: Eq. 2, the pairs' likelihood, that of whole orderings."""

CHOSEN: Mapping[str, Study] = {
    "ranking": Study("ranking", 250.0, weight=3.0),
    "likelihood": Study("likelihood", 50.0, weight=1.0),
    "listwise": Study("listwise", 25.0, weight=3.0),
    "limbs": Study(limb_weight=100.0),
}
"""Weights and widths, chosen by `held_out_accuracy` in a world of another seed."""


@dataclass(frozen=True)
class People:
    """People in front of cameras, for each seed."""

    joints_mm: Float[Tensor, "seeds people 17 3"]  # in the camera frame
    keypoints: Float[Tensor, "seeds people 17 2"]  # fractions of the crop
    seen: Float[Tensor, "seeds people 17 2"]  # with noise: what a network gets in a test

    @property
    def depth_mm(self) -> Float[Tensor, "seeds people 17"]:
        """Depths relative to the pelvis."""
        z = self.joints_mm[..., 2]
        return z - z[..., H36M17.root, None]


@dataclass(frozen=True, eq=False)
class World:
    """All that a study needs: people to train and test on, sizes, and the first seed."""

    size: Size
    seed: int
    studio: People
    wild: People
    held_out: People
    shift: People

    @property
    def limb_lengths_mm(self) -> Float[Tensor, " bones"]:
        """Means over the people of `studio`."""
        joints, parents = self.studio.joints_mm, [parent for parent, _ in H36M17.bones]
        return (joints[..., 1:, :] - joints[..., parents, :]).norm(dim=-1).flatten(0, 1).mean(0)


def make_world(setting: Setting) -> World:
    """The people of a scale, all stand-ins. Raises InputError for unusable motion capture."""
    size, seed = SIZES[setting.scale], setting.seed

    def people(name: str, split: str, count: int) -> People:
        seeds = range(seed, seed + size.seeds)
        every = [
            synthetic.skeletons(name, split, count, one, motion=setting.motion) for one in seeds
        ]
        keypoints = torch.stack([one.keypoints for one in every])
        noise = torch.randn(keypoints.shape, generator=Generator().manual_seed(seed))
        joints = torch.stack([one.joints_mm for one in every])
        return People(joints, keypoints, keypoints + NOISE * noise)

    return World(
        size,
        seed,
        people("studio", "train", size.people),
        people("wild", "train", size.people),
        people("wild", "val", size.tests),
        people("shift", "test", size.tests),
    )


@lru_cache(maxsize=16)
def annotations(
    world: World, held_out: bool = False, errors: float = 1.0, tie_mm: float = 100.0
) -> Annotations:
    """Answers about all people of `wild` of all seeds, in one row; see `Study`."""
    joints = (world.held_out if held_out else world.wild).joints_mm.flatten(0, 1)
    hidden = torch.cat([self_occluded(part)[:, _JOINTS] for part in joints.split(500)])
    names = ("noise_mm", "noise_share", "lapses", "hidden_bias_mm")
    scaled = {name: errors * getattr(PERSON, name) for name in names}
    draws = Generator().manual_seed(world.seed)
    annotator = replace(PERSON, tie_mm=tie_mm, **scaled)
    depth = joints[:, _JOINTS, 2]
    # groups are for the clock, which nobody reads here
    return annotate(depth, annotator, generator=draws, hidden=hidden, group_size=1)


def after_questions(
    done: Annotations, questions: int
) -> tuple[Int8[Tensor, "images joints joints"], Bool[Tensor, "images joints joints"]]:
    """Relations that follow from the first so many answers about each image, and which do."""
    knowledge = Knowledge(done.ranks >= 0)
    in_turn = done.images.argsort(stable=True)
    starts = done.questions.cumsum(0) - done.questions
    for turn in range(questions):
        rows = (done.questions > turn).nonzero()[:, 0]
        asked = in_turn[starts[rows] + turn]
        knowledge.record(rows, done.pairs[asked], done.answers[asked])
    return knowledge.relations, knowledge.settled


def labels(world: World, setting: Study) -> Labels:
    """What annotators say about the people of `wild`, (S, P, ...)."""
    done = annotations(world, False, setting.errors, setting.tie_mm)
    relations, known = done.relations, torch.ones_like(done.relations, dtype=torch.bool)
    if setting.questions is not None:
        relations, known = after_questions(done, setting.questions)
    if setting.pairs < 1:
        draws = torch.rand(known.shape, generator=Generator().manual_seed(world.seed))
        known = known & (draws < setting.pairs)
    said = Labels(relations, known, done.ranks)
    return said.each(lambda part: part.unflatten(0, (world.size.seeds, -1)))


class Lifters(nn.Module):
    """One perceptron for each seed, as in `lifting`, initialised like `torch.nn.Linear`."""

    def __init__(
        self,
        seeds: int,
        generator: Generator,
        joints: int = len(H36M17),
        hidden: int = HIDDEN,
        unit_mm: float = 1000.0,
    ) -> None:
        super().__init__()
        sizes = (2 * joints, hidden, hidden, len(H36M17))
        self.seeds, self.unit_mm = seeds, unit_mm
        self.layers = nn.ParameterList()
        for inputs, outputs in pairwise(sizes):
            for shape in ((seeds, inputs, outputs), (seeds, 1, outputs)):
                drawn = 2 * torch.rand(shape, generator=generator) - 1
                self.layers.append(nn.Parameter(drawn / inputs**0.5))

    def forward(
        self, keypoints: Float[Tensor, "seeds people joints 2"]
    ) -> Float[Tensor, "seeds people 17"]:
        """Depths relative to the pelvis, mm."""
        x = (2 * keypoints - 1).flatten(2)
        for layer in range(0, len(self.layers), 2):
            x = x.relu() if layer else x
            x = torch.baddbmm(self.layers[layer + 1], x, self.layers[layer])
        return self.unit_mm * (x - x[..., H36M17.root, None])


def train(world: World, study: Study) -> Lifters:
    """Networks of all seeds, by Adam with a cosine schedule; half of each batch is of `wild`."""
    size, draws = world.size, Generator().manual_seed(world.seed)
    networks = Lifters(size.seeds, draws)
    said = labels(world, study) if study.loss else None
    lengths, target = world.limb_lengths_mm, world.studio.depth_mm
    seeds = torch.arange(size.seeds)[:, None]

    def batch_at(step: int) -> tuple[Tensor, Index, Index]:
        share = torch.rand(2, size.seeds, HALF_BATCH, generator=draws)
        first = seeds, (share[0] * size.people).long()
        second = seeds, (share[1] * study.images * size.people).long()
        clean = torch.cat([world.studio.keypoints[first], world.wild.keypoints[second]], 1)
        return clean + NOISE * torch.randn(clean.shape, generator=draws), first, second

    def loss(networks: Networks, batch: tuple[Tensor, Index, Index]) -> Losses:
        seen, first, second = batch
        full, weak = networks(seen).split(HALF_BATCH, 1)
        terms = {"full": ((full - target[first]) / FULL_UNIT_MM).square().sum() / HALF_BATCH}
        if said is not None:
            ordinal = _ordinal(weak, said.each(itemgetter(second)), study)
            terms["ordinal"] = study.weight * study.images * ordinal
        if study.limb_weight:
            limbs = _limbs(weak, world.wild.keypoints[second], lengths)
            terms["limbs"] = study.limb_weight * limbs
        return terms

    return fit(networks, batch_at, loss, BUDGET(size.steps))


def _ordinal(depth_mm: Tensor, said: Labels, setting: Study) -> Tensor:
    """Mean over people, summed over seeds."""
    z, flat = depth_mm[..., _JOINTS].flatten(0, 1), said.each(lambda part: part.flatten(0, 1))
    return len(depth_mm) * LOSSES[setting.loss](z, flat, setting)


def _limbs(depth_mm: Tensor, keypoints: Tensor, lengths: Tensor) -> Tensor:
    """Bones between the annotated 2D joints at the predicted depths, as [64] has them."""
    pose = weak_perspective(keypoints.flatten(0, 1), depth_mm.flatten(0, 1), lengths)
    return len(depth_mm) * limb_loss(pose, lengths)


@torch.no_grad()
def held_out_accuracy(world: World, networks: Networks) -> np.ndarray:
    """Ordered pairs of held-out people of `wild` that are as annotators say, a share, (S,).

    Everything is chosen by this: it needs no metric depth, and nobody of `shift`.
    """
    depth = networks(world.held_out.seen)[..., _JOINTS]
    said = annotations(world, True).relations.unflatten(0, depth.shape[:2])
    return ordinal_accuracy(depth, said).nanmean(1).double().numpy()


@torch.no_grad()
def measure(world: World, networks: Networks) -> dict[str, np.ndarray]:
    """Results on the people of `shift`, one number a seed.

    `depth_error` and `mpjpe` (with the true 2D joints) in mm; `accuracy`, ordered pairs in the true
    order, a share; `spread` of the depths over that of the true ones; their `correlation`; and the
    `factor` on all depths that fits the true ones best. It is 1 for the conditional mean, which is
    flatter than the truth by as much as it is unsure, and above 1 for what is flatter than that.
    """
    people, truth, depth = world.shift, world.shift.depth_mm, networks(world.shift.seen)
    points, z, exact = (x.flatten(0, 1) for x in (people.keypoints, depth, people.joints_mm))
    joints = lift(points, z, _pinhole(exact, points), world.limb_lengths_mm)
    found = {
        "depth_error": metrics.depth_error(depth, truth),
        "mpjpe": metrics.mpjpe(joints, exact).unflatten(0, depth.shape[:2]),
        "accuracy": ordinal_accuracy(
            depth[..., _JOINTS], relations_from_depth(truth[..., _JOINTS])
        ),
    }
    squares, true_squares, products = (
        x.double().flatten(1).sum(1) for x in (depth**2, truth**2, depth * truth)
    )
    return {name: value.nanmean(1).double().numpy() for name, value in found.items()} | {
        "spread": (squares / true_squares).sqrt().numpy(),
        "correlation": (products / (squares * true_squares).sqrt()).numpy(),
        "factor": (products / squares).numpy(),
    }


def _pinhole(joints_mm: Tensor, keypoints: Tensor) -> Tensor:
    """Intrinsics of the crops, which exact keypoints of known joints tell."""
    rays, points = (joints_mm[..., :2] / joints_mm[..., 2:]).double(), keypoints.double()
    offset = rays - rays.mean(1, keepdim=True)
    focal = (offset * points).sum(1) / offset.square().sum(1)
    intrinsics = torch.nn.functional.pad(torch.diag_embed(focal), (0, 1, 0, 1))
    intrinsics[:, :2, 2] = points.mean(1) - focal * rays.mean(1)
    intrinsics[:, 2, 2] = 1
    return intrinsics.to(keypoints)


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean over seeds with its 95% interval by Student's t; two seeds or more."""
    mean, half = values.mean(), stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return float(mean), float(mean - half), float(mean + half)
