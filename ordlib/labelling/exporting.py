"""All annotators' answers of a folder as one data set, and as one plain file."""

import json
import math
from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
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
from ordlib.labelling.files import export, write_joints
from ordlib.labelling.joints import (
    Clicked,
    clicked_images,
    find_joints,
    joints_of,
    labels_of,
)
from ordlib.labelling.journal import Event, active, asked_about, read_journals
from ordlib.labelling.labels import Labels
from ordlib.labelling.photographs import photographs
from ordlib.skeleton import LSP14


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: the authors' layout in `lsp_dataset_original`, `joints.json`, `annotations.json`.
        images, answers: images with at least one relation, and answers that were not undone.
        agreement: between annotators; None if there is one.
        left_out: what could not be used, in words, a line each.
        twice: images whose joints several annotators clicked.
    """

    folder: Path
    images: int
    answers: int
    agreement: Agreement | None
    left_out: list[str]
    twice: "list[ClickedTwice]"

    def text(self) -> str:
        """What was written and how far annotators agree, in words."""
        lines = [
            f"exported {self.answers} answers about {self.images} images to {self.folder}",
            "  lsp_dataset_original  joints.mat, ordinal.mat and images, as the authors have them;"
            " ordlib.datasets.lsp_mpii_ordinal reads it",
            "  joints.json           the 2D joints",
            "  annotations.json      every question, answer, annotator and time",
        ]
        lines += self.left_out
        if self.twice:
            names = sorted({repr(image.exported) for image in self.twice})
            lines.append(
                f"joints of {len(self.twice)} images were clicked twice, up to"
                f" {max(image.apart_px for image in self.twice):.0f} px apart; those of"
                f" {' and '.join(names)}, who was first, are exported"
            )
        return "\n".join([*lines, *([self.agreement.text()] if self.agreement else [])])


@dataclass(frozen=True)
class ClickedTwice:
    """An image whose joints several annotators clicked.

    Attributes:
        image: file name.
        annotators: who clicked.
        exported: the first of them, whose joints are exported.
        apart_px: the largest distance between two clicks for one joint.
    """

    image: str
    annotators: list[str]
    exported: str
    apart_px: float


def clicked_twice(clicks: Sequence[Clicked], names: Container[str]) -> list[ClickedTwice]:
    """Which of the named images several annotators clicked; the clicks in the order of time."""
    of_image: dict[str, list[Clicked]] = defaultdict(list)
    for clicked in clicks:
        of_image[clicked.image].append(clicked)
    return [
        ClickedTwice(name, [x.annotator for x in each], each[0].annotator, _apart(each))
        for name, each in of_image.items()
        if name in names and len(each) > 1
    ]


def _apart(clicks: Sequence[Clicked]) -> float:
    pairs = (
        (one.points[joint], other.points[joint])
        for one, other in combinations(clicks, 2)
        for joint in LSP14.joints
    )
    return max((math.dist(p, q) for p, q in pairs if p and q), default=0.0)


def export_folder(folder: Path, joints_file: Path | None = None) -> Exported:
    """Write the answers of all annotators of a folder to `annotations/export` below it.

    Where annotators contradict each other, the relations are those of the weak ordering that
    disagrees with as few of them as possible. Answers may be added meanwhile.

    Args:
        folder: the folder that was annotated.
        joints_file: file of 2D joints; see `ordlib.labelling.joints.find_joints`.

    Raises:
        InputError: no answers yet, a damaged journal, other joints than those that were answered
            about, a folder that cannot be written.
    """
    folder = folder.expanduser()
    found = photographs(folder)
    images = found.paths
    file = find_joints(folder, joints_file)
    joints = joints_of(found, file)
    journals = read_journals(folder, images)
    everyone = []
    for events in journals.values():
        # kinematic stands for any: only what follows from the answers is asked for
        labels = labels_of(images, joints, "kinematic", journals)
        for event in events:
            labels.apply(event)
        labels.require_same_joints(file)
        everyone.append(labels)
    answers = sum(len(labels.answers(row)) for labels in everyone for row in range(len(images)))
    if not answers:
        raise InputError(f"{folder / 'annotations'}: expected answers to export, found none")
    relations, known = map(torch.stack, zip(*(x.directions() for x in everyone), strict=True))
    target = folder / "annotations" / "export"
    together, settled = combine(relations, known)
    base = labels_of(images, joints, "kinematic", journals)
    _write_layout(target, images, base, together, settled)
    compared = _compare(list(journals), relations, known)
    clicked_only = [
        path.name for k, path in enumerate(images) if joints is None or not joints.covered[k]
    ]
    twice = clicked_twice(clicked_images(journals), clicked_only)
    _write_plain(target / "annotations.json", images, journals, compared, twice)
    count = int(settled.any(-1).any(-1).sum())
    gone = found.gone(asked_about(event for events in journals.values() for event in events))
    return Exported(target, count, answers, compared, found.left_out + gone, twice)


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
    target: Path, images: list[Path], base: Labels, relations: Tensor, known: Tensor
) -> None:
    """The authors' layout; each image has the joints of the file, or those clicked first."""
    points, present = base.keypoints_px, base.present
    known = known & present.unsqueeze(-1) & present.unsqueeze(-2)
    export(target, images, points, present, relations * known.to(torch.int8), known)
    write_joints(target / "joints.json", images, points, present)


def _write_plain(
    path: Path,
    images: list[Path],
    journals: dict[str, list[Event]],
    compared: Agreement | None,
    twice: list[ClickedTwice],
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
        "joints_clicked_twice": [asdict(image) for image in twice],
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
