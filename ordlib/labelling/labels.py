"""What one annotator's events say about each image: joints, answers, what is still to ask."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from ordlib.annotation.knowledge import Knowledge
from ordlib.annotation.procedure import make_strategy
from ordlib.annotation.strategies import Strategy
from ordlib.errors import InputError
from ordlib.files import digest
from ordlib.labelling.files import LabelledJoints
from ordlib.labelling.journal import ANSWERS, Event
from ordlib.skeleton import LSP14

Pair = tuple[int, int]
JOINTS = len(LSP14)

CLICK_ORDER = (
    *("head_top", "neck"),
    *(f"{side}_{part}" for side in ("right", "left") for part in ("shoulder", "elbow", "wrist")),
    *(f"{side}_{part}" for side in ("right", "left") for part in ("hip", "knee", "ankle")),
)
"""Joints in the order in which they are clicked: limb by limb, from the top down."""


Clicks = Mapping[str, list[float] | None]
"""Points in an image by joint; None for a joint that is not there."""


class Labels:
    """The state that follows from the events that were not undone; it stores nothing itself.

    Attributes:
        names: file names of the images; a row is a place in this list.
        keypoints_px: (images, 14, 2), zero where a joint is not present.
        present: (images, 14), joints with a position.
        placed: for each image whether its joints are known, so that questions can be asked.
    """

    def __init__(self, names: Iterable[str], joints: LabelledJoints | None, strategy: str) -> None:
        """Begin without events.

        Args:
            names: file names of the images.
            joints: known joints; None if they are to be clicked.
            strategy: name in `ordlib.annotation.STRATEGIES`.
        """
        self.names = list(names)
        self._rows = {name: row for row, name in enumerate(self.names)}
        count = len(self.names)
        self.keypoints_px = torch.zeros(count, JOINTS, 2)
        self.present = torch.zeros(count, JOINTS, dtype=torch.bool)
        self.placed = [False] * count
        if joints is not None:
            self.placed = joints.covered.tolist()
            self.keypoints_px, self.present = joints.keypoints_px.clone(), joints.present.clone()
        self._given = (self.keypoints_px.clone(), self.present.clone(), list(self.placed))
        self.active: list[Event] = []
        self._of_row: dict[int, list[Event]] = defaultdict(list)
        self._strategy = strategy
        self._known: Knowledge | None = None
        self._rule: Strategy
        self._pairs: list[Pair | None] = []

    def place(self, image: str, points: Clicks) -> None:
        """Take over joints that somebody else has clicked, where none are known."""
        row = self._rows.get(image)
        if row is not None and not self.placed[row]:
            self._set_points(row, points)
            self._given = (self.keypoints_px.clone(), self.present.clone(), list(self.placed))

    def row(self, event: Event) -> int | None:
        """The image that an event is about; None if it is about all, or one that is gone."""
        return self._rows.get(event.get("image", ""))

    def apply(self, event: Event) -> Event:
        """Take an event in. Returns it or, if it is an undo, the event that was undone."""
        undo = event["kind"] == "undo"
        changed = self.active.pop() if undo else event
        row = self.row(changed)
        for k in self._about(changed):
            if undo:
                self._of_row[k].pop()
            else:
                self._of_row[k].append(event)
        if not undo:
            self.active.append(event)
        if changed["kind"] == "joint" and row is not None:
            self._click(row)
        elif changed["kind"] == "answer" and row is not None:
            self._learn(row, event, undo)
        return changed

    def _about(self, event: Event) -> Iterable[int]:
        """The images that an event concerns."""
        row = self.row(event)
        return range(len(self.names)) if "image" not in event else () if row is None else (row,)

    def answers(self, row: int) -> list[Event]:
        """The answers about an image that were not undone."""
        return [event for event in self._of_row[row] if event["kind"] == "answer"]

    def skips(self, row: int) -> int:
        """How often an image was put aside since the last time that all were taken up again."""
        kinds = [event["kind"] for event in self._of_row[row]]
        since = len(kinds) - kinds[::-1].index("again") if "again" in kinds else 0
        return kinds[since:].count("skip")

    def clicks(self, row: int) -> dict[str, list[float] | None]:
        """Points that were clicked in an image, by joint; None for one that is not there."""
        found = (event for event in self._of_row[row] if event["kind"] == "joint")
        return {event["joint"]: event["point"] for event in found}

    def next_click(self, row: int) -> str | None:
        """The joint to click next in an image whose joints are not known."""
        done = self.clicks(row)
        return next((joint for joint in CLICK_ORDER if joint not in done), None)

    def next_pair(self, row: int) -> Pair | None:
        """The pair to ask about next, lower joint first; None if there is nothing to ask."""
        self._refresh()
        return self._pairs[row]

    def joints_digest(self, row: int) -> str:
        """Digest of which joints an image has, and where to 0.01 pixels."""
        places = (self.keypoints_px[row] * 100).round().int().tolist()
        return digest([places, self.present[row].tolist()])

    def require_same_joints(self, file: Path | None) -> None:
        """Compare the joints with those that were answered about.

        Args:
            file: where joints come from; None if all were clicked. Clicks need only be there: a
                person may have taken back some that another one has answered about since.

        Raises:
            InputError: others, or none, in some images.
        """
        answers = [event for event in self.active if event["kind"] == "answer"]
        rows = sorted({row for event in answers if (row := self.row(event)) is not None})
        changed = [row for row in rows if not self._fits(row, file is not None)]
        if changed:
            raise InputError(
                f"{file or 'joints'}: expected the joints of the {len(answers)} answers so far,"
                f" found others or none for {len(changed)} of {len(self.names)} images (first:"
                f" {self.names[changed[0]]}); put the file of joints back as it was, or begin with"
                " another annotator's name"
            )

    def _fits(self, row: int, exactly: bool) -> bool:
        """Whether an image has the joints of its answers."""
        events = self.answers(row)
        asked = {LSP14.index(event[key]) for event in events for key in ("first", "second")}
        now = self.joints_digest(row)
        same = all(event.get("joints", now) == now for event in events)
        return (
            self.placed[row]
            and bool(self.present[row, list(asked)].all())
            and (same or not exactly)
        )

    def directions(self) -> tuple[Int8[Tensor, "images 14 14"], Bool[Tensor, "images 14 14"]]:
        """Relations, and the pairs for which they are known: the answer given to a pair or, where
        it was not asked, what follows from other answers."""
        self._refresh()
        known = self._known
        assert known is not None
        relations = torch.where(known.asked, known.answers, known.relations)
        both = self.present.unsqueeze(-1) & self.present.unsqueeze(-2)
        apart = ~torch.eye(JOINTS, dtype=torch.bool)
        return relations, (known.asked | known.settled) & both & apart

    def _click(self, row: int) -> None:
        clicks = self.clicks(row)
        before = self.placed[row], self.present[row].tolist()
        points, present, placed = self._given
        self.keypoints_px[row], self.present[row] = points[row], present[row]
        self.placed[row] = placed[row]
        if len(clicks) == JOINTS:
            self._set_points(row, clicks)
        if before != (self.placed[row], self.present[row].tolist()):
            self._known = None

    def _set_points(self, row: int, points: Clicks) -> None:
        places = [points[joint] for joint in LSP14.joints]
        self.present[row] = torch.tensor([place is not None for place in places])
        self.keypoints_px[row] = torch.tensor([place or [0.0, 0.0] for place in places])
        self.placed[row] = True
        self._known = None

    def _learn(self, row: int, event: Event, undo: bool) -> None:
        if undo or self._known is None:
            self._known = None
        else:
            _record(self._known, [(row, event)])
            self._pairs[row] = self._ask([row])[0]

    def _refresh(self) -> None:
        """Replay the answers, one of each image at a time, after a change that took some back."""
        if self._known is None:
            known = Knowledge(self.present)
            self._rule = make_strategy(self._strategy, known, LSP14)
            waiting = {row: self.answers(row) for row in range(len(self.names))}
            while any(waiting.values()):
                _record(known, [(row, events.pop(0)) for row, events in waiting.items() if events])
            self._pairs = self._ask(list(range(len(self.names))))
            self._known = known  # last: after a failure nothing is known

    def _ask(self, rows: list[int]) -> list[Pair | None]:
        found = self._rule.next_pairs(torch.tensor(rows)).sort(-1).values.tolist()
        return [(pair[0], pair[1]) if pair[0] >= 0 else None for pair in found]

    def box(self, row: int, size: tuple[int, int]) -> Float[Tensor, "4"]:
        """Left, top, right and bottom of the part of an image that shows the person, pixels.

        Args:
            size: width and height of the image.
        """
        points = self.keypoints_px[row][self.present[row]]
        whole = torch.tensor([0.0, 0.0, *map(float, size)])
        if len(points) < 2:
            return whole
        low, high = points.amin(0), points.amax(0)
        margin = 0.2 * float((high - low).max().clamp_min(20)) + 4
        corners = torch.cat([low - margin, high + margin])
        return torch.minimum(corners, whole[2:].repeat(2)).clamp_min(0)


def _record(known: Knowledge, answers: list[tuple[int, Event]]) -> None:
    pairs = [[LSP14.index(event[key]) for key in ("first", "second")] for _, event in answers]
    values = torch.tensor([ANSWERS[event["answer"]] for _, event in answers], dtype=torch.int8)
    known.record(torch.tensor([row for row, _ in answers]), torch.tensor(pairs), values)
