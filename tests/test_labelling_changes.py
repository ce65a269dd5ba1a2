"""Folders that are damaged, or that change after answers were given."""

import json
import os
import re
import shutil

import numpy as np
import pytest
import scipy.io
import torch
from labelling_folders import NAMES, answer_truly, make_folder, shown
from PIL import Image

from ordlib.cli import main
from ordlib.datasets import lsp_mpii_ordinal
from ordlib.errors import InputError
from ordlib.images import broken_images
from ordlib.labelling.exporting import export_folder
from ordlib.labelling.files import read_joints
from ordlib.labelling.journal import read_journal
from ordlib.labelling.labels import CLICK_ORDER
from ordlib.labelling.messages import reply
from ordlib.labelling.photographs import image_files, photographs
from ordlib.labelling.session import Session
from ordlib.skeleton import LSP14


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda file: None)
    return tmp_path / "photos"


def labelled(folder, count=10, annotator="ann", **options):
    """Answer some questions about a folder; the depths."""
    ranks = make_folder(folder, **options)
    session = Session(folder, annotator)
    answer_truly(session, ranks, count)
    session.close()
    return ranks


def change_joints(folder, change):
    """Let `change` edit the places of each image in `joints.json`."""
    content = json.loads((folder / "joints.json").read_text())
    for name, places in list(content["images"].items()):
        content["images"][name] = change(name, places)
    content["images"] = {k: v for k, v in content["images"].items() if v is not None}
    (folder / "joints.json").write_text(json.dumps(content))


def reordered(_, places):
    return dict(zip(places, list(places.values())[::-1], strict=True))


def moved(_, places):
    return {joint: place and [place[0] + 0.1, place[1]] for joint, place in places.items()}


@pytest.mark.parametrize("change", [reordered, moved])
def test_other_joints_than_those_answered_about_are_refused(folder, change):
    labelled(folder)
    before = (folder / "annotations" / "ann.jsonl").read_bytes()
    change_joints(folder, change)
    message = (
        r"joints\.json: expected the joints of the 10 answers so far, found others or none for 3 of"
        r" 3 images \(first: a\.png\); put the file of joints back .* another annotator's name"
    )
    for action in (lambda: Session(folder, "ann"), lambda: export_folder(folder)):
        with pytest.raises(InputError, match=message):
            action()
    assert (folder / "annotations" / "ann.jsonl").read_bytes() == before


def test_the_same_joints_in_another_file_are_accepted(folder):
    labelled(folder)
    joints = read_joints(folder / "joints.json", image_files(folder))
    points = torch.where(joints.present[..., None], joints.keypoints_px - 0.5, torch.nan)
    flags = (~joints.present).double()
    array = torch.cat([points.double(), flags[..., None]], -1).permute(2, 1, 0).numpy()
    scipy.io.savemat(folder / "joints.mat", {"joints": array})
    (folder / "joints.json").unlink()
    session = Session(folder, "ann")
    assert session.progress()["answers"] == 10
    session.close()


def test_joints_that_are_gone_after_answers_are_a_message_at_the_start(folder):
    labelled(folder)
    (folder / "joints.json").unlink()
    with pytest.raises(InputError, match="joints: expected the joints of the 10 answers so far"):
        Session(folder, "ann")


def test_a_broken_state_can_be_gone_back_from(folder, monkeypatch):
    make_folder(folder)
    session = Session(folder, "ann")
    session.answer("closer", 1.0)

    def fail():
        raise InputError("joints: found others")

    with monkeypatch.context() as patched:
        patched.setattr(session, "current", fail)
        said = reply(session, {"type": "state"})
    assert said["phase"] == "broken" and said["error"] == "joints: found others"
    assert said["can_go_back"]
    assert reply(session, {"type": "back", "token": said["token"]})["phase"] == "pair"
    assert session.labels.active == []
    session.close()


def test_a_failed_replay_fails_again_the_next_time(folder, monkeypatch):
    ranks = make_folder(folder)
    session = Session(folder, "ann")
    answer_truly(session, ranks, 5)
    session.back()

    def fail(*_):
        raise InputError("strategy: none")

    with monkeypatch.context() as patched:
        patched.setattr(session.labels, "_known", None)
        patched.setattr("ordlib.labelling.labels._record", fail)
        for _ in range(2):
            with pytest.raises(InputError, match="strategy: none"):
                session.labels.next_pair(0)
    assert shown(session)
    session.close()


def test_images_without_joints_in_the_file_are_clicked_and_not_complete(folder):
    make_folder(folder)
    change_joints(folder, lambda name, places: None if name == "a.png" else places)
    session = Session(folder, "ann")
    assert session.progress()["complete"] == 0
    assert f"{folder}/joints.json: 1 images without any joint (a.png)" in session.notes[0]
    for joint in CLICK_ORDER:
        question = session.current()
        assert (session.images[question.row].name, question.joint) == ("a.png", joint)
        session.click([20.0, 30.0], 1.0)
    assert session.current().pair is not None
    session.close()


