"""The networks of Sections 3.1 to 3.4, and how their outputs are read: hourglasses [31] as in [32].

Every constructor defaults to full size: 256 features, four levels, 64 x 64 maps of a 256 x 256
image. Images may be uint8 (0..255) or floating point (already centred on zero). All layers are
convolutions, batch norms and one linear layer, so bf16 applies throughout, and a network moved to
`channels_last` keeps that layout from the first convolution on.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional

from ordlib.errors import InputError
from ordlib.shapes import Depths, Joints2D, Joints3D, require_shape
from ordlib.skeleton import H36M17
from ordlib.volume import bin_centres_mm, decode_xy, expected_depth, marginals

_FLIP = list(H36M17.flip)


@dataclass(frozen=True)
class Prediction:
    """What a network says about a batch: 2D joints in crop pixels (or None) and depths in units."""

    keypoints_px: Joints2D | None
    depth: Depths


class Residual(nn.Module):
    """Pre-activation bottleneck: 1x1, 3x3, 1x1 convolutions around an identity [31]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = outputs // 2
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, middle, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, outputs, 1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(functional.relu(self.norm1(x), inplace=True))
        y = self.conv2(functional.relu(self.norm2(y), inplace=True))
        y = self.conv3(functional.relu(self.norm3(y), inplace=True))
        return y + self.skip(x)


class Hourglass(nn.Module):
    """Halve the resolution `levels` times and come back, with a skip at every level [31]."""

    def __init__(self, levels: int, features: int) -> None:
        super().__init__()
        self.skip = Residual(features, features)
        self.down = Residual(features, features)
        self.inner = Hourglass(levels - 1, features) if levels > 1 else Residual(features, features)
        self.up = Residual(features, features)

    def forward(self, x: Tensor) -> Tensor:
        low = self.up(self.inner(self.down(functional.max_pool2d(x, 2))))
        return self.skip(x) + functional.interpolate(low, scale_factor=2.0, mode="nearest")


