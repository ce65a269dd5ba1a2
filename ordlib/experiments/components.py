"""What lifts 2D joints to poses: the reconstruction component of Section 3.4, and Martinez's [25].

The component learns from skeletons, each seen by a random camera, with the noise of
`reconstruction`; the joined module of ConvNet and component can be fine-tuned end to end. The
lifter of [25] has its form and learns from the 2D positions that a ConvNet detects in training
images, with the mistakes that it makes there, and no depths. Both are trained once a setting.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, nn

from ordlib.augment import augment
from ordlib.camera import project
from ordlib.data import PoseDataset
from ordlib.errors import InputError
from ordlib.experiments import roles
from ordlib.experiments.evaluation import predict
from ordlib.experiments.runs import Run
from ordlib.experiments.setting import Setting
from ordlib.files import VERSION, digest, kept
from ordlib.losses import pose_loss
from ordlib.networks import PoseEstimator, ReconstructionNet, reconstruct
from ordlib.reconstruction import CLEAN, NoiseModel, Skeletons, noisy_depth, noisy_keypoints
from ordlib.shapes import Joints2D, Joints3D, PoseBatch, require_shape
from ordlib.skeleton import H36M17
from ordlib.synthetic.domains import (
    DOMAINS,
    CameraSpec,
    Domain,
    Split,
    generator,
    sample_limb_lengths,
)
from ordlib.synthetic.people import ClipPoses, Motion, PoseSource, PriorPoses, film
from ordlib.training import Budget, Losses, fit, load_weights, save_weights, single_thread

TRAINING_SPLITS = ("train", "fit", "val")
"""The splits whose people and clips may be learned or chosen from."""

IMAGES = 10_000
"""At most so many training images does a lifter learn from."""

WITHHELD = replace(CLEAN, blank=1.0)
"""No depths, and no noise on the 2D positions: a detector's own mistakes are enough."""

_BLOCK = 16


@dataclass(frozen=True)
class ComponentConfig:
    """Size and budget; the defaults are the paper's (Section 4.2)."""

    width: int = 1024  # see `networks.ReconstructionNet`, as `dropout`
    dropout: float = 0.5
    skeletons: int = 500_000  # poses that are drawn to train on
    steps: int = 200_000
    batch_size: int = 64
    optimizer: str = "rmsprop"
    learning_rate: float = 2.5e-4
    schedule: str = "constant"
    noise: NoiseModel = field(default_factory=NoiseModel)  # what is done to the input


_SMALL = ComponentConfig(dropout=0.1, optimizer="adam", learning_rate=3e-3, schedule="cosine")

CONFIGS: Mapping[str, ComponentConfig] = {
    "smoke": replace(_SMALL, width=32, skeletons=400, steps=30),
    "quick": replace(_SMALL, width=256, batch_size=128, skeletons=50_000, steps=1_500),
    "desk": replace(_SMALL, width=384, batch_size=128, skeletons=100_000, steps=4_000),
    "paper": ComponentConfig(noise=NoiseModel(keypoint=0.0)),
}
"""The component of each scale; short budgets want another optimiser and less dropout."""


def component(setting: Setting, domain: str = "studio") -> ReconstructionNet:
    """The component, trained on the poses of a role: read if it is done.

    Poses of a real data set are taken before the cameras that filmed them. The network is in
    evaluation mode, on the CPU. Raises InputError for a role without poses to learn from.
    """
    config = CONFIGS[setting.scale]
    key = digest([asdict(config), VERSION, roles.fingerprint(domain, setting.data)])
    folder = setting.folder / "runs" / f"reconstruction-{domain}-seed{setting.seed}-{key}"
    return _kept(folder, config, setting, lambda: training_poses(setting, domain))


def lifter(run: Run) -> ReconstructionNet:
    """The network of [25] with a run's network as detector of 2D positions: read if it is done.

    It learns from the images that the run has 3D truth for, with the budget of the component of the
    same scale. The network is in evaluation mode, on the CPU.
    """
    setting = run.setting
    config = replace(CONFIGS[setting.scale], noise=WITHHELD)
    key = digest([run.folder.name, asdict(config), IMAGES, VERSION])
    folder = run.folder.with_name(f"lifting-{run.row.home}-seed{setting.seed}-{key}")

    def poses() -> Skeletons:
        images = setting.load(run.row.home, run.row.train_split)
        with single_thread(setting.device):
            return detections(run.network().to(setting.device), images, setting.device)

    return _kept(folder, config, setting, poses)


