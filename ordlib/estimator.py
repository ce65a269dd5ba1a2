"""From an image to a 3D pose in one differentiable module (Figure 3b)."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from PIL import Image
from torch import Generator, Tensor, nn

from ordlib.augment import augment
from ordlib.data import PoseBatch, PoseDataset
from ordlib.errors import InputError
from ordlib.experiments.supervision import read
from ordlib.files import digest
from ordlib.images import Box, crop, load_image
from ordlib.losses import pose_loss
from ordlib.networks import CoordinateNet, ReconstructionNet, VolumeNet
from ordlib.reconstruction import reconstruct
from ordlib.skeleton import H36M17
from ordlib.training import TrainingConfig, single_thread, train
from ordlib.volume import bin_centres_mm, decode_xy, expected_depth, marginals


class PoseEstimator(nn.Module):
    """A ConvNet of Section 3.2 or 3.3 followed by the reconstruction component.

    In evaluation mode the prediction is averaged with that of the mirrored image; in training mode
    each image passes once. The component does not depend on the unit of the depths, so a ConvNet
    trained on relations alone needs no scale here, and no camera.

    Args:
        network: a `CoordinateNet` or `VolumeNet`.
        reconstruction: trained on skeletons, see `reconstruction.fit`.
        image_size: side of the crops that the ConvNet was trained on, pixels.

    Raises:
        InputError: a network that gives no 2D joints.
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

    def forward(
        self, images: Shaped[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch joints 3"]:
        """Root-relative joints in the camera frame, mm."""
        if self.training:
            return 1000 * self.reconstruction(*_read_once(self.network, images))
        prediction = read(self.network, images, unit_mm=1.0)
        assert prediction.keypoints_px is not None
        return reconstruct(self.reconstruction, prediction.keypoints_px, prediction.depth)

    @torch.no_grad()
    def predict(
        self, image: Image.Image | str | Path, box: Box | None = None
    ) -> Float[Tensor, "joints 3"]:
        """Root-relative joints of the person in a photograph, mm, on the CPU.

        Args:
            image: an image, or the path of a file.
            box: centre x, centre y and side of the square around the person, pixels; None for the
                whole image.

        Raises:
            InputError: a file that is no image, or a box outside the image.
        """
        picture = (
            image.convert("RGB") if isinstance(image, Image.Image) else load_image(Path(image))
        )
        pixels, _ = crop(picture, box, self.image_size)
        device = next(self.parameters()).device
        before = self.training
        try:
            return self.eval()(pixels[None].to(device))[0].float().cpu()
        finally:
            self.train(before)


def _read_once(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """2D joints and depths of one pass, each in a unit of its own."""
    output = network(images)
    if isinstance(network, CoordinateNet):
        return output[..., :2], output[..., 2]
    p_xy, p_z = marginals(output[-1])
    return decode_xy(p_xy), expected_depth(p_z, bin_centres_mm(p_z.shape[-1]).to(p_z))


def fine_tune(
    estimator: PoseEstimator,
    dataset: PoseDataset,
    config: TrainingConfig,
    folder: Path,
    *,
    batch_size: int = 8,
    seed: int = 0,
    device: str = "cpu",
) -> PoseEstimator:
    """Train both parts jointly with Eq. 6, in place; needs images with 3D ground truth.

    Args:
        estimator: its parts may be trained already.
        dataset: training images, augmented as everywhere.
        config: budget and optimiser.
        folder: gets a folder for this training, with its log; see `training.train`.
        batch_size: images of a step, drawn at random.
        seed: of order, augmentation and dropout.

    Returns:
        The estimator in evaluation mode.
    """
    batch_at = partial(_batch_at, dataset, batch_size, seed, device)
    begun = [_sha256(value) for value in estimator.state_dict().values()]
    identity = digest([repr(config), seed, batch_size, dataset.name, dataset.split, begun])
    folder = folder / identity
    place = torch.device(device)
    with torch.random.fork_rng([place] if place.type == "cuda" else []), single_thread(device):
        torch.manual_seed(seed)
        train(estimator.to(place), batch_at, _loss, config, folder, device, identity=identity)
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    return estimator.eval()


def _sha256(values: Tensor) -> str:
    return hashlib.sha256(values.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


def _batch_at(
    dataset: PoseDataset, batch_size: int, seed: int, device: str, step: int
) -> PoseBatch:
    draws = Generator().manual_seed(int(digest([seed, "fine-tune", step]), 16))
    chosen = torch.randint(len(dataset), (batch_size,), generator=draws)
    return augment(dataset.batch(chosen, device), draws)


def _loss(output: Any, batch: PoseBatch) -> dict[str, Tensor]:
    if batch.joints_mm is None:
        raise InputError("batch: expected joints_mm for joint fine-tuning, found none")
    target = batch.joints_mm - batch.joints_mm[:, H36M17.root, None]
    return {"pose": pose_loss(output / 1000, target / 1000)}
