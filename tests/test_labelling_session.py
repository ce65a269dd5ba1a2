"""Sessions: order of questions, going back, putting aside, resuming, clicking, export."""

import json
import shutil
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labelling_folders import answer_truly, make_folder, shown, true_relations, truth

from ordlib.datasets import lsp_mpii_ordinal
from ordlib.errors import InputError
from ordlib.labelling.exporting import combine, export_folder
from ordlib.labelling.files import read_joints
from ordlib.labelling.joints import find_joints
from ordlib.labelling.labels import CLICK_ORDER
from ordlib.labelling.messages import reply, spoken
from ordlib.labelling.session import Session
from ordlib.skeleton import LSP14

JOINTS = LSP14.joints


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda file: None)
    return tmp_path / "photos"


def raw_answers(session):
    return [
        (event["image"], event["first"], event["second"], event["answer"])
        for event in session.labels.active
        if event["kind"] == "answer"
    ]


@pytest.mark.parametrize("strategy", ["kinematic", "insertion", "merge", "all"])
def test_export_holds_the_relations_that_were_seen(folder, strategy):
    ranks = make_folder(folder)
    session = Session(folder, "ann", strategy=strategy)
    asked = answer_truly(session, ranks)
    assert len(set(asked)) == len(asked)
    assert session.progress()["complete"] == 3
    assert session.progress()["questions_left"] == 0
    session.close()
    exported = export_folder(folder)
    assert (exported.images, exported.answers) == (3, len(asked))
    batch = lsp_mpii_ordinal.load(exported.folder).batch([0, 1, 2])
    names = lsp_mpii_ordinal.load(exported.folder).skeleton.joints
    given = read_joints(folder / "joints.json", session.images)
    for row, path in enumerate(session.images):
        true = true_relations(ranks[path.name])
        for i, j in np.ndindex(14, 14):
            at = (names.index(_h36m(JOINTS[i])), names.index(_h36m(JOINTS[j])))
            both = bool(given.present[row, i] & given.present[row, j]) and i != j
            assert bool(batch.annotated[row][at]) == both
            assert not both or int(batch.relations[row][at]) == true[i, j]


def _h36m(joint):
    return "thorax" if joint == "neck" else joint


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.sampled_from(["answer", "answer", "answer", "skip", "back", "again"]), max_size=60
    ),
    seed=st.integers(0, 99),
)
def test_a_session_reopened_at_any_time_is_the_one_that_was_left(folder, steps, seed):
    shutil.rmtree(folder, ignore_errors=True)
    ranks = make_folder(folder, seed=seed)
    session = Session(folder, "ann")
    for step in steps:
        now = shown(session)
        if step == "answer" and now:
            session.answer(truth(ranks[now[0]], *now[1:]), 2.0)
        elif step == "skip" and now:
            session.skip()
        elif step == "back":
            session.back()
        elif step == "again":
            session.again()
        session.close()
        left, progress = raw_answers(session), session.progress()
        session = Session(folder, "ann")
        assert raw_answers(session) == left
        assert session.progress() == progress
    session.again()
    answer_truly(session, ranks)
    assert session.progress()["complete"] == 3
    relations, known = session.labels.directions()
    for row, path in enumerate(session.images):
        wrong = relations[row] != torch.tensor(true_relations(ranks[path.name]))
        assert not (wrong & known[row]).any()
    session.close()


def test_going_back_shows_the_question_again_across_images_and_pairs(folder):
    ranks = make_folder(folder)
    session = Session(folder, "ann")
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
    kinds = Counter(event["kind"] for event in session.journal.events)
    assert kinds == {"answer": 40, "undo": 20}
    session.close()


def test_a_changed_mind_changes_only_that_answer(folder):
    ranks = make_folder(folder)
    session = Session(folder, "ann")
    answer_truly(session, ranks, 5)
    before = raw_answers(session)
    session.back()
    session.answer("ambiguous", 1.0)
    assert raw_answers(session) == [*before[:-1], (*before[-1][:3], "ambiguous")]
    session.close()


