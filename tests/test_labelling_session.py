"""Sessions: order of questions, going back, putting aside, resuming, clicking, several people."""

import shutil
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labelling_folders import answer_truly, change_joints, make_folder, shown, true_relations, truth

from ordlib.errors import InputError
from ordlib.labelling.labels import CLICK_ORDER
from ordlib.labelling.messages import reply, spoken
from ordlib.labelling.session import Session, login_name
from ordlib.skeleton import LSP14

JOINTS = LSP14.joints


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "photos"


@pytest.fixture
def begin():
    """Sessions that are closed with the test."""
    sessions = []

    def open_session(*arguments, **options):
        sessions.append(Session(*arguments, **options))
        return sessions[-1]

    yield open_session
    for session in sessions:
        session.close()


def raw_answers(session):
    return [
        (event.image, event.first, event.second, event.answer)
        for event in session.labels.active
        if event.kind == "answer"
    ]


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.sampled_from(["answer"] * 3 + ["skip", "back", "again"]), max_size=24),
    seed=st.integers(0, 99),
)
def test_a_session_reopened_at_any_time_is_the_one_that_was_left(folder, begin, steps, seed):
    shutil.rmtree(folder, ignore_errors=True)
    ranks = make_folder(folder, seed=seed)
    session = begin(folder, "ann")
    for step in steps:
        now = shown(session)
        if step == "answer" and now:
            session.answer(truth(ranks[now[0]], *now[1:]), 2.0)
        elif step in ("back", "again") or (step == "skip" and now):
            getattr(session, step)()
        again = begin(folder, "ann")
        assert raw_answers(again) == raw_answers(session)
        assert again.progress() == session.progress() and again.current() == session.current()
        again.close()
    session.again()
    answer_truly(session, ranks)
    assert session.progress()["complete"] == 3 and session.progress()["share"] == 1
    relations, known = session.labels.directions()
    for row, name in enumerate(session.pictures.names):
        wrong = relations[row] != torch.tensor(true_relations(ranks[name]))
        assert not (wrong & known[row]).any()
    session.close()


def test_going_back_shows_the_question_again_across_images_and_pairs(folder, begin):
    ranks = make_folder(folder)
    session = begin(folder, "ann")
    asked = answer_truly(session, ranks, 20)
    next_one = shown(session)
    assert len({image for image, *_ in asked}) == 3
    for question in reversed(asked):
        session.back()
        assert shown(session) == question
    session.back()
    assert raw_answers(session) == []
    assert answer_truly(session, ranks, 20) == asked
    assert shown(session) == next_one
    kinds = Counter(event.kind for event in session.store.events())
    assert kinds == {"answer": 40, "undo": 20}
    before = raw_answers(session)
    session.back()
    session.answer("ambiguous", 1.0)
    assert raw_answers(session) == [*before[:-1], (*before[-1][:3], "ambiguous")]


def test_images_that_wait_for_a_pair_come_in_a_row_up_to_fifty(folder, begin):
    ranks = make_folder(folder, tuple(f"{number:03}.png" for number in range(52)))
    session = begin(folder, "ann")
    first = shown(session)[1:]
    assert session.current().group == (0, 50)
    asked = answer_truly(session, ranks, 30)
    assert {question[1:] for question in asked} == {first}
    assert session.current().group == begin(folder, "ann").current().group == (30, 50)
    asked += answer_truly(session, ranks, 21)
    assert [question[1:] == first for question in asked] == [True] * 50 + [False]
    asked += answer_truly(session, ranks, 60)
    runs = Counter(before[1:] == now[1:] for before, now in pairwise(asked))
    assert runs[True] > runs[False]


def test_an_image_put_aside_waits_until_all_are_taken_up(folder, begin):
    ranks = make_folder(folder)
    session = begin(folder, "ann")
    image = shown(session)[0]
    session.skip()
    assert image not in {question[0] for question in answer_truly(session, ranks)}
    assert session.current() is begin(folder, "ann").current() is None
    assert (session.progress()["complete"], session.progress()["aside"]) == (2, 1)
    assert reply(session, {"type": "state"})["aside"] == [image]
    session.again()
    assert {question[0] for question in answer_truly(session, ranks)} == {image}
    session.back()
    assert shown(session)[0] == image


