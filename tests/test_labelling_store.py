"""Answers on disk: no kill and no full disk loses one, bad ones are refused."""

import itertools
import os
import resource
import shutil
import signal
import sqlite3
import threading
import time

import pytest

from ordlib.errors import InputError
from ordlib.labelling.store import Store

IMAGES = {"a.jpg": 10, "b.jpg": 20}
ANSWER = {"image": "a.jpg", "first": "neck", "second": "left_wrist", "answer": "closer"}


def opened(folder, images=IMAGES, annotator="ann"):
    store = Store(folder, images)
    store.strategy(annotator, None)
    return store


def filled(folder, count=3):
    """A closed store of `count` answers; its file."""
    store = opened(folder)
    for number in range(1, count + 1):
        store.add("ann", number, "answer", **ANSWER, seconds=number + 0.5)
    store.close()
    return store.path


def test_what_was_added_is_read_back(tmp_path):
    filled(tmp_path)
    store = opened(tmp_path)
    events = store.events()
    assert [(e.n, e.number, e.seconds) for e in events] == [(1, 1, 1.5), (2, 2, 2.5), (3, 3, 3.5)]
    assert {(e.annotator, e.kind, e.image, e.answer) for e in events} == {
        ("ann", "answer", "a.jpg", "closer")
    }
    assert all(event.time.endswith("Z") for event in events)
    assert store.events(after=2) == events[2:]


def test_an_undone_event_is_kept_and_undone_once(tmp_path):
    filled(tmp_path)
    store = opened(tmp_path)
    store.add("ann", 4, "undo", undoes=3)
    with pytest.raises(InputError, match="in another window"):
        store.add("ann", 5, "undo", undoes=3)
    assert [event.kind for event in store.events()] == ["answer"] * 3 + ["undo"]


def test_the_number_of_an_event_is_taken_once(tmp_path):
    """Two windows of one annotator, or two programs, cannot both answer one question."""
    first, second = opened(tmp_path), opened(tmp_path)
    first.add("ann", 1, "answer", **ANSWER, seconds=1)
    with pytest.raises(InputError, match="answered in another window"):
        second.add("ann", 1, "answer", **ANSWER, seconds=2)
    second.strategy("bob", "merge")
    second.add("bob", 1, "answer", **ANSWER, seconds=2)
    assert [(e.annotator, e.seconds) for e in first.events()] == [("ann", 1), ("bob", 2)]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "delete"},
        {"image": None},
        {"first": "tail"},
        {"second": "neck"},
        {"second": None},
        {"answer": "nearer"},
        {"seconds": -1.0},
        {"seconds": None},
        {"seconds": float("nan")},
        {"seconds": "long"},
        {"x": 3.0},
        {"x": 3.0, "y": 4.0},
        {"undoes": 1},
        {"kind": "undo"},
        {"kind": "again"},
        {"kind": "joint", "x": 1.0},
        {"annotator": "nobody"},
    ],
)
def test_an_event_that_is_none_is_refused_and_changes_nothing(tmp_path, change):
    before = filled(tmp_path).read_bytes()
    store = opened(tmp_path)
    values = {"annotator": "ann", "kind": "answer", **ANSWER, "seconds": 1.0} | change
    with pytest.raises(InputError, match=r"answers\.sqlite: "):
        store.add(values.pop("annotator"), 4, **values)
    assert store.path.read_bytes() == before


