"""Poses of people in image files: a figure and a JSON file for each."""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from ordlib import experiments, pretrained
from ordlib.errors import InputError
from ordlib.experiments.evaluation import lift
from ordlib.experiments.supervision import read
from ordlib.files import outputs_root, replacing
from ordlib.images import Box, assumed_intrinsics, crop, load_image
from ordlib.plots import prediction_figure, save_figure
from ordlib.reconstruction import reconstruct
from ordlib.skeleton import H36M17, mean_limb_lengths

CAUTION = (
    "The network was trained on rendered people only: on photographs expect poor 2D joints and"
    " worse depths. "
)
TRAINED_MM = "Millimetres assume a body of mean limb lengths and a lens like Human3.6M's."
KEPT_MM = "Millimetres are those of the skeletons that the reconstruction component learned from."


@dataclass(frozen=True)
class _Model:
    """What predicts, and what it is.

    Attributes:
        network: from images to 2D joints and depths.
        image_size: side of its images, pixels.
        unit_mm: see `objectives.read`.
        pose: 2D joints in pixels of the crop, depths and intrinsics of the crop to root-relative
            3D joints in mm.
        source: row, scale, seed, whether the reconstruction component follows, and the file or
            folder of the weights.
        caution: what its numbers are not.
    """

    network: nn.Module
    image_size: int
    unit_mm: float
    pose: Callable[[Tensor, Tensor, Tensor], Tensor]
    source: dict[str, Any]
    caution: str

    @property
    def title(self) -> str:
        """What it is and where its weights lie, in two lines."""
        rec = " with the reconstruction component" if self.source["reconstruction"] else ""
        place = Path(self.source["weights"]).relative_to(outputs_root())
        text = "{row}{}, scale {scale}, seed {seed}\nweights: {}"
        return text.format(rec, place, **self.source)


def predict_files(
    images: Sequence[Path],
    boxes: Sequence[Box | None],
    row: str | None,
    scale: str | None,
    seed: int | None,
    device: str,
    out: Path,
) -> list[Path]:
    """Predict the person in each image; write `NAME.png` and `NAME.json` into `out`.

    Args:
        images: image files.
        boxes: for each image the square around the person, or None for the whole image.
        row: id in `experiments.ROWS` of a network that predicts 2D joints, trained first if it is
            not trained yet; None for the full method from the weights that are kept, see
            `pretrained.find`.
        scale: of the network; None for `quick`, or for the largest scale with weights.
        seed: of the network; None for 0, or for that of the weights.
        device: where it runs.
        out: folder of the results.

    Returns:
        The JSON files.

    Raises:
        InputError: a file that is no image, a box outside the image, an unsuitable row, no weights,
            a folder where a result would take the place of an image.
    """
    names = result_names(images, out)
    if row is not None and experiments.get_row(row).network == "depth":
        raise InputError(f"row: expected a network that predicts 2D joints, found {row!r}")
    opened = [load_image(Path(path)) for path in images]
    model = (
        _kept(scale, seed) if row is None else _trained(row, scale or "quick", seed or 0, device)
    )
    model.network.to(device)
    written = []
    for name, path, image, box in zip(names, images, opened, boxes, strict=True):
        pixels, shown = crop(image, box, model.image_size)
        points, joints = _pose(model, pixels.to(device), image.size, shown)
        figure = _figure(image, shown, points, joints, model)
        save_figure(figure, out / f"{name}.png")
        plt.close(figure)
        record = {"image": str(path), "network": model.source, "caution": model.caution}
        record |= _record(shown, points, joints)
        with replacing(out / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")
        written.append(out / f"{name}.json")
    return written


def _trained(row: str, scale: str, seed: int, device: str) -> _Model:
    """A network of the tables, trained now if it is not trained yet."""
    run = experiments.run(row, experiments.Setting(scale, seed, device=device))
    scale_mm, lengths = run.metrics[run.row.home]["scale_mm"], mean_limb_lengths()

    def pose(points: Tensor, depth: Tensor, intrinsics: Tensor) -> Tensor:
        return lift(points, depth * scale_mm, intrinsics, lengths)

    source = {"row": row, "scale": scale, "seed": seed, "reconstruction": False}
    source["weights"] = str(run.folder / "weights.safetensors")
    sizes = run.scale.image_size, run.scale.ranking_unit_mm
    return _Model(run.network(), *sizes, pose, source, CAUTION + TRAINED_MM)


def _kept(scale: str | None, seed: int | None) -> _Model:
    """The full method from its weights; nothing is trained."""
    weights = pretrained.find(scale)
    if seed not in (None, weights.seed):
        raise InputError(
            f"seed: expected {weights.seed}, of the weights in {weights.folder}, found {seed};"
            " a row that is named is trained with any seed"
        )
    estimator = weights.estimator()

    def pose(points: Tensor, depth: Tensor, intrinsics: Tensor) -> Tensor:
        return reconstruct(estimator.reconstruction, points, depth)

    source = {name: getattr(weights, name) for name in ("row", "scale", "seed")}
    source |= {"reconstruction": True, "weights": str(weights.folder)}
    # the component sees no unit
    return _Model(estimator.network, estimator.image_size, 1.0, pose, source, CAUTION + KEPT_MM)


@torch.no_grad()
def _pose(
    model: _Model, pixels: UInt8[Tensor, "3 height width"], image_size: tuple[int, int], box: Box
) -> tuple[Float[Tensor, "joints 2"], Float[Tensor, "joints 3"]]:
    """2D joints in image pixels and root-relative 3D joints in mm."""
    prediction = read(model.network, pixels[None], model.unit_mm)
    assert prediction.keypoints_px is not None
    points, depth = prediction.keypoints_px.cpu(), prediction.depth.cpu()
    intrinsics = assumed_intrinsics(image_size, box, model.image_size)
    joints = model.pose(points, depth - depth[:, H36M17.root, None], intrinsics)
    corner = torch.tensor(box[:2]) - box[2] / 2
    return points[0] * (box[2] / model.image_size) + corner, joints[0]


def _figure(image: Image.Image, box: Box, points: Tensor, joints: Tensor, model: _Model) -> Figure:
    """The crop, larger than the network saw it, and the pose."""
    large, _ = crop(image, box, 512)
    corner = torch.tensor(box[:2]) - box[2] / 2
    points = (points - corner) * (512 / box[2])
    return prediction_figure(large, points, joints, model.caution, model.title)


def result_names(images: Sequence[Path], out: Path) -> list[str]:
    """What the results of each image are called: its stem; those that several share get a number.

    Raises:
        InputError: the figure of an image would take the place of one of the images.
    """
    stems = [Path(path).stem for path in images]
    names: list[str] = []
    for stem in stems:
        tries = (f"{stem}-{number}" for number in itertools.count(1))
        free = (name for name in tries if name not in names and name not in stems)
        names.append(stem if stems.count(stem) == 1 else next(free))
    figures = {(out / f"{name}.png").resolve() for name in names}
    for path in images:
        if Path(path).resolve() in figures:
            raise InputError(
                f"{out}: expected a folder for figures, found {path}, which one of them would"
                " replace; choose another folder"
            )
    return names


def _record(
    box: Box, points: Float[Tensor, "joints 2"], joints: Float[Tensor, "joints 3"]
) -> dict[str, Any]:
    def rounded(values: Tensor) -> list[list[float]]:
        return [[round(number, 2) for number in joint] for joint in values.tolist()]

    return {
        "box": {"x": box[0], "y": box[1], "side": box[2]},
        "joint_names": list(H36M17.joints),
        "keypoints_px": rounded(points),
        "joints_mm": rounded(joints),
    }
