"""Answers on disk: one journal for each annotator, to which lines are only ever added.

A journal is a file of JSON lines. The first is a header, which names the annotator, the joints, the
images and the strategy; another header stands where images joined these. Each other line is an
event, flushed to the disk before anybody is told that it is saved. To go back is an event too, so
nothing is ever deleted.
"""

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from ordlib.errors import InputError
from ordlib.files import digest
from ordlib.labelling.photographs import some
from ordlib.skeleton import LSP14

FORMAT = "ordlib annotations, version 1"
ANSWERS = {"closer": 1, "ambiguous": 0, "farther": -1}
"""Answers by name, as r(first, second) of Section 3.1."""

Event = dict[str, Any]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Header:
    """What a journal is about.

    Attributes:
        annotator: who answers.
        images: file name and size in bytes of each image that was ever in the folder.
        strategy: name in `ordlib.annotation.STRATEGIES` of the rule that chooses the questions.
        joints: names of the joints in order.
    """

    annotator: str
    images: dict[str, int]
    strategy: str = "kinematic"
    joints: tuple[str, ...] = LSP14.joints


def journal_path(folder: Path, annotator: str) -> Path:
    """File of an annotator's answers. Raises InputError for a name that can name no file."""
    if not re.fullmatch(r"\w[\w .@+-]{0,59}", annotator) or annotator != annotator.strip():
        raise InputError(
            "annotator: expected 1 to 60 letters, digits, blanks or any of . @ + - _ that begin"
            f" with a letter or digit, found {annotator!r}"
        )
    return folder / "annotations" / f"{annotator}.jsonl"


def image_set(images: Sequence[Path]) -> dict[str, int]:
    """File names and sizes in bytes, as in `Header.images`."""
    return {path.name: path.stat().st_size for path in images}


class Journal:
    """An annotator's journal, open for adding events and locked against other processes.

    Attributes:
        path: the file.
        id: digest of its place and first line; the same whenever it is opened.
        header: what it is about.
        events: what happened so far, oldest first.
    """

    def __init__(self, path: Path, header: Header, instead_of: "Journal | None" = None) -> None:
        """Open a journal, or begin one. A last line that was never completed is cut off.

        Args:
            path: the file.
            header: what it should be about; images that it does not know yet join it.
            instead_of: the same journal, if it is open here and this one is to take its place.

        Raises:
            InputError: a folder or file that cannot be written, a journal that another process has
                open or that is about something else than `header` says, a damaged line.
        """
        self.path = path
        # a copy of an open file shares its lock
        shared = instead_of is not None and instead_of._file >= 0
        self._file: int = os.dup(instead_of._file) if shared and instead_of else _open_locked(path)
        try:
            found, self.events, size = _parse(path, contents(path))
            _writing(path, lambda: os.ftruncate(self._file, size))
            self._size = size
            if found is None:
                self._write({"format": FORMAT, **vars(header)})
            else:
                _require_same(path, found, header, self.events)
                new = dict(header.images.items() - found.images.items())
                if new:
                    self._write({"format": FORMAT, **vars(header), "images": new})
                header = replace(header, images=found.images | new)
            self.header = header
            first_line = contents(path).partition(b"\n")[0].decode()
            self.id = digest([str(path.resolve()), first_line])
        except BaseException:
            self.close()
            raise

    def append(self, kind: str, **details: Any) -> Event:
        """Add an event and return it once it is on the disk.

        Raises:
            InputError: it could not be written; the journal is as it was.
        """
        event = {
            "n": len(self.events) + 1,
            "kind": kind,
            "annotator": self.header.annotator,
            **details,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        _check_event(f"{self.path}: new line", event, self.header, len(self.events) + 1)
        self._write(event)
        self.events.append(event)
        return event

    def _write(self, content: dict[str, Any]) -> None:
        if self._file < 0:
            raise InputError(f"{self.path}: expected an open journal, found one that was closed")
        line = (json.dumps(content, ensure_ascii=False) + "\n").encode()

        def write() -> None:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)

        try:
            _writing(self.path, write)
        except InputError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def close(self) -> None:
        """Free the lock. Nothing waits to be written."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def contents(path: Path) -> bytes:
    """The bytes of a journal. Raises InputError where they cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: could not be read: {error.strerror}") from error


