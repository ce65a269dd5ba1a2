"""All annotators' answers of a folder as one data set, and as one plain file."""

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import krippendorff
import torch
from jaxtyping import Bool, Int8
from scipy.io import savemat
from torch import Tensor

from ordlib.annotation.consensus import consensus_ranks
from ordlib.annotation.knowledge import relations_from_ranks
from ordlib.arrays import ZERO_BASED
from ordlib.errors import InputError
from ordlib.files import locked, replacing
from ordlib.labelling.folder import jpeg, pictures
from ordlib.labelling.joints import JOINTS, Points, Present, joints_of, write_joints
from ordlib.labelling.labels import Labels
from ordlib.labelling.store import Event, Store
from ordlib.skeleton import LSP14

Relations = Int8[Tensor, "*annotators images 14 14"]  # +1 where joint i is closer than joint j
Known = Bool[Tensor, "*annotators images 14 14"]


@dataclass(frozen=True)
class Agreement:
    """Agreement about the relations that at least two annotators know.

    Relations of one image follow from each other, so these are counts of relations and not of
    independent answers.
    """

    relations: int  # that at least two know
    alike: float  # share of these on which all who know them agree
    alpha: float  # Krippendorff's, nominal: 1 for full agreement, 0 for chance; nan if undefined


def agreement(relations: Relations, known: Known) -> Agreement:
    """Compare annotators; each pair of joints counts once."""
    pairs = known & torch.ones(JOINTS, JOINTS, dtype=torch.bool).triu(1)
    shared = pairs.sum(0) >= 2
    values = relations.double().masked_fill(~pairs, torch.nan)[:, shared]
    low, high = values.nan_to_num(nan=2).amin(0), values.nan_to_num(nan=-2).amax(0)
    alpha = float("nan")
    if len(values[~values.isnan()].unique()) > 1:
        alpha = float(krippendorff.alpha(values.numpy(), level_of_measurement="nominal"))
    return Agreement(values.shape[1], float((low == high).double().mean()), alpha)


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    images: int  # with at least one relation
    answers: int  # that were not undone
    agreement: Agreement | None  # between annotators; None if there is one
    left_out: list[str]  # what could not be used, in words, a line each

    def text(self) -> str:
        """What was written and how far annotators agree, in words."""
        lines = [
            f"exported {self.answers} answers about {self.images} images to {self.folder}",
            "  lsp_dataset_original  joints.mat, ordinal.mat and images, as the authors have them;"
            " ordlib.datasets.lsp_mpii_ordinal reads it",
            "  joints.csv            the 2D joints",
            "  annotations.json      every question, answer, annotator and time",
            *self.left_out,
        ]
        if self.agreement and self.agreement.relations:
            lines.append(
                f"agreement: {self.agreement.relations} relations known to two or more, all alike"
                f" in {self.agreement.alike:.1%}, Krippendorff's alpha {self.agreement.alpha:.3f}"
            )
        return "\n".join(lines)


def export_folder(folder: str | Path, joints: Path | None = None) -> Exported:
    """Write the answers of all annotators of a folder to `annotations/export` below it.

    Where annotators contradict each other, the relations are those of the weak ordering that
    disagrees with as few of them as possible. Answers may be added meanwhile.

    Raises:
        InputError: no answers yet, a damaged file of them, other joints than those that were
            answered about, a folder that cannot be written.
    """
    shown = pictures(folder)
    given = joints_of(shown, joints)
    store = Store(shown.folder, shown.bytes)
    try:
        events, given = store.events(), given.with_clicks(store.clicked())
    finally:
        store.close()
    everyone: dict[str, Labels] = defaultdict(lambda: Labels(given))
    for event in events:
        everyone[event.annotator].apply(event)
    for labels in everyone.values():
        labels.require_same_joints()
    answers = sum(len(x.answers(row)) for x in everyone.values() for row in range(len(given.names)))
    if not answers:
        raise InputError(f"{store.path}: expected answers to export, found none")
    directions = [labels.directions() for labels in everyone.values()]
    relations, known = map(torch.stack, zip(*directions, strict=True))
    together, settled = combine(relations, known)
    target = store.path.parent / "export"
    export(target, shown.paths, given.keypoints_px, given.present, together, settled)
    write_joints(target / "joints.csv", given.names, given.keypoints_px, given.present)
    said = known.flatten(1).any(1)
    compared = agreement(relations[said], known[said]) if said.sum() > 1 else None
    _write_plain(target / "annotations.json", given.names, everyone, events, compared)
    left_out = shown.left_out + shown.gone(e.image for x in everyone.values() for e in x.active)
    images = int(settled.flatten(1).any(1).sum())
    return Exported(target, images, answers, compared, left_out)


