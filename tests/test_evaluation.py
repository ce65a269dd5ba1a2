"""Objectives and the evaluation protocol: what perfect and known-wrong networks get."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ordlib import synthetic
from ordlib.data import PoseBatch
from ordlib.errors import InputError
from ordlib.experiments.evaluation import evaluate, fit_scale, lift, oracle_scale, predict
from ordlib.experiments.supervision import LOSSES
from ordlib.networks import CoordinateNet, DepthNet, VolumeNet, build, read
from ordlib.scales import get_scale
from ordlib.skeleton import H36M17

SMOKE = get_scale("smoke")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDLIB_OUTPUTS", str(tmp_path_factory.mktemp("outputs")))
        yield tuple(synthetic.load("studio", split, "smoke", 0) for split in ("train", "test"))


class Answers(CoordinateNet):
    """A network that knows the answers to all images that it will be shown."""

    def __init__(self, sets: tuple, unit_mm: float, depth_factor: float = 1.0) -> None:
        nn.Module.__init__(self)
        self.known = {}
        for dataset in sets:
            batch = dataset.batch(np.arange(len(dataset)))
            depth = batch.joints_mm[..., 2]
            depth = (depth - depth[:, :1]) / unit_mm * depth_factor
            fractions = batch.keypoints_px / batch.images.shape[-1] - 0.5
            mirrored = fractions * torch.tensor([-1.0, 1.0])
            flip = list(H36M17.flip)
            for i in range(len(dataset)):
                image = batch.images[i]
                self.known[image.numpy().tobytes()] = (fractions[i], depth[i])
                self.known[image.flip(-1).numpy().tobytes()] = (mirrored[i][flip], depth[i][flip])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = [self.known[image.contiguous().numpy().tobytes()] for image in images]
        return torch.stack([torch.cat((xy, z[:, None]), -1) for xy, z in found])


def test_a_perfect_network_is_left_with_the_floor_of_the_protocol(sets: tuple) -> None:
    network = Answers(sets, SMOKE.ranking_unit_mm)
    result = evaluate(network, *sets, weak=False, scale=SMOKE)
    means = {name: float(values.nanmean()) for name, values in result.per_sample.items()}
    assert means["keypoint_error"] < 1e-3 and means["depth_error"] < 1e-2
    assert means["ordinal_accuracy"] == 1.0
    # only the root's depth is wrong, since test subjects differ from the mean training subject
    assert 1.0 < means["mpjpe"] < 40.0
    assert means["mpjpe"] == pytest.approx(means["mpjpe_given_2d"], abs=0.01)


def test_the_weak_scale_comes_from_limb_lengths(sets: tuple) -> None:
    """Training subjects have mean limb lengths on average, so the right scale is found."""
    network = Answers(sets, SMOKE.ranking_unit_mm, depth_factor=0.4)
    scale_mm = fit_scale(network, sets[0], SMOKE.ranking_unit_mm)
    assert scale_mm == pytest.approx(SMOKE.ranking_unit_mm / 0.4, rel=0.05)


def test_predictions_come_in_the_order_asked_for(sets: tuple) -> None:
    network = Answers(sets, SMOKE.ranking_unit_mm)
    chosen = np.array([7, 3, 41, 12])
    prediction = predict(network, sets[1], SMOKE.ranking_unit_mm, indices=chosen)
    torch.testing.assert_close(prediction.keypoints_px, sets[1].batch(chosen).keypoints_px)
    assert not prediction.depth[:, H36M17.root].any()


def test_lift_recovers_a_body_of_mean_limb_lengths(sets: tuple) -> None:
    batch = sets[1].batch([0, 5, 9])
    joints = batch.joints_mm
    bones = torch.tensor(H36M17.bones)
    lengths = (joints[:, bones[:, 0]] - joints[:, bones[:, 1]]).norm(dim=-1)
    for i in range(3):
        one = slice(i, i + 1)
        depth = joints[one, :, 2] - joints[one, :1, 2]
        lifted = lift(batch.keypoints_px[one], depth, batch.intrinsics[one], lengths[i])
        torch.testing.assert_close(lifted, joints[one] - joints[one, :1], atol=1.0, rtol=1e-3)


def test_oracle_scale_is_least_squares() -> None:
    depth = torch.randn(5, 17)
    noise = torch.randn(5, 17)
    truth = 130 * depth + noise
    expected = np.linalg.lstsq(depth.reshape(-1, 1), truth.reshape(-1), rcond=None)[0][0]
    assert oracle_scale(depth, truth) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(("kind", "stacks"), [("depth", 1), ("coordinate", 1), ("volume", 2)])
@pytest.mark.parametrize("weak", [True, False])
@pytest.mark.parametrize("heatmap", ["l2", "cross_entropy"])
def test_every_objective_is_finite_and_trains_every_weight(
    sets: tuple, kind: str, stacks: int, weak: bool, heatmap: str
) -> None:
    scale = replace(SMOKE, heatmap_loss=heatmap)
    network = build(kind, stacks, scale, seed=0)
    batch = sets[0].batch(np.arange(8))
    terms = LOSSES[kind](network(batch.images), batch, weak, scale)
    assert all(torch.isfinite(term) for term in terms.values())
    torch.stack(tuple(terms.values())).sum().backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


@pytest.mark.parametrize("kind", ["depth", "coordinate", "volume"])
def test_weak_supervision_reads_no_metric_depth(sets: tuple, kind: str) -> None:
    network = build(kind, 1, SMOKE, seed=0)
    batch = sets[0].batch(np.arange(4))
    output = network(batch.images)
    hidden = replace(batch, joints_mm=None)
    with_depth = LOSSES[kind](output, batch, True, SMOKE)
    assert LOSSES[kind](output, hidden, True, SMOKE) == with_depth
    with pytest.raises(InputError, match="expected joints_mm for full supervision"):
        LOSSES[kind](output, hidden, False, SMOKE)
    bare: PoseBatch = replace(hidden, relations=None, annotated=None)
    with pytest.raises(InputError, match="expected relations or joints_mm"):
        LOSSES[kind](output, bare, True, SMOKE)


def test_build_depends_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = build("volume", 1, SMOKE, seed=3)
    torch.manual_seed(2)
    second, other = build("volume", 1, SMOKE, seed=3), build("volume", 1, SMOKE, seed=4)
    weights = [next(net.parameters()) for net in (first, second, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert isinstance(first, VolumeNet) and isinstance(build("depth", 1, SMOKE, 0), DepthNet)
    with pytest.raises(InputError, match="network: expected one of depth, coordinate, volume"):
        build("transformer", 1, SMOKE, 0)


@pytest.mark.parametrize("kind", ["depth", "coordinate", "volume"])
@torch.no_grad()
def test_reading_with_flips_does_not_care_which_side_is_which(sets: tuple, kind: str) -> None:
    """The prediction of a mirrored image is the mirrored prediction."""
    network = build(kind, 1, SMOKE, seed=0).eval()
    images = sets[1].batch(np.arange(6)).images
    there = read(network, images, 125.0)
    back = read(network, images.flip(-1), 125.0)
    flip = list(H36M17.flip)
    torch.testing.assert_close(there.depth, back.depth[:, flip], atol=1e-4, rtol=1e-4)
    if there.keypoints_px is not None and back.keypoints_px is not None:
        mirrored = back.keypoints_px[:, flip] * torch.tensor([-1.0, 1.0])
        mirrored[..., 0] += images.shape[-1]
        torch.testing.assert_close(there.keypoints_px, mirrored, atol=1e-2, rtol=1e-3)