def test_joints_that_are_missing_or_outside_are_not_asked_about(folder, begin):
    ranks = make_folder(folder)
    change_joints(folder, "a.png", "neck", (5000, 3))
    session = begin(folder, "ann")
    text = "2 of 42 joints without a position (ü jump.JPG); 1 of 42 joints outside their image"
    assert session.notes == [f"{folder / 'joints.csv'}: {text} (a.png)"]
    asked = answer_truly(session, ranks)
    assert not [q for q in asked if q[0] == "a.png" and "neck" in q]
    assert not [q for q in asked if q[0] == "ü jump.JPG" and {JOINTS[0], JOINTS[6]} & set(q)]
    assert session.progress()["complete"] == 3


def test_an_image_with_fewer_than_two_joints_is_named_and_not_complete(folder, begin):
    make_folder(folder)
    for joint in JOINTS[1:]:
        change_joints(folder, "a.png", joint, None)
    session = begin(folder, "ann")
    while shown(session):
        session.answer("closer", 1.0)
    counts = session.progress()
    assert (counts["complete"], counts["unusable"], counts["images"]) == (2, 1, 3)
    said = reply(session, {"type": "state"})
    assert "fewer than two joints, so nothing to ask: a.png" in said["notes"]


# joints that are clicked


def click_all(session, point=(20.0, 30.0), images=1):
    for k in range(images * len(JOINTS)):
        session.click((point[0] + k % len(JOINTS), point[1]), 1.0)


def test_joints_are_clicked_first_where_no_file_has_them(folder, begin):
    ranks = make_folder(folder, joints=False)
    places = {name: np.random.default_rng(1).uniform(5, 100, (14, 2)).round(2) for name in ranks}
    session = begin(folder, "ann")
    assert "so they are clicked first" in session.notes[0]
    prompted = []
    while (question := session.current()) and question.joint:
        name = session.pictures.names[question.row]
        prompted.append((name, question.joint))
        if len(prompted) == 20:  # in the middle of the second image
            session = begin(folder, "ann")
            assert session.current() == question
        point = tuple(places[name][JOINTS.index(question.joint)].tolist())
        for _ in range(1 + (len(prompted) % 9 == 0)):
            assert session.current() == question
            session.click(None if question.joint == "left_ankle" else point, 1.0)
            if len(prompted) % 9 == 0:
                session.back()
        if len(prompted) % 9 == 0:
            session.click(None if question.joint == "left_ankle" else point, 1.0)
    assert prompted == [(name, joint) for name in session.pictures.names for joint in CLICK_ORDER]
    asked = answer_truly(session, ranks)
    assert asked and not [question for question in asked if "left_ankle" in question]
    joints = session.labels.joints
    for row, name in enumerate(joints.names):
        expected = torch.tensor(places[name], dtype=torch.float32)
        assert joints.keypoints_px[row][joints.present[row]].equal(expected[joints.present[row]])


def test_images_that_the_file_lacks_are_clicked(folder, begin):
    make_folder(folder)
    for joint in JOINTS:
        change_joints(folder, "a.png", joint, None)
    session = begin(folder, "ann")
    assert "1 images without any joint (a.png)" in session.notes[0]
    assert session.progress()["complete"] == 0
    click_all(session)
    assert session.current().pair is not None


def test_joints_of_others_are_taken_over_while_they_click(folder, begin):
    make_folder(folder, ("one.png", "two.png"), joints=False)
    ann, bob = begin(folder, "ann"), begin(folder, "bob")
    click_all(bob)
    ann.click((5.0, 6.0), 1.0)  # ann had begun the first image too
    assert ann.pictures.names[ann.current().row] == "two.png"
    click_all(ann, (60.0, 30.0))
    bob.refresh()
    assert bob.current().pair and bob.labels.joints.keypoints_px.equal(
        ann.labels.joints.keypoints_px
    )
    bob.answer("closer", 1.0)
    ann.back()  # takes back the last click of the second image
    bob.refresh()
    assert bob.pictures.names[bob.current().row] == "two.png" and bob.current().joint
    assert bob.progress()["answers"] == 1