def test_an_image_with_fewer_than_two_joints_is_named_and_not_complete(folder):
    make_folder(folder)
    only = {"neck": [30.0, 30.0]}
    change_joints(folder, lambda name, places: only if name == "a.png" else places)
    session = Session(folder, "ann")
    while shown(session):
        session.answer("closer", 1.0)
    counts = session.progress()
    assert (counts["complete"], counts["unusable"], counts["images"]) == (2, 1, 3)
    assert "fewer than two joints, so nothing to ask: a.png" in session.notes
    assert reply(session, {"type": "state"})["notes"] == session.notes
    session.close()


def test_joints_of_images_that_are_not_there_are_said(folder):
    make_folder(folder)
    lines = ["image,joint,x,y", *(f"foo{k}.jpg,neck,3,4" for k in range(4)), "a.png,neck,5,6"]
    (folder / "joints.csv").write_text("\n".join(lines))
    found = read_joints(folder / "joints.csv", image_files(folder))
    assert (
        "4 joints of images not in the folder (foo0.jpg, foo1.jpg, foo2.jpg, …)" in found.problems()
    )
    assert "2 images without any joint (b sofa.jpg, ü jump.JPG)" in found.problems()


def test_a_file_without_any_joint_in_its_image_is_refused(folder):
    make_folder(folder)
    change_joints(folder, lambda _, places: dict.fromkeys(places))
    with pytest.raises(InputError, match="expected joints that lie inside the images, found none"):
        Session(folder, "ann")


def test_an_image_that_is_gone_keeps_its_answers_and_counts_again_when_back(folder, tmp_path):
    ranks = labelled(folder, 12)
    _, events = read_journal(folder / "annotations" / "ann.jsonl")
    others = sum(event["image"] != "a.png" for event in events)
    assert 0 < others < 12
    shutil.move(folder / "a.png", tmp_path / "a.png")
    session = Session(folder, "ann")
    assert session.images == image_files(folder)
    gone = "gone: a.png; their answers are kept and count again once the files are back"
    assert session.notes == [gone]
    assert session.progress()["answers"] == others
    answer_truly(session, ranks, 1)
    session.close()
    exported = export_folder(folder)
    assert (exported.answers, exported.images) == (others + 1, 2)
    assert gone in exported.text()
    assert len(lsp_mpii_ordinal.load(exported.folder)) == 2
    assert len(json.loads((exported.folder / "annotations.json").read_text())["events"]) == 13
    shutil.move(tmp_path / "a.png", folder / "a.png")
    session = Session(folder, "ann")
    assert session.progress()["answers"] == 13 and session.notes == []
    answer_truly(session, ranks)
    assert session.progress()["complete"] == 3
    session.close()


def test_an_answer_about_an_image_that_is_gone_is_not_taken_back(folder):
    ranks = make_folder(folder)
    session = Session(folder, "ann")
    image = answer_truly(session, ranks, 4)[-1][0]
    session.close()
    (folder / image).unlink()
    session = Session(folder, "ann")
    session.back()
    assert not session.can_go_back and len(session.journal.events) == 4
    session.close()


def test_an_image_that_is_new_joins(folder):
    ranks = labelled(folder, 7)
    shutil.copy(folder / "a.png", folder / "c new.png")
    content = json.loads((folder / "joints.json").read_text())
    content["images"]["c new.png"] = content["images"]["a.png"]
    (folder / "joints.json").write_text(json.dumps(content))
    session = Session(folder, "ann")
    assert (session.progress()["images"], session.progress()["answers"]) == (4, 7)
    answer_truly(session, {**ranks, "c new.png": ranks["a.png"]})
    assert session.progress()["complete"] == 4
    session.close()
    assert export_folder(folder).images == 4
    header, _ = read_journal(folder / "annotations" / "ann.jsonl")
    assert list(header.images) == [*sorted(NAMES), "c new.png"]


def test_an_image_that_changed_after_its_answers_is_refused_by_name(folder):
    labelled(folder)
    with (folder / "a.png").open("ab") as file:
        file.write(b"x")
    for action in (lambda: Session(folder, "ann"), lambda: export_folder(folder)):
        with pytest.raises(InputError, match=r"other files of the names a\.png; put them back"):
            action()


def test_other_images_altogether_are_refused(folder):
    labelled(folder)
    for path in image_files(folder):
        path.rename(folder / f"other {path.name}")
    (folder / "joints.json").unlink()
    with pytest.raises(InputError, match="the 3 images of this folder, found answers about"):
        Session(folder, "ann")


