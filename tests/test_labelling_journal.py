"""The journal: what is lost by a kill (nothing), and which files are refused."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordlib.errors import InputError
from ordlib.labelling.journal import (
    FORMAT,
    Header,
    Journal,
    active,
    journal_path,
    read_journal,
    read_journals,
)
from ordlib.skeleton import LSP14

HEADER = Header("ann", {"a.jpg": 10, "b.jpg": 20})
ANSWER = {"image": "a.jpg", "first": "neck", "second": "left_wrist", "answer": "closer"}


def written(path, count=3):
    """A journal of `count` answers, closed; its events."""
    journal = Journal(path, HEADER)
    for second in range(count):
        journal.append("answer", **ANSWER, seconds=second + 0.5)
    journal.close()
    return journal.events


@pytest.fixture
def path(tmp_path):
    return tmp_path / "annotations" / "ann.jsonl"


@pytest.fixture
def fast(monkeypatch):
    """Many journals in a row: the kernel keeps what is written, the disk need not."""
    monkeypatch.setattr("os.fsync", lambda file: None)


def test_what_was_added_is_read_back(path):
    events = written(path)
    header, found = read_journal(path)
    assert header == HEADER
    assert found == events
    assert [event["seconds"] for event in found] == [0.5, 1.5, 2.5]
    assert all(event["time"].endswith("+00:00") for event in found)


def test_each_event_is_on_the_disk_before_it_is_returned(path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr("os.fsync", lambda file: (synced.append(path.read_bytes()), real(file)))
    journal = Journal(path, HEADER)
    event = journal.append("answer", **ANSWER, seconds=1)
    assert json.loads(synced[-1].splitlines()[-1]) == event
    journal.close()


def test_cut_at_every_byte_of_the_last_line_earlier_answers_are_there(path, fast):
    events = written(path)
    data = path.read_bytes()
    last = data[:-1].rfind(b"\n") + 1
    for cut in range(last, len(data)):
        path.write_bytes(data[:cut])
        journal = Journal(path, HEADER)
        assert journal.events == events[:2]
        journal.append("skip", image="b.jpg")
        journal.close()
        assert [event["kind"] for event in read_journal(path)[1]] == ["answer", "answer", "skip"]


def test_cut_in_the_first_line_begins_anew(path, fast):
    written(path, 0)
    data = path.read_bytes()
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        Journal(path, HEADER).close()
        assert path.read_bytes() == data


def test_zeros_that_a_power_cut_leaves_at_the_end_are_cut_off(path):
    events = written(path)
    path.write_bytes(path.read_bytes() + bytes(512))
    journal = Journal(path, HEADER)
    assert journal.events == events
    journal.close()


def test_two_cannot_write_one_journal(path):
    journal = Journal(path, HEADER)
    with pytest.raises(InputError, match=r"ann\.jsonl: expected a journal that nobody has open"):
        Journal(path, HEADER)
    program = (
        "from pathlib import Path; from ordlib.labelling.journal import *;"
        f"Journal(Path({str(path)!r}), Header('ann', {HEADER.images}))"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "in use by another server or notebook" in other.stderr
    journal.close()
    Journal(path, HEADER).close()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (Header("bob", HEADER.images), "expected annotator 'bob', found 'ann'"),
        (Header("ann", {"a.jpg": 11, "c.jpg": 20}), r"other files of the names a\.jpg; put"),
        (Header("ann", {"c.jpg": 20}), r"the 1 images of this folder, .* about others \(a\.jpg\)"),
        (
            Header("ann", HEADER.images, joints=LSP14.joints[::-1]),
            "expected the joints head_top, neck.*found right_ankle, right_knee",
        ),
        (Header("ann", HEADER.images, "merge"), "continue with --strategy kinematic"),
    ],
)
def test_a_journal_about_something_else_is_refused_and_unchanged(path, header, message):
    written(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=message):
        Journal(path, header)
    assert path.read_bytes() == before
    Journal(path, HEADER).close()


def _changed(**changes):
    return lambda event: {**event, **changes}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_changed(annotator="bob"), "line 3: expected answers of one annotator, 'ann', found 'bob"),
        (_changed(n=3), "line 3: expected event number 2, found 3: lines are missing"),
        (_changed(kind="delete"), "line 3: expected an event of kind answer, skip, joint"),
        (_changed(image="z.jpg"), "line 3: expected an image of the header, found 'z.jpg'"),
        (_changed(first="tail"), "line 3: expected a joint of the header, found 'tail'"),
        (_changed(answer="nearer"), "line 3: expected an answer of closer, ambiguous, farther"),
        (_changed(answer=["closer"]), "line 3: expected an answer"),
        (_changed(seconds=float("nan")), "line 3: expected seconds of 0 or more, found nan"),
        (_changed(seconds=True), "line 3: expected seconds of 0 or more, found True"),
        (
            lambda event: {"format": FORMAT, **vars(HEADER), "annotator": "bob"},
            "line 3: expected answers of one annotator, 'ann', found 'bob'",
        ),
        (
            lambda event: {"format": FORMAT, **vars(HEADER), "strategy": "all"},
            "line 3: expected the joints and the strategy of line 1, found others",
        ),
        (_changed(joints=3), "line 3: expected a digest of joints, found 3"),
        (lambda event: 7, "line 3: expected an event of kind"),
    ],
)
def test_a_damaged_line_is_named_and_nothing_changes(path, change, message):
    events = written(path)
    lines = path.read_text().splitlines()
    lines[2] = json.dumps(change(events[1]))
    path.write_text("\n".join(lines) + "\n")
    before = path.read_bytes()
    with pytest.raises(InputError, match=message):
        Journal(path, HEADER)
    assert path.read_bytes() == before


def test_answers_of_two_annotators_in_one_file_are_refused(path, tmp_path):
    written(path)
    other = Journal(journal_path(tmp_path, "bob"), Header("bob", HEADER.images))
    other.append("answer", **ANSWER, seconds=1)
    other.close()
    path.write_bytes(path.read_bytes() + other.path.read_bytes())
    with pytest.raises(InputError, match="line 5: expected answers of one annotator, 'ann'"):
        Journal(path, HEADER)
    without_header = other.path.read_bytes().split(b"\n", 1)[1]
    written_before = path.read_bytes()[: -len(other.path.read_bytes())]
    path.write_bytes(written_before + without_header)
    with pytest.raises(InputError, match="'ann', found 'bob'; each annotator has a file"):
        Journal(path, HEADER)


def test_images_may_join_and_be_gone(path):
    events = written(path)
    first = Journal(path, HEADER)
    first.close()
    later = Journal(path, Header("ann", {"a.jpg": 10, "c.jpg": 30}))
    later.append("skip", image="c.jpg")
    later.close()
    assert later.id == first.id
    header, found = read_journal(path)
    assert header.images == later.header.images == {"a.jpg": 10, "b.jpg": 20, "c.jpg": 30}
    assert found[:3] == events and found[3]["n"] == 4
    size = path.stat().st_size
    Journal(path, HEADER).close()  # c.jpg is gone: nothing to say
    assert path.stat().st_size == size


def test_an_image_without_answers_may_change(path):
    written(path)
    changed = Header("ann", {"a.jpg": 10, "b.jpg": 21})
    Journal(path, changed).close()
    assert read_journal(path)[0].images["b.jpg"] == 21


def test_a_journal_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path.name}: could not be read"):
        read_journal(tmp_path)


def test_a_journal_takes_the_place_of_an_open_one_and_keeps_its_lock(path):
    first = Journal(path, HEADER)
    second = Journal(path, HEADER, instead_of=first)
    first.close()
    with pytest.raises(InputError, match="nobody has open"):
        Journal(path, HEADER)
    second.append("skip", image="b.jpg")
    second.close()
    third = Journal(path, HEADER, instead_of=second)  # closed: opened anew
    assert [event["kind"] for event in third.events] == ["skip"]
    third.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{FORMAT[:-1]}2", "expected .*version 1', found .*version 2', made by a newer ordlib"),
        (f"{FORMAT[:-1]}x", "expected a format"),
    ],
)
def test_a_journal_of_a_later_version(path, content, message):
    path.parent.mkdir()
    path.write_text(json.dumps({"format": content}) + "\n")
    with pytest.raises(InputError, match=message):
        Journal(path, HEADER)


def test_a_folder_or_nested_brackets_in_place_of_a_journal(path):
    path.mkdir(parents=True)
    with pytest.raises(InputError, match=r"ann\.jsonl: could not be written: Is a directory"):
        Journal(path, HEADER)
    assert read_journals(path.parents[1], []) == {}
    path.rmdir()
    path.write_text("[" * 60_000 + "\n")
    with pytest.raises(InputError, match="line 1: expected JSON"):
        Journal(path, HEADER)


@pytest.mark.parametrize("content", ["no journal", "no journal\n", '{"a": 1}\n', "[]\n", "\x00"])
def test_a_file_that_is_no_journal_is_not_written_over(path, content):
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(InputError, match=r"ann\.jsonl: .*expected"):
        Journal(path, HEADER)
    assert path.read_text() == content


def test_more_undone_than_done_is_refused(path):
    written(path, 1)
    journal = Journal(path, HEADER)
    journal.append("undo")
    journal.append("undo")
    journal.close()
    with pytest.raises(InputError, match="line 4: expected something to undo"):
        Journal(path, HEADER)


def test_a_closed_journal_takes_nothing(path):
    events = written(path)
    journal = Journal(path, HEADER)
    journal.close()
    journal.close()
    with pytest.raises(InputError, match="expected an open journal, found one that was closed"):
        journal.append("skip", image="a.jpg")
    assert read_journal(path)[1] == events == journal.events


def test_a_full_disk_is_a_message_and_leaves_the_journal_whole(path, monkeypatch):
    events = written(path)
    journal = Journal(path, HEADER)
    real = os.write

    def half(file, data):
        if len(data) < 40:
            raise OSError(28, "No space left on device")
        return real(file, data[: len(data) // 2])

    monkeypatch.setattr("os.write", half)
    with pytest.raises(InputError, match="could not be written: No space left on device"):
        journal.append("answer", **ANSWER, seconds=9)
    monkeypatch.undo()
    assert journal.events == events
    assert read_journal(path)[1] == events
    journal.append("answer", **ANSWER, seconds=9)
    journal.close()
    assert len(read_journal(path)[1]) == 4


def test_a_folder_that_cannot_be_written_is_said_at_once(path, monkeypatch):
    path.parent.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"ann\.jsonl: could not be written: .*expected a folder"):
        Journal(path, HEADER)
    path.parent.unlink()

    def read_only(*args):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("os.open", read_only)
    with pytest.raises(InputError, match="could not be written: Read-only file system"):
        Journal(path, HEADER)


@pytest.mark.parametrize("name", ["ann", "Łukasz K.", "me@home", "a-b_c+d", "7"])
def test_names_of_annotators(tmp_path, name):
    assert journal_path(tmp_path, name).name == f"{name}.jsonl"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", ".x", "a\n", "x" * 61, "a "]
)
def test_names_that_can_name_no_file(tmp_path, name):
    with pytest.raises(InputError, match="annotator: expected 1 to 60"):
        journal_path(tmp_path, name)


@given(st.lists(st.booleans(), max_size=30))
def test_undo_takes_back_the_last_that_is_left(steps):
    stack, events = [], []
    for number, undo in enumerate(steps):
        if undo and stack:
            stack.pop()
            events.append({"kind": "undo"})
        else:
            stack.append({"kind": "skip", "n": number})
            events.append(stack[-1])
    assert active(events) == stack
