"""Photographs in training and test: what pictures of one's own add to the stand-ins.

The network of Table 2 learns from rendered images and from photographs, which make half of the
weak images of each batch on average. It is tested on other photographs, by PCK, beside the same
network without them. Photographs with ordinal answers are learned from as in the full method, those
with 2D joints alone as in the row before it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ordlib import experiments, predict
from ordlib.batches import batch_at
from ordlib.data import assumed_intrinsics, crop, open_picture
from ordlib.datasets.album import TORSO, Beside, Crops
from ordlib.errors import require_same_shape
from ordlib.experiments import Run, Setting, evaluation, supervision
from ordlib.experiments.intervals import resampled
from ordlib.experiments.rows import Row, get_row
from ordlib.experiments.runs import warm
from ordlib.files import digest, kept, replacing
from ordlib.networks import build, read
from ordlib.plots import prediction_figure, save_figure
from ordlib.relations import ordinal_accuracy
from ordlib.scales import Scale
from ordlib.skeleton import H36M17, mean_limb_lengths
from ordlib.training import fit, load_weights, single_thread

_SIDES = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
GROUPS: Mapping[str, tuple[int, ...]] = {
    "head": (H36M17.index("head_top"), H36M17.index("thorax")),
    **{joint: (H36M17.index(f"left_{joint}"), H36M17.index(f"right_{joint}")) for joint in _SIDES},
    "all joints": tuple(range(len(H36M17))),
}
"""Joints that are counted together, as is usual for LSP; its neck is the thorax."""

FORMAT = 1
"""Raised when what is made of photographs changes, so that older runs are not reused."""

_PARTS = ("", " right", " annotated")
"""What follows a measure in the names of its numbers; nothing where it is a mean itself."""

ALONE, TOGETHER, GAIN = "stand-ins", "stand-ins and photographs", "gain"
"""What a network was trained on, and what the photographs change."""


def pck(
    pred_px: Float[Tensor, "batch joints 2"],
    target_px: Float[Tensor, "batch joints 2"],
    visible: Bool[Tensor, "batch joints"],
    threshold: float = 0.2,
) -> Float[Tensor, "batch joints"]:
    """Which joints are right: no farther from the truth than a share of the torso.

    The torso is the distance from left shoulder to right hip. A joint exactly at the threshold is
    right. Both are those of the usual evaluation of LSP.

    Args:
        pred_px, target_px: joints of H36M17, pixels.
        visible: joints whose position is annotated.
        threshold: share of the torso.

    Returns:
        1 for a joint that is right, 0 for one that is not; nan where it is not annotated, and for
        all joints of an image without both ends of the torso.

    Raises:
        InputError: shapes that differ.
    """
    require_same_shape("target_px", target_px, "pred_px", pred_px)
    shoulder, hip = TORSO
    torso = (target_px[:, shoulder] - target_px[:, hip]).norm(dim=-1, keepdim=True)
    counted = visible & visible[:, TORSO].all(-1, keepdim=True)
    right = (pred_px - target_px).norm(dim=-1) <= threshold * torso
    return right.to(torch.float32).where(counted, torch.nan)


def summary(learned: Crops, tested: Crops) -> str:
    """What there is to learn from and to test on, in words."""
    answered, without = learned.answered, len(tested) - tested.measurable
    labels = f"2D joints, and ordinal answers for {answered:,}" if answered else "2D joints alone"
    lacking = f", {without:,} of them without both ends of the torso" if without else ""
    return (
        f"photographs: {len(learned):,} to learn from, with {labels};"
        f" {len(tested):,} to test on{lacking}"
    )


def row_for(photographs: Crops) -> Row:
    """The row of Table 2 that learns what is known of the photographs."""
    return get_row("table2/ordinal" if photographs.answered else "table2/keypoints")


@dataclass(frozen=True)
class Trained:
    """A network that has learned from photographs too.

    Attributes:
        row, scale: of the network.
        folder: has its `weights.safetensors`.
    """

    row: Row
    scale: Scale
    folder: Path

    def network(self) -> nn.Module:
        """The network, in evaluation mode on the CPU."""
        network = build(self.row.network, self.row.stacks, self.scale, 0)
        return load_weights(self.folder, network)


def train(photographs: Crops, setting: Setting) -> Trained:
    """Train on the stand-ins and on photographs, or read the weights if that is done.

    The folder `outputs/<scale>/runs/photographs-...` holds configuration, log and weights, and no
    image. A training that was stopped goes on from its checkpoint.

    Args:
        photographs: to learn from.

    Raises:
        InputError: a damaged file of an earlier run.
    """
    run = Run(row_for(photographs), setting)
    config = run.configuration | {"photographs": photographs.content, "mixture": FORMAT}
    name = f"photographs-{run.row.id.rpartition('/')[2]}-seed{setting.seed}-{digest(config)}"
    trained = Trained(run.row, run.scale, run.folder.with_name(name))
    with kept(trained.folder) as missing, single_thread(setting.device):
        if missing:
            with replacing(trained.folder / "config.json") as temporary:
                temporary.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
            _fit(trained.folder, photographs, run)
    return trained


def _fit(folder: Path, photographs: Crops, run: Run) -> None:
    """Train and write the weights."""
    row, scale, setting = run.row, run.scale, run.setting
    studio = setting.load(row.home, row.train_split)
    weak = Beside(setting.load("wild", "train"), photographs)
    batches = partial(batch_at, studio, weak, scale.batch_size // 2, setting.seed, setting.device)
    loss = supervision.loss(row, scale, studio.limb_lengths_mm)
    fit(warm(run), batches, loss, run.budget, folder, setting.device, "photographs")


def measure(network: nn.Module, test: Crops, device: str = "cpu") -> dict[str, np.ndarray]:
    """For each name in `GROUPS` the numbers of right and of annotated joints, by test photograph.

    Returns:
        (samples,) arrays `GROUP right` and `GROUP annotated`, and with ordinal answers `ordinal
        accuracy` as a fraction, nan where there is none.
    """
    prediction, labels = evaluation.predict(network.to(device), test, 1.0, device), test.labels
    assert prediction.keypoints_px is not None and labels.relations is not None
    right = pck(prediction.keypoints_px, labels.keypoints_px, labels.visible).double().numpy()
    found = {}
    for group, joints in GROUPS.items():
        found[f"{group} right"] = np.nansum(right[:, joints], axis=1)
        found[f"{group} annotated"] = np.isfinite(right[:, joints]).sum(1).astype(float)
    if test.answered:
        accuracy = ordinal_accuracy(prediction.depth, labels.relations, labels.annotated)
        found["ordinal accuracy"] = accuracy.double().numpy()
    return found


def compare(train_set: Crops, test: Crops, setting: Setting) -> pd.DataFrame:
    """Train with photographs and without, and test both on other photographs.

    Returns:
        Columns `trained_on` (see `ALONE`), `measure` (PCK at 0.2 of the torso by joint group,
        pooled over joints as is usual for LSP, or ordinal accuracy), `percent`, `ci_low` and
        `ci_high` (95% bootstrap over test photographs and seeds), numbers of training photographs,
        of test photographs and of their joints that count, `seeds`, `scale` and `row`.

    Raises:
        InputError: see `train`.
    """
    row, settings = row_for(train_set), setting.seeds()
    experiments.train([row.id], settings)
    alone = [experiments.run(row.id, one).network() for one in settings]
    together = [train(train_set, one).network() for one in settings]
    values: dict[tuple[str, str], np.ndarray] = {}
    for name, networks in ((ALONE, alone), (TOGETHER, together)):
        every = [measure(network, test, setting.device) for network in networks]
        values |= {(name, key): np.stack([found[key] for found in every]) for key in every[0]}
    return _table(values, len(train_set), test.measurable, setting.scale, row.id)


def _table(
    values: Mapping[tuple[str, str], np.ndarray], learned: int, tested: int, scale: str, row: str
) -> pd.DataFrame:
    measures = {f"PCK {group}": group for group in GROUPS}
    if (ALONE, "ordinal accuracy") in values:
        measures["ordinal accuracy"] = "ordinal accuracy"
    records = []
    for trained_on, count in ((ALONE, 0), (TOGETHER, learned), (GAIN, learned)):
        for name, key in measures.items():
            with np.errstate(invalid="ignore"):  # a draw without such a joint
                needed = {k: v for k, v in values.items() if k[1].removeprefix(key) in _PARTS}
                interval = resampled(needed)(partial(_percent, trained_on, key))
            known = values.get((ALONE, f"{key} annotated"))
            joints = int(known[0].sum()) if known is not None else np.nan
            seeds = len(values[ALONE, "all joints right"])
            records.append((trained_on, name, *interval, count, tested, joints, seeds, scale, row))
    columns = ["trained_on", "measure", "percent", "ci_low", "ci_high", "training_photographs"]
    columns += ["test_photographs", "joints", "seeds", "scale", "row"]
    return pd.DataFrame(records, columns=columns).astype({"joints": "Int64"})


def _percent(trained_on: str, key: str, means: Mapping[tuple[str, str], Any]) -> Any:
    """A measure from the means over photographs: joints pooled, or a mean itself."""
    if trained_on == GAIN:
        return _percent(TOGETHER, key, means) - _percent(ALONE, key, means)
    if (trained_on, key) in means:
        return 100 * means[trained_on, key]
    right, annotated = (means[trained_on, f"{key} {what}"] for what in ("right", "annotated"))
    return 100 * np.divide(right, annotated)


def text(table: pd.DataFrame) -> str:
    """The percentages of `compare` side by side with the interval of the gain, in lines."""
    names = table["measure"].unique()
    wide = table.pivot(index="measure", columns="trained_on", values="percent")
    shown = wide.loc[names, [ALONE, TOGETHER, GAIN]].rename_axis(None).rename_axis(columns=None)
    gains = table[table["trained_on"] == GAIN].set_index("measure")
    shown["from"], shown["to"] = gains["ci_low"], gains["ci_high"]
    return shown.to_string(float_format="{:.1f}".format)


@torch.no_grad()
def draw(trained: Trained, images: Sequence[Path], out: Path) -> list[Path]:
    """Predict the person in each image, shown whole; write figures `NAME.png` into `out`.

    Raises:
        InputError: a file that is no image, or a folder that cannot be written or where a figure
            would take the place of an image.
    """
    names = predict.result_names(images, out)
    network, size, written = trained.network(), trained.scale.image_size, []
    for name, path in zip(names, images, strict=True):
        image = open_picture(path)
        pixels, box = crop(image, None, size)
        prediction = read(network, pixels[None], 1.0)
        assert prediction.keypoints_px is not None
        depth = prediction.depth - prediction.depth[:, H36M17.root, None]
        camera = assumed_intrinsics(image.size, box, size)
        joints = evaluation.lift(prediction.keypoints_px, depth, camera, mean_limb_lengths())
        large, _ = crop(image, None, 512)
        points = prediction.keypoints_px[0] * (512 / size)
        figure = prediction_figure(
            large, points, joints[0], predict.TRAINED_MM, trained.folder.name
        )
        save_figure(figure, out / f"{name}.png")
        plt.close(figure)
        written.append(out / f"{name}.png")
    return written
