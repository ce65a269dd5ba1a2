"""A sitting of one annotator: which question comes next, going back, and how far it is."""

import getpass
import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ordlib.annotation.procedure import GROUP_SIZE, Clock
from ordlib.annotation.strategies import STRATEGIES, WITH_PRIOR
from ordlib.errors import InputError
from ordlib.labelling.joints import find_joints, joints_of, labels_of
from ordlib.labelling.journal import (
    Event,
    Header,
    Journal,
    asked_about,
    contents,
    image_set,
    journal_path,
    read_journal,
    read_journals,
)
from ordlib.labelling.labels import JOINTS, Pair
from ordlib.labelling.photographs import photographs, some

USABLE_STRATEGIES = tuple(name for name in STRATEGIES if name not in WITH_PRIOR)
"""Strategies that need nothing but the answers."""

QUESTIONS_PER_JOINT, SECONDS_PER_QUESTION = 17 / 14, Clock().grouped_s
"""What the paper measured (Section 4.1): assumed until this folder's own numbers are known."""

_SECONDS_COUNTED = 60.0


@dataclass(frozen=True)
class Question:
    """What an annotator is asked: to order a pair of joints or to click one.

    Attributes:
        row: the image.
        pair: first and second joint; None if a joint is to be clicked.
        joint: name of the joint to click; None if a pair is asked about.
    """

    row: int
    pair: Pair | None = None
    joint: str | None = None


