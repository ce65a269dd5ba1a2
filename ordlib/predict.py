"""Poses of people in image files, by the full method from the weights that are kept, or by a row.

`outputs/<scale>/weights` holds two safetensors files: the ConvNet of `table2/ordinal` and the
reconstruction component. Kernels and matrices are in half precision, biases and batch norms in
single precision. Their metadata say what they are and all sizes, so nothing else is read.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ordlib.data import Box, Picture, assumed_intrinsics, crop, open_picture
from ordlib.errors import InputError
from ordlib.experiments import Run, Setting, get_row, run
from ordlib.experiments.components import component
from ordlib.experiments.evaluation import lift
from ordlib.files import outputs_folder, outputs_root, replacing
from ordlib.networks import ReconstructionNet, VolumeNet, read, reconstruct
from ordlib.plots import prediction_figure, save_figure
from ordlib.scales import SCALES, get_scale
from ordlib.skeleton import H36M17, mean_limb_lengths

ROW = "table2/ordinal"
"""The row of the full method's ConvNet; with the component it is `Ours` in Tables 2, 4 and 5."""

CONVNET, COMPONENT = "convnet.safetensors", "reconstruction.safetensors"
SHIPPED = Path(__file__).parents[1] / "outputs"
Network = TypeVar("Network", bound=nn.Module)
_OWNER = ("row", "scale", "seed", "run")

CAUTION = (
    "The network was trained on rendered people only: on photographs expect poor 2D joints and"
    " worse depths. "
)
TRAINED_MM = "Millimetres assume a body of mean limb lengths and a lens like Human3.6M's."
KEPT_MM = "Millimetres are those of the skeletons that the reconstruction component learned from."


@dataclass(frozen=True)
class Trained:
    """A trained network, and what makes millimetres of its 2D joints and depths."""

    network: nn.Module  # from images to 2D joints and depths
    image_size: int  # side of its images, pixels
    source: dict[str, Any]  # row, scale, seed, whether the component follows, where weights lie
    caution: str  # what its numbers are not
    component: ReconstructionNet | None = None  # without it, the mean limb lengths decide
    unit_mm: float = 1.0  # of the depths of a volume, see `supervision.read`
    scale_mm: float = 1.0  # of a unit of depth, where there is no component

    @property
    def title(self) -> str:
        """What it is and where its weights lie, in two lines."""
        weights = Path(self.source["weights"])
        root = next((r for r in (outputs_root(), SHIPPED) if weights.is_relative_to(r)), Path("/"))
        rec = " with the reconstruction component" if self.source["reconstruction"] else ""
        text = "{row}{}, scale {scale}, seed {seed}\nweights: {}"
        return text.format(rec, weights.relative_to(root), **self.source)


def predict_files(
    images: Sequence[Path],
    box: Box | None,
    row: str | None,
    scale: str | None,
    seed: int | None,
    device: str,
    out: Path,
) -> list[Path]:
    """Predict the person in each image; see `draw`.

    Args:
        images, box, out: see `draw`.
        row: id in `experiments.ROWS` of a network that predicts 2D joints, trained first if it is
            not trained yet; None for the full method from its weights, see `kept`.
        scale: of the network; None for `quick`, or for the largest scale with weights.
        seed: of the network; None for 0, or for that of the weights.
        device: where it runs.

    Raises:
        InputError: as `draw`; an unsuitable row, no weights, those of another seed.
    """
    result_names(images, out)  # what is wrong is said before a network is trained
    if row is None:
        trained = kept(scale, seed)
    elif get_row(row).network == "depth":
        raise InputError(f"row: expected a network that predicts 2D joints, found {row!r}")
    else:
        trained = of_run(run(row, Setting(scale or "quick", seed or 0, device=device)))
    trained.network.to(device)
    return draw(trained, images, out, box)


