"""The pinhole camera, crops of its image, and what limb lengths say about depth.

Camera frame: x right, y down, z away from the camera, mm. Pixel coordinates are continuous with the
centre of the first pixel at 0.5. Pinhole matrices have the last row (0, 0, 1). Shapes that do not
fit, and on the CPU depths that are not in front of the camera, are an InputError.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ordlib.errors import InputError
from ordlib.shapes import (
    Bones,
    Depths,
    Intrinsics,
    Joints2D,
    Joints3D,
    Mask,
    PerSample,
    Scalar,
    looks_at_values,
    require_finite,
    require_shape,
)
from ordlib.skeleton import H36M17, Skeleton

BOX_MARGIN_PX = 40.0
"""Added to the longer side of the joints' bounding box to give the side of a crop."""

# The nearest joint is sought between these distances from the camera.
_NEAREST_MM, _FARTHEST_MM = 50.0, 50_000.0
_GRID, _FINE_GRID = 80, 17
# Spread (root mean square) that scaled depths may have; that of real poses is about 200 mm.
_SPREAD_MM = (10.0, 2000.0)
_SCALE_GRID, _GOLDEN_STEPS = 24, 18
# A limb of this radius hides what is at least this much farther along the line of sight.
_LIMB_RADIUS_MM, _LIMB_CLEARANCE_MM, _POINTS_A_BONE = 60.0, 100.0, 7