def test_answers_about_joints_that_were_taken_back_wait_until_they_are_clicked_again(folder, begin):
    make_folder(folder, ("one.png",), joints=False)
    ann, bob = begin(folder, "ann"), begin(folder, "bob")
    click_all(ann)
    bob.refresh()
    bob.answer("closer", 1.0)
    assert bob.labels.directions()[1].sum() == 2
    ann.back()
    for session in (bob, begin(folder, "bob")):
        session.refresh()
        assert not session.labels.directions()[1].any() and session.current().joint
    ann.click((3.0, 3.0), 1.0)
    bob.refresh()
    assert bob.labels.directions()[1].sum() == 2


def test_limbs_join_what_was_clicked(folder, begin):
    make_folder(folder, joints=False)
    session = begin(folder, "ann")
    sent = []
    for k, joint in enumerate(CLICK_ORDER[:6]):
        sent.append(reply(session, {"type": "state"})["limbs"])
        session.click(None if joint == "right_elbow" else (10.0 + k, 20.0), 1.0)
    limbs = reply(session, {"type": "state"})["limbs"]
    assert sent[:2] == [[], []]
    place = {joint: (10.0 + k, 20.0) for k, joint in enumerate(CLICK_ORDER[:6])}
    expected = [("neck", "head_top"), ("neck", "right_shoulder"), ("neck", "left_shoulder")]
    assert {frozenset(limb) for limb in limbs} == {
        frozenset((place[a], place[b])) for a, b in expected
    }


def test_clicks_outside_the_image_are_refused(folder, begin):
    make_folder(folder, joints=False)
    session = begin(folder, "ann")
    for point in ((-1.0, 5.0), (5.0, 1e4)):
        with pytest.raises(InputError, match=r"point: expected one inside 120 x 160"):
            session.click(point, 1.0)
    with pytest.raises(InputError, match="a question about a pair"):
        session.answer("closer", 1.0)
    assert session.store.events() == []


# folders that change


@pytest.mark.parametrize("place", [(3.0, 3.0), None])
def test_other_joints_than_those_answered_about_are_refused(folder, begin, place):
    ranks = make_folder(folder)
    session = begin(folder, "ann")
    answer_truly(session, ranks, 10)
    change_joints(folder, "a.png", "neck", place)
    message = r"joints\.csv: expected the joints of the answers so far, found others or none for 1"
    with pytest.raises(InputError, match=message):
        Session(folder, "ann")
    (folder / "joints.csv").unlink()
    with pytest.raises(InputError, match="joints: expected the joints of the answers so far"):
        Session(folder, "ann")


def test_an_image_that_is_gone_keeps_its_answers_and_counts_again_when_back(
    folder, begin, tmp_path
):
    ranks = make_folder(folder)
    answer_truly(begin(folder, "ann"), ranks, 12)
    events = begin(folder, "ann").store.events()
    others = sum(event.image != "a.png" for event in events)
    assert 0 < others < 12
    shutil.move(folder / "a.png", tmp_path / "a.png")
    session = begin(folder, "ann")
    gone = "gone: a.png; their answers are kept and count again once the files are back"
    assert gone in session.notes and session.progress()["answers"] == others
    answer_truly(session, ranks, 1)
    shutil.move(tmp_path / "a.png", folder / "a.png")
    session = begin(folder, "ann")
    assert session.progress()["answers"] == 13 and gone not in session.notes
    answer_truly(session, ranks)
    assert session.progress()["complete"] == 3


def test_an_answer_about_an_image_that_is_gone_is_not_taken_back(folder, begin):
    ranks = make_folder(folder)
    image = answer_truly(begin(folder, "ann"), ranks, 4)[-1][0]
    (folder / image).unlink()
    session = begin(folder, "ann")
    session.back()
    assert not session.can_go_back and len(session.store.events()) == 4