def combine(relations: Relations, known: Known) -> tuple[Tensor, Tensor]:
    """Relations of several annotators as those of one weak ordering for each image, and the pairs
    that at least one annotator knows."""
    settled = known.any(0)
    ranks = consensus_ranks(relations, known, settled.any(-1))
    return relations_from_ranks(ranks) * settled.to(torch.int8), settled


def export(
    folder: Path,
    images: Sequence[Path],
    keypoints_px: Points,
    present: Present,
    relations: Relations,
    known: Known,
) -> None:
    """Write annotated images in the authors' layout (Section 4.1), which the loader reads.

    `folder/lsp_dataset_original` appears complete, with

    - `images/im0001.jpg` and so on, upright (see `labelling.folder.jpeg`);
    - `joints.mat`: `joints` (3, 14, images), x and y counted from 0; the third value is 0 for a
      joint with a position; a joint without one has NaN for x and y, and 1;
    - `ordinal.mat`: `ord` (images, 14, 14), -1 where the row's joint is closer: the sign is
      opposite to that of `relations`. NaN where not known, and on the diagonal;
    - `names.csv`: the names that the images had.

    An earlier export there is replaced, other data are not.

    Raises:
        InputError: a file that is no image, a folder that holds other data or cannot be written.
    """
    target = folder / "lsp_dataset_original"
    if target.exists() and not (target / "names.csv").is_file():
        raise InputError(f"{target}: expected nothing or an earlier export, found other data")
    if any(target.resolve() in image.resolve().parents for image in images):
        raise InputError(f"{target}: expected images outside the export, found one in it")
    points = keypoints_px.where(present[..., None], torch.nan) - ZERO_BASED
    joints = torch.cat([points, ~present[..., None]], -1).permute(2, 1, 0)
    known = known & ~torch.eye(JOINTS, dtype=torch.bool)
    ordinal = (-relations).double().where(known, torch.nan)
    with locked(folder), replacing(target) as temporary:
        (temporary / "images").mkdir(parents=True)
        for key, name, array in (("joints", "joints", joints), ("ord", "ordinal", ordinal)):
            content = {key: array.double().numpy()}
            savemat(str(temporary / f"{name}.mat"), content, do_compression=True)
        with (temporary / "names.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("image", "original"))
            for number, image in enumerate(images, start=1):
                name = f"im{number:04d}.jpg"
                (temporary / "images" / name).write_bytes(jpeg(image))
                rows.writerow((name, image.name))


def _write_plain(
    path: Path,
    names: Sequence[str],
    everyone: Mapping[str, Labels],
    events: Sequence[Event],
    compared: Agreement | None,
) -> None:
    """Every event of every annotator, those that were undone marked so."""
    kept = {event.n for labels in everyone.values() for event in labels.active}
    content = {
        "joints": list(LSP14.joints),
        "images": list(names),
        "annotators": list(everyone),
        "answers_say": "closer: the first joint is closer to the camera than the second",
        "agreement": compared and {k: v if v == v else None for k, v in vars(compared).items()},
        "events": [
            {key: value for key, value in vars(event).items() if value is not None}
            | {"undone": event.kind != "undo" and event.n not in kept}
            for event in events
        ],
    }
    with replacing(path) as temporary:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
