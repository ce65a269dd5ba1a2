"""Training the reconstruction component of Section 3.4 from skeletons, without any image.

Each pose is projected by a random camera. Its depths are replaced by noisy ones that keep most of
their order and little of their values, since that is what a ConvNet trained on relations gives.
`training.train` is not used here: it feeds images, and there are none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ordlib import metrics
from ordlib.camera import project, rotation_matrix
from ordlib.errors import InputError, require_shape
from ordlib.losses import pose_loss
from ordlib.networks import ReconstructionNet
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
from ordlib.training import (
    OPTIMIZERS,
    learning_rate_factor,
    single_thread,
)

TRAINING_SPLITS = ("train", "fit", "val")
"""The splits whose people and clips may be learned or chosen from."""

_POWER_MM = 300.0  # where the bent depth equals the straight one; any value gives the same order
_BLOCK = 16
_PARENTS = [parent for parent, _ in H36M17.bones]


@dataclass(frozen=True)
class Skeletons:
    """Poses before cameras: all that the component is trained on.

    Attributes:
        joints_mm: camera frame, absolute.
        keypoints_px: their projection.
        intrinsics: of each camera.
    """

    joints_mm: Float[Tensor, "poses joints 3"]
    keypoints_px: Float[Tensor, "poses joints 2"]
    intrinsics: Float[Tensor, "poses 3 3"]

    def __len__(self) -> int:
        return len(self.joints_mm)

    @property
    def relative_mm(self) -> Float[Tensor, "poses joints 3"]:
        """Joints relative to the root."""
        return self.joints_mm - self.joints_mm[:, H36M17.root, None]


def skeletons_from_poses(
    poses_mm: Float[Tensor, "poses joints 3"],
    generator: Generator,
    cameras: CameraSpec = DOMAINS["studio"].cameras,
) -> Skeletons:
    """Put each pose on the ground, turned any way, before a random camera of its own.

    Args:
        poses_mm: root-relative, y down, such as `datasets.mocap.load(folder).poses`.
        generator: source of the turns and the cameras.
        cameras: how far, how high and how long the cameras are.

    Raises:
        InputError: poses without the 17 joints of Human3.6M.
    """
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
        count: number of poses.
        seed: of poses and cameras; the habits of the people are those of the images of this seed.
        domain: `studio`, `duo` or `wild`.
        split: `train`; in `studio` also `fit` (without the held-out S8) and `val` (S8 alone).
        motion: motion capture in place of the built-in poses; only training clips are used.

    Raises:
        InputError: an unknown domain, or one without such a split; unusable motion capture.
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


@dataclass(frozen=True)
class NoiseModel:
    """How the depths of a skeleton become like those of a ConvNet.

    Order suffers from the first three, values from all. The defaults of the studies in notebook 07
    were chosen on the held-out subject S8.

    Attributes:
        turn_deg: the pose is turned about the vertical before its depths are read, and by 0.7 of it
            about the x axis: standard deviation. An image tells which way a person faces no better.
        step_mm: added to the depth step of each bone: standard deviation. Errors add up towards
            hands and feet.
        flip: chance that a bone's depth step changes its sign, which a projection cannot tell.
        gain: standard deviation of the logarithm of a factor on each depth.
        power: range of an exponent on the depths of a pose; below 1, far joints are compressed.
        keypoint: standard deviation of what is added to the 2D positions, as a share of the largest
            coordinate. The paper adds nothing; small ConvNets miss by about that much.
        blank: chance that the depths of a pose are withheld (all zero); 1 trains on 2D alone.
    """

    turn_deg: float = 20.0
    step_mm: float = 50.0
    flip: float = 0.05
    gain: float = 0.3
    power: tuple[float, float] = (0.6, 1.0)
    keypoint: float = 0.05
    blank: float = 0.0


CLEAN = NoiseModel(0.0, 0.0, 0.0, 0.0, (1.0, 1.0), 0.0)
"""No noise at all: true depths, up to a scale."""


def noisy_depth(
    joints_mm: Float[Tensor, "poses joints 3"], noise: NoiseModel, generator: Generator
) -> Float[Tensor, "poses joints"]:
    """Depths as a ConvNet might give them, relative to the root, in a unit of no meaning.

    Raises:
        InputError: joints that are not the 17 of Human3.6M.
    """
    require_shape("joints_mm", joints_mm, len(H36M17), 3)
    count = len(joints_mm)
    spread = torch.deg2rad(torch.tensor([0.7, 1.0, 0.0]) * noise.turn_deg)
    turn = rotation_matrix(spread * torch.randn(count, 3, generator=generator))
    depth = (joints_mm @ turn.to(joints_mm).mT)[..., 2]
    steps = depth[:, 1:] - depth[:, _PARENTS]
    wrong = torch.rand(steps.shape, generator=generator) < noise.flip
    steps = torch.where(wrong.to(depth.device), -steps, steps)
    steps = steps + noise.step_mm * torch.randn(steps.shape, generator=generator).to(depth)
    joints = [torch.zeros_like(depth[:, 0])]
    for bone, parent in enumerate(_PARENTS):
        joints.append(joints[parent] + steps[:, bone])
    return _distorted(torch.stack(joints, 1), noise, generator)


def _distorted(depth: Tensor, noise: NoiseModel, generator: Generator) -> Tensor:
    """Other values, in the same order but for `gain`."""
    low, high = noise.power
    power = low + (high - low) * torch.rand(len(depth), 1, generator=generator)
    bent = depth.sign() * (depth.abs() / _POWER_MM) ** power.to(depth)
    factor = torch.exp(noise.gain * torch.randn(depth.shape, generator=generator))
    known = torch.rand(len(depth), 1, generator=generator) >= noise.blank
    return bent * (factor * known).to(depth)


def noisy_keypoints(
    keypoints: Float[Tensor, "poses joints 2"], noise: NoiseModel, generator: Generator
) -> Float[Tensor, "poses joints 2"]:
    """2D positions as a ConvNet might give them."""
    reach = (keypoints - keypoints[:, H36M17.root, None]).abs().amax((1, 2), keepdim=True)
    error = torch.randn(keypoints.shape, generator=generator).to(keypoints)
    return keypoints + noise.keypoint * reach * error


@dataclass(frozen=True)
class ReconstructionConfig:
    """Size and budget; the defaults are the paper's (Section 4.2).

    Attributes:
        width, dropout: see `networks.ReconstructionNet`.
        skeletons: how many poses are drawn to train on.
        steps, batch_size, optimizer, learning_rate, schedule: see `training.TrainingConfig`.
        noise: what is done to the input.
    """

    width: int = 1024
    dropout: float = 0.5
    skeletons: int = 500_000
    steps: int = 200_000
    batch_size: int = 64
    optimizer: str = "rmsprop"
    learning_rate: float = 2.5e-4
    schedule: str = "constant"
    noise: NoiseModel = field(default_factory=NoiseModel)


_SMALL = ReconstructionConfig(dropout=0.1, optimizer="adam", learning_rate=3e-3, schedule="cosine")

CONFIGS: Mapping[str, ReconstructionConfig] = {
    "smoke": replace(_SMALL, width=32, skeletons=400, steps=30),
    "quick": replace(_SMALL, width=256, batch_size=128, skeletons=50_000, steps=1_500),
    "desk": replace(_SMALL, width=384, batch_size=128, skeletons=100_000, steps=4_000),
    "paper": ReconstructionConfig(noise=NoiseModel(keypoint=0.0)),
}
"""The component of each scale; short budgets want another optimiser and less dropout."""


def fit(
    skeletons: Skeletons, config: ReconstructionConfig, seed: int = 0, device: str = "cpu"
) -> ReconstructionNet:
    """Train the component on skeletons with Eq. 6, new noise in every step.

    The result depends on the arguments alone; on a CPU one thread is used.

    Returns:
        The network in evaluation mode, on `device`.

    Raises:
        InputError: no skeletons, or an unknown optimizer or schedule.
    """
    if not len(skeletons) or config.optimizer not in OPTIMIZERS:
        raise InputError(
            f"fit: expected skeletons and an optimizer of {', '.join(OPTIMIZERS)}, found"
            f" {len(skeletons)} and {config.optimizer!r}"
        )
    draws = Generator().manual_seed(seed)
    place = torch.device(device)
    devices = [place] if place.type == "cuda" else []
    with torch.random.fork_rng(devices), single_thread(device):
        torch.manual_seed(seed)
        network = ReconstructionNet(len(H36M17), config.width, dropout=config.dropout).to(place)
        optimizer = OPTIMIZERS[config.optimizer](network.parameters(), lr=config.learning_rate)
        batches = _batches(skeletons, config, draws)
        for step in range(config.steps):
            factor = learning_rate_factor(config.schedule, step, config.steps)
            optimizer.param_groups[0]["lr"] = config.learning_rate * factor
            keypoints, depth, target = next(batches)
            loss = pose_loss(network(keypoints.to(place), depth.to(place)), target.to(place))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


def _batches(
    skeletons: Skeletons, config: ReconstructionConfig, draws: Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Noisy 2D joints and depths, and the pose in metres, of skeletons drawn at random, for ever.

    The noise of several batches is made at once, which takes a fraction of the time.
    """
    while True:
        chosen = torch.randint(len(skeletons), (_BLOCK * config.batch_size,), generator=draws)
        joints = skeletons.joints_mm[chosen]
        joints = joints - joints[:, H36M17.root, None]
        keypoints = noisy_keypoints(skeletons.keypoints_px[chosen], config.noise, draws)
        block = (keypoints, noisy_depth(joints, config.noise, draws), joints / 1000)
        yield from zip(*(values.split(config.batch_size) for values in block), strict=True)