def test_an_image_that_is_new_joins(folder, begin):
    ranks = make_folder(folder)
    answer_truly(begin(folder, "ann"), ranks, 7)
    shutil.copy(folder / "a.png", folder / "c new.png")
    for k, joint in enumerate(JOINTS):
        change_joints(folder, "c new.png", joint, (10 + 3 * k, 50))
    session = begin(folder, "ann")
    assert (session.progress()["images"], session.progress()["answers"]) == (4, 7)
    answer_truly(session, {**ranks, "c new.png": ranks["a.png"]})
    assert session.progress()["complete"] == 4


# messages, and several windows


def test_messages_to_an_older_question_change_nothing(folder, begin):
    make_folder(folder)
    session = begin(folder, "ann")
    answer = {"type": "answer", "answer": "closer", "seconds": 1.5, "token": session.token}
    assert "notice" not in reply(session, answer)
    again = reply(session, answer)
    assert "answered elsewhere" in again["notice"]
    assert len(session.store.events()) == 1 and again["token"] == session.token


def test_two_programs_of_one_annotator_are_as_two_windows(folder, begin, monkeypatch):
    make_folder(folder)
    one, two = begin(folder, "ann"), begin(folder, "ann")
    message = {"type": "answer", "answer": "closer", "seconds": 1}
    stale = message | {"token": two.token}
    reply(one, message | {"token": one.token})
    assert "answered elsewhere" in reply(two, stale)["notice"]
    assert reply(two, {"type": "state"})["progress"] == reply(one, {"type": "state"})["progress"]
    stale = message | {"token": two.token}
    reply(one, message | {"token": one.token})
    with monkeypatch.context() as patch:  # between a look and a write
        patch.setattr(two, "refresh", lambda: None)
        assert reply(two, stale)["error"] == "This was answered in another window meanwhile."
    assert reply(two, {"type": "state"})["token"].endswith("-2")
    assert len(one.store.events()) == 2


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "answer", "answer": "maybe", "seconds": 1}, "answer is closer, farther or amb"),
        ({"type": "answer", "answer": "closer", "seconds": -1}, "seconds: expected a number from"),
        ({"type": "answer", "answer": "closer", "seconds": 10**400}, "seconds: expected a number"),
        ({"type": "answer", "answer": "closer", "seconds": True}, "seconds: expected a number"),
        ({"type": "answer", "answer": "closer"}, "seconds: expected a number"),
        ({"type": "answer", "answer": 10**400, "seconds": 1}, "answer is closer"),
        ({"type": "joint", "point": [1, 2], "seconds": 1}, "a question for a joint"),
        ({"type": "joint", "point": [1, "2"], "seconds": 1}, "point: expected [x, y]"),
        ({"type": "joint", "point": [1, 10**400], "seconds": 1}, "point: expected [x, y]"),
        ({"type": "joint", "point": [1, float("nan")], "seconds": 1}, "point: expected [x, y]"),
        ({"type": "erase"}, "expected a known type, found 'erase'"),
        ({"type": ["answer"]}, "expected a known type, found ['answer']"),
        ("answer", "expected a JSON object, found 'answer'"),
        ({"type": "export"}, "found none"),
    ],
)
def test_bad_messages_are_said_and_change_nothing(folder, begin, message, error):
    make_folder(folder)
    session = begin(folder, "ann")
    given = {**message, "token": session.token} if isinstance(message, dict) else message
    said = reply(session, given)
    assert error in said["error"]
    assert said["phase"] == "pair"
    assert session.store.events() == []


def test_answers_that_can_no_longer_be_read_are_said(folder, begin):
    make_folder(folder)
    session = begin(folder, "ann")
    session.close()
    said = reply(session, {"type": "state"})
    assert "answers.sqlite: expected a file of answers" in said["error"]
    assert said["phase"] == "pair"


def test_an_unknown_strategy(folder):
    make_folder(folder)
    with pytest.raises(InputError, match="expected one of all, insertion, kinematic, merge"):
        Session(folder, "bob", strategy="informed")


def test_who_nobody_is(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: {}["none"])
    assert login_name() == "annotator"


def test_joints_in_words():
    words = [spoken(joint) for joint in ("left_wrist", "head_top", "neck")]
    assert words == ["left wrist", "top of the head", "neck"]
    assert sorted(CLICK_ORDER) == sorted(JOINTS)
