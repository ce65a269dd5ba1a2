"""Networks of Sections 3.1 to 3.3: shapes, sizes, strides, gradients."""

import inspect
from functools import partial

import pytest
import torch

from ordlib.errors import InputError
from ordlib.networks import CoordinateNet, DepthNet, VolumeNet, parameter_count

SMALL = {"features": 16, "levels": 2}

# Worked out from the architecture: see expected_parameters below.
FULL_SIZE = {
    "depth": (DepthNet, 4_606_050),
    "coordinate": (CoordinateNet, 6_973_572),
    "volume1": (partial(VolumeNet, 1), 3_697_536),
    "volume2": (partial(VolumeNet, 2), 7_387_584),
}


def residual(inputs: int, outputs: int) -> int:
    middle = outputs // 2
    norms = 2 * (inputs + 2 * middle)
    skip = 0 if inputs == outputs else inputs * outputs + outputs
    return norms + inputs * middle + 9 * middle**2 + middle * outputs + outputs + skip


def expected_parameters(name: str) -> int:
    """Parameters of a full-size network, counted by hand from Newell et al."""
    unit = residual(256, 256)
    stem = 7 * 7 * 3 * 64 + 128 + residual(64, 128) + residual(128, 128) + residual(128, 256)
    hourglass = (3 * 4 + 1) * unit
    body = hourglass + unit + 256 * 256 + 512
    if name in ("depth", "coordinate"):
        values = 17 * (1 if name == "depth" else 3)
        return stem + body + 256 * 17 + 17 + 17 * 64 * 64 * values + values
    stacks = int(name[-1])
    outputs = 17 * 64
    scores = 256 * outputs + outputs
    remap = (stacks - 1) * (256 * 256 + 256 + outputs * 256 + 256)
    return stem + stacks * (body + scores) + remap


@pytest.mark.parametrize("name", FULL_SIZE)
def test_parameter_counts_at_full_size(name: str) -> None:
    make, stated = FULL_SIZE[name]
    with torch.device("meta"):
        assert parameter_count(make()) == stated == expected_parameters(name)


@pytest.mark.parametrize("batch", [1, 3])
def test_shapes(batch: int) -> None:
    images = torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8)
    assert DepthNet(image_size=32, **SMALL).eval()(images).shape == (batch, 17)
    assert CoordinateNet(image_size=32, **SMALL).eval()(images).shape == (batch, 17, 3)
    volumes = VolumeNet(2, depth_bins=5, **SMALL).eval()(images)
    assert [tuple(v.shape) for v in volumes] == [(batch, 17, 5, 8, 8)] * 2


def test_volumes_follow_rectangular_images() -> None:
    (scores,) = VolumeNet(1, depth_bins=4, **SMALL).eval()(torch.zeros(2, 3, 32, 48))
    assert scores.shape == (2, 17, 4, 8, 12)


def test_full_size_outputs() -> None:
    with torch.device("meta"):
        volumes = VolumeNet()(torch.zeros(1, 3, 256, 256))
    assert [tuple(v.shape) for v in volumes] == [(1, 17, 64, 64, 64)] * 2


def test_scores_stay_channels_last() -> None:
    network = VolumeNet(2, depth_bins=4, **SMALL).to(memory_format=torch.channels_last)
    for scores in network(torch.zeros(2, 3, 32, 32)):
        assert scores.flatten(1, 2).is_contiguous(memory_format=torch.channels_last)


def test_bytes_and_floats_give_the_same() -> None:
    network = DepthNet(image_size=32, **SMALL).eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(network(images), network(images.float() / 255 - 0.5))


def test_every_parameter_gets_a_gradient() -> None:
    network = VolumeNet(2, depth_bins=4, **SMALL)
    sum(v.square().mean() for v in network(torch.randn(4, 3, 32, 32))).backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_second_hourglass_sees_the_first_ones_scores() -> None:
    network = VolumeNet(2, depth_bins=4, **SMALL).eval()
    images = torch.randn(2, 3, 32, 32)
    before = network(images)
    with torch.no_grad():
        network.scores[0].bias += 1.0
    after = network(images)
    assert not torch.allclose(before[1], after[1])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 40, 40), r"divisible by 16, found \(1, 3, 40, 40\)"),
        (torch.zeros(1, 1, 32, 32), r"expected \(B, 3, H, W\).*found \(1, 1, 32, 32\)"),
        (torch.zeros(3, 32, 32), r"expected \(B, 3, H, W\)"),
    ],
)
def test_images_of_a_wrong_shape(images: torch.Tensor, message: str) -> None:
    # unwrapped, since the shape checks of the tests would speak first
    forward = inspect.unwrap(VolumeNet.forward)
    with pytest.raises(InputError, match=message):
        forward(VolumeNet(1, depth_bins=4, **SMALL), images)


def test_a_regressor_names_the_size_it_was_made_for() -> None:
    with pytest.raises(InputError, match="expected 32 x 32"):
        DepthNet(image_size=32, **SMALL)(torch.zeros(1, 3, 64, 64))
    with pytest.raises(InputError, match="stacks: expected 1 or more, found 0"):
        VolumeNet(0)
