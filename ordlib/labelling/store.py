"""Answers on disk: one SQLite file for a folder of pictures, to which rows are only ever added.

SQLite gives what annotation needs: an answer is on the disk before anybody is told so, a killed
process loses nothing, and several people and windows may write at once. To go back is a row too.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ordlib.errors import InputError
from ordlib.skeleton import LSP14

ANSWERS = {"closer": 1, "ambiguous": 0, "farther": -1}
"""Answers by name, as r(first, second) of Section 3.1."""

Point = tuple[float, float]
Clicks = Mapping[str, Point | None]
"""Points in an image by joint; None for a joint that is not there."""

_VERSION = 1
_JOINTS = ", ".join(f"'{joint}'" for joint in LSP14.joints)
_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS images (name TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS annotators (name TEXT PRIMARY KEY, strategy TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS events (
    n INTEGER PRIMARY KEY,
    annotator TEXT NOT NULL REFERENCES annotators (name),
    number INTEGER NOT NULL,
    time TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
    kind TEXT NOT NULL CHECK (kind IN ('answer', 'joint', 'skip', 'again', 'undo')),
    image TEXT REFERENCES images (name),
    first TEXT CHECK (first IN ({_JOINTS})),
    second TEXT CHECK (second IN ({_JOINTS}) AND second <> first),
    answer TEXT CONSTRAINT "answer is closer, farther or ambiguous"
        CHECK (answer IN ('closer', 'farther', 'ambiguous')),
    x REAL, y REAL,
    seconds REAL CHECK (seconds >= 0),
    joints TEXT,
    undoes INTEGER UNIQUE REFERENCES events (n),
    UNIQUE (annotator, number),
    CHECK ((kind = 'undo') = (undoes IS NOT NULL)),
    CHECK ((kind IN ('answer', 'joint', 'skip')) = (image IS NOT NULL)),
    CHECK ((kind IN ('answer', 'joint')) = (first IS NOT NULL AND seconds IS NOT NULL)),
    CHECK ((kind = 'answer') = (second IS NOT NULL AND answer IS NOT NULL)),
    CHECK ((x IS NULL) = (y IS NULL) AND (kind = 'joint' OR x IS NULL))
) STRICT;
CREATE VIEW IF NOT EXISTS active AS SELECT * FROM events WHERE kind <> 'undo'
    AND n NOT IN (SELECT undoes FROM events WHERE undoes IS NOT NULL);
PRAGMA user_version = {_VERSION};
COMMIT;
"""


@dataclass(frozen=True)
class Event:
    """What an annotator did: a row of the table `events`."""

    n: int  # order of all events of the folder
    annotator: str
    number: int  # order of this annotator's events, from 1
    time: str
    kind: str  # answer, joint (a click), skip (put aside), again (take all up), undo
    image: str | None = None
    first: str | None = None  # joint that was clicked, or first of the pair
    second: str | None = None
    answer: str | None = None  # a name in `ANSWERS`
    x: float | None = None  # None for a joint that is not there
    y: float | None = None
    seconds: float | None = None
    joints: str | None = None  # digest of the joints that were answered about
    undoes: int | None = None

    @property
    def point(self) -> Point | None:
        """Where a joint was clicked, pixels."""
        return None if self.x is None or self.y is None else (self.x, self.y)