class Stem(nn.Sequential):
    """Image to features at a quarter of its resolution [31]."""

    def __init__(self, features: int) -> None:
        narrow, half = features // 4, features // 2
        super().__init__(
            nn.Conv2d(3, narrow, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(narrow),
            nn.ReLU(inplace=True),
            Residual(narrow, half),
            nn.MaxPool2d(2),
            Residual(half, half),
            Residual(half, features),
        )


def _centred(images: Tensor, levels: int) -> Tensor:
    """Floating-point images around zero, which an hourglass can halve so many times."""
    step = 4 * 2**levels
    if images.ndim != 4 or images.shape[1] != 3 or any(side % step for side in images.shape[2:]):
        raise InputError(
            f"images: expected (B, 3, H, W) with height and width divisible by {step}, found"
            f" {tuple(images.shape)}"
        )
    if not images.is_floating_point():
        images = images.to(torch.get_default_dtype()).div_(255.0).sub_(0.5)
    return images


class _Head(nn.Sequential):
    """What follows a hourglass: a residual unit and a 1x1 convolution with norm and ReLU."""

    def __init__(self, features: int) -> None:
        super().__init__(
            Residual(features, features),
            nn.Conv2d(features, features, 1, bias=False),
            nn.BatchNorm2d(features),
            nn.ReLU(inplace=True),
        )


class _Regressor(nn.Module):
    """One hourglass with a fully connected layer in the end (Section 4.2)."""

    values: int  # of each joint

    def __init__(
        self, joints: int = 17, features: int = 256, levels: int = 4, image_size: int = 256
    ) -> None:
        super().__init__()
        self.joints, self.levels, self.image_size = joints, levels, image_size
        self.stem = Stem(features)
        self.hourglass = Hourglass(levels, features)
        self.head = _Head(features)
        self.maps = nn.Conv2d(features, joints, 1)
        self.linear = nn.Linear(joints * (image_size // 4) ** 2, joints * self.values)
        nn.init.normal_(self.linear.weight, std=1e-3)
        nn.init.zeros_(self.linear.bias)

    def forward(self, images: Shaped[Tensor, "batch 3 height width"]) -> Tensor:
        if tuple(images.shape[-2:]) != (self.image_size, self.image_size):
            raise InputError(
                f"images: expected {self.image_size} x {self.image_size}, which the fully connected"
                f" layer was made for, found {tuple(images.shape[-2:])}"
            )
        features = self.head(self.hourglass(self.stem(_centred(images, self.levels))))
        return self.linear(self.maps(features).flatten(1)).unflatten(1, (self.joints, -1))


class DepthNet(_Regressor):
    """Section 3.1: an image to N depths, trained with Eq. 2 or by direct regression."""

    values = 1

    def forward(self, images: Shaped[Tensor, "batch 3 height width"]) -> Depths:
        """Depths in units of the ranking loss; only their differences mean anything."""
        return super().forward(images).squeeze(-1)

    @staticmethod
    def decode(output: Tensor, mirrored: Tensor, side: int, unit_mm: float) -> Prediction:
        """See `read`."""
        return Prediction(None, (output + mirrored[:, _FLIP]) / 2)


class CoordinateNet(_Regressor):
    """Section 3.2: an image to 3N values, pixel coordinates and depths."""

    values = 3

    def forward(
        self, images: Shaped[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch joints 3"]:
        """x and y as fractions of the crop from its centre, and depth in ranking units."""
        return super().forward(images)

    @staticmethod
    def decode(output: Tensor, mirrored: Tensor | None, side: int, unit_mm: float) -> Prediction:
        """See `read`."""
        if mirrored is not None:
            output = (output + mirrored[:, _FLIP] * mirrored.new_tensor([-1.0, 1.0, 1.0])) / 2
        return Prediction((output[..., :2] + 0.5) * side, output[..., 2])


class VolumeNet(nn.Module):
    """Section 3.3: an image to score maps over the volume, one set for each hourglass.

    Between hourglasses, features and scores are mapped back and added [31]; the loss is applied to
    the scores of every hourglass (intermediate supervision).
    """

    def __init__(
        self,
        stacks: int = 2,
        joints: int = 17,
        features: int = 256,
        levels: int = 4,
        depth_bins: int = 64,
    ) -> None:
        super().__init__()
        if stacks < 1:
            raise InputError(f"stacks: expected 1 or more, found {stacks}")
        self.joints, self.depth_bins, self.levels = joints, depth_bins, levels
        outputs = joints * depth_bins

        def maps(count: int, inputs: int, outputs: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(inputs, outputs, 1) for _ in range(count))

        self.stem = Stem(features)
        self.hourglasses = nn.ModuleList(
            nn.Sequential(Hourglass(levels, features), _Head(features)) for _ in range(stacks)
        )
        self.scores = maps(stacks, features, outputs)
        self.remap_features = maps(stacks - 1, features, features)
        self.remap_scores = maps(stacks - 1, outputs, features)

    def forward(
        self, images: Shaped[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch joints bins rows columns"], ...]:
        """Scores of each hourglass, rows and columns H/4 and W/4; the last one is the result."""
        x = self.stem(_centred(images, self.levels))
        volumes = []
        for i, (hourglass, to_scores) in enumerate(zip(self.hourglasses, self.scores, strict=True)):
            features = hourglass(x)
            scores = to_scores(features)
            volumes.append(scores.unflatten(1, (self.joints, self.depth_bins)))
            if i < len(self.remap_scores):
                x = x + self.remap_features[i](features) + self.remap_scores[i](scores)
        return tuple(volumes)

    @staticmethod
    def decode(
        output: tuple[Tensor, ...], mirrored: tuple[Tensor, ...] | None, side: int, unit_mm: float
    ) -> Prediction:
        """See `read`; marginal heatmaps are averaged before a position is read from them.

        So a left and a right that the two passes confuse do not meet in the middle.
        """
        p_xy, p_z = marginals(output[-1])
        if mirrored is not None:
            mirrored_xy, mirrored_z = marginals(mirrored[-1])
            p_xy = (p_xy + mirrored_xy[:, _FLIP].flip(-1)) / 2
            p_z = (p_z + mirrored_z[:, _FLIP]) / 2
        depth_mm = expected_depth(p_z, bin_centres_mm(p_z.shape[-1]).to(p_z))
        return Prediction(decode_xy(p_xy) * (side / p_xy.shape[-1]), depth_mm / unit_mm)


NETWORKS = {"depth": DepthNet, "coordinate": CoordinateNet, "volume": VolumeNet}
"""By the kind that a row of a table names."""


def build(kind: str, stacks: int, scale: Any, seed: int) -> nn.Module:
    """A new network of `NETWORKS` of a scale's size, with weights that depend on the seed alone."""
    if kind not in NETWORKS:
        raise InputError(f"network: expected one of {', '.join(NETWORKS)}, found {kind!r}")
    sizes: dict[str, int] = {"features": scale.features, "levels": scale.levels}
    if kind == "volume":
        sizes |= {"stacks": stacks, "depth_bins": scale.depth_bins}
    else:
        sizes["image_size"] = scale.image_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[kind](**sizes)


def read(network: Any, images: Tensor, unit_mm: float) -> Prediction:
    """Run one of `NETWORKS` and read its output, averaged with that of the mirrored images.

    A volume's depths are divided by `unit_mm`; those of other networks have a unit.
    """
    return network.decode(network(images), network(images.flip(-1)), images.shape[-1], unit_mm)


def parameter_count(network: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


_NOTHING = 1e-12  # extents below this count as none


def reconstruction_input(
    keypoints: Joints2D, depth: Depths, root: int = 0
) -> Float[Tensor, "batch values"]:
    """What the reconstruction component sees of 2D joints and ordinal depths (Figure 3a).

    Positions relative to the root joint, divided by their largest absolute coordinate, and depths
    relative to the root, divided by their root mean square over the joints of this person: all x
    and y by joint, then all depths. So neither units matter nor where the person stands. Coinciding
    joints and equal depths give zeros.
    """
    points = keypoints - keypoints[:, root, None]
    reach = points.abs().amax((1, 2), keepdim=True).clamp_min(_NOTHING)
    depth = depth - depth[:, root, None]
    spread = depth.square().mean(1, keepdim=True).clamp_min(_NOTHING**2).sqrt()
    return torch.cat([(points / reach).flatten(1), depth / spread], 1)


def _layer(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """Linear layer with batch norm, ReLU and dropout [25]."""
    norm, relu = nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)
    return nn.Sequential(nn.Linear(inputs, outputs), norm, relu, nn.Dropout(dropout))


class ReconstructionNet(nn.Module):
    """Section 3.4: 2D joints and ordinal depths to a coherent 3D pose.

    A multilayer perceptron with bilinear units (two layers around an identity) as in Martinez et
    al. [25], without their limit on the norm of weights. Trained on skeletons alone, see
    `ordlib.reconstruction`. The first joint is the root.
    """

    def __init__(
        self, joints: int = 17, width: int = 1024, units: int = 2, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.joints = joints
        self.first = _layer(3 * joints, width, dropout)
        self.units = nn.ModuleList(
            nn.Sequential(*(_layer(width, width, dropout) for _ in range(2))) for _ in range(units)
        )
        self.last = nn.Linear(width, 3 * joints)

    def forward(self, keypoints: Joints2D, depth: Depths) -> Float[Tensor, "batch joints 3"]:
        """The root-relative pose in metres, camera frame; see `reconstruction_input`."""
        require_shape("depth", depth, self.joints)
        x = self.first(reconstruction_input(keypoints, depth))
        for unit in self.units:
            x = x + unit(x)
        pose = self.last(x).unflatten(1, (self.joints, 3))
        return pose - pose[:, :1]


def reconstruct(network: ReconstructionNet, keypoints: Joints2D, depth: Depths) -> Joints3D:
    """The root-relative pose in mm, averaged with that of the mirrored input; in any unit."""
    sign = keypoints.new_tensor([-1.0, 1.0, 1.0])
    mirrored = network(keypoints[:, _FLIP] * sign[:2], depth[:, _FLIP])
    return 500 * (network(keypoints, depth) + mirrored[:, _FLIP] * sign)


class PoseEstimator(nn.Module):
    """A ConvNet with the reconstruction component behind it: images to root-relative 3D joints, mm.

    In evaluation mode both parts see the image and its mirror image, and the results are averaged.
    In training mode one pass is differentiated from the pose to the pixels.
    """

    def __init__(
        self, network: nn.Module, reconstruction: ReconstructionNet, image_size: int = 256
    ) -> None:
        super().__init__()
        if not isinstance(network, (CoordinateNet, VolumeNet)):
            raise InputError(
                "network: expected a CoordinateNet or VolumeNet, which give 2D joints, found"
                f" {type(network).__name__}"
            )
        self.network, self.reconstruction = network, reconstruction
        self.image_size = image_size

    def forward(self, images: Shaped[Tensor, "batch 3 height width"]) -> Joints3D:
        """Root-relative joints in the camera frame, mm."""
        if self.training:
            network: Any = self.network
            prediction = network.decode(network(images), None, images.shape[-1], 1.0)
            return 1000 * self.reconstruction(prediction.keypoints_px, prediction.depth)
        prediction = read(self.network, images, 1.0)
        assert prediction.keypoints_px is not None
        return reconstruct(self.reconstruction, prediction.keypoints_px, prediction.depth)