def test_images_that_wait_for_a_pair_come_in_a_row_up_to_fifty(folder):
    names = tuple(f"{number:03}.png" for number in range(60))
    ranks = make_folder(folder, names)
    session = Session(folder, "ann")
    first = shown(session)[1:]
    assert session.group() == (0, 50)
    asked = answer_truly(session, ranks, 30)
    assert {question[1:] for question in asked} == {first}
    assert session.group() == (30, 50)
    session.close()
    session = Session(folder, "ann")
    assert session.group() == (30, 50)
    asked += answer_truly(session, ranks, 21)
    assert [question[1:] == first for question in asked] == [True] * 50 + [False]
    runs = Counter()
    asked += answer_truly(session, ranks)
    for before, now in pairwise(asked):
        runs["same" if before[1:] == now[1:] else "other"] += 1
    assert runs["same"] > runs["other"]
    session.close()


def test_an_image_put_aside_comes_once_more_at_the_end(folder):
    ranks = make_folder(folder)
    session = Session(folder, "ann")
    image = shown(session)[0]
    session.skip()
    asked = []
    while shown(session)[0] != image:
        asked += answer_truly(session, ranks, 1)
    assert session.progress()["complete"] == 2
    session.skip()
    assert session.current() is None
    assert session.progress()["aside"] == 1
    session.close()
    session = Session(folder, "ann")
    assert session.current() is None
    session.again()
    assert {question[0] for question in answer_truly(session, ranks)} == {image}
    session.back()
    assert shown(session)[0] == image
    session.close()


def test_joints_that_are_missing_or_outside_are_not_asked_about(folder):
    ranks = make_folder(folder)
    content = json.loads((folder / "joints.json").read_text())
    content["images"]["a.png"]["neck"] = [5000, 3]
    (folder / "joints.json").write_text(json.dumps(content))
    session = Session(folder, "ann")
    assert session.joints.problems() == (
        "2 of 42 joints without a position (ü jump.JPG); 1 of 42 joints outside their image (a.png)"
    )
    asked = answer_truly(session, ranks)
    assert not [q for q in asked if q[0] == "a.png" and "neck" in q]
    last = session.images[-1].name
    assert not [q for q in asked if q[0] == last and {JOINTS[0], JOINTS[6]} & set(q)]
    assert session.progress()["complete"] == 3
    session.close()


def test_joints_that_vanish_after_answers_are_a_message(folder):
    ranks = make_folder(folder)
    session = Session(folder, "ann")
    _, first, _ = answer_truly(session, ranks, 1)[0]
    session.close()
    content = json.loads((folder / "joints.json").read_text())
    for places in content["images"].values():
        places[first] = None
    (folder / "joints.json").write_text(json.dumps(content))
    message = r"joints\.json: expected the joints of the 1 answers .* 1 of 3 images \(first: a\.png"
    with pytest.raises(InputError, match=message):
        Session(folder, "ann")


def test_joints_are_clicked_first_where_no_file_has_them(folder):
    ranks = make_folder(folder, joints=False)
    places = {name: np.random.default_rng(1).uniform(5, 100, (14, 2)).round(2) for name in ranks}
    session = Session(folder, "ann")
    prompted = []
    while (question := session.current()) and question.joint:
        name = session.images[question.row].name
        prompted.append((name, question.joint))
        if len(prompted) == 20:
            session.close()  # in the middle of the second image
            session = Session(folder, "ann")
            assert session.current() == question
        point = places[name][JOINTS.index(question.joint)].tolist()
        session.click(None if question.joint == "left_ankle" else point, 1.0)
        if len(prompted) % 9 == 0:
            session.back()
            assert session.current() == question
            session.click(None if question.joint == "left_ankle" else point, 1.0)
    assert prompted == [(path.name, joint) for path in session.images for joint in CLICK_ORDER]
    asked = answer_truly(session, ranks)
    assert asked and not [question for question in asked if "left_ankle" in question]
    session.close()
    exported = export_folder(folder)
    clicked = read_joints(exported.folder / "joints.json", session.images)
    assert not clicked.present[:, JOINTS.index("left_ankle")].any()
    for row, path in enumerate(session.images):
        expected = torch.tensor(places[path.name], dtype=torch.float32)
        assert torch.equal(clicked.keypoints_px[row][clicked.present[row]][0], expected[0])
    other = Session(folder, "bob")  # takes over the joints that ann clicked
    assert other.current().pair is not None
    assert torch.equal(other.labels.present, clicked.present)
    other.close()


