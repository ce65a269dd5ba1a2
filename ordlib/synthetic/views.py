"""Cameras of the built-in benchmark, and where people stand before them.

World frame: x right, y down, z away, ground at y = 0, millimetres.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Generator, Tensor

from ordlib.camera import rotation_matrix

IMAGE_PX = 1000.0
"""Side of the whole image that a crop is taken from."""

_PERSON_MM = 1700.0
_LOWEST_JOINT_MM = 60.0  # the lowest joint of a body lies this far above the ground


@dataclass(frozen=True)
class CameraSpec:
    """How the cameras of a domain are placed; each pair is the range of a uniform distribution.

    Attributes:
        count: cameras around one room; 0 means that each image has its own.
        distance_mm: from the room's centre, or from the person where each image has its camera.
        height_mm: above the ground.
        person_px: height of a standing person in an image of `IMAGE_PX`; sets the focal length.
        roll_deg: standard deviation of the roll.
        wander_mm: how far from the room's centre people go, or the camera's aim from the person.
    """

    count: int
    distance_mm: tuple[float, float]
    height_mm: tuple[float, float]
    person_px: tuple[float, float]
    roll_deg: float
    wander_mm: float


@dataclass(frozen=True)
class Rig:
    """Placed cameras: rotations from the world into the camera, centres, pinhole matrices."""

    rotation: Float[Tensor, "cameras 3 3"]
    centre_mm: Float[Tensor, "cameras 3"]
    intrinsics: Float[Tensor, "cameras 3 3"]

    def take(self, indices: Int64[Tensor, " chosen"]) -> "Rig":
        """The cameras at `indices`."""
        return Rig(self.rotation[indices], self.centre_mm[indices], self.intrinsics[indices])


def _uniform(bounds: tuple[float, float], count: int, generator: Generator) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(count, generator=generator)


def _look(direction: Tensor, roll_rad: Tensor) -> Float[Tensor, "cameras 3 3"]:
    """Rotation into a camera that looks along `direction`."""
    ahead = F.normalize(direction, dim=-1)
    down = torch.tensor([0.0, 1.0, 0.0]).expand_as(ahead)
    right = F.normalize(torch.linalg.cross(down, ahead), dim=-1)
    level = torch.stack([right, torch.linalg.cross(ahead, right), ahead], -2)
    zero = torch.zeros_like(roll_rad)
    return rotation_matrix(torch.stack([zero, zero, roll_rad], -1)) @ level


def place_cameras(
    spec: CameraSpec, count: int, target_mm: Float[Tensor, "count 3"], generator: Generator
) -> Rig:
    """`count` cameras evenly around their targets, looking at them."""
    distance = _uniform(spec.distance_mm, count, generator)
    azimuth = 2 * math.pi * (torch.arange(count) + 0.5) / count
    azimuth = azimuth + 0.2 * torch.randn(count, generator=generator)
    height = _uniform(spec.height_mm, count, generator)
    floor = torch.stack([target_mm[:, 0], torch.zeros(count), target_mm[:, 2]], -1)
    offset = torch.stack([distance * azimuth.sin(), -height, -distance * azimuth.cos()], -1)
    centre = floor + offset
    roll = torch.deg2rad(spec.roll_deg * torch.randn(count, generator=generator).clamp(-2.5, 2.5))
    focal = _uniform(spec.person_px, count, generator) * distance / _PERSON_MM
    intrinsics = torch.zeros(count, 3, 3)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = IMAGE_PX / 2
    intrinsics[:, 2, 2] = 1
    return Rig(_look(target_mm - centre, roll), centre, intrinsics)


def stand(
    poses_mm: Float[Tensor, "batch joints 3"], wander_mm: float, generator: Generator
) -> Float[Tensor, "batch joints 3"]:
    """Put root-relative poses on the ground of the world, each turned by any yaw.

    Args:
        wander_mm: radius around the world's origin within which the roots lie.
    """
    count = len(poses_mm)
    yaw = 2 * math.pi * torch.rand(count, generator=generator)
    zero = torch.zeros_like(yaw)
    turned = poses_mm @ rotation_matrix(torch.stack([zero, yaw, zero], -1)).mT
    radius = wander_mm * torch.rand(count, generator=generator).sqrt()
    bearing = 2 * math.pi * torch.rand(count, generator=generator)
    height = -turned[..., 1].amax(-1) - _LOWEST_JOINT_MM
    place = torch.stack([radius * bearing.sin(), height, radius * bearing.cos()], -1)
    return turned + place[:, None]


def film(
    poses_mm: Float[Tensor, "batch joints 3"],
    spec: CameraSpec,
    rig: Rig | None,
    camera: Int64[Tensor, " batch"],
    generator: Generator,
) -> tuple[Float[Tensor, "batch joints 3"], Float[Tensor, "batch 3 3"], Float[Tensor, "batch 3"]]:
    """Poses in the camera frame, intrinsics of the whole image, and the direction against gravity.

    Args:
        poses_mm: root-relative, upright, facing -z.
        rig: the cameras of the room, or None where each image has its own.
        camera: which camera of the rig sees each pose.
    """
    if rig is None:
        world = stand(poses_mm, 0.0, generator)
        aim = world[:, 0] + spec.wander_mm * (
            2 * torch.rand(len(world), 3, generator=generator) - 1
        )
        cameras = place_cameras(spec, len(world), aim, generator)
    else:
        world = stand(poses_mm, spec.wander_mm, generator)
        cameras = rig.take(camera)
    joints = (world - cameras.centre_mm[:, None]) @ cameras.rotation.mT
    return joints, cameras.intrinsics, -cameras.rotation[:, :, 1]
