"""Martinez et al. [25]: 3D poses lifted from detected 2D joints, by a network that sees no image.

It has the form of the reconstruction component and differs in what it learns from: the 2D positions
that a ConvNet detects in training images, with the mistakes that it makes there, and no depths.
"""

from dataclasses import asdict, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ordlib.data import PoseDataset
from ordlib.experiments import Run
from ordlib.experiments.components import CONFIGS, fit_component
from ordlib.experiments.evaluation import predict
from ordlib.files import VERSION, digest, kept
from ordlib.networks import ReconstructionNet, reconstruct
from ordlib.reconstruction import CLEAN, Skeletons
from ordlib.training import load_weights, save_weights, single_thread

IMAGES = 10_000
"""At most so many training images are looked at."""

WITHHELD = replace(CLEAN, blank=1.0)
"""No depths, and no noise on the 2D positions: a detector's own mistakes are enough."""


def detections(network: nn.Module, dataset: PoseDataset, device: str = "cpu") -> Skeletons:
    """3D poses with the 2D positions that a network detects in their images.

    Args:
        network: predicts 2D positions; those of the image and of its mirror image are averaged.
        dataset: with 3D truth; `IMAGES` of its images, evenly spread, or all.
    """
    count = min(IMAGES, len(dataset))
    chosen = np.unique(np.linspace(0, len(dataset) - 1, count).round().astype(int))
    keypoints, labels = predict(network, dataset, 1.0, device, chosen).keypoints_px, dataset.labels
    assert keypoints is not None and labels.joints_mm is not None
    return Skeletons(labels.joints_mm[chosen], keypoints, labels.intrinsics[chosen])


def lifter(run: Run) -> ReconstructionNet:
    """The network of [25] with a run's network as detector: read if it is done.

    It learns from the images that the run has 3D truth for, with the budget of the reconstruction
    component of the same scale.

    Args:
        run: of a network that predicts 2D positions.

    Returns:
        The network in evaluation mode, on the CPU.
    """
    setting = run.setting
    config = replace(CONFIGS[setting.scale], noise=WITHHELD)
    key = digest([run.folder.name, asdict(config), IMAGES, VERSION])
    folder = run.folder.with_name(f"lifting-{run.row.home}-seed{setting.seed}-{key}")
    with kept(folder) as missing:
        if missing:
            images = setting.load(run.row.home, run.row.train_split)
            with single_thread(setting.device):
                poses = detections(run.network().to(setting.device), images, setting.device)
            save_weights(folder, fit_component(poses, config, setting.seed, setting.device))
    return load_weights(folder, ReconstructionNet(width=config.width, dropout=config.dropout))


@torch.no_grad()
def lift_detected(
    network: ReconstructionNet, keypoints_px: Float[Tensor, "batch joints 2"]
) -> Float[Tensor, "batch joints 3"]:
    """Root-relative poses in mm from detected 2D positions alone."""
    return reconstruct(network, keypoints_px, torch.zeros_like(keypoints_px[..., 0]))