def test_limbs_join_what_was_clicked(folder):
    make_folder(folder, joints=False)
    session = Session(folder, "ann")
    sent = []
    for k, joint in enumerate(CLICK_ORDER[:6]):
        sent.append(reply(session, {"type": "state"})["limbs"])
        session.click(None if joint == "right_elbow" else [10.0 + k, 20.0], 1.0)
    limbs = reply(session, {"type": "state"})["limbs"]
    session.close()
    assert sent[:2] == [[], []]
    place = {joint: [10.0 + k, 20.0] for k, joint in enumerate(CLICK_ORDER[:6])}
    expected = [("neck", "head_top"), ("neck", "right_shoulder"), ("neck", "left_shoulder")]
    found = {frozenset(map(tuple, limb)) for limb in limbs}
    assert found == {frozenset((tuple(place[a]), tuple(place[b]))) for a, b in expected}


def test_clicks_outside_the_image_are_refused(folder):
    make_folder(folder, joints=False)
    session = Session(folder, "ann")
    for point in ([-1.0, 5.0], [5.0, 1e4]):
        with pytest.raises(InputError, match=r"point: expected one inside 120 x 160"):
            session.click(point, 1.0)
    with pytest.raises(InputError, match="a question about a pair"):
        session.answer("closer", 1.0)
    assert session.journal.events == []
    session.close()


def test_two_annotators_are_combined_and_compared(folder):
    ranks = make_folder(folder)
    sessions = {name: Session(folder, name) for name in ("ann", "bob")}
    answer_truly(sessions["ann"], ranks)
    answer_truly(sessions["bob"], ranks)
    for session in sessions.values():
        session.close()
    exported = export_folder(folder)
    compared = exported.agreement
    assert compared.alike == 1.0
    assert compared.of_two["ann", "bob"][1:] == (1.0, 1.0)
    assert compared.alpha == 1.0
    assert compared.relations == 2 * 91 + 66
    assert "ann and bob: 248 relations, 100.0% alike, kappa 1.000" in exported.text()
    plain = json.loads((exported.folder / "annotations.json").read_text())
    assert plain["annotators"] == ["ann", "bob"]
    assert plain["agreement"]["krippendorff_alpha"] == 1.0
    assert sum(pair["images"] for pair in plain["agreement"]["pairs"]) == 248


def test_who_has_not_answered_is_not_compared(folder):
    ranks = make_folder(folder)
    Session(folder, "bob").close()
    session = Session(folder, "ann")
    answer_truly(session, ranks, 5)
    session.close()
    exported = export_folder(folder)
    assert exported.agreement is None and exported.answers == 5


def test_the_plain_export_keeps_every_event_with_annotator_and_time(folder):
    ranks = make_folder(folder)
    session = Session(folder, "ann")
    answer_truly(session, ranks, 6)
    session.back()
    session.skip()
    session.close()
    exported = export_folder(folder)
    plain = json.loads((exported.folder / "annotations.json").read_text())
    assert [{k: v for k, v in e.items() if k != "undone"} for e in plain["events"]] == (
        session.journal.events
    )
    assert [event["undone"] for event in plain["events"]] == [False] * 5 + [True, False, False]
    assert all(event["annotator"] == "ann" and event["time"] for event in plain["events"])


def test_combined_relations_are_those_of_the_majority_in_order():
    ranks = [np.arange(14), np.arange(14), np.arange(14)[::-1].copy()]
    relations = torch.tensor(np.stack([true_relations(r) for r in ranks]), dtype=torch.int8)[
        :, None
    ]
    known = ~torch.eye(14, dtype=torch.bool).expand(3, 1, 14, 14)
    together, settled = combine(relations, known)
    assert torch.equal(together, relations[0])
    assert torch.equal(settled, known[0])


