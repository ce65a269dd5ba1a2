"""All annotators' answers of a folder as one data set, and as one plain file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int8
from torch import Tensor

from ordlib.annotation.consensus import consensus_ranks
from ordlib.annotation.knowledge import relations_from_ranks
from ordlib.errors import InputError
from ordlib.files import replacing
from ordlib.labelling.agreement import Agreement, agreement
from ordlib.labelling.files import export, image_files, read_joints, write_joints
from ordlib.labelling.journal import Event, active, read_journals
from ordlib.labelling.labels import Labels
from ordlib.labelling.session import find_joints, labels_of
from ordlib.skeleton import LSP14


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: the authors' layout in `lsp_dataset_original`, `joints.json`, `annotations.json`.
        images, answers: images with at least one relation, and answers that were not undone.
        agreement: between annotators; None if there is one.
    """

    folder: Path
    images: int
    answers: int
    agreement: Agreement | None

    def text(self) -> str:
        """What was written and how far annotators agree, in words."""
        lines = [
            f"exported {self.answers} answers about {self.images} images to {self.folder}",
            "  lsp_dataset_original  joints.mat, ordinal.mat and images, as the authors have them;"
            " ordlib.datasets.lsp_mpii_ordinal reads it",
            "  joints.json           the 2D joints",
            "  annotations.json      every question, answer, annotator and time",
        ]
        return "\n".join([*lines, *([self.agreement.text()] if self.agreement else [])])


def export_folder(folder: Path, joints_file: Path | None = None) -> Exported:
    """Write the answers of all annotators of a folder to `annotations/export` below it.

    Where annotators contradict each other, the relations are those of the weak ordering that
    disagrees with as few of them as possible. Answers may be added meanwhile.

    Args:
        folder: the folder that was annotated.
        joints_file: file of 2D joints; see `ordlib.labelling.session.find_joints`.

    Raises:
        InputError: no answers yet, a damaged journal, a folder that cannot be written.
    """
    images = image_files(folder)
    file = find_joints(folder, joints_file)
    joints = read_joints(file, images) if file else None
    journals = read_journals(folder, images)
    everyone = []
    for events in journals.values():
        # kinematic stands for any: only what follows from the answers is asked for
        labels = labels_of(images, joints, "kinematic", journals)
        for event in events:
            labels.apply(event)
        everyone.append(labels)
    answers = sum(event["kind"] == "answer" for labels in everyone for event in labels.active)
    if not answers:
        raise InputError(f"{folder / 'annotations'}: expected answers to export, found none")
    relations, known = map(torch.stack, zip(*(x.directions() for x in everyone), strict=True))
    target = folder / "annotations" / "export"
    together, settled = combine(relations, known)
    _write_layout(target, images, everyone, together, settled)
    compared = _compare(list(journals), relations, known)
    _write_plain(target / "annotations.json", images, journals, compared)
    return Exported(target, int(settled.any(-1).any(-1).sum()), answers, compared)


def _compare(annotators: list[str], relations: Tensor, known: Tensor) -> Agreement | None:
    """Agreement of those who have answered, if these are several."""
    rows = [row for row in range(len(annotators)) if known[row].any()]
    if len(rows) < 2:
        return None
    return agreement([annotators[row] for row in rows], relations[rows], known[rows])


def combine(
    relations: Int8[Tensor, "annotators images joints joints"],
    known: Bool[Tensor, "annotators images joints joints"],
) -> tuple[Int8[Tensor, "images joints joints"], Bool[Tensor, "images joints joints"]]:
    """Relations of several annotators as those of one weak ordering for each image.

    Returns:
        The relations, and the pairs that at least one annotator knows.
    """
    settled = known.any(0)
    ranks = consensus_ranks(relations, known, settled.any(-1))
    return relations_from_ranks(ranks) * settled.to(torch.int8), settled


def _write_layout(
    target: Path, images: list[Path], everyone: Sequence[Labels], relations: Tensor, known: Tensor
) -> None:
    """The authors' layout; each image has the joints of the first annotator who knows them."""
    first = everyone[0]
    points, present = first.keypoints_px.clone(), first.present.clone()
    for row in range(len(images)):
        whose = next((labels for labels in everyone if labels.placed[row]), first)
        points[row], present[row] = whose.keypoints_px[row], whose.present[row]
    known = known & present.unsqueeze(-1) & present.unsqueeze(-2)
    export(target, images, points, present, relations * known.to(torch.int8), known)
    write_joints(target / "joints.json", images, points, present)


def _write_plain(
    path: Path, images: list[Path], journals: dict[str, list[Event]], compared: Agreement | None
) -> None:
    """Every event of every annotator, those that were undone marked so."""
    events = []
    for mine in journals.values():
        kept = {event["n"] for event in active(mine)}
        for event in mine:
            undone = event["kind"] != "undo" and event["n"] not in kept
            events.append({**event, "undone": undone})
    content = {
        "joints": list(LSP14.joints),
        "images": [image.name for image in images],
        "annotators": list(journals),
        "answers_say": "closer: the first joint is closer to the camera than the second",
        "agreement": _plain(compared),
        "events": events,
    }
    with replacing(path) as temporary:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(compared: Agreement | None) -> dict[str, Any] | None:
    """Agreement as JSON; null stands for a number that is undefined."""
    if compared is None:
        return None

    def number(value: float) -> float | None:
        return value if value == value else None

    names = LSP14.joints
    return {
        "relations": compared.relations,
        "alike": number(compared.alike),
        "krippendorff_alpha": number(compared.alpha),
        "annotators": [
            {"first": a, "second": b, "relations": n, "alike": number(s), "cohen_kappa": number(k)}
            for (a, b), (n, s, k) in compared.of_two.items()
        ],
        "pairs": [
            {
                "first": names[i],
                "second": names[j],
                "images": int(compared.known[i, j]),
                "alike": int(compared.equal[i, j]),
            }
            for i, j in compared.known.nonzero().tolist()
        ],
    }