def reconstruct(
    network: ReconstructionNet,
    keypoints: Float[Tensor, "batch joints 2"],
    depth: Float[Tensor, "batch joints"],
) -> Float[Tensor, "batch joints 3"]:
    """The root-relative pose in mm, averaged with that of the mirrored input; differentiable.

    Args:
        keypoints, depth: in any unit, see `networks.reconstruction_input`.
    """
    flip = list(H36M17.flip)
    sign = keypoints.new_tensor([-1.0, 1.0, 1.0])
    mirrored = network(keypoints[:, flip] * sign[:2], depth[:, flip])
    return 500 * (network(keypoints, depth) + mirrored[:, flip] * sign)


@torch.no_grad()
def errors(
    network: ReconstructionNet,
    keypoints: Float[Tensor, "batch joints 2"],
    depth: Float[Tensor, "batch joints"],
    joints_mm: Float[Tensor, "batch joints 3"],
) -> dict[str, Float[Tensor, " batch"]]:
    """`mpjpe` and `reconstruction_error` in mm of each pose, and its `pck3d` as a fraction.

    Args:
        keypoints, depth: the input of the component, clean or noisy.
        joints_mm: the true pose, camera frame.
    """
    pose = reconstruct(network, keypoints, depth)
    judges = (metrics.mpjpe, metrics.reconstruction_error, metrics.pck3d)
    return {judge.__name__: judge(pose, joints_mm) for judge in judges}