def read_journal(path: Path) -> tuple[Header, list[Event]]:
    """Header and events of a journal, which may be in use.

    Raises:
        InputError: it is damaged or empty, or cannot be read.
    """
    header, events, _ = _parse(path, contents(path))
    if header is None:
        raise InputError(f"{path}: expected a first line with {FORMAT!r}, found an empty file")
    return header, events


def read_journals(
    folder: Path, images: Sequence[Path], leave_out: str | None = None
) -> dict[str, list[Event]]:
    """Events of all annotators of a folder, or of all but one, by name.

    Raises:
        InputError: a damaged journal, one about other images, or one that cannot be read.
    """
    found = {}
    for path in sorted((folder / "annotations").glob("*.jsonl")):
        if path.stem != leave_out and path.is_file() and b"\n" in contents(path):
            header, events = read_journal(path)
            expected = Header(path.stem, image_set(images), header.strategy)
            _require_same(path, header, expected, events)
            found[header.annotator] = events
    return found


def active(events: Sequence[Event]) -> list[Event]:
    """The events that were not undone, oldest first."""
    kept: list[Event] = []
    for event in events:
        if event["kind"] == "undo":
            kept.pop()
        else:
            kept.append(event)
    return kept


def asked_about(events: Iterable[Event]) -> set[str]:
    """File names of the images that events are about."""
    return {event["image"] for event in events if "image" in event}


def _open_locked(path: Path) -> int:
    def opened() -> int:
        path.parent.mkdir(exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)  # so that the new file's name survives a power cut
        os.close(folder)
        return file

    file = _writing(path, opened)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise InputError(
            f"{path}: expected a journal that nobody has open, found it in use by another server"
            " or notebook; close that, or take another annotator's name"
        ) from error
    return file


def _writing(path: Path, action: Callable[[], Result]) -> Result:
    """What `action` returns; a refusal of the operating system becomes an InputError."""
    try:
        return action()
    except OSError as error:
        raise InputError(
            f"{path}: could not be written: {error.strerror}; expected a folder that can be"
            " written, with free space"
        ) from error


def _parse(path: Path, data: bytes) -> tuple[Header | None, list[Event], int]:
    """Header, events, and the bytes that they take. An incomplete last line is left out."""
    size = data.rfind(b"\n") + 1
    start = json.dumps({"format": FORMAT})[:-1].encode()
    if not size and not start.startswith(data[: len(start)]):
        raise InputError(f"{path}: expected a format {FORMAT!r}, found {data[:60]!r}")
    header: Header | None = None
    events: list[Event] = []
    for number, line in enumerate(data[:size].split(b"\n")[:-1], 1):
        where = f"{path}: line {number}"
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: expected JSON, found {line[:60]!r}") from error
        if header is None:
            header = _header(where, content)
        elif isinstance(content, dict) and "format" in content:
            header = _joined(where, header, _header(where, content))
        else:
            _check_event(where, content, header, len(events) + 1)
            events.append(content)
    _check_undone(path, events)
    return header, events, size


def _header(where: str, content: Any) -> Header:
    keys = {"annotator": str, "images": dict, "strategy": str, "joints": list}
    found = content.get("format") if isinstance(content, dict) else content
    if re.fullmatch(rf"{FORMAT[:-1]}\d+", str(found)) and found != FORMAT:
        raise InputError(f"{where}: expected {FORMAT!r}, found {found!r}, made by a newer ordlib")
    if found != FORMAT:
        raise InputError(f"{where}: expected a format {FORMAT!r}, found {found!r}")
    for key, kind in keys.items():
        if not isinstance(content.get(key), kind):
            raise InputError(f"{where}: expected {key!r} in the header, found {content.get(key)!r}")
    values = {key: content[key] for key in keys}
    return Header(**{**values, "joints": tuple(content["joints"])})