def login_name() -> str:
    """The name that answers are kept under if none is given."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "annotator"


class Session:
    """Asks one annotator about the images of a folder and keeps each answer at once.

    Attributes:
        folder: where the images are.
        images: the image files; a row is a place in this list.
        sizes: width and height of each, pixels.
        joints: joints that a file gave, or None.
        journal: the annotator's answers on disk.
        labels: what follows from them.
    """

    def __init__(
        self,
        folder: str | Path,
        annotator: str | None = None,
        joints: Path | None = None,
        strategy: str | None = None,
        instead_of: "Session | None" = None,
    ) -> None:
        """Open a folder, and go on where this annotator stopped.

        Args:
            folder: images (jpg, jpeg, png), here or in its subfolder `images`.
            annotator: whose answers; the login name if None.
            joints: file of 2D joints; if None, one that the folder has. Without any, joints are
                clicked first, or taken from another annotator who clicked them.
            strategy: which rule chooses the questions: that of earlier answers, else kinematic.
            instead_of: an open session of the same folder and annotator that is to be closed once
                this one has begun.

        Raises:
            InputError: no images, unusable joints, a journal that is in use, damaged or about
                something else, a folder that cannot be written.
        """
        self.folder = Path(folder).expanduser()
        self.photographs = photographs(self.folder)
        self.images = self.photographs.paths
        self.sizes: list[tuple[int, int]] = [(w, h) for w, h in self.photographs.sizes.tolist()]
        self.joints_file = find_joints(self.folder, joints)
        self.joints = joints_of(self.photographs, self.joints_file)
        annotator = annotator or login_name()
        path = journal_path(self.folder, annotator)
        header = Header(annotator, image_set(self.images), _strategy(path, strategy))
        others = {}
        if self.joints is None or not self.joints.covered.all():
            others = read_journals(self.folder, self.images, leave_out=annotator)
        earlier = instead_of.journal if instead_of else None
        if earlier and earlier.path.resolve() != path.resolve():
            earlier = None
        self.journal: Journal = Journal(path, header, earlier)
        try:
            self.labels = labels_of(self.images, self.joints, header.strategy, others)
            for event in self.journal.events:
                self.labels.apply(event)
            self.labels.require_same_joints(self.joints_file)
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        self._urgent: list[int] = []
        self._queue: list[int] = []
        self._pair: Pair | None = None
        self._asked = 0  # of the present group
        self._pass = 0  # how often an image may have been put aside to be asked about now
        run = self._last_run()
        if run is not None and 0 < run[1] < GROUP_SIZE:
            pair, self._asked = run
            self._open_group(pair, GROUP_SIZE - self._asked)
        self.current()

    def _last_run(self) -> tuple[Pair, int] | None:
        """The pair that was asked last, and for how many images in a row."""
        answers = [event for event in self.labels.active if event["kind"] == "answer"]
        if not answers:
            return None
        last = answers[-1]
        same = 0
        for event in reversed(answers):
            if (event["first"], event["second"]) != (last["first"], last["second"]):
                break
            same += 1
        joints = self.journal.header.joints
        return (joints.index(last["first"]), joints.index(last["second"])), same

    @property
    def token(self) -> str:
        """The journal and its number of events: an answer that carries another token was to an
        older question, or to that of another folder."""
        return f"{self.journal.id}-{len(self.journal.events)}"

    @property
    def notes(self) -> list[str]:
        """What is left out, in words, a line each."""
        lines = list(self.photographs.left_out)
        lines += self.photographs.gone(asked_about(self.journal.events))
        if self.joints is not None and not all(self.labels.placed):
            lines.append(f"{self.joints_file}: {self.joints.problems()}")
        if few := self.unusable():
            lines.append(f"fewer than two joints, so nothing to ask: {some(few)}")
        return lines

    def unusable(self) -> list[str]:
        """Images about which nothing can be asked, since fewer than two joints are known."""
        few = self.labels.present.sum(1) < 2
        return [self.images[r].name for r in few.nonzero()[:, 0].tolist() if self.labels.placed[r]]

    def current(self) -> Question | None:
        """The question to show, or None when all is done that was not put aside twice."""
        while self._urgent and not self.open(self._urgent[-1]):
            self._urgent.pop()
        if self._urgent:
            return self._question(self._urgent[-1])
        self._queue = [row for row in self._queue if self._is_waiting(row)]
        if not self._queue:
            self._next_group()
        return self._question(self._queue[0]) if self._queue else None

    def _question(self, row: int) -> Question:
        if self.labels.placed[row]:
            return Question(row, pair=self.labels.next_pair(row))
        return Question(row, joint=self.labels.next_click(row))

    def open(self, row: int) -> bool:
        """Whether there is something left to ask about an image."""
        return not self.labels.placed[row] or self.labels.next_pair(row) is not None

    def _is_waiting(self, row: int) -> bool:
        """Whether an image of the queue still waits for the question of its group."""
        if not self.open(row) or self.labels.skips(row) > self._pass:
            return False
        return not self.labels.placed[row] or self.labels.next_pair(row) == self._pair

    def _next_group(self) -> None:
        """Joints to click come first, then the pair that most images wait for; images that were
        put aside come last, once."""
        self._asked = 0
        rows = self._candidates()
        unplaced = [row for row in rows if not self.labels.placed[row]]
        if unplaced or not rows:
            self._queue, self._pair = unplaced[:1], None
            return
        pairs = Counter(self.labels.next_pair(row) for row in rows)
        if len(pairs) > 1:
            pairs.pop(self._pair, None)
        most = max(pairs.values())
        self._open_group(min(pair for pair, count in pairs.items() if pair and count == most))

    def _candidates(self) -> list[int]:
        """Images with something to ask, of the first pass if there are any, else of the second."""
        rows = [row for row in range(len(self.images)) if self.open(row)]
        for self._pass in (0, 1):
            found = [row for row in rows if self.labels.skips(row) <= self._pass]
            if found:
                return found
        return []

    def _open_group(self, pair: Pair, size: int = GROUP_SIZE) -> None:
        rows = (row for row in self._candidates() if self.labels.placed[row])
        self._pair = pair
        self._queue = [row for row in rows if self.labels.next_pair(row) == pair][:size]

    def answer(self, answer: str, seconds: float) -> None:
        """Keep the answer about the first joint of the current pair: closer, farther, ambiguous.

        Raises:
            InputError: no pair is asked about, it is no answer, or it could not be written; nothing
                has changed then. The same holds for the methods below.
        """
        question = self._expect(lambda q: q.pair is not None, "a question about a pair of joints")
        assert question.pair is not None
        first, second = (self.journal.header.joints[joint] for joint in question.pair)
        joints = self.labels.joints_digest(question.row)
        details = {"first": first, "second": second, "answer": answer, "joints": joints}
        self._add("answer", question, **details, seconds=seconds)
        self._asked += question.pair == self._pair

    def click(self, point: list[float] | None, seconds: float) -> None:
        """Keep the place of the current joint, in pixels; None if it is not in the image."""
        question = self._expect(lambda q: q.joint is not None, "a question for a joint")
        width, height = self.sizes[question.row]
        if point is not None and not (0 <= point[0] <= width and 0 <= point[1] <= height):
            raise InputError(f"point: expected one inside {width} x {height}, found {point}")
        self._add("joint", question, joint=question.joint, point=point, seconds=seconds)

    def skip(self) -> None:
        """Put the current image aside; it comes once more after the others."""
        self._add("skip", self._expect(lambda q: True, "a question"))

    def _expect(self, fits: Callable[[Question], bool], what: str) -> Question:
        question = self.current()
        if question is None or not fits(question):
            raise InputError(f"answer: expected when {what} is shown, found another state")
        return question

    def _add(self, kind: str, question: Question, **details: Any) -> None:
        image = self.images[question.row].name
        self.labels.apply(self.journal.append(kind, image=image, **details))
        # an image that was gone back to is asked about its next pair in its turn
        if self._urgent and not (kind == "joint" and not self.labels.placed[question.row]):
            self._urgent.pop()

    @property
    def can_go_back(self) -> bool:
        """Whether there is an event to take back, and not one about an image that is gone."""
        last = self.labels.active[-1:]
        return any("image" not in event or self.labels.row(event) is not None for event in last)

    def back(self) -> None:
        """Take the last event back and ask that question again; do nothing if there is none."""
        if self.can_go_back:
            undone = self.labels.apply(self.journal.append("undo"))
            row = self.labels.row(undone)
            if row is not None and row not in self._urgent[-1:]:
                self._urgent.append(row)
            if undone["kind"] == "answer" and self._undone_pair(undone) == self._pair:
                self._asked = max(0, self._asked - 1)

    def _undone_pair(self, event: Event) -> Pair:
        joints = self.journal.header.joints
        return joints.index(event["first"]), joints.index(event["second"])

    def again(self) -> None:
        """Take up all images that were put aside."""
        self.labels.apply(self.journal.append("again"))

    def close(self) -> None:
        """Let others open the journal."""
        self.journal.close()

    def group(self) -> tuple[int, int]:
        """How many images of the present group are answered, and how many it has."""
        return self._asked, self._asked + len(self._queue)

    def in_group(self, question: Question) -> bool:
        """Whether a question is one of the present group, and not one that was gone back to."""
        return question.row in self._queue and question.pair == self._pair

    def upcoming(self, count: int = 3) -> list[int]:
        """Images that are likely to be shown after the current one."""
        current = self.current()
        rows = [*self._urgent[::-1], *self._queue, *self._candidates()]
        seen = [row for row in dict.fromkeys(rows) if current is None or row != current.row]
        return seen[:count]

    def progress(self) -> dict[str, Any]:
        """Counts: images complete, put aside, unusable and in all, answers, questions left (an
        estimate), clicks left, and minutes left."""
        rows = range(len(self.images))
        open_rows = [row for row in rows if self.open(row)]
        aside = self.aside()
        left = [row for row in open_rows if row not in set(aside)]
        unusable = len(self.unusable())
        counted = Counter(e["kind"] for e in self.labels.active if self.labels.row(e) is not None)
        clicks = sum(JOINTS - len(self.labels.clicks(r)) for r in left if not self.labels.placed[r])
        questions = self._questions_left(left)
        seconds = questions * self._pace("answer") + clicks * self._pace("joint")
        return {
            "images": len(self.images),
            "complete": len(self.images) - len(open_rows) - unusable,
            "aside": len(aside),
            "unusable": unusable,
            "answers": counted["answer"],
            "clicks": counted["joint"],
            "questions_left": questions,
            "clicks_left": clicks,
            "minutes_left": seconds / 60,
        }

    def aside(self) -> list[int]:
        """Images that were put aside twice, so that nothing is asked about them."""
        rows = range(len(self.images))
        return [row for row in rows if self.open(row) and self.labels.skips(row) > 1]

    def _questions_left(self, rows: list[int]) -> int:
        """At least one for each image; in all, about as many as complete images have taken."""
        left = set(rows)
        asked = [len(self.labels.answers(row)) for row in range(len(self.images))]
        shown = self.labels.present.sum(1).tolist()
        done = [row for row in range(len(self.images)) if row not in left and asked[row]]
        rate = QUESTIONS_PER_JOINT
        if self.journal.header.strategy == "all":
            rate = (JOINTS - 1) / 2
        elif len(done) >= 3:
            rate = sum(asked[row] for row in done) / sum(shown[row] for row in done)
        expected = [rate * (shown[row] if self.labels.placed[row] else JOINTS) for row in rows]
        return sum(max(1, round(e) - asked[row]) for e, row in zip(expected, rows, strict=True))

    def _pace(self, kind: str) -> float:
        """Seconds of a typical event, of the last 50; pauses do not count."""
        taken = [event["seconds"] for event in self.labels.active if event["kind"] == kind][-50:]
        shown = [min(seconds, _SECONDS_COUNTED) for seconds in taken]
        return statistics.median(shown) if len(shown) >= 5 else SECONDS_PER_QUESTION


def _strategy(path: Path, wanted: str | None) -> str:
    """The strategy asked for, else that of the journal, else kinematic."""
    if wanted is not None and wanted not in USABLE_STRATEGIES:
        raise InputError(
            f"strategy: expected one of {', '.join(USABLE_STRATEGIES)}, found {wanted!r}"
        )
    if wanted is None and path.is_file() and b"\n" in contents(path):
        wanted = read_journal(path)[0].strategy
    return wanted or "kinematic"
