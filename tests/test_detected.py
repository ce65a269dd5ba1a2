"""[25]: lifting from detected 2D joints."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib import metrics, reconstruction, synthetic
from ordlib.errors import InputError
from ordlib.experiments import Run, Setting, components, run
from ordlib.experiments.components import CONFIGS, fit_component, training_skeletons
from ordlib.experiments.evaluation import predict


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

    def refuse(*_args, **_options):
        raise AssertionError("trained again")

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
    people = training_skeletons(3000, 0)
    config = CONFIGS["smoke"]
    config = replace(config, width=64, steps=400, noise=components.WITHHELD)
    network = fit_component(people, config)
    test = training_skeletons(300, 1)
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
