"""A sitting of one annotator: which question comes next, going back, and how far it is."""

import getpass
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import torch

from ordlib.annotation.procedure import GROUP_SIZE, make_strategy
from ordlib.annotation.strategies import STRATEGIES, WITH_PRIOR
from ordlib.errors import InputError
from ordlib.labelling.folder import pictures
from ordlib.labelling.joints import joints_of
from ordlib.labelling.labels import CLICK_ORDER, Labels, Pair, pair_of
from ordlib.labelling.store import Point, Store, some
from ordlib.skeleton import LSP14

USABLE_STRATEGIES = tuple(name for name in STRATEGIES if name not in WITH_PRIOR)
"""Strategies that need nothing but the answers."""


@dataclass(frozen=True)
class Question:
    """What an annotator is asked: to order a pair of joints or to click one."""

    row: int  # the image
    pair: Pair | None = None  # first and second joint; None if a joint is to be clicked
    joint: str | None = None  # the joint to click; None if a pair is asked about
    group: tuple[int, int] = (0, 1)  # answers in a row about this pair, and with those to come


def login_name() -> str:
    """The name that answers are kept under if none is given."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "annotator"


class Session:
    """Asks one annotator about the images of a folder and keeps each answer at once.

    What is asked next follows from the answers that were not undone, so to go back is to be where
    one was. Other windows and people may answer meanwhile; `refresh` takes in what they did.

    Attributes:
        pictures: the images; a row is a place among those that can be shown.
        annotator: who answers.
        store: everybody's answers on disk.
        labels: what follows from this annotator's.
    """

    def __init__(
        self,
        folder: str | Path,
        annotator: str | None = None,
        joints: Path | None = None,
        strategy: str | None = None,
    ) -> None:
        """Open a folder, and go on where this annotator stopped.

        Args:
            folder: images (jpg, jpeg, png), here or in its subfolder `images`.
            annotator: whose answers; the login name if None.
            joints: file of 2D joints; if None, one that the folder has. Without any, joints are
                clicked first, or taken from another annotator who clicked them.
            strategy: which rule chooses the questions: that of earlier answers, else kinematic.

        Raises:
            InputError: no images, unusable joints, answers that are damaged or about something
                else, a folder that cannot be written.
        """
        if strategy not in (None, *USABLE_STRATEGIES):
            raise InputError(
                f"strategy: expected one of {', '.join(USABLE_STRATEGIES)}, found {strategy!r}"
            )
        self.annotator = annotator or login_name()
        self.pictures = pictures(folder)
        self._given = joints_of(self.pictures, joints)
        self.labels = Labels(self._given)
        self.id = secrets.token_hex(4)  # tells this session's questions and images from others'
        self._number = self._seen = 0
        self._open: dict[int, Pair | None] | None = None
        self.store = Store(self.pictures.folder, self.pictures.bytes)
        try:
            self._strategy = self.store.strategy(self.annotator, strategy)
            self.refresh()
            self.labels.require_same_joints()
        except InputError:
            self.close()
            raise

    def refresh(self) -> None:
        """Take in what was done since, in this and in other windows."""
        events = self.store.events(self._seen)
        if any(event.kind in ("joint", "undo") for event in events):
            self.labels.place(self._given.with_clicks(self.store.clicked()))
        if events:
            self._open = None
        for event in events:
            self._seen = event.n
            if event.annotator == self.annotator:
                self._number = event.number
                self.labels.apply(event)

    @property
    def token(self) -> str:
        """Session and number of events: a message with another one is about an older question."""
        return f"{self.id}-{self._number}"

    @property
    def notes(self) -> list[str]:
        """What is left out, in words, a line each."""
        lines = list(self.pictures.left_out)
        lines += self.pictures.gone(event.image for event in self.labels.active)
        if self._given.file is None and not self.labels.joints.placed.all():
            lines.append("joints: neither joints.mat nor joints.csv, so they are clicked first")
        if self._given.problems:
            lines.append(f"{self._given.file}: {self._given.problems}")
        if few := self._unusable():
            lines.append(f"fewer than two joints, so nothing to ask: {some(few)}")
        return lines

    def _unusable(self) -> list[str]:
        """Images with fewer than two joints."""
        joints = self.labels.joints
        few = joints.placed & (joints.present.sum(1) < 2)
        return [self.pictures.names[row] for row in few.nonzero()[:, 0].tolist()]

    def open_rows(self) -> dict[int, Pair | None]:
        """Images with something left to ask, each with its next pair once its joints are known."""
        if self._open is None:
            placed = self.labels.joints.placed.tolist()
            strategy = make_strategy(self._strategy, self.labels.knowledge, LSP14)
            pairs = strategy.next_pairs(torch.arange(len(placed))).sort(-1).values.tolist()
            self._open = {
                row: (first, second) if placed[row] else None
                for row, (first, second) in enumerate(pairs)
                if first >= 0 or not placed[row]
            }
        return self._open

    def current(self) -> Question | None:
        """The question to show, or None when all is done that was not put aside.

        Joints to click come first. Then images that wait for the same pair come in a row, up to 50
        (Section 4.1), and after them those of the pair that most images wait for.
        """
        questions = self.upcoming(1)
        return questions[0] if questions else None

    def upcoming(self, count: int) -> list[Question]:
        """The question to show, and those that are likely to come next."""
        aside = self.labels.aside()
        waiting = {row: pair for row, pair in self.open_rows().items() if row not in aside}
        unplaced = [row for row, pair in waiting.items() if pair is None]
        if unplaced:
            return [Question(row, joint=self._next_click(row)) for row in unplaced[:count]]
        if not waiting:
            return []
        last, run = self._last_run()
        counts = Counter(waiting.values())
        pair = last
        if not run % GROUP_SIZE or last not in counts:
            others = {p: n for p, n in counts.items() if p != last} or counts
            pair, run = min(others, key=lambda p: (-others[p], p or ())), 0
        rows = [row for row, p in waiting.items() if p == pair]
        group = run % GROUP_SIZE, min(GROUP_SIZE, run % GROUP_SIZE + len(rows))
        return [Question(row, pair=pair, group=group) for row in rows[:count]]

    def _next_click(self, row: int) -> str | None:
        clicks = self.labels.clicks(row)
        return next((joint for joint in CLICK_ORDER if joint not in clicks), None)

    def _last_run(self) -> tuple[Pair | None, int]:
        """The pair that was asked last, and for how many images in a row."""
        pairs = (pair_of(e) for e in reversed(self.labels.active) if e.kind == "answer")
        last = next(pairs, None)
        same = takewhile(lambda pair: pair == last, pairs)
        return last, 0 if last is None else 1 + sum(1 for _ in same)

    def answer(self, answer: str, seconds: float) -> None:
        """Keep the answer about the first joint of the current pair: closer, farther, ambiguous.

        Raises:
            InputError: no pair is asked about, it is no answer, or it could not be written; nothing
                has changed then. The same holds for the methods below.
        """
        question = self._expect(lambda q: q.pair is not None, "a question about a pair of joints")
        first, second = (LSP14.joints[joint] for joint in question.pair or ())
        given = bool(self._given.placed[question.row])
        joints = self._given.digest(question.row) if given else None
        details = {"first": first, "second": second, "answer": answer, "joints": joints}
        self._add("answer", image=self._name(question), **details, seconds=seconds)

    def click(self, point: Point | None, seconds: float) -> None:
        """Keep the place of the current joint, in pixels; None if it is not in the image."""
        question = self._expect(lambda q: q.joint is not None, "a question for a joint")
        width, height = self.pictures.sizes[question.row].tolist()
        if point is not None and not (0 <= point[0] <= width and 0 <= point[1] <= height):
            raise InputError(f"point: expected one inside {width} x {height}, found {point}")
        x, y = point or (None, None)
        image = self._name(question)
        self._add("joint", image=image, first=question.joint, x=x, y=y, seconds=seconds)

    def skip(self) -> None:
        """Put the current image aside, until `again`."""
        self._add("skip", image=self._name(self._expect(lambda q: True, "a question")))

    def _expect(self, fits: Callable[[Question], bool], what: str) -> Question:
        question = self.current()
        if question is None or not fits(question):
            raise InputError(f"answer: expected when {what} is shown, found another state")
        return question

    def _name(self, question: Question) -> str:
        return self.pictures.names[question.row]

    def _add(self, kind: str, **details: object) -> None:
        try:
            self.store.add(self.annotator, self._number + 1, kind, **details)
        finally:
            self.refresh()

    @property
    def can_go_back(self) -> bool:
        """Whether there is an event to take back, and not one about an image that is gone."""
        last = self.labels.active[-1:]
        return any(event.image is None or self.labels.row(event) is not None for event in last)

    def back(self) -> None:
        """Take the last event back, so that its question comes again; nothing if there is none."""
        if self.can_go_back:
            self._add("undo", undoes=self.labels.active[-1].n)

    def again(self) -> None:
        """Take up all images that were put aside."""
        self._add("again")

    def close(self) -> None:
        """Close the file of answers."""
        self.store.close()

    def progress(self) -> dict[str, int | float]:
        """Counts of images (in all, placed, complete, put aside, unusable), answers and clicks, and
        the share of all relations that is known."""
        rows, unusable = self.open_rows(), len(self._unusable())
        known = self.labels.directions()[1].sum() / 2
        joints = self.labels.joints.present.sum(1)
        joints = torch.where(self.labels.joints.placed, joints, len(LSP14))
        kinds = Counter(e.kind for e in self.labels.active if self.labels.row(e) is not None)
        return {
            "images": len(self.pictures.paths),
            "placed": int(self.labels.joints.placed.sum()),
            "complete": len(self.pictures.paths) - len(rows) - unusable,
            "aside": len(self.labels.aside() & rows.keys()),
            "unusable": unusable,
            "answers": kinds["answer"],
            "clicks": kinds["joint"],
            "share": float(known / (joints * (joints - 1) / 2).sum().clamp_min(1)),
        }

    def summary(self) -> str:
        """How far the annotator is, in a line."""
        counts = self.progress()
        return (
            f"{self.annotator}: {counts['complete']} of {counts['images']} images complete,"
            f" {counts['answers']} answers"
        )