def test_export_without_answers_is_a_message(folder):
    make_folder(folder)
    with pytest.raises(InputError, match="expected answers to export, found none"):
        export_folder(folder)


def test_export_while_a_session_is_open(folder):
    ranks = make_folder(folder)
    session = Session(folder, "ann")
    answer_truly(session, ranks, 7)
    assert export_folder(folder).answers == 7
    answer_truly(session, ranks, 1)
    assert export_folder(folder).answers == 8
    session.close()


def test_which_file_of_joints(folder):
    make_folder(folder)
    assert find_joints(folder, None) == folder / "joints.json"
    (folder / "joints.csv").write_text("image,joint,x,y\n")
    with pytest.raises(InputError, match=r"found joints\.json and joints\.csv; name one"):
        find_joints(folder, None)
    assert find_joints(folder, folder / "joints.csv") == folder / "joints.csv"


def test_the_strategy_of_earlier_answers_is_kept(folder):
    make_folder(folder)
    Session(folder, "ann", strategy="merge").close()
    session = Session(folder, "ann")
    assert session.journal.header.strategy == "merge"
    session.close()
    with pytest.raises(InputError, match="continue with --strategy merge"):
        Session(folder, "ann", strategy="all")
    with pytest.raises(InputError, match="expected one of all, insertion, kinematic, merge, found"):
        Session(folder, "bob", strategy="informed")


def test_messages_to_an_older_question_change_nothing(folder):
    make_folder(folder)
    session = Session(folder, "ann")
    answer = {"type": "answer", "answer": "closer", "seconds": 1.5, "token": session.token}
    assert "notice" not in reply(session, answer)
    again = reply(session, answer)
    assert "answered elsewhere" in again["notice"]
    assert len(session.journal.events) == 1
    assert again["token"] == session.token
    session.close()


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "answer", "answer": "maybe", "seconds": 1}, "expected an answer of closer"),
        ({"type": "answer", "answer": "closer", "seconds": -1}, "expected seconds of 0 or more"),
        ({"type": "answer", "answer": "closer"}, "seconds: expected a number, found None"),
        ({"type": "joint", "point": [1, 2], "seconds": 1}, "a question for a joint"),
        ({"type": "joint", "point": [1, "2"], "seconds": 1}, "point: expected [x, y] or null"),
        ({"type": "erase"}, "expected a known type, found 'erase'"),
        ("answer", "expected a JSON object, found 'answer'"),
        ({"type": "export"}, "found none"),
    ],
)
def test_bad_messages_are_said_and_change_nothing(folder, message, error):
    make_folder(folder)
    session = Session(folder, "ann")
    said = reply(
        session, {**message, "token": session.token} if isinstance(message, dict) else message
    )
    assert error in said["error"]
    assert said["phase"] == "pair"
    assert session.journal.events == []
    session.close()


def test_minutes_left_follow_the_pace(folder):
    make_folder(folder)
    session = Session(folder, "ann")
    start = session.progress()
    assert start["questions_left"] == 17 + 17 + 15  # the paper's 17 for 14 joints
    assert start["minutes_left"] == pytest.approx(49 * 3.5 / 60)
    for _ in range(6):
        session.answer("closer", 10.0)
    assert session.progress()["minutes_left"] == pytest.approx(43 * 10 / 60)
    session.close()


def test_joints_in_words():
    assert [spoken(joint) for joint in ("left_wrist", "head_top", "neck")] == [
        "left wrist",
        "top of the head",
        "neck",
    ]
    assert sorted(CLICK_ORDER) == sorted(JOINTS)


def test_a_session_takes_the_place_of_one_whose_folder_was_spelt_otherwise(folder):
    make_folder(folder)
    first = Session(folder, "ann")
    link = folder.parent / "link"
    link.symlink_to(folder)
    second = Session(link, "ann", instead_of=first)
    first.close()
    second.close()