class Store:
    """The answers of all annotators of a folder, in `annotations/answers.sqlite` below it.

    Attributes:
        path: the file.
    """

    def __init__(self, folder: Path, images: Mapping[str, int]) -> None:
        """Open or make it; `images` are the names and sizes in bytes of the folder's pictures.

        Raises:
            InputError: a file that is damaged, newer, cannot be written, or is about other images.
        """
        self.path = folder / "annotations" / "answers.sqlite"
        self._images = images
        try:
            self.path.parent.mkdir(exist_ok=True)
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise InputError(f"{self.path}: expected version {_VERSION}, found {version}")
            # EXTRA is FULL that also survives a power cut just after the commit; without WAL the
            # answers are one file, which can be copied
            self._db.executescript("PRAGMA synchronous = EXTRA; PRAGMA foreign_keys = ON;")
            if version == 0:
                self._db.executescript(_TABLES)
            self._require_images()
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> InputError:
        return InputError(
            f"{self.path}: expected a file of answers in a folder that can be written, with free"
            f" space, found: {error}"
        )

    def _require_images(self) -> None:
        """Raise InputError if none of the images with events is here, or if one has changed."""
        query = "SELECT name, bytes FROM images WHERE name IN (SELECT image FROM active)"
        sizes = dict(self._db.execute(query))
        here = sizes.keys() & self._images.keys()
        if sizes and not here:
            raise InputError(
                f"{self.path}: expected answers about the {len(self._images)} images of this"
                f" folder, found answers about others ({some(sorted(sizes))}); put other images"
                " into a folder of their own"
            )
        changed = sorted(name for name in here if sizes[name] != self._images[name])
        if changed:
            raise InputError(
                f"{self.path}: expected the images of the answers so far, found other files of the"
                f" names {some(changed)}; put them back, or give the new ones other names"
            )

    def strategy(self, annotator: str, wanted: str | None) -> str:
        """The rule that chooses an annotator's questions: that of earlier answers, else `wanted`,
        else kinematic.

        Raises:
            InputError: another one is wanted than that of earlier answers; no name.
        """
        if not (0 < len(annotator.strip()) <= 60 and annotator.isprintable()):
            raise InputError(
                f"--annotator: expected a name of 1 to 60 characters, found {annotator!r}"
            )
        add = "INSERT OR IGNORE INTO annotators VALUES (?, ?)"
        self._write((add, [annotator, wanted or "kinematic"]))
        query = "SELECT strategy FROM annotators WHERE name = ?"
        ((strategy,),) = self._read(query, annotator)
        if wanted not in (None, strategy):
            raise InputError(
                f"strategy: expected {strategy}, as {annotator} began with, found {wanted}"
            )
        return str(strategy)

    def add(self, annotator: str, number: int, kind: str, **details: object) -> None:
        """Keep an event, the annotator's `number`th; it is on the disk when this returns.

        Raises:
            InputError: it is not; the file is as it was then.
        """
        values = {"annotator": annotator, "number": number, "kind": kind, **details}
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        statements = [(f"INSERT INTO events ({columns}) VALUES ({marks})", [*values.values()])]
        if name := details.get("image"):
            image = (
                "INSERT INTO images VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes"
            )
            statements.insert(0, (image, [name, self._images[str(name)]]))
        self._write(*statements)

    def _write(self, *statements: tuple[str, list[object]]) -> None:
        """Do all of it or, if that fails, nothing."""
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                for statement, values in statements:
                    self._db.execute(statement, values)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorname == "SQLITE_CONSTRAINT_UNIQUE":
                raise InputError("This was answered in another window meanwhile.") from error
            raise InputError(f"{self.path}: {error}") from error
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _read(self, query: str, *values: object) -> list[tuple[object, ...]]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def events(self, after: int = 0) -> list[Event]:
        """Everybody's events, those that were undone too, from a place on."""
        rows = self._read("SELECT * FROM events WHERE n > ? ORDER BY n", after)
        return [Event(*row) for row in rows]  # type: ignore[arg-type]

    def clicked(self) -> dict[str, Clicks]:
        """The joints of each image that somebody has clicked to the last one, those of the first
        who had."""
        clicks: dict[tuple[object, object], dict[str, Point | None]] = defaultdict(dict)
        complete: dict[str, Clicks] = {}
        for row in self._read("SELECT * FROM active WHERE kind = 'joint' ORDER BY n"):
            event = Event(*row)  # type: ignore[arg-type]
            points = clicks[event.image, event.annotator]
            points[str(event.first)] = event.point
            if len(points) == len(LSP14):
                complete.setdefault(str(event.image), points)
        return complete

    def close(self) -> None:
        """Close the file. Nothing waits to be written."""
        self._db.close()


def some(names: list[str]) -> str:
    """The first three names."""
    return ", ".join([*names[:3], *(["…"] if len(names) > 3 else [])])