def spoil(path):
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("kind", ["half", "text", "png"])
def test_a_file_that_cannot_be_decoded_is_left_out_by_name(folder, kind):
    ranks = make_folder(folder, ("im1.jpg", "im2.jpg", "im3.png"))
    broken = "im3.png" if kind == "png" else "im1.jpg"
    if kind == "text":
        (folder / broken).write_text("no image")
    else:
        spoil(folder / broken)
    session = Session(folder, "ann")
    assert session.notes == [f"{broken}: left out, it cannot be decoded"]
    assert broken not in {path.name for path in session.images}
    given = read_joints(folder / "joints.json", session.images)
    assert torch.equal(session.labels.keypoints_px, given.keypoints_px)
    answer_truly(session, ranks)
    assert session.progress()["complete"] == session.progress()["images"] == 2
    session.close()
    exported = export_folder(folder)
    assert f"{broken}: left out, it cannot be decoded" in exported.text()
    data = lsp_mpii_ordinal.load(exported.folder)
    assert data.batch([0, 1]).images.shape[0] == len(data) == 2


def test_columns_of_a_file_count_images_that_are_left_out(folder):
    make_folder(folder, ("x.jpg", "y.jpg", "z.jpg"), joints=False)
    points = np.random.default_rng(0).uniform(5, 90, (3, 14, 2))
    array = np.concatenate([points, np.zeros((3, 14, 1))], -1).transpose(2, 1, 0)
    scipy.io.savemat(folder / "joints.mat", {"joints": array})
    spoil(folder / "x.jpg")
    session = Session(folder, "ann")
    assert session.labels.keypoints_px.numpy() == pytest.approx(points[1:] + 0.5, abs=1e-4)
    session.close()


def test_only_broken_images_are_a_message(folder):
    make_folder(folder, ("x.jpg",), joints=False)
    spoil(folder / "x.jpg")
    with pytest.raises(InputError, match=r"expected an image that can be shown, found x\.jpg"):
        Session(folder, "ann")


def test_whole_images_of_all_kinds_are_not_broken(tmp_path):
    paths = []
    for mode in ("RGB", "L", "CMYK"):
        paths.append(tmp_path / f"{mode}.jpg")
        Image.new(mode, (50, 40)).save(paths[-1], progressive=mode == "L")
    for mode in ("RGBA", "P", "1", "I;16"):
        paths.append(tmp_path / f"{mode[0]}{mode[-1]}.png")
        Image.new(mode, (50, 40)).save(paths[-1])
    assert broken_images(paths) == set()


def test_a_name_that_is_not_utf8_is_left_out(folder, capsys):
    make_folder(folder)
    odd = os.path.join(os.fsencode(folder), b"\xff\xfe.jpg")
    shutil.copy(os.fsencode(folder / "b sofa.jpg"), odd)
    found = photographs(folder)
    assert found.left_out == ["\ufffd\ufffd.jpg: left out, its name is not UTF-8"]
    assert [path.name for path in found.paths] == sorted(NAMES)
    os.rename(os.fsencode(folder), os.fsencode(folder) + b"\xff")
    assert main(["annotate", os.fsdecode(os.fsencode(folder) + b"\xff"), "--no-browser"]) == 2
    assert "expected a folder with a name in UTF-8" in capsys.readouterr().err


def test_files_of_other_kinds_are_counted(folder):
    make_folder(folder)
    for name in ("1.heic", "2.HEIC", "3.webp", "notes.txt"):
        (folder / name).write_text("x")
    line = "left out: 3 files of other kinds (.heic, .webp)"
    assert photographs(folder).left_out == [line]
    for path in image_files(folder):
        path.unlink()
    with pytest.raises(InputError, match=re.escape(f"found none; {line}")):
        image_files(folder)


def test_joints_that_two_clicked_are_those_of_the_first_and_said(folder):
    make_folder(folder, ("one.png", "two.png"), joints=False)
    sessions = {name: Session(folder, name) for name in ("bob", "ann")}
    for name, away in (("bob", 0.0), ("ann", 40.0)):  # bob is first in time, ann in the alphabet
        for k in range(2 * len(LSP14)):
            sessions[name].click([20.0 + away + k % 14, 30.0], 1.0)
        sessions[name].answer("closer", 1.0)
        sessions[name].close()
    exported = export_folder(folder)
    said = "joints of 2 images were clicked twice, up to 40 px apart; those of 'bob'"
    assert said in exported.text()
    joints = read_joints(exported.folder / "joints.json", image_files(folder))
    neck = CLICK_ORDER.index("neck")
    assert joints.keypoints_px[0, LSP14.index("neck")].tolist() == [20.0 + neck, 30.0]
    plain = json.loads((exported.folder / "annotations.json").read_text())
    assert plain["joints_clicked_twice"] == [
        {"image": name, "annotators": ["bob", "ann"], "exported": "bob", "apart_px": 40.0}
        for name in ("one.png", "two.png")
    ]


def test_joints_clicked_by_one_are_not_clicked_twice(folder):
    make_folder(folder, ("one.png",), joints=False)
    session = Session(folder, "ann")
    for k in range(len(LSP14)):
        session.click([20.0 + k, 30.0], 1.0)
    session.answer("closer", 1.0)
    session.close()
    assert export_folder(folder).twice == []