def _kept(
    folder: Path, config: ComponentConfig, setting: Setting, poses: Callable[[], Skeletons]
) -> ReconstructionNet:
    with kept(folder) as missing:
        if missing:
            save_weights(folder, fit_component(poses(), config, setting.seed, setting.device))
    return load_weights(folder, ReconstructionNet(width=config.width, dropout=config.dropout))


def detections(network: nn.Module, dataset: PoseDataset, device: str = "cpu") -> Skeletons:
    """True 3D poses with the 2D positions that a network detects, of `IMAGES` evenly spread."""
    count = min(IMAGES, len(dataset))
    chosen = np.unique(np.linspace(0, len(dataset) - 1, count).round().astype(int))
    keypoints, labels = predict(network, dataset, 1.0, device, chosen).keypoints_px, dataset.labels
    assert keypoints is not None and labels.joints_mm is not None
    return Skeletons(labels.joints_mm[chosen], keypoints, labels.intrinsics[chosen])


@torch.no_grad()
def lift_detected(network: ReconstructionNet, keypoints_px: Joints2D) -> Joints3D:
    """Root-relative poses in mm from detected 2D positions alone."""
    return reconstruct(network, keypoints_px, torch.zeros_like(keypoints_px[..., 0]))


def fit_component(
    skeletons: Skeletons, config: ComponentConfig, seed: int = 0, device: str = "cpu"
) -> ReconstructionNet:
    """Train on skeletons with Eq. 6, new noise in every step; the result stays on `device`."""
    if not len(skeletons):
        raise InputError("skeletons: expected one or more, found none")
    batches = _batches(skeletons, config, Generator().manual_seed(seed), device)
    rates = (config.optimizer, config.learning_rate, config.schedule)
    with torch.random.fork_rng([device] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        network = ReconstructionNet(width=config.width, dropout=config.dropout).to(device)
        budget = Budget(config.steps, *rates)
        return fit(network, lambda step: next(batches), _loss, budget, device=device)


def _loss(network: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Losses:
    keypoints, depth, target = batch
    return {"pose": pose_loss(network(keypoints, depth), target)}


def _batches(
    skeletons: Skeletons, config: ComponentConfig, draws: Generator, device: str
) -> Iterator[tuple[Tensor, ...]]:
    """Noisy 2D joints and depths, and the pose in metres, of skeletons drawn at random, for ever.

    The noise of several batches is made at once, which takes a fraction of the time.
    """
    while True:
        chosen = torch.randint(len(skeletons), (_BLOCK * config.batch_size,), generator=draws)
        joints = skeletons.joints_mm[chosen]
        joints = joints - joints[:, H36M17.root, None]
        keypoints = noisy_keypoints(skeletons.keypoints_px[chosen], config.noise, draws)
        block = (keypoints, noisy_depth(joints, config.noise, draws), joints / 1000)
        yield from zip(*(x.to(device).split(config.batch_size) for x in block), strict=True)


def training_poses(setting: Setting, domain: str) -> Skeletons:
    """The people of a stand-in before random cameras, or of a real split before its own."""
    if not setting.real:
        count = CONFIGS[setting.scale].skeletons
        return training_skeletons(count, setting.seed, domain=domain, motion=setting.motion)
    if missing := roles.lacking([domain], setting.data):
        raise InputError(f"data: expected {missing[0]} in {setting.data}, found none")
    labels = setting.load(domain, "train").labels
    if labels.joints_mm is None:
        title = roles.ROLES[domain].title
        raise InputError(
            f"domain: expected one with 3D poses to learn from, found {domain!r} ({title})"
        )
    keypoints = project(labels.joints_mm, labels.intrinsics)
    return Skeletons(labels.joints_mm, keypoints, labels.intrinsics)


def skeletons_from_poses(
    poses_mm: Joints3D,
    generator: Generator,
    cameras: CameraSpec = DOMAINS["studio"].cameras,
) -> Skeletons:
    """Put each pose (y down) on the ground, turned any way, before a random camera of its own."""
    require_shape("poses_mm", poses_mm, len(H36M17), 3)
    poses = poses_mm - poses_mm[:, H36M17.root, None]
    codes = torch.zeros(len(poses), dtype=torch.int64)
    joints, intrinsics, _ = film(poses, cameras, None, codes, generator)
    return Skeletons(joints, project(joints, intrinsics), intrinsics)


def training_skeletons(
    count: int,
    seed: int,
    *,
    domain: str = "studio",
    split: str = "train",
    motion: Motion | None = None,
) -> Skeletons:
    """Skeletons of a domain's training people in its actions, before random cameras.

    Args:
        seed: of poses and cameras; the habits of the people are those of the images of this seed.
        domain: `studio`, `duo` or `wild`.
        split: `train`; in `studio` also `fit` (without the held-out S8) and `val` (S8 alone).
        motion: motion capture in place of the built-in poses; only training clips are used.
    """
    spec, stored, facts = _training_split(domain, split)
    draws = generator(seed, "skeletons", domain, split)
    source: PoseSource = ClipPoses(motion, facts) if motion else PriorPoses(spec, stored, seed)
    person, lengths = _people(count, spec, facts, split, draws)
    poses, _ = source.draw(torch.arange(count), person, lengths, draws)
    return skeletons_from_poses(poses, draws, spec.cameras)


def _training_split(domain: str, split: str) -> tuple[Domain, str, Split]:
    if domain not in DOMAINS:
        raise InputError(f"domain: expected one of {', '.join(DOMAINS)}, found {domain!r}")
    spec = DOMAINS[domain]
    known = [name for name in spec.split_names if name in TRAINING_SPLITS]
    if split not in known:
        raise InputError(
            f"split: expected one of {', '.join(known) or 'none'}, those of {domain} that may be"
            f" learned from, found {split!r}"
        )
    stored = next(n for n, f in spec.splits.items() if split in (n, *(f.views or ())))
    return spec, stored, spec.splits[stored]


def _people(
    count: int, domain: Domain, facts: Split, split: str, draws: Generator
) -> tuple[Tensor, Tensor]:
    """A person of the split for each pose, and bone lengths; new people where it names none."""
    if not facts.people:
        return torch.zeros(count, dtype=torch.int64), sample_limb_lengths(count, draws)
    kept = (facts.views or {}).get(split, facts.people)
    codes = torch.tensor([facts.people.index(name) for name in kept])
    person = codes[torch.randint(len(codes), (count,), generator=draws)]
    place = torch.tensor([domain.people.index(name) for name in facts.people])
    return person, domain.limb_lengths_mm[place[person]]


def fine_tune(
    estimator: PoseEstimator,
    dataset: PoseDataset,
    budget: Budget,
    *,
    batch_size: int = 8,
    seed: int = 0,
    device: str = "cpu",
) -> PoseEstimator:
    """Train both parts jointly with Eq. 6, in place, on augmented images with 3D ground truth.

    `seed` is that of order, augmentation and dropout.
    """
    if dataset.labels.joints_mm is None:
        raise InputError("dataset: expected joints_mm for joint fine-tuning, found none")

    def batch_at(step: int) -> PoseBatch:
        draws = Generator().manual_seed(int(digest([seed, "fine-tune", step]), 16))
        chosen = torch.randint(len(dataset), (batch_size,), generator=draws)
        return augment(dataset.batch(chosen, device), draws)

    with torch.random.fork_rng([device] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        return fit(estimator.to(device), batch_at, _pose_loss, budget, device=device)


def _pose_loss(estimator: nn.Module, batch: PoseBatch) -> Losses:
    assert batch.joints_mm is not None
    target = batch.joints_mm - batch.joints_mm[:, H36M17.root, None]
    return {"pose": pose_loss(estimator(batch.images) / 1000, target / 1000)}