def draw(trained: Trained, images: Sequence[Path], out: Path, box: Box | None = None) -> list[Path]:
    """Predict the person in each image, one at a time; write `NAME.png` and `NAME.json` into `out`.

    Args:
        trained: what predicts.
        images: image files.
        out: folder of the results.
        box: the square around the person; None for the whole image.

    Returns:
        The JSON files.

    Raises:
        InputError: a file that is no image, a box outside it, or see `result_names`.
    """
    written = []
    for name, path in zip(result_names(images, out), images, strict=True):
        picture = open_picture(path)
        points, joints, shown = pose(trained, picture, box)
        large, _ = crop(picture, shown, 512)
        seen = (points - torch.tensor(shown[:2]) + shown[2] / 2) * (512 / shown[2])
        figure = prediction_figure(large, seen, joints, trained.caution, trained.title)
        save_figure(figure, out / f"{name}.png")
        plt.close(figure)
        record: dict[str, Any] = {"image": str(path.resolve()), "network": trained.source}
        record |= {"caution": trained.caution, "joint_names": list(H36M17.joints)}
        record["box"] = dict(zip(("x", "y", "side"), shown, strict=True))
        for key, values in (("keypoints_px", points), ("joints_mm", joints)):
            record[key] = [[round(number, 2) for number in joint] for joint in values.tolist()]
        with replacing(out / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")
        written.append(out / f"{name}.json")
    return written


@torch.no_grad()
def pose(
    trained: Trained, picture: Picture | Image.Image | str | Path, box: Box | None = None
) -> tuple[Tensor, Tensor, Box]:
    """The person in a picture: from a file to millimetres.

    Args:
        trained: such as `kept()`.
        picture: an RGB image, or a file.
        box: centre x, centre y and side of the square around the person, pixels; None for the
            whole image.

    Returns:
        2D joints (17, 2) in pixels of the picture; root-relative joints (17, 3) in mm, camera
        frame; the box that the network saw.

    Raises:
        InputError: a file that is no image, or a box outside the image.
    """
    if isinstance(picture, (str, Path)):
        picture = open_picture(picture)
    pixels, box = crop(picture, box, trained.image_size)
    device = next(trained.network.parameters()).device
    prediction = read(trained.network, pixels[None].to(device), trained.unit_mm)
    assert prediction.keypoints_px is not None
    points, depth = prediction.keypoints_px.cpu(), prediction.depth.cpu()
    intrinsics = assumed_intrinsics(picture.size, box, trained.image_size)
    depth = depth - depth[:, H36M17.root, None]
    if trained.component:
        joints = reconstruct(trained.component, points, depth)
    else:
        joints = lift(points, depth * trained.scale_mm, intrinsics, mean_limb_lengths())
    corner = torch.tensor(box[:2]) - box[2] / 2
    return points[0] * (box[2] / trained.image_size) + corner, joints[0], box


def result_names(images: Sequence[Path], out: Path) -> list[str]:
    """What the results of each image are called: its stem, with a number where others have it.

    Raises:
        InputError: a file that is no image; the figure of an image would take the place of one of
            the images.
    """
    stems = [path.stem for path in images]
    names: list[str] = []
    for path in images:
        open_picture(path)
        alone = [path.stem] if stems.count(path.stem) == 1 else []
        tries = (f"{path.stem}-{number}" for number in itertools.count(1))
        free = (name for name in tries if name not in names and name not in stems)
        names.append(
            next(n for n in itertools.chain(alone, free) if _is_of(out / f"{n}.json", path))
        )
    figures = {(out / f"{name}.png").resolve() for name in names}
    for path in images:
        if path.resolve() in figures:
            raise InputError(
                f"{out}: expected a folder for figures, found {path}, which one of them would"
                " replace; choose another folder"
            )
    return names


def _is_of(record: Path, image: Path) -> bool:
    """Whether a result may be written here: there is none, or that of the same image."""
    try:
        return json.loads(record.read_text())["image"] == str(image.resolve())
    except FileNotFoundError:
        return True
    except (OSError, ValueError, LookupError, TypeError):
        return False


def of_run(run: Run) -> Trained:
    """The network of a row, with the mean limb lengths behind it."""
    source = {"row": run.row.id, "scale": run.setting.scale, "seed": run.setting.seed}
    source |= {"reconstruction": False, "weights": str(run.folder / "weights.safetensors")}
    return Trained(
        run.network(),
        run.scale.image_size,
        source,
        CAUTION + TRAINED_MM,
        unit_mm=run.scale.ranking_unit_mm,
        scale_mm=run.metrics[run.row.home]["scale_mm"],
    )


def kept(scale: str | None = None, seed: int | None = None, data: str | None = None) -> Trained:
    """The full method from its weights, in evaluation mode on the CPU; nothing is trained.

    The weights are those of `outputs_root()`, or else those that came with the package.

    Args:
        scale: name of a scale; None for the largest one that has weights, `smoke` left out.
        seed: what the weights must be of.
        data: folder of data that they were learned from.

    Raises:
        InputError: unknown scale, no weights, those of another seed, or files that are damaged or
            not of one run.
    """
    names = [get_scale(scale).name] if scale else [n for n in reversed(SCALES) if n != "smoke"]
    folders = [(folder, name) for name in names for folder in _folders(name, data)]
    present = [item for item in folders if (item[0] / CONVNET).exists()]
    if not present and scale is None:
        raise InputError(
            f"{outputs_root()}: expected SCALE/weights of {', '.join(names)}, found none;"
            " `make reproduce ONLY=15` writes them"
        )
    folder, name = (present or folders)[0]
    owner, network, sizes = _filled(folder / CONVNET, name, VolumeNet)
    other, component, _ = _filled(folder / COMPONENT, name, ReconstructionNet)
    if owner != other:
        raise _unusable(folder / COMPONENT, name, ValueError(f"those of {other} beside {owner}"))
    if seed not in (None, owner["seed"]):
        raise InputError(
            f"seed: expected {owner['seed']}, of the weights in {folder}, found {seed};"
            " a row that is named is trained with any seed"
        )
    source = {key: owner[key] for key in ("row", "scale", "seed")}
    source |= {"reconstruction": True, "weights": str(folder)}
    return Trained(network, sizes["image_size"], source, CAUTION + KEPT_MM, component)


def _folders(scale: str, data: str | None) -> list[Path]:
    """Where weights may lie, the user's own first."""
    own = outputs_folder(scale, data) / "weights"
    return [own] if data else [own, SHIPPED / scale / "weights"]


def _filled(
    path: Path, scale: str, kind: type[Network]
) -> tuple[dict[str, Any], Network, dict[str, Any]]:
    """Whose weights a file holds, the network filled with them, and its sizes."""
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {})["config"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        sizes = config.pop("sizes")
        if set(config) != set(_OWNER) or config["scale"] != scale:
            raise ValueError(f"the entries {config}")
        if kind is VolumeNet and not isinstance(sizes["image_size"], int):
            raise ValueError("no size of images")
        # on no device: nothing is drawn, and wrong sizes take no memory
        with torch.device("meta"):
            shape = {key: size for key, size in sizes.items() if key != "image_size"}
            network = kind(joints=len(H36M17), **shape)
        if set(tensors) != set(network.state_dict()):  # torch lets counters be absent
            raise ValueError("not the tensors of this network")
        if not all(value.isfinite().all() for value in tensors.values()):
            raise ValueError("values that are not finite")
        whole = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        network.load_state_dict(whole, assign=True)
    except (
        SafetensorError,
        LookupError,
        RuntimeError,
        ValueError,
        TypeError,
        AttributeError,
        OSError,
    ) as error:
        raise _unusable(path, scale, error) from error
    return config, network.eval(), sizes


def _unusable(path: Path, scale: str, error: Exception) -> InputError:
    found = str(error).splitlines()[0] if path.exists() else "no file"
    return InputError(
        f"{path}: expected weights of the full method, found {found};"
        f" `make reproduce SCALE={scale} ONLY=15` writes them"
    )


def save(run: Run, component: ReconstructionNet) -> None:
    """Write the weights of a finished run of `ROW`, and of the component of its setting.

    Raises:
        InputError: weights that half precision cannot hold; a folder that cannot be written.
    """
    folder, scale = run.setting.folder / "weights", run.scale
    owner = (ROW, run.setting.scale, run.setting.seed, run.folder.name)
    sizes = {name: getattr(scale, name) for name in ("features", "levels", "depth_bins")}
    sizes |= {"stacks": run.row.stacks, "image_size": scale.image_size}
    first = component.first
    shape = {"width": first[0].out_features, "units": len(component.units), "dropout": first[3].p}
    for name, network, config in (
        (CONVNET, run.network(), sizes),
        (COMPONENT, component, shape),
    ):
        values = {key: value.cpu().contiguous() for key, value in network.state_dict().items()}
        small = {key: v.half() if v.ndim > 1 else v for key, v in values.items()}
        if not all(value.isfinite().all() for value in small.values()):
            raise InputError(
                f"{folder / name}: expected weights that half precision holds, found larger ones"
            )
        text = json.dumps(
            {**dict(zip(_OWNER, owner, strict=True)), "sizes": config}, sort_keys=True
        )
        with replacing(folder / name) as temporary:
            save_file(small, temporary, metadata={"config": text})  # one entry: order is kept


def is_ready(setting: Setting) -> bool:
    """Whether `renew` gives weights of this seed without training the ConvNet.

    Kept weights of real data do not count: they may come from another folder.
    """
    if Run(get_row(ROW), setting).done:
        return True
    folders = [] if setting.data else _folders(setting.scale, None)
    present = any((folder / CONVNET).exists() for folder in folders)
    return present and kept(setting.scale).source["seed"] == setting.seed


def renew(setting: Setting) -> Trained:
    """Write the weights of the finished run, where there is one; the weights that there are.

    Raises:
        InputError: as `kept` and `save`.
    """
    finished = Run(get_row(ROW), setting)
    if finished.done:
        save(finished, component(setting))
    return kept(setting.scale, data=setting.data)
