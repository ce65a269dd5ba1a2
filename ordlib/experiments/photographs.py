"""Photographs in training and test: what pictures of one's own add to the stand-ins.

The network of Table 2 learns from rendered images and from photographs, which make half of the
weak images of each batch on average. It is tested on other photographs, by PCK, beside the same
network without them. Photographs with ordinal answers are learned from as in the full method, those
with 2D joints alone as in the row before it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ordlib import experiments, predict
from ordlib.batches import batch_at
from ordlib.data import PoseDataset, join, take, tensors
from ordlib.datasets import lsp_mpii_ordinal
from ordlib.datasets.photos import PhotoDataset, Photos
from ordlib.errors import InputError
from ordlib.experiments import Run, Setting, evaluation, supervision
from ordlib.experiments.intervals import resampled
from ordlib.experiments.rows import Row, get_row
from ordlib.experiments.runs import warm
from ordlib.files import digest, kept, replacing
from ordlib.labelling.folder import pictures
from ordlib.labelling.joints import joints_of
from ordlib.networks import build
from ordlib.relations import ordinal_accuracy
from ordlib.shapes import Images, Joints2D, Mask, require_same_shape
from ordlib.skeleton import H36M17
from ordlib.training import fit, load_weights, single_thread

TEST_SHARE = 0.2
"""Of the photographs, the last ones by name, where no number is said."""

TORSO = H36M17.index("left_shoulder"), H36M17.index("right_hip")
"""Its ends in the usual evaluation of LSP, after Sapp and Taskar (MODEC, CVPR 2013)."""

_SIDES = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
GROUPS: Mapping[str, tuple[int, ...]] = {
    "head": (H36M17.index("head_top"), H36M17.index("thorax")),
    **{joint: (H36M17.index(f"left_{joint}"), H36M17.index(f"right_{joint}")) for joint in _SIDES},
    "all joints": tuple(range(len(H36M17))),
}
"""Joints that are counted together, as is usual for LSP; its neck is the thorax."""

FORMAT = 2
"""Raised when what is made of photographs changes, so that older runs are not reused."""

_PARTS = ("", " right", " annotated")
"""What follows a measure in the names of its numbers; nothing where it is a mean itself."""

ALONE, TOGETHER, GAIN = "stand-ins", "stand-ins and photographs", "gain"
"""What a network was trained on, and what the photographs change."""


def read(root: str | Path, joints: Path | None = None, size: int = 256) -> PoseDataset:
    """The photographs of a folder with their labels; pixels are read when they are asked for.

    Args:
        root: a folder that was annotated and exported, see `labelling.exporting`; LSP + MPII
            Ordinal; or photographs with 2D joints alone, such as LSP Extended.
        joints: file of 2D joints, which are then all that is used; else, where there are no ordinal
            answers, `joints.mat` or `joints.csv` of the folder.
        size: side of the crops, pixels.

    Raises:
        InputError: no photographs, neither answers nor joints, or files that cannot be used.
    """
    root = Path(root).expanduser().resolve()
    places = (root / "annotations" / "export", root)
    patterns = ("ordinal.mat", "[!.]*/ordinal.mat")
    answers = [p for p in places if any(next(p.glob(pattern), None) for pattern in patterns)]
    if answers and joints is None:
        return lsp_mpii_ordinal.load(answers[0], size=size)
    shown = pictures(root)
    labels = joints_of(shown, joints)
    if labels.file is None:
        raise InputError(
            f"{root}: expected 2D joints (joints.mat or joints.csv) or the export of"
            f" `python -m ordlib annotate {root} --export`, found neither"
        )
    photos = Photos(root.name, shown.paths, labels.keypoints_px, labels.present)
    return PhotoDataset(root.name, [photos], size)


def split(dataset: PoseDataset, test: int | None = None) -> tuple[PoseDataset, PoseDataset]:
    """The first photographs to train, the last ones to test, in memory; those without any joint
    are left out.

    Args:
        dataset: any photographs.
        test: how many are for the test; `TEST_SHARE` of them if None.

    Raises:
        InputError: none would be left for training or for the test, or no test photograph has both
            ends of the torso.
    """
    count = len(dataset)
    last = max(1, round(TEST_SHARE * count)) if test is None else test
    if not 0 < last < count:
        raise InputError(
            f"test: expected 1 to {count - 1} of {count} photographs, so that some are left to"
            f" learn from, found {last}"
        )
    learned, tested = (
        _crops(dataset, rows, name)
        for rows, name in (
            (np.arange(count - last), "train"),
            (np.arange(count - last, count), "test"),
        )
    )
    if not len(learned) or not measurable(tested):
        raise InputError(
            f"{dataset.name}: expected photographs with joints to train, and with left shoulder and"
            f" right hip to test, found {len(learned)} and {measurable(tested)}"
        )
    return learned, tested


def _crops(dataset: PoseDataset, rows: np.ndarray, split: str) -> PoseDataset:
    """Those with joints, in memory; pairs that nobody was asked about are not annotated."""
    kept_rows = rows[dataset.labels.visible[rows].any(-1).numpy()]
    crops = dataset.take(kept_rows, split).loaded()
    if crops.labels.relations is None:
        joints = crops.labels.visible.shape[1]
        none = torch.zeros(len(crops), joints, joints, dtype=torch.int8)
        crops.labels = replace(crops.labels, relations=none, annotated=none.bool())
    return crops


def answered(photographs: PoseDataset) -> int:
    """Photographs with an ordinal answer."""
    annotated = photographs.labels.annotated
    return 0 if annotated is None else int(annotated.any(-1).any(-1).sum())


def measurable(photographs: PoseDataset) -> int:
    """Photographs with both ends of the torso; PCK leaves out the others."""
    return int(photographs.labels.visible[:, TORSO].all(-1).sum())


def beside(first: PoseDataset, second: PoseDataset) -> PoseDataset:
    """Two data sets without 3D truth as one; each has half of the samples, by repetition: those of
    `first` have even, those of `second` odd indices."""
    rows = np.arange(max(len(first), len(second)))
    order = np.stack([rows % len(first), len(first) + rows % len(second)], -1).ravel()

    def pixels(rows: np.ndarray) -> Images:
        chosen = order[rows]
        of_first = chosen < len(first)
        images = [first.pixels(chosen[of_first]), second.pixels(chosen[~of_first] - len(first))]
        places = np.concatenate([of_first.nonzero()[0], (~of_first).nonzero()[0]])
        return torch.cat(images)[torch.from_numpy(places.argsort())]

    name, labels = f"{first.name} and {second.name}", join([first.labels, second.labels])
    return PoseDataset(name, first.split, take(labels, order), pixels, first.limb_lengths_mm)


def pck(pred_px: Joints2D, target_px: Joints2D, visible: Mask, threshold: float = 0.2) -> Tensor:
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


def summary(learned: PoseDataset, tested: PoseDataset) -> str:
    """What there is to learn from and to test on, in words."""
    count, without = answered(learned), len(tested) - measurable(tested)
    labels = f"2D joints, and ordinal answers for {count:,}" if count else "2D joints alone"
    lacking = f", {without:,} of them without both ends of the torso" if without else ""
    return (
        f"photographs: {len(learned):,} to learn from, with {labels};"
        f" {len(tested):,} to test on{lacking}"
    )


def row_for(photographs: PoseDataset) -> Row:
    """The row of Table 2 that learns what is known of the photographs."""
    return get_row("table2/ordinal" if answered(photographs) else "table2/keypoints")


def train(photographs: PoseDataset, setting: Setting) -> predict.Trained:
    """Train on the stand-ins and on photographs, or read the weights if that is done.

    The folder `outputs/<scale>/runs/photographs-...` holds configuration, log and weights, and no
    image. A training that was stopped goes on from its checkpoint.

    Raises:
        InputError: a damaged file of an earlier run.
    """
    run = Run(row_for(photographs), setting)
    row, scale = run.row, run.scale
    config = run.configuration | {"photographs": _content(photographs), "mixture": FORMAT}
    name = f"photographs-{row.id.rpartition('/')[2]}-seed{setting.seed}-{digest(config)}"
    folder = run.folder.with_name(name)
    with kept(folder) as missing, single_thread(setting.device):
        if missing:
            with replacing(folder / "config.json") as temporary:
                temporary.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
            studio = setting.load(row.home, row.train_split)
            weak = beside(setting.load("wild", "train"), photographs)
            half = scale.batch_size // 2
            batches = partial(batch_at, studio, weak, half, setting.seed, setting.device)
            loss = supervision.loss(row, scale, studio.limb_lengths_mm)
            fit(warm(run), batches, loss, run.budget, folder, setting.device, "photographs")
    network = load_weights(folder, build(row.network, row.stacks, scale, 0))
    source = {"row": row.id, "scale": scale.name, "seed": setting.seed, "reconstruction": False}
    source["weights"] = str(folder / "weights.safetensors")
    return predict.Trained(network, scale.image_size, source, predict.TRAINED_MM)


def _content(photographs: PoseDataset) -> str:
    """A digest of pixels and labels."""
    content = hashlib.sha256()
    for name, value in tensors(photographs.batch(np.arange(len(photographs)))).items():
        content.update(f"{name} {tuple(value.shape)}".encode())
        content.update(value.contiguous().numpy().tobytes())
    return content.hexdigest()[:12]


def measure(network: nn.Module, test: PoseDataset, device: str = "cpu") -> dict[str, np.ndarray]:
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
    if answered(test):
        accuracy = ordinal_accuracy(prediction.depth, labels.relations, labels.annotated)
        found["ordinal accuracy"] = accuracy.double().numpy()
    return found


def compare(train_set: PoseDataset, test: PoseDataset, setting: Setting) -> pd.DataFrame:
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
    together = [train(train_set, one).network for one in settings]
    values: dict[tuple[str, str], np.ndarray] = {}
    for name, networks in ((ALONE, alone), (TOGETHER, together)):
        every = [measure(network, test, setting.device) for network in networks]
        values |= {(name, key): np.stack([found[key] for found in every]) for key in every[0]}
    return _table(values, len(train_set), measurable(test), setting.scale, row.id)


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
