"""What of the paper holds on real people: the poses of Human3.6M without its images (notebook 17).

Subjects and protocol are the paper's; in place of a ConvNet, a perceptron sees the 2D joints that a
detector found in the films and gives depths, by full supervision, by Eq. 2 or by the likelihood
with ties. All seeds of a setting are trained at once, and settings share all their draws, so that
differences are paired. Test people are two, S9 and S11: intervals resample their takes, and cannot
say how other people would do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Generator, Tensor, nn

from ordlib import metrics
from ordlib.annotation import PERSON, annotate
from ordlib.camera import backproject, depth_scale, self_occluded
from ordlib.datasets.human36m_poses import Poses
from ordlib.experiments.beyond import BUDGET, Lifters
from ordlib.experiments.evaluation import lift, oracle_scale
from ordlib.likelihoods import tie_likelihood_loss
from ordlib.losses import ranking_loss
from ordlib.relations import ordinal_accuracy, relations_from_depth
from ordlib.skeleton import LSP14_IN_H36M17, mean_limb_lengths
from ordlib.training import Losses, fit

UNIT_MM, SLOPE_MM, HIDDEN, BATCH_SIZE = 125.0, 25.0, 512, 256
DRAWS = 2000
_JOINTS = list(LSP14_IN_H36M17)


@dataclass(frozen=True)
class Size:
    """Frames to train and to test on, steps of a perceptron, and seeds."""

    train: int = 20_000
    test: int = 8_000
    steps: int = 1_400
    seeds: int = 3


SIZES = {"smoke": Size(600, 300, steps=20, seeds=2)} | dict.fromkeys(
    ("quick", "desk", "paper"), Size()
)


@dataclass(frozen=True)
class Supervision:
    """What a perceptron learns from."""

    loss: str = "full"  # full: squared error of depths; ordinal: Eq. 2; likelihood: with ties
    flipped: float = 0.0  # share of the answers that are turned round
    images: float = 1.0  # share of the training frames that are there
    joints: int = 17  # 14 where only those of LSP have answers
    people: bool = False  # orderings of simulated people, in place of all true relations


SUPERVISIONS: Mapping[str, Supervision] = {
    "full": Supervision(),
    "ordinal": Supervision("ordinal"),
    "ordinal, with ties": Supervision("likelihood"),
    "ordinal, 10 % flipped": Supervision("ordinal", flipped=0.1),
    "ordinal, 20 % flipped": Supervision("ordinal", flipped=0.2),
    "with ties, 10 % flipped": Supervision("likelihood", flipped=0.1),
    "ordinal, 14 joints": Supervision("ordinal", joints=14),
    "ordinal, 14 joints, people's orderings": Supervision("ordinal", joints=14, people=True),
    "full, 10 % of the images": Supervision(images=0.1),
    "ordinal, 10 % of the images": Supervision("ordinal", images=0.1),
}


@dataclass(frozen=True, eq=False)
class Films:
    """Frames with detections, and what the two sides of a lifting network need."""

    poses: Poses

    @cached_property
    def joints_mm(self) -> Tensor:
        """Camera frame."""
        return self.poses.joints_mm

    @cached_property
    def depth_mm(self) -> Tensor:
        """Depths relative to the pelvis."""
        return self.joints_mm[..., 2] - self.joints_mm[:, :1, 2]

    @cached_property
    def box(self) -> tuple[Tensor, Tensor]:
        """Centre and longer side of what the detector found, pixels."""
        points = self.poses.detections_px
        low = points.nan_to_num(torch.inf).amin(1)
        high = points.nan_to_num(-torch.inf).amax(1)
        return (low + high)[:, None] / 2, (high - low).amax(1)[:, None, None]

    @cached_property
    def seen(self) -> Tensor:
        """Detected joints as fractions of the box, 0 to 1, (F, joints seen, 2)."""
        centre, side = self.box
        there = ~self.poses.detections_px[:, :, 0].isnan().any(0)
        return (self.poses.detections_px[:, there] - centre) / side + 0.5

    @cached_property
    def take(self) -> np.ndarray:
        """The performance that a frame is of; four cameras film each."""
        facts = (self.poses.meta[key] for key in ("subject", "action", "take"))
        return np.array([" ".join(map(str, take)) for take in zip(*facts, strict=True)])


def detected(poses: Poses, count: int) -> Films:
    """About `count` frames with detections, spread evenly over subjects, actions and cameras."""
    there = (~poses.detections_px[..., 0].isnan()).sum(1) >= 12
    frame = pd.DataFrame({k: poses.meta[k] for k in ("subject", "action", "camera")})
    cells = [
        rows[there.numpy()[rows]] for rows in frame.groupby(list(frame), sort=True).indices.values()
    ]
    size = max(1, count // len(cells))
    spread = [c[np.linspace(0, len(c) - 1, min(size, len(c))).astype(int)] for c in cells if len(c)]
    chosen = np.sort(np.concatenate(spread))
    names = ("joints_mm", "keypoints_px", "pinhole_px", "detections_px", "intrinsics")
    tensors = {name: getattr(poses, name)[torch.from_numpy(chosen)] for name in names}
    meta = {key: column[chosen] for key, column in poses.meta.items()}
    return Films(replace(poses, **tensors, meta=meta))


def joints_2d(train: Films, films: Films) -> Tensor:
    """All 17 joints in pixels from the detected ones, by an affine map learned on training films.

    A detector's joints are not defined as the mocap's, and two of these it does not know.
    """
    centre, side = train.box
    target = ((train.poses.keypoints_px - centre) / side).flatten(1)
    known, asked = (
        torch.nn.functional.pad(f.seen.flatten(1), (0, 1), value=1.0) for f in (train, films)
    )
    solution = torch.linalg.lstsq(known.double(), target.double()).solution
    centre, side = films.box
    return (asked.double() @ solution).float().unflatten(1, (-1, 2)) * side + centre


@lru_cache(maxsize=2)
def orderings(films: Films, seed: int) -> Tensor:
    """Relations of the 14 joints as simulated people order them, int8 (F, 14, 14)."""
    joints = films.joints_mm
    hidden = torch.cat([self_occluded(part)[:, _JOINTS] for part in joints.split(500)])
    draws = Generator().manual_seed(seed)
    depth = joints[:, _JOINTS, 2]
    return annotate(depth, PERSON, generator=draws, hidden=hidden, group_size=1).relations


def answers(films: Films, how: Supervision, seed: int) -> tuple[Tensor, Tensor]:
    """Relations of all frames, and which pairs were asked about."""
    count, joints = films.depth_mm.shape
    draws = Generator().manual_seed(seed + 1)
    relations = relations_from_depth(films.depth_mm)
    asked = torch.ones(joints, joints, dtype=torch.bool)
    if how.joints == 14:
        asked = torch.zeros_like(asked)
        asked[np.ix_(_JOINTS, _JOINTS)] = True
    if how.people:
        relations = torch.zeros_like(relations)
        relations[:, torch.tensor(_JOINTS)[:, None], torch.tensor(_JOINTS)] = orderings(films, seed)
    if how.flipped:
        turned = (torch.rand(relations.shape, generator=draws) < how.flipped).triu(1)
        relations = torch.where(turned | turned.mT, -relations, relations)
    return relations, asked.expand(count, -1, -1)


def train(films: Films, how: Supervision, size: Size, seed: int = 0) -> Lifters:
    """Perceptrons of all seeds, by Adam with a cosine schedule."""
    draws = Generator().manual_seed(seed)
    networks = Lifters(size.seeds, draws, films.seen.shape[1], HIDDEN, UNIT_MM)
    relations, asked = answers(films, how, seed)
    # evenly spread frames, so that few of them are of all people too
    stride = round(1 / how.images)

    def batch_at(step: int) -> Tensor:
        share = torch.rand(size.seeds, BATCH_SIZE, generator=draws)
        return (share * (len(films.seen) // stride)).long() * stride

    def loss(networks: nn.Module, chosen: Tensor) -> Losses:
        depth, rows = networks(films.seen[chosen]).flatten(0, 1), chosen.flatten()
        if how.loss == "full":
            terms = ((depth - films.depth_mm[rows]) / UNIT_MM).square().sum(1).mean()
        elif how.loss == "ordinal":
            terms = ranking_loss(depth / UNIT_MM, relations[rows], asked[rows])
        else:
            terms = tie_likelihood_loss(depth, relations[rows], asked[rows], slope_mm=SLOPE_MM)
        return {how.loss: size.seeds * terms}

    return fit(networks, batch_at, loss, BUDGET(size.steps))


@torch.no_grad()
def depths(networks: Lifters, films: Films) -> Tensor:
    """What all seeds make of the films, (S, F, 17) mm; see `train`."""
    return networks(films.seen.expand(networks.seeds, -1, -1, -1))


@torch.no_grad()
def measure(
    train: Films, test: Films, networks: Lifters, how: Supervision
) -> dict[str, np.ndarray]:
    """Results on the test frames, (S, F) each.

    `order`: percent of the pairs at least 100 mm apart in their order. `depth` and `depth_oracle`:
    mean absolute error of depths in mm, with the scale from mean limb lengths and with the one that
    fits the truth best; `true_root`: MPJPE at detected 2D joints with the true depth of the pelvis;
    `mpjpe`: by the protocol of [32], no truth at all; `scale`: that from limb lengths over the
    best one; `order14` and `depth14`: of the 14 joints of LSP, about their mean, at the best scale.
    Nothing but the last two where only 14 joints were learned.
    """
    rows = np.linspace(0, len(train.seen) - 1, min(512, len(train.seen))).astype(int)
    lengths, points, z = mean_limb_lengths(), joints_2d(train, test), test.depth_mm
    matrices, relations = test.poses.intrinsics, relations_from_depth(z)
    results: dict[str, list[Tensor]] = {name: [] for name in MEASURES}
    fitting = networks(train.seen[rows].expand(networks.seeds, -1, -1, -1))
    for depth, known in zip(depths(networks, test), fitting, strict=True):
        centred, truth = (x[:, _JOINTS] - x[:, _JOINTS].mean(1, keepdim=True) for x in (depth, z))
        near = oracle_scale(centred, truth) * centred
        accuracy = ordinal_accuracy(depth[:, _JOINTS], relations_from_depth(z[:, _JOINTS]))
        results["order14"].append(100 * accuracy)
        results["depth14"].append((near - truth).abs().mean(1))
        if how.joints == 14:
            continue
        scale = 1.0
        if how.loss != "full":
            fitted = train.poses.keypoints_px[rows], known, train.poses.intrinsics[rows], lengths
            scale = float(depth_scale(*fitted))
        oracle = oracle_scale(depth, z)
        placed = backproject(points, test.joints_mm[:, :1, 2] + scale * depth, matrices)
        results["order"].append(100 * ordinal_accuracy(depth, relations))
        results["depth"].append((scale * depth - z).abs().mean(1))
        results["depth_oracle"].append((oracle * depth - z).abs().mean(1))
        results["true_root"].append(metrics.mpjpe(placed, test.joints_mm))
        lifted = lift(points, scale * depth, matrices, lengths)
        results["mpjpe"].append(metrics.mpjpe(lifted, test.joints_mm))
        results["scale"].append(torch.full((len(z),), scale / oracle))
    return {name: torch.stack(v).double().numpy() for name, v in results.items() if v}


MEASURES = ("order14", "depth14", "order", "depth", "depth_oracle", "true_root", "mpjpe", "scale")


def takes_drawn(take: np.ndarray) -> np.ndarray:
    """How often each bootstrap draw has each frame, (DRAWS, F): whole takes are drawn."""
    names, which = np.unique(take, return_inverse=True)
    draws = np.random.default_rng(0).integers(0, len(names), (DRAWS, len(names)))
    counts = np.stack([np.bincount(draw, minlength=len(names)) for draw in draws])
    return counts[:, which].astype(np.float64)


def ratio(over: np.ndarray, under: np.ndarray, take: np.ndarray) -> dict[str, float]:
    """Ratio of two means, (S, F) each, with its 95% interval over takes and that over seeds.

    That over takes resamples performances of the two test people with all their frames; that over
    seeds is Student's t on the paired logarithms.
    """
    counts = takes_drawn(take)
    drawn = (counts @ np.nanmean(over, 0)) / (counts @ np.nanmean(under, 0))
    low, high = np.percentile(drawn, [2.5, 97.5])
    logs = np.log(over.mean(1) / under.mean(1))
    half = stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs)
    return {
        "ratio": float(over.mean() / under.mean()),
        "takes_low": float(low),
        "takes_high": float(high),
        "seeds_low": float(np.exp(logs.mean() - half)),
        "seeds_high": float(np.exp(logs.mean() + half)),
    }