def rotation_matrix(rotvec: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Matrices of rotation vectors: turns by their length in radians about them (Rodrigues)."""
    angle = rotvec.norm(dim=-1)
    x, y, z = (rotvec / angle.clamp_min(1e-30)[..., None]).unbind(-1)
    sine, rest = angle.sin(), 1 - angle.cos()
    xs, ys, zs = x * sine, y * sine, z * sine
    xx, yy, zz = x * x * rest, y * y * rest, z * z * rest
    xy, xz, yz = x * y * rest, x * z * rest, y * z * rest
    rows = (1 - yy - zz, xy - zs, xz + ys, xy + zs, 1 - xx - zz, yz - xs)
    return torch.stack((*rows, xz - ys, yz + xs, 1 - xx - yy), -1).unflatten(-1, (3, 3))


def project(
    joints_mm: Float[Tensor, "*batch joints 3"], intrinsics: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch joints 2"]:
    """Pixel positions (u, v) = K (x/z, y/z, 1) of joints in the camera frame."""
    require_shape("joints_mm", joints_mm, None, 3)
    require_shape("intrinsics", intrinsics, *joints_mm.shape[:-2], 3, 3)
    depth = joints_mm[..., 2:]
    _require_in_front("joints_mm", depth)
    rays = joints_mm[..., :2] / depth
    return rays @ intrinsics[..., :2, :2].mT + intrinsics[..., None, :2, 2]


def backproject(
    keypoints_px: Float[Tensor, "*batch joints 2"],
    depth_mm: Float[Tensor, "*batch joints"],
    intrinsics: Float[Tensor, "*batch 3 3"],
) -> Float[Tensor, "*batch joints 3"]:
    """Joints in the camera frame from pixel positions and absolute depths z, mm."""
    require_shape("depth_mm", depth_mm, *keypoints_px.shape[:-1])
    require_shape("intrinsics", intrinsics, *keypoints_px.shape[:-2], 3, 3)
    _require_in_front("depth_mm", depth_mm)
    z = depth_mm[..., None]
    return torch.cat([_rays(keypoints_px, intrinsics) * z, z], -1)


def _require_in_front(name: str, depth: Tensor) -> None:
    if looks_at_values(depth) and not (depth.detach() > 0).all():
        found = depth.detach().min().item() if depth.isfinite().all() else "values not finite"
        raise InputError(f"{name}: expected depths z > 0 in front of the camera, found {found}")


def _rays(keypoints_px: Tensor, intrinsics: Tensor) -> Tensor:
    """(x/z, y/z) of pixels: the 2 x 2 part of K is inverted in closed form, skew and all."""
    (a, b), (c, d) = (row.unbind(-1) for row in intrinsics[..., None, :2, :2].unbind(-2))
    u, v = (keypoints_px - intrinsics[..., None, :2, 2]).unbind(-1)
    return torch.stack([d * u - b * v, a * v - c * u], -1) / (a * d - b * c)[..., None]


def _bones(values: Tensor, skeleton: Skeleton) -> Tensor:
    """(B, bones, ...) values of the child of each bone less those of its parent."""
    parents, children = map(list, zip(*skeleton.bones, strict=True))
    return values[:, children] - values[:, parents]


def self_occluded(joints_mm: Joints3D, skeleton: Skeleton = H36M17) -> Mask:
    """Joints that one of the person's own limbs hides from the camera.

    The line of sight passes within 60 mm of a bone that is at least 100 mm nearer there.
    """
    parents, children = map(list, zip(*skeleton.bones, strict=True))
    t = torch.linspace(0, 1, _POINTS_A_BONE, device=joints_mm.device)[:, None]
    points = (1 - t) * joints_mm[:, parents, None] + t * joints_mm[:, children, None]
    points = points.flatten(1, 2)
    distance = joints_mm.norm(dim=-1, keepdim=True)
    along = (joints_mm / distance) @ points.mT
    aside = (points.square().sum(-1)[:, None] - along.square()).clamp_min(0).sqrt()
    return ((aside < _LIMB_RADIUS_MM) & (along < distance - _LIMB_CLEARANCE_MM)).any(-1)


def pose_box(
    keypoints_px: Float[Tensor, "*batch joints 2"], margin_px: float = BOX_MARGIN_PX
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Square box around a pose: centre, and side = longer side of the bounding box + margin."""
    require_finite("keypoints_px", keypoints_px)
    low, high = keypoints_px.amin(-2), keypoints_px.amax(-2)
    return (low + high) / 2, (high - low).amax(-1) + margin_px


def crop_intrinsics(
    intrinsics: Float[Tensor, "*batch 3 3"],
    centre_px: Float[Tensor, "*batch 2"],
    side_px: Float[Tensor, "*batch"],
    size: int,
) -> Float[Tensor, "*batch 3 3"]:
    """Pinhole matrix of a square crop resized to `size` x `size` pixels: a scale and a shift."""
    if not (side_px > 0).all():
        raise InputError(f"side_px: expected positive sides, found {side_px.min().item()}")
    scale = size / side_px
    corner = centre_px - side_px[..., None] / 2
    rows = intrinsics[..., :2, :] - corner[..., None] * intrinsics[..., 2:, :]
    return torch.cat([rows * scale[..., None, None], intrinsics[..., 2:, :]], -2)


def weak_perspective(
    keypoints_px: Joints2D,
    relative_depth_mm: Depths,
    limb_lengths_mm: Bones,
    visible: Mask | None = None,
    skeleton: Skeleton = H36M17,
) -> Joints3D:
    """Poses from 2D keypoints and depths where no camera is known, mm, as [64] needs them.

    One scale an image, mm per pixel, makes the squared lengths of the bones fit those of mean limbs
    best in the least squares sense; bones with an end that is not visible do not count. It is a
    constant to the gradient.
    """
    require_shape("relative_depth_mm", relative_depth_mm, *keypoints_px.shape[:2])
    if visible is not None:
        keypoints_px = torch.where(visible[..., None], keypoints_px, 0)
    with torch.no_grad():
        flat = _bones(keypoints_px, skeleton).square().sum(-1)
        deep = _bones(relative_depth_mm, skeleton).square()
        if visible is not None:
            parents, children = map(list, zip(*skeleton.bones, strict=True))
            flat = flat * (visible[:, children] & visible[:, parents])
        # a bone may be deeper than it is long: the depths are a guess
        rest = (limb_lengths_mm.square() - deep).clamp_min(0)
        square = (flat * rest).sum(1) / flat.square().sum(1).clamp_min(1e-12)
    plane = keypoints_px * square.sqrt()[:, None, None]
    return torch.cat([plane, relative_depth_mm[..., None]], -1)


class _Limbs:
    """Squared limb lengths of images as quadratics of the root's depth z and the depth scale s.

    Joint j is at ray_j (z + s d_j), so a limb is z A + s B with A the difference of its ends' rays
    and B that of their rays times relative depths: |A|^2 z^2 + 2 A.B s z + |B|^2 s^2.
    """

    def __init__(
        self,
        keypoints_px: Tensor,
        relative_depth: Tensor,
        intrinsics: Tensor,
        limb_lengths_mm: Tensor,
        skeleton: Skeleton,
    ) -> None:
        batch, joints = len(keypoints_px), len(skeleton)
        for name, value, shape in (
            ("keypoints_px", keypoints_px, (batch, joints, 2)),
            ("relative_depth", relative_depth, (batch, joints)),
            ("intrinsics", intrinsics, (batch, 3, 3)),
            ("limb_lengths_mm", limb_lengths_mm, (joints - 1,)),
        ):
            require_shape(name, value, *shape)
            require_finite(name, value)
        # The optimum is flat: in float32 it would be found to one part in a thousand.
        rays = _rays(keypoints_px.double(), intrinsics.double())
        rays = torch.cat([rays, torch.ones_like(rays[..., :1])], -1)
        depth = relative_depth.double()
        per_z, per_scale = (_bones(ends, skeleton) for ends in (rays, rays * depth[..., None]))
        self.zz = per_z.square().sum(-1)
        self.zs = (per_z * per_scale).sum(-1)
        self.ss = per_scale.square().sum(-1)
        self.lengths = limb_lengths_mm.to(keypoints_px.device).double().expand_as(self.zz)
        self.nearest = depth.amin(-1)

    def errors(self, z: Tensor, scale: float) -> Tensor:
        """(B, K) sums over limbs of squared length errors, mm^2, at K root depths an image."""
        powers = torch.stack([z * z, z, torch.ones_like(z)], -1)
        terms = torch.stack([self.zz, 2 * scale * self.zs, scale**2 * self.ss], 1)
        lengths = (powers @ terms).clamp_min_(0).sqrt_()
        return lengths.sub_(self.lengths[:, None]).square_().sum(-1)

    def best_depth(self, scale: float, rounds: int) -> tuple[Tensor, Tensor]:
        """(B,) root depths of the smallest error over the whole range, and these errors.

        A logarithmic grid with steps of 9%, refined eight times in each round.
        """
        device, dtype = self.nearest.device, torch.float64
        span = math.log(_FARTHEST_MM / _NEAREST_MM)
        steps = torch.linspace(0, span, _GRID, device=device, dtype=dtype).expand(len(self.zz), -1)
        fine = torch.linspace(-1, 1, _FINE_GRID, device=device, dtype=dtype)
        width = span / (_GRID - 1)
        for _ in range(rounds + 1):
            z = _NEAREST_MM * steps.exp() - scale * self.nearest[:, None]
            error, index = self.errors(z, scale).min(-1)
            middle = steps.gather(-1, index[:, None])
            steps = (middle + width * fine).clamp(0, span)
            width *= 2 / (_FINE_GRID - 1)
        return z.gather(-1, index[:, None]).squeeze(-1), error


@torch.no_grad()
def root_depth(
    keypoints_px: Joints2D,
    relative_depth_mm: Depths,
    intrinsics: Intrinsics,
    limb_lengths_mm: Bones | Float[Tensor, "batch bones"],
    skeleton: Skeleton = H36M17,
) -> PerSample:
    """Depth of the root in the camera frame, mm, from known limb lengths (third mode of [32]).

    The z that minimises the sum over limbs of (L(z) - L_train)^2, where joint j lies at depth
    z + relative_depth_mm[j] on the ray through its pixel: the global minimum over all z that put
    the nearest joint between 50 mm and 50 m from the camera. Lengths for all images or for each.
    """
    limbs = _Limbs(keypoints_px, relative_depth_mm, intrinsics, limb_lengths_mm, skeleton)
    return limbs.best_depth(1.0, rounds=8)[0].to(keypoints_px.dtype)


@torch.no_grad()
def depth_scale(
    keypoints_px: Joints2D,
    ordinal_depth: Depths,
    intrinsics: Intrinsics,
    limb_lengths_mm: Bones | Float[Tensor, "batch bones"],
    skeleton: Skeleton = H36M17,
) -> Scalar:
    """The one scale, mm per unit, that makes root-relative depths known up to scale metric.

    It minimises the mean over images of the sum over limbs of (L - L_train)^2, with the best root
    depth for each image (see `root_depth`); no 3D ground truth is used. A mean, so that all images
    count: one whose 2D is far off pulls with all its weight. Sought among scales that give depths a
    root mean square of 10 to 2000 mm.
    """
    limbs = _Limbs(keypoints_px, ordinal_depth, intrinsics, limb_lengths_mm, skeleton)
    depth = ordinal_depth.double()
    spread = (depth - depth[:, skeleton.root, None]).square().mean().sqrt().item()
    if not spread > 0:
        raise InputError("ordinal_depth: expected depths that differ, found all equal to the root")

    def cost(log_scale: float, rounds: int = 3) -> float:
        return limbs.best_depth(math.exp(log_scale), rounds)[1].mean().item()

    low, high = (math.log(mm / spread) for mm in _SPREAD_MM)
    step = (high - low) / (_SCALE_GRID - 1)
    best = min((low + step * k for k in range(_SCALE_GRID)), key=lambda value: cost(value, 1))
    scale = math.exp(_golden_section(cost, best - step, best + step))
    return torch.tensor(scale, dtype=ordinal_depth.dtype, device=ordinal_depth.device)


def _golden_section(cost: Callable[[float], float], low: float, high: float) -> float:
    """Minimum of a function with one dip between two points, to 1e-4 of their distance."""
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(_GOLDEN_STEPS):
        inner, outer = high - ratio * (high - low), low + ratio * (high - low)
        if cost(inner) < cost(outer):
            high = outer
        else:
            low = inner
    return (low + high) / 2
