"""Poses of people in image files: a figure and a JSON file for each."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from ordlib import experiments
from ordlib.errors import InputError
from ordlib.evaluation import lift
from ordlib.files import replacing
from ordlib.images import Box, assumed_intrinsics, crop, load_image
from ordlib.objectives import read
from ordlib.plots import prediction_figure, save_figure
from ordlib.skeleton import H36M17
from ordlib.synthetic.people import mean_limb_lengths

CAUTION = (
    "The network was trained on rendered people only: on photographs expect poor 2D joints and"
    " worse depths. Millimetres assume a body of mean limb lengths and a lens like Human3.6M's."
)


def predict_files(
    images: Sequence[Path],
    boxes: Sequence[Box | None],
    row: str,
    scale: str,
    seed: int,
    device: str,
    out: Path,
) -> list[Path]:
    """Predict the person in each image; write `NAME.png` and `NAME.json` into `out`.

    A network that is not trained yet is trained first.

    Args:
        images: image files.
        boxes: for each image the square around the person, or None for the whole image.
        row: id in `experiments.ROWS` of a network that predicts 2D joints.
        scale, seed, device: see `experiments.run`.
        out: folder of the results.

    Returns:
        The JSON files.

    Raises:
        InputError: a file that is no image, a box outside the image, an unsuitable row.
    """
    if experiments.get_row(row).network == "depth":
        raise InputError(f"row: expected a network that predicts 2D joints, found {row!r}")
    opened = [load_image(Path(path)) for path in images]
    run = experiments.run(row, scale, seed, device=device)
    network = run.network().to(device)
    written = []
    for name, path, image, box in zip(_unique_names(images), images, opened, boxes, strict=True):
        pixels, shown = crop(image, box, run.scale.image_size)
        points, joints = _pose(network, run, pixels.to(device), image.size, shown)
        figure = _figure(image, shown, points, joints)
        save_figure(figure, out / f"{name}.png")
        plt.close(figure)
        record = {"image": str(path), "network": {"row": row, "scale": scale, "seed": seed}}
        record |= _record(shown, points, joints)
        with replacing(out / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")
        written.append(out / f"{name}.json")
    return written


@torch.no_grad()
def _pose(
    network: nn.Module,
    run: experiments.Run,
    pixels: UInt8[Tensor, "3 height width"],
    image_size: tuple[int, int],
    box: Box,
) -> tuple[Float[Tensor, "joints 2"], Float[Tensor, "joints 3"]]:
    """2D joints in image pixels and root-relative 3D joints in mm."""
    prediction = read(network, pixels[None], run.scale.ranking_unit_mm)
    assert prediction.keypoints_px is not None
    points, depth = prediction.keypoints_px.cpu(), prediction.depth.cpu()
    depth_mm = (depth - depth[:, H36M17.root, None]) * run.metrics["scale_mm"]
    intrinsics = assumed_intrinsics(image_size, box, run.scale.image_size)
    joints = lift(points, depth_mm, intrinsics, mean_limb_lengths())
    corner = torch.tensor(box[:2]) - box[2] / 2
    return points[0] * (box[2] / run.scale.image_size) + corner, joints[0]


def _figure(image: Image.Image, box: Box, points: Tensor, joints: Tensor) -> Figure:
    """The crop, larger than the network saw it, and the pose."""
    large, _ = crop(image, box, 512)
    corner = torch.tensor(box[:2]) - box[2] / 2
    return prediction_figure(large, (points - corner) * (512 / box[2]), joints, CAUTION)


def _unique_names(images: Sequence[Path]) -> list[str]:
    """Stems of the files; those that several files share get a number."""
    stems = [Path(path).stem for path in images]
    return [
        stem if stems.count(stem) == 1 else f"{stem}-{stems[:i].count(stem) + 1}"
        for i, stem in enumerate(stems)
    ]


def _record(
    box: Box, points: Float[Tensor, "joints 2"], joints: Float[Tensor, "joints 3"]
) -> dict[str, Any]:
    def rounded(values: Tensor) -> list[list[float]]:
        return [[round(number, 2) for number in joint] for joint in values.tolist()]

    return {
        "box": {"x": box[0], "y": box[1], "side": box[2]},
        "caution": CAUTION,
        "joint_names": list(H36M17.joints),
        "keypoints_px": rounded(points),
        "joints_mm": rounded(joints),
    }
