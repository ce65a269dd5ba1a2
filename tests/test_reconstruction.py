"""Section 3.4: the component's input, data and training, the joined estimator, and lifting [25]."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ordlib import metrics, networks, reconstruction, synthetic
from ordlib.camera import project
from ordlib.datasets import mocap
from ordlib.errors import InputError
from ordlib.experiments import Run, Setting, components, run
from ordlib.experiments.components import CONFIGS, component, fine_tune
from ordlib.experiments.evaluation import predict
from ordlib.networks import (
    CoordinateNet,
    DepthNet,
    PoseEstimator,
    ReconstructionNet,
    VolumeNet,
    read,
)
from ordlib.reconstruction import CLEAN, NoiseModel, Skeletons
from ordlib.relations import ordinal_accuracy, relations_from_depth
from ordlib.skeleton import H36M17
from ordlib.training import Budget

SMOKE = CONFIGS["smoke"]
MIRROR = torch.tensor([-1.0, 1.0, 1.0])


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def skeletons() -> Skeletons:
    return components.training_skeletons(2000, 0)


@pytest.fixture(scope="module")
def trained(skeletons: Skeletons) -> ReconstructionNet:
    config = replace(SMOKE, width=128, steps=800, noise=CLEAN)
    return components.fit_component(skeletons, config)


# The input


def test_input_by_hand() -> None:
    points = torch.tensor([[[10.0, 20.0], [14.0, 18.0], [9.0, 12.0]]])
    depth = torch.tensor([[5.0, 8.0, 1.0]])
    found = networks.reconstruction_input(points, depth)[0]
    spread = ((0**2 + 3**2 + 4**2) / 3) ** 0.5
    expected = [0, 0, 4 / 8, -2 / 8, -1 / 8, -8 / 8, 0, 3 / spread, -4 / spread]
    torch.testing.assert_close(found, torch.tensor(expected))


@given(
    scale=st.floats(1e-3, 1e3),
    unit=st.floats(1e-3, 1e3),
    shift=st.floats(-100, 100),
    seed=st.integers(0, 99),
)
def test_input_has_no_unit_and_no_place(scale, unit, shift, seed) -> None:
    points = torch.randn(3, 17, 2, generator=draws(seed), dtype=torch.float64)
    depth = torch.randn(3, 17, generator=draws(seed + 1), dtype=torch.float64)
    one = networks.reconstruction_input(points, depth)
    other = networks.reconstruction_input(points * scale + shift, depth * unit + shift)
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    assert one[:, :34].abs().amax(1).allclose(torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e6])
def test_input_of_flat_tiny_and_huge_poses_is_finite_with_finite_gradients(size) -> None:
    points = (size * torch.randn(2, 17, 2, generator=draws())).requires_grad_()
    depth = (size * torch.randn(2, 17, generator=draws(1))).requires_grad_()
    values = networks.reconstruction_input(points, depth)
    values.sum().backward()
    assert values.isfinite().all()
    assert points.grad.isfinite().all() and depth.grad.isfinite().all()


def test_size_of_the_network_is_that_of_the_paper() -> None:
    network = ReconstructionNet()
    hidden = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
    sizes = [(m.in_features, m.out_features) for m in hidden]
    assert sizes == [(51, 1024), *[(1024, 1024)] * 4, (1024, 51)]
    paper = CONFIGS["paper"]
    assert (paper.optimizer, paper.learning_rate) == ("rmsprop", 2.5e-4)
    assert (paper.batch_size, paper.steps, paper.width) == (64, 200_000, 1024)


# Skeletons


def test_skeletons_are_projected_and_in_front(skeletons: Skeletons) -> None:
    assert len(skeletons) == 2000
    assert (skeletons.joints_mm[..., 2] > 1000).all()
    seen = project(skeletons.joints_mm, skeletons.intrinsics)
    torch.testing.assert_close(seen, skeletons.keypoints_px)


def test_people_are_those_of_the_split() -> None:
    domain = synthetic.domains.DOMAINS["studio"]
    place = [domain.people.index(name) for name in ("S1", "S5", "S6", "S7")]
    allowed, held_out = domain.limb_lengths_mm[place], domain.limb_lengths_mm[[4]]
    for split, lengths in (("fit", allowed), ("val", held_out)):
        joints = components.training_skeletons(60, 3, split=split).joints_mm
        parents, children = (list(ends) for ends in zip(*H36M17.bones, strict=True))
        bones = (joints[:, children] - joints[:, parents]).norm(dim=-1)
        off = (bones[:, None] - lengths).abs().amax(-1).amin(1)
        assert (off < 0.5).all()


@pytest.mark.parametrize(
    ("domain", "split"),
    [("studio", "test"), ("shift", "test"), ("duo", "validation"), ("nowhere", "train")],
)
def test_nothing_is_learned_from_what_is_tested(domain, split, outputs) -> None:
    with pytest.raises(InputError, match="expected one of"):
        components.training_skeletons(4, 0, domain=domain, split=split)
    if domain in ("shift", "nowhere"):
        with pytest.raises(InputError, match=r"split: expected one of none|domain: expected one"):
            component(SETTING, domain)


@pytest.mark.parametrize("domain", ["studio", "duo", "wild"])
def test_every_training_domain_gives_poses(domain) -> None:
    one, same, other = (
        components.training_skeletons(20, seed, domain=domain).joints_mm for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.allclose(one, other)


def test_motion_capture_is_a_source(shared_data: Path) -> None:
    found = components.training_skeletons(50, 0, motion=mocap.load(shared_data / "mocap" / "cmu"))
    assert found.joints_mm.isfinite().all() and (found.joints_mm[..., 2] > 0).all()


def test_poses_keep_their_shape_before_random_cameras() -> None:
    poses = torch.randn(5, 17, 3, generator=draws(4)) * 300
    made = components.skeletons_from_poses(poses, draws())
    before, after = (torch.cdist(p, p) for p in (poses, made.joints_mm))
    torch.testing.assert_close(before, after, rtol=1e-3, atol=0.5)


# Noise


def _kept(noise: NoiseModel, skeletons: Skeletons) -> float:
    depth = reconstruction.noisy_depth(skeletons.relative_mm, noise, draws(7))
    relations = relations_from_depth(skeletons.joints_mm[..., 2])
    return ordinal_accuracy(depth, relations).nanmean().item()


def test_majority_of_relations_is_kept_but_not_the_values(skeletons: Skeletons) -> None:
    assert _kept(CLEAN, skeletons) == 1
    kept = _kept(NoiseModel(), skeletons)
    assert 0.6 < kept < 0.9
    assert _kept(replace(CLEAN, power=(0.3, 0.3)), skeletons) == 1
    parts = ({"turn_deg": 60.0}, {"step_mm": 150.0}, {"flip": 0.4}, {"gain": 1.0})
    assert all(_kept(replace(CLEAN, **part), skeletons) < 0.99 for part in parts)


def test_clean_depths_are_the_true_ones_up_to_scale(skeletons: Skeletons) -> None:
    depth = reconstruction.noisy_depth(skeletons.relative_mm, CLEAN, draws())
    torch.testing.assert_close(depth * 300, skeletons.relative_mm[..., 2], rtol=1e-4, atol=1e-2)


def test_withheld_depths_are_zero(skeletons: Skeletons) -> None:
    noise = replace(NoiseModel(), blank=1.0)
    assert not reconstruction.noisy_depth(skeletons.relative_mm, noise, draws()).any()
    noise = replace(NoiseModel(), blank=0.3)
    depth = reconstruction.noisy_depth(skeletons.relative_mm, noise, draws())
    share = (depth == 0).all(1).float().mean().item()
    assert 0.2 < share < 0.4


def test_noise_in_the_image_has_the_size_that_was_asked_for(skeletons: Skeletons) -> None:
    points = skeletons.keypoints_px
    noisy = reconstruction.noisy_keypoints(points, NoiseModel(keypoint=0.1), draws())
    reach = (points - points[:, :1]).abs().amax((1, 2), keepdim=True)
    assert ((noisy - points) / reach).std().item() == pytest.approx(0.1, rel=0.03)


# Training


def test_training_beats_the_mean_pose_and_depth_helps(trained, skeletons) -> None:
    held_out = components.training_skeletons(300, 5, split="val")
    truth, points = held_out.relative_mm, held_out.keypoints_px
    mean = skeletons.relative_mm.mean(0).expand_as(truth)
    without = (truth - mean).norm(dim=-1).mean().item()
    clean = reconstruction.errors(trained, points, truth[..., 2], truth)["mpjpe"].mean().item()
    wrong = reconstruction.errors(trained, points, -truth[..., 2], truth)["mpjpe"].mean().item()
    assert clean < 0.6 * without
    assert clean < 0.7 * wrong


def test_training_depends_on_its_arguments_alone(skeletons: Skeletons) -> None:
    torch.manual_seed(1)
    one = components.fit_component(skeletons, SMOKE, seed=3).state_dict()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    two = components.fit_component(skeletons, SMOKE, seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[key], two[key]) for key in one)
    other = components.fit_component(skeletons, SMOKE, seed=4).state_dict()
    assert not torch.equal(one["last.weight"], other["last.weight"])


def test_result_does_not_depend_on_units_and_is_mirrored_with_its_input(trained, skeletons) -> None:
    points, depth = skeletons.keypoints_px[:8], skeletons.relative_mm[:8, :, 2]
    pose = reconstruction.reconstruct(trained, points, depth)
    scaled = reconstruction.reconstruct(trained, points / 7 + 3, depth / 250 - 1)
    torch.testing.assert_close(pose, scaled, rtol=1e-3, atol=0.1)
    flip = list(H36M17.flip)
    mirrored = points[:, flip] * MIRROR[:2] + torch.tensor([64.0, 0.0])
    other = reconstruction.reconstruct(trained, mirrored, depth[:, flip])
    torch.testing.assert_close(other, pose[:, flip] * MIRROR, rtol=1e-3, atol=0.1)
    assert not pose[:, 0].any()


SETTING = Setting("smoke", 3, device="cpu")


def refuse(*_args, **_options) -> None:
    raise AssertionError("trained again")


def test_component_is_trained_once_and_is_that_of_fit(outputs, monkeypatch) -> None:
    found = component(SETTING)
    expected = components.fit_component(components.training_skeletons(SMOKE.skeletons, 3), SMOKE, 3)
    (folder,) = (outputs / "smoke" / "runs").glob("reconstruction-studio-seed3-*")
    assert [path.name for path in folder.iterdir()] == ["weights.safetensors"]

    monkeypatch.setattr(components, "fit_component", refuse)
    again = component(SETTING)
    assert not again.training
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)
        assert torch.equal(again.state_dict()[name], value)
    for other in ((replace(SETTING, seed=4),), (SETTING, "wild")):
        with pytest.raises(AssertionError, match="trained again"):
            component(*other)
    monkeypatch.setattr(components, "CONFIGS", {"smoke": replace(SMOKE, steps=SMOKE.steps + 1)})
    with pytest.raises(AssertionError, match="trained again"):
        component(SETTING)


def test_component_with_motion_capture_is_kept_apart(outputs, shared_data: Path) -> None:
    captured = replace(SETTING, data=str(shared_data / "mocap" / "cmu"))
    one, other = component(captured), component(SETTING)
    assert not torch.equal(one.last.weight, other.last.weight)
    assert list((outputs / "smoke-data" / "runs").glob("reconstruction-*"))


def test_damaged_component_is_reported(outputs) -> None:
    component(SETTING)
    (path,) = (outputs / "smoke" / "runs").glob("reconstruction-*/weights.safetensors")
    path.write_bytes(b"not weights")
    with pytest.raises(InputError, match=r"weights\.safetensors: expected the weights of a Recon"):
        component(SETTING)


# The estimator


def _network(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    if kind == "coordinate":
        network = CoordinateNet(features=16, levels=2, image_size=32)
        torch.nn.init.normal_(network.linear.weight, std=0.02)
        return network.eval()
    return VolumeNet(1, features=16, levels=2, depth_bins=8).eval()


@pytest.fixture(params=["coordinate", "volume"])
def estimator(request, trained: ReconstructionNet) -> PoseEstimator:
    return PoseEstimator(_network(request.param), trained, image_size=32).eval()


def test_estimator_is_the_two_parts_one_after_the_other(estimator: PoseEstimator) -> None:
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=draws())
    prediction = read(estimator.network, images, 250.0)
    expected = reconstruction.reconstruct(
        estimator.reconstruction, prediction.keypoints_px, prediction.depth
    )
    torch.testing.assert_close(estimator(images), expected, rtol=1e-3, atol=0.5)


def test_mirrored_images_give_mirrored_poses(estimator: PoseEstimator) -> None:
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=draws())
    pose, other = estimator(images), estimator(images.flip(-1))
    torch.testing.assert_close(other, pose[:, list(H36M17.flip)] * MIRROR, rtol=1e-3, atol=0.5)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_reach_the_first_layer(estimator: PoseEstimator, training: bool) -> None:
    estimator.train(training)
    images = torch.randn(2, 3, 32, 32, generator=draws())
    estimator(images).square().mean().backward()
    first = next(estimator.network.parameters())
    assert first.grad.isfinite().all() and first.grad.abs().sum() > 0
    estimator.zero_grad()


def test_networks_without_2d_joints_are_refused(trained: ReconstructionNet) -> None:
    with pytest.raises(InputError, match="2D joints, found DepthNet"):
        PoseEstimator(DepthNet(features=16, levels=2, image_size=32), trained)


def test_joint_fine_tuning_changes_both_parts_and_is_repeatable(skeletons) -> None:
    images = synthetic.load("studio", "train", "smoke", 0)
    weights = []
    for _ in range(2):
        component = components.fit_component(skeletons, SMOKE)
        joined = PoseEstimator(_network("volume"), component, 32)
        before = {k: v.clone() for k, v in joined.state_dict().items()}
        fine_tune(joined, images, Budget(3, optimizer="adam", learning_rate=1e-3))
        after = joined.state_dict()
        for name in ("network.stem.0.weight", "reconstruction.last.weight"):
            assert not torch.equal(before[name], after[name])
        weights.append(after)
        assert not joined.training
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_fine_tuning_needs_3d_truth(trained: ReconstructionNet) -> None:
    images = synthetic.load("wild", "train", "smoke", 0)
    joined = PoseEstimator(_network("volume"), trained, 32)
    with pytest.raises(InputError, match="joints_mm"):
        fine_tune(joined, images, Budget(1))


# [25]: lifting from detected 2D joints


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDLIB_OUTPUTS", str(tmp_path_factory.mktemp("outputs")))
        yield run("table6/ordinal", Setting(scale="smoke", device="cpu"))


def test_detections_are_the_networks_own_on_training_images(detector: Run) -> None:
    images = synthetic.load("duo", "train", "smoke", 0)
    found = components.detections(detector.network(), images)
    batch = images.batch(np.arange(len(images)))
    assert torch.equal(found.joints_mm, batch.joints_mm)
    assert torch.equal(found.intrinsics, batch.intrinsics)
    direct = predict(detector.network(), images, 1.0)
    assert torch.equal(found.keypoints_px, direct.keypoints_px)
    assert not torch.allclose(found.keypoints_px, batch.keypoints_px, atol=0.1)


def test_no_more_images_than_allowed_are_looked_at(detector: Run, monkeypatch) -> None:
    monkeypatch.setattr(components, "IMAGES", 7)
    images = synthetic.load("duo", "train", "smoke", 0)
    found = components.detections(detector.network(), images)
    ends = images.batch([0, len(images) - 1]).joints_mm
    assert len(found) == 7
    assert torch.equal(found.joints_mm[[0, -1]], ends)


def test_the_lifter_is_trained_once_and_read_again(detector: Run, monkeypatch) -> None:
    first = components.lifter(detector)
    (path,) = detector.folder.parent.glob("lifting-duo-seed0-*/weights.safetensors")
    written = path.stat().st_mtime_ns

    monkeypatch.setattr(components, "fit_component", refuse)
    again = components.lifter(detector)
    assert path.stat().st_mtime_ns == written and not again.training
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    )
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"weights\.safetensors: expected the weights of a Recon"):
        components.lifter(detector)
    path.unlink()


def test_the_lifter_knows_no_depths_and_takes_errors_away() -> None:
    """With 2D positions as they are, lifting must beat the mean pose by far."""
    people = components.training_skeletons(3000, 0)
    config = replace(SMOKE, width=64, steps=400, noise=components.WITHHELD)
    network = components.fit_component(people, config)
    test = components.training_skeletons(300, 1)
    lifted = components.lift_detected(network, test.keypoints_px)
    error = metrics.mpjpe(lifted, test.relative_mm).mean()
    mean_pose = people.relative_mm.mean(0).expand_as(test.relative_mm)
    assert error < 0.6 * metrics.mpjpe(mean_pose, test.relative_mm).mean()
    draws = torch.Generator().manual_seed(0)
    noisy = reconstruction.noisy_depth(test.joints_mm, components.WITHHELD, draws)
    assert not noisy.any()
    assert torch.equal(
        reconstruction.noisy_keypoints(test.keypoints_px, components.WITHHELD, draws),
        test.keypoints_px,
    )
