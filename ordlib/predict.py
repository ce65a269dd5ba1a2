"""Poses of people in image files: a figure and a JSON file for each."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from torch import Tensor, nn

from ordlib import experiments
from ordlib.errors import InputError
from ordlib.evaluation import lift
from ordlib.files import replacing
from ordlib.objectives import read
from ordlib.plots import prediction_figure, save_figure
from ordlib.skeleton import H36M17
from ordlib.synthetic.people import mean_limb_lengths

Box = tuple[float, float, float]

FOCAL_PER_SIDE = 1.145
"""Assumed focal length over the image's longer side: that of the cameras of Human3.6M."""

_LARGEST_SIDE = 4096

CAUTION = (
    "The network was trained on rendered people only: on photographs expect poor 2D joints and"
    " worse depths. Millimetres assume a body of mean limb lengths and a lens like Human3.6M's."
)


def load_image(path: Path) -> Image.Image:
    """An image file as RGB, turned upright. Raises InputError for a file that is no image."""
    if not path.is_file():
        raise InputError(f"{path}: expected an image file, found {_what(path)}")
    try:
        with warnings.catch_warnings():
            # Pillow warns of images large enough to be an attack; here that is an error
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                return ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning) as error:
        raise InputError(
            f"{path}: expected an image, found a file that is none ({error})"
        ) from error


def _what(path: Path) -> str:
    return "a folder" if path.is_dir() else "nothing"


def crop(image: Image.Image, box: Box | None, size: int) -> tuple[UInt8[Tensor, "3 h w"], Box]:
    """A square of the image, resized; black outside the image.

    Args:
        image: RGB image.
        box: centre x, centre y and side in pixels; None for the smallest square around the image.
        size: side of the result, pixels.

    Returns:
        The crop and the box that it shows, rounded to whole pixels.
    """
    x, y, side = box or (image.width / 2, image.height / 2, max(image.size))
    if not np.isfinite([x, y, side]).all() or side < 1:
        raise InputError(f"box: expected finite X, Y and a SIDE of 1 px or more, found {box}")
    if side > _LARGEST_SIDE:
        # shrunk first: a square as large as that would not fit in memory
        zoom = _LARGEST_SIDE / side
        width, height = (max(1, round(length * zoom)) for length in image.size)
        smaller = image.resize((width, height))
        pixels, (x, y, side) = crop(smaller, (x * zoom, y * zoom, side * zoom), size)
        return pixels, (x / zoom, y / zoom, side / zoom)
    left, top, whole = round(x - side / 2), round(y - side / 2), round(side)
    if left >= image.width or top >= image.height or left + whole <= 0 or top + whole <= 0:
        raise InputError(
            f"box: expected a square that meets the image of {image.size}, found {box}"
        )
    square = image.crop((left, top, left + whole, top + whole))
    resized = square.resize((size, size), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()
    return pixels, (left + whole / 2, top + whole / 2, float(whole))


def assumed_intrinsics(size: tuple[int, int], box: Box, crop_size: int) -> Float[Tensor, "1 3 3"]:
    """Pinhole matrix of a crop, if the camera has the assumed focal length and centre."""
    x, y, side = box
    zoom = crop_size / side
    focal = FOCAL_PER_SIDE * max(size) * zoom
    centre = [
        (size[0] / 2 - x) * zoom + crop_size / 2,
        (size[1] / 2 - y) * zoom + crop_size / 2,
    ]
    return torch.tensor([[[focal, 0.0, centre[0]], [0.0, focal, centre[1]], [0.0, 0.0, 1.0]]])


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
