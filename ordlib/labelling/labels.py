"""What one annotator's events say about each image: joints, answers, what follows from them."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Int8
from torch import Tensor

from ordlib.annotation.knowledge import Knowledge
from ordlib.errors import InputError
from ordlib.labelling.joints import JOINTS, Joints
from ordlib.labelling.store import ANSWERS, Clicks, Event
from ordlib.skeleton import LSP14

CLICK_ORDER = (
    *("head_top", "neck"),
    *(f"{side}_{part}" for side in ("right", "left") for part in ("shoulder", "elbow", "wrist")),
    *(f"{side}_{part}" for side in ("right", "left") for part in ("hip", "knee", "ankle")),
)
"""Joints in the order in which they are clicked: limb by limb, from the top down."""

Pair = tuple[int, int]


def pair_of(event: Event) -> Pair:
    """First and second joint of an answer."""
    return LSP14.index(str(event.first)), LSP14.index(str(event.second))


class Labels:
    """The state that follows from the events that were not undone; it stores nothing itself.

    Attributes:
        joints: of all images, those that were clicked included; a row is a place in their names.
        active: this annotator's events that were not undone, oldest first.
    """

    def __init__(self, joints: Joints) -> None:
        self.joints = joints
        self.active: list[Event] = []
        self._rows = {name: row for row, name in enumerate(joints.names)}
        self._of_row: list[list[Event]] = [[] for _ in joints.names]
        self._knowledge: Knowledge | None = None

    def row(self, event: Event) -> int | None:
        """The image that an event is about; None if it is about all, or one that is gone."""
        return self._rows.get(event.image or "")

    def apply(self, event: Event) -> None:
        """Take an event in."""
        undo = event.kind == "undo"
        changed = self.active.pop() if undo else event
        if not undo:
            self.active.append(event)
        row = self.row(changed)
        if row is None:
            return
        if undo:
            self._of_row[row].pop()
        else:
            self._of_row[row].append(event)
        if undo or self._knowledge is None:
            self._knowledge = None
        elif event.kind == "answer" and self._counts(row, event):
            _record(self._knowledge, [(row, event)])

    def place(self, joints: Joints) -> None:
        """Take over joints after somebody has clicked."""
        if not torch.equal(joints.present, self.joints.present):
            self._knowledge = None
        self.joints = joints

    def answers(self, row: int) -> list[Event]:
        """The answers about an image that were not undone."""
        return [event for event in self._of_row[row] if event.kind == "answer"]

    def clicks(self, row: int) -> Clicks:
        """Points that were clicked in an image, by joint."""
        return {str(e.first): e.point for e in self._of_row[row] if e.kind == "joint"}

    def aside(self) -> set[int]:
        """Images that were put aside since the last time that all were taken up again."""
        rows: set[int] = set()
        for event in self.active:
            row = self.row(event)
            if event.kind == "again":
                rows.clear()
            elif event.kind == "skip" and row is not None:
                rows.add(row)
        return rows

    @property
    def knowledge(self) -> Knowledge:
        """What follows from the answers; replayed, one of each image at a time, after a change
        that took some back."""
        if self._knowledge is None:
            known = Knowledge(self.joints.present)
            waiting = {
                row: [event for event in self.answers(row) if self._counts(row, event)]
                for row in range(len(self._of_row))
            }
            while any(waiting.values()):
                _record(known, [(row, events.pop(0)) for row, events in waiting.items() if events])
            self._knowledge = known
        return self._knowledge

    def _counts(self, row: int, event: Event) -> bool:
        """Whether both joints of an answer are there: whoever clicked them may go back."""
        return bool(self.joints.present[row, list(pair_of(event))].all())

    def directions(self) -> tuple[Int8[Tensor, "images 14 14"], Bool[Tensor, "images 14 14"]]:
        """Relations, and the pairs for which they are known: the answer given to a pair or, where
        it was not asked, what follows from other answers."""
        known = self.knowledge
        relations = torch.where(known.asked, known.answers, known.relations)
        both = known.present.unsqueeze(-1) & known.present.unsqueeze(-2)
        apart = ~torch.eye(JOINTS, dtype=torch.bool)
        return relations, (known.asked | known.settled) & both & apart

    def require_same_joints(self) -> None:
        """Raise InputError if the joints of a file are not those that were answered about.

        Joints that were clicked, whose digest may differ, need not be the same.
        """
        changed = [
            name
            for row, name in enumerate(self.joints.names)
            if {e.joints for e in self.answers(row) if e.joints} - {self.joints.digest(row)}
        ]
        if changed:
            raise InputError(
                f"{self.joints.file or 'joints'}: expected the joints of the answers so far, found"
                f" others or none for {len(changed)} of {len(self._of_row)} images (first:"
                f" {changed[0]}); put the file of joints back as it was, or begin with another"
                " annotator's name"
            )


def _record(known: Knowledge, answers: Iterable[tuple[int, Event]]) -> None:
    rows, events = zip(*answers, strict=True)
    values = [ANSWERS[str(event.answer)] for event in events]
    known.record(
        torch.tensor(rows),
        torch.tensor([pair_of(event) for event in events]),
        torch.tensor(values, dtype=torch.int8),
    )
