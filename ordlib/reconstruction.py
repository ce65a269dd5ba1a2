"""What the reconstruction component of Section 3.4 learns from: skeletons, without any image.

A pose is projected by a camera. Its depths are replaced by noisy ones that keep most of their order
and little of their values, since that is what a ConvNet trained on relations gives. The component
itself is `networks.ReconstructionNet`, its training `experiments.components`.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ordlib import metrics
from ordlib.camera import rotation_matrix
from ordlib.networks import ReconstructionNet, reconstruct
from ordlib.shapes import Depths, Intrinsics, Joints2D, Joints3D, PerSample, require_shape
from ordlib.skeleton import H36M17

_POWER_MM = 300.0  # where the bent depth equals the straight one; any value gives the same order
_PARENTS = [parent for parent, _ in H36M17.bones]


@dataclass(frozen=True)
class Skeletons:
    """Poses before cameras: all that the component is trained on."""

    joints_mm: Joints3D  # absolute
    keypoints_px: Joints2D  # their projection
    intrinsics: Intrinsics

    def __len__(self) -> int:
        return len(self.joints_mm)

    @property
    def relative_mm(self) -> Joints3D:
        """Joints relative to the root."""
        return self.joints_mm - self.joints_mm[:, H36M17.root, None]


@dataclass(frozen=True)
class NoiseModel:
    """How the depths of a skeleton become like those of a ConvNet.

    Order suffers from the first three, values from all. The defaults of the studies in notebook 07
    were chosen on the held-out subject S8.
    """

    # standard deviation of a turn about the vertical, and by 0.7 of it about x, before depths are
    # read: an image tells which way a person faces no better
    turn_deg: float = 20.0
    step_mm: float = 50.0  # of what is added to a bone's depth step; errors add up towards hands
    flip: float = 0.05  # chance that a depth step changes its sign, which a projection cannot tell
    gain: float = 0.3  # standard deviation of the logarithm of a factor on each depth
    power: tuple[float, float] = (0.6, 1.0)  # range of an exponent; below 1, far joints come near
    # standard deviation of what is added to 2D positions, as a share of the largest coordinate; the
    # paper adds nothing, small ConvNets miss by about that much
    keypoint: float = 0.05
    blank: float = 0.0  # chance that the depths of a pose are withheld; 1 trains on 2D alone


CLEAN = NoiseModel(0.0, 0.0, 0.0, 0.0, (1.0, 1.0), 0.0)
"""No noise at all: true depths, up to a scale."""


def noisy_depth(joints_mm: Joints3D, noise: NoiseModel, generator: Generator) -> Depths:
    """Depths as a ConvNet might give them, relative to the root, in a unit of no meaning."""
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


def noisy_keypoints(keypoints: Joints2D, noise: NoiseModel, generator: Generator) -> Joints2D:
    """2D positions as a ConvNet might give them."""
    reach = (keypoints - keypoints[:, H36M17.root, None]).abs().amax((1, 2), keepdim=True)
    error = torch.randn(keypoints.shape, generator=generator).to(keypoints)
    return keypoints + noise.keypoint * reach * error


@torch.no_grad()
def errors(
    network: ReconstructionNet, keypoints: Joints2D, depth: Depths, joints_mm: Joints3D
) -> dict[str, PerSample]:
    """`mpjpe` and `reconstruction_error` in mm of each pose, and its `pck3d` as a fraction."""
    pose = reconstruct(network, keypoints, depth)
    judges = (metrics.mpjpe, metrics.reconstruction_error, metrics.pck3d)
    return {judge.__name__: judge(pose, joints_mm) for judge in judges}
