"""Photographs of one folder with what is known of them, to learn from and to test on."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ordlib.data import PoseBatch, PoseDataset, join, take, tensors
from ordlib.datasets import lsp_mpii_ordinal
from ordlib.datasets.photos import PhotoDataset, Photos
from ordlib.errors import InputError
from ordlib.labelling.folder import pictures
from ordlib.labelling.joints import joints_of
from ordlib.skeleton import H36M17

TEST_SHARE = 0.2
"""Of the photographs, the last ones by name, where no number is said."""

TORSO = H36M17.index("left_shoulder"), H36M17.index("right_hip")
"""Its ends in the usual evaluation of LSP, after Sapp and Taskar (MODEC, CVPR 2013)."""


class Crops(PoseDataset):
    """Crops of photographs in memory, as a PoseDataset; images without any joint are left out.

    Args:
        dataset: any photographs.
        rows: which of them.
        split: what they are for.

    Attributes:
        name, split, skeleton, limb_lengths_mm: see ordlib.data.PoseDataset.
        samples: all of them; pairs that nobody was asked about are not annotated.
    """

    def __init__(self, dataset: PoseDataset, rows: np.ndarray, split: str) -> None:
        kept = rows[dataset.labels.visible[rows].any(-1).numpy()]
        chosen = dataset.take(kept, split).loaded()
        labels = _with_relations(chosen.labels)
        super().__init__(chosen.name, split, labels, chosen.pixels, chosen.limb_lengths_mm)
        self.samples = self.batch(np.arange(len(self)))

    @property
    def answered(self) -> int:
        """Photographs with an ordinal answer."""
        assert self.samples.annotated is not None
        return int(self.samples.annotated.any(-1).any(-1).sum())

    @property
    def measurable(self) -> int:
        """Photographs with both ends of the torso; PCK leaves out the others."""
        return int(self.samples.visible[:, TORSO].all(-1).sum())

    @property
    def content(self) -> str:
        """A digest of pixels and labels."""
        found = hashlib.sha256()
        for name, value in tensors(self.samples).items():
            found.update(f"{name} {tuple(value.shape)}".encode())
            found.update(value.contiguous().numpy().tobytes())
        return found.hexdigest()[:12]


def _with_relations(batch: PoseBatch) -> PoseBatch:
    """The same batch; where it has no relations, with none annotated."""
    if batch.relations is not None:
        return batch
    none = torch.zeros(*batch.visible.shape, batch.visible.shape[1], dtype=torch.int8)
    return replace(batch, relations=none, annotated=none.bool())


class Beside(PoseDataset):
    """Two data sets without 3D truth as one; each has half of the samples, by repetition.

    Args:
        first, second: samples of the one have even, those of the other odd indices.

    Attributes:
        name, split, skeleton, limb_lengths_mm: see ordlib.data.PoseDataset; but for the name,
            those of `first`.
    """

    def __init__(self, first: PoseDataset, second: PoseDataset) -> None:
        self._halves = first, second
        rows = np.arange(max(len(first), len(second)))
        labels = join([half.labels for half in self._halves])
        order = np.stack([rows % len(first), len(first) + rows % len(second)], -1).ravel()
        super().__init__(
            *(f"{first.name} and {second.name}", first.split, take(labels, order)),
            lambda rows: self.batch(rows).images,
            first.limb_lengths_mm,
        )

    def batch(
        self, indices: np.ndarray | Tensor | Sequence[int], device: str | torch.device = "cpu"
    ) -> PoseBatch:
        """The samples at `indices`, those of the first data set first, as tensors on `device`."""
        place, odd = np.divmod(np.asarray(indices, dtype=np.int64), 2)
        chosen = [(half, place[odd == k] % len(half)) for k, half in enumerate(self._halves)]
        return join([half.batch(rows, device) for half, rows in chosen if len(rows)])


def read(root: str | Path, joints: Path | None = None, size: int = 256) -> PhotoDataset:
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
    found = pictures(root)
    labelled = joints_of(found, joints)
    if labelled.file is None:
        raise InputError(
            f"{root}: expected 2D joints (joints.mat or joints.csv) or the export of"
            f" `python -m ordlib annotate {root} --export`, found neither"
        )
    photos = Photos(root.name, found.paths, labelled.keypoints_px, labelled.present)
    return PhotoDataset(root.name, [photos], size)


def split(dataset: PoseDataset, test: int | None = None) -> tuple[Crops, Crops]:
    """The first photographs to train, the last ones to test; all are decoded.

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
    rows = np.arange(count)
    parts = Crops(dataset, rows[:-last], "train"), Crops(dataset, rows[-last:], "test")
    if not len(parts[0]) or not parts[1].measurable:
        raise InputError(
            f"{dataset.name}: expected photographs with joints to train, and with left shoulder and"
            f" right hip to test, found {len(parts[0])} and {parts[1].measurable}"
        )
    return parts