def _joined(where: str, header: Header, later: Header) -> Header:
    """A header to which the images of a later one are added."""
    if later.annotator != header.annotator:
        raise InputError(
            f"{where}: expected answers of one annotator, {header.annotator!r}, found"
            f" {later.annotator!r}; each annotator has a file of their own"
        )
    if (later.joints, later.strategy) != (header.joints, header.strategy):
        raise InputError(f"{where}: expected the joints and the strategy of line 1, found others")
    return replace(header, images=header.images | later.images)


def _check_event(where: str, event: Any, header: Header, number: int) -> None:
    """Raise InputError unless this is a well-formed event, the `number`th of its journal."""
    if not isinstance(event, dict) or event.get("kind") not in _DETAILS:
        raise InputError(f"{where}: expected an event of kind {', '.join(_DETAILS)}, found {event}")
    if event.get("annotator") != header.annotator:
        raise InputError(
            f"{where}: expected answers of one annotator, {header.annotator!r}, found"
            f" {event.get('annotator')!r}; each annotator has a file of their own"
        )
    if event.get("n") != number:
        raise InputError(
            f"{where}: expected event number {number}, found {event.get('n')!r}: lines are"
            " missing, doubled or in another order"
        )
    for key in _DETAILS[event["kind"]]:
        if not _allowed(key, event.get(key), header):
            raise InputError(f"{where}: expected {_EXPECTED[key]}, found {event.get(key)!r}")
    if not isinstance(event.get("joints", ""), str):
        raise InputError(f"{where}: expected a digest of joints, found {event['joints']!r}")


_DETAILS: dict[str, tuple[str, ...]] = {
    "answer": ("image", "first", "second", "answer", "seconds"),
    "skip": ("image",),
    "joint": ("image", "joint", "point", "seconds"),
    "again": (),
    "undo": (),
}
_EXPECTED = {
    "image": "an image of the header",
    "first": "a joint of the header",
    "second": "a joint of the header",
    "joint": "a joint of the header",
    "answer": f"an answer of {', '.join(ANSWERS)}",
    "seconds": "seconds of 0 or more",
    "point": "a point [x, y] or null",
}


def _allowed(key: str, value: Any, header: Header) -> bool:
    if key == "seconds":
        return _is_number(value) and value >= 0
    if key == "point":
        return value is None or (
            isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
        )
    names = {"image": header.images, "answer": ANSWERS}.get(key, header.joints)
    return isinstance(value, str) and value in names


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9  # not true for NaN either


def _check_undone(path: Path, events: Sequence[Event]) -> None:
    balance = 0
    for number, event in enumerate(events, 2):
        balance += -1 if event["kind"] == "undo" else 1
        if balance < 0:
            raise InputError(f"{path}: line {number}: expected something to undo, found nothing")


def _require_same(path: Path, found: Header, expected: Header, events: Sequence[Event]) -> None:
    """Raise InputError unless a journal is about what it is opened for."""
    if found.annotator != expected.annotator:
        raise InputError(
            f"{path}: expected annotator {expected.annotator!r}, found {found.annotator!r}"
        )
    if found.joints != expected.joints:
        raise InputError(
            f"{path}: expected the joints {', '.join(expected.joints)},"
            f" found {', '.join(map(str, found.joints))}"
        )
    _require_images(path, found.images, expected.images, events)
    if found.strategy != expected.strategy:
        raise InputError(
            f"{path}: expected strategy {expected.strategy!r}, found {found.strategy!r};"
            f" continue with --strategy {found.strategy}"
        )


def _require_images(
    path: Path, found: dict[str, int], expected: dict[str, int], events: Sequence[Event]
) -> None:
    """Raise InputError if no image with events is in the folder, or if one of these has changed.

    Other images may come and go.
    """
    about = asked_about(active(events))
    if about and not about & expected.keys():
        raise InputError(
            f"{path}: expected answers about the {len(expected)} images of this folder, found"
            f" answers about others ({some(sorted(about))}); put other images into a folder of"
            " their own"
        )
    changed = sorted(name for name in about & expected.keys() if found[name] != expected[name])
    if changed:
        raise InputError(
            f"{path}: expected the images of the answers so far, found other files of the names"
            f" {some(changed)}; put them back, or give the new ones other names"
        )