def forked(work):
    """A process that adds events and writes the number of each that was kept; its id and pipe."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, os.fdopen(reading)
    try:
        work(lambda said: os.write(writing, f"{said}\n".encode()))
    finally:
        os._exit(0)


def skip_on(folder, say, begin=lambda store: None):
    store = opened(folder, {"a.jpg": 10})
    begin(store)
    for number in itertools.count(1):
        try:
            store.add("ann", number, "skip", image="a.jpg")
        except InputError as error:
            return say(error)
        say(number)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forks beside threads
def test_a_kill_at_any_moment_loses_nothing_that_was_said(tmp_path):
    for attempt in range(12):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        process, pipe = forked(lambda say, folder=folder: skip_on(folder, say))
        assert pipe.readline() == "1\n"
        time.sleep(0.0137 * attempt)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        with pipe:
            said = [1, *map(int, pipe.read().split())]
        store = opened(folder, {"a.jpg": 10})
        numbers = [event.number for event in store.events()]
        assert numbers[: len(said)] == said and len(numbers) <= len(said) + 1
        store.add("ann", len(numbers) + 1, "skip", image="a.jpg")
        store.close()


def no_more_space(store):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = store.path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_full_disk_is_a_message_and_loses_nothing_that_was_said(tmp_path):
    process, pipe = forked(lambda say: skip_on(tmp_path, say, no_more_space))
    with pipe:
        *said, error = pipe.read().splitlines()
    os.waitpid(process, 0)
    assert "answers.sqlite: expected a file" in error and "with free space, found: " in error
    store = opened(tmp_path, {"a.jpg": 10})
    assert [str(event.number) for event in store.events()] == said
    store.add("ann", len(said) + 1, "skip", image="a.jpg")


def test_two_annotators_at_once_lose_nothing(tmp_path):
    def work(name):
        store = opened(tmp_path, annotator=name)
        for number in range(1, 31):
            store.add(name, number, "skip", image="a.jpg")

    threads = [threading.Thread(target=work, args=(name,)) for name in ("ann", "bob", "cy")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened(tmp_path).events()) == 90


def test_the_file_alone_is_a_copy(tmp_path):
    path = filled(tmp_path)
    (tmp_path / "copy" / "annotations").mkdir(parents=True)
    shutil.copy(path, tmp_path / "copy" / "annotations")
    assert opened(tmp_path / "copy").events() == opened(tmp_path).events()
    assert os.listdir(path.parent) == ["answers.sqlite"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({"a.jpg": 11, "c.jpg": 20}, r"other files of the names a\.jpg; put them back"),
        ({"c.jpg": 20}, r"the 1 images of this folder, found answers about others \(a\.jpg\)"),
    ],
)
def test_other_images_are_refused(tmp_path, images, message):
    filled(tmp_path)
    with pytest.raises(InputError, match=message):
        Store(tmp_path, images)


def test_images_without_answers_may_change_and_all_may_come_and_go(tmp_path):
    filled(tmp_path)
    store = opened(tmp_path, {"a.jpg": 10, "b.jpg": 21, "c.jpg": 30})
    store.add("ann", 4, "skip", image="b.jpg")
    store.close()
    opened(tmp_path, {"b.jpg": 21}).close()
    with pytest.raises(InputError, match=r"other files of the names b\.jpg"):
        opened(tmp_path)


def damage(path):
    path.write_bytes(b"SQLite format 3\0" + bytes(100) + path.read_bytes()[116:])


def newer(path):
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_text("no database" * 100), "not a database"),
        (damage, "found: "),
        (newer, "version 1, found 2"),
        (lambda path: (path.unlink(), path.mkdir()), "unable to open"),
        (lambda path: (path.unlink(), path.parent.rmdir(), path.parent.write_text("")), "exists"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, change, message):
    change(filled(tmp_path))
    with pytest.raises(InputError, match=rf"answers\.sqlite: expected .*{message}"):
        opened(tmp_path)


def test_the_strategy_stays(tmp_path):
    store = opened(tmp_path)
    assert store.strategy("bob", "merge") == store.strategy("bob", None) == "merge"
    with pytest.raises(InputError, match="strategy: expected kinematic, as ann began with"):
        store.strategy("ann", "merge")


@pytest.mark.parametrize("name", ["ann", "Łukasz K.", "me@home", "CORP\\jane", "../x", "7"])
def test_names_of_annotators(tmp_path, name):
    assert Store(tmp_path, IMAGES).strategy(name, None) == "kinematic"


@pytest.mark.parametrize("name", ["", " ", "a\n", "x" * 61, "\udcff"])
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(InputError, match="--annotator: expected a name"):
        Store(tmp_path, IMAGES).strategy(name, None)
