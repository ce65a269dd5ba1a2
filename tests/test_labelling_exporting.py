"""What is exported: the authors' layout, several annotators as one, how far they agree."""

import csv
import json
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labelling_folders import answer_truly, change_joints, make_folder, true_relations
from photo_files import random_points, save_images
from PIL import Image
from scipy.io import loadmat

from ordlib.data import open_picture
from ordlib.datasets import lsp_mpii_ordinal
from ordlib.errors import InputError
from ordlib.labelling.exporting import agreement, combine, export, export_folder
from ordlib.labelling.folder import pictures
from ordlib.labelling.joints import joints_of
from ordlib.labelling.session import Session
from ordlib.skeleton import LSP14

JOINTS = LSP14.joints


def labelled(folder, ranks, annotator="ann", count=10_000, **options):
    """Answer questions about a folder; what was asked."""
    session = Session(folder, annotator, **options)
    asked = answer_truly(session, ranks, count)
    session.close()
    return asked


# the data set


@pytest.mark.parametrize("strategy", ["kinematic", "insertion", "merge", "all"])
def test_export_holds_the_relations_that_were_seen(tmp_path, strategy):
    ranks = make_folder(tmp_path)
    asked = labelled(tmp_path, ranks, strategy=strategy)
    assert len(set(asked)) == len(asked)
    exported = export_folder(tmp_path)
    assert (exported.images, exported.answers, exported.agreement) == (3, len(asked), None)
    dataset = lsp_mpii_ordinal.load(exported.folder)
    batch, names = dataset.batch([0, 1, 2]), list(dataset.skeleton.joints)
    back = [names.index("thorax" if joint == "neck" else joint) for joint in JOINTS]
    given = joints_of(pictures(tmp_path))
    for row, name in enumerate(given.names):
        both = given.present[row][:, None] & given.present[row] & ~torch.eye(14, dtype=torch.bool)
        assert batch.annotated[row][back][:, back].equal(both)
        relations = batch.relations[row][back][:, back].numpy()
        assert (relations == true_relations(ranks[name]))[both.numpy()].all()
    again = joints_of(pictures(tmp_path), exported.folder / "lsp_dataset_original" / "joints.mat")
    assert again.present.equal(given.present)
    torch.testing.assert_close(again.keypoints_px, given.keypoints_px)
    assert "joints.csv" in exported.text() and (exported.folder / "joints.csv").is_file()


def _annotated(count, seed=0):
    """Joints, presence, relations and known pairs of images, from random depths."""
    rng = np.random.default_rng(seed)
    depth = torch.from_numpy(rng.integers(0, 5, (count, 14)))
    relations = (depth[:, None, :] - depth[:, :, None]).sign().to(torch.int8)
    known = torch.from_numpy(rng.random((count, 14, 14)) < 0.7)
    points = torch.from_numpy(random_points(count, seed=seed)).float()
    present = torch.from_numpy(rng.random((count, 14)) < 0.8)
    return points, present, relations, known & known.mT


def test_export_has_the_layout_of_the_authors(tmp_path):
    images = save_images(tmp_path / "in", ["a b.jpg", "ü.png"])
    points, present, relations, known = _annotated(2)
    export(tmp_path / "out", images, points, present, relations, known)
    folder = tmp_path / "out" / "lsp_dataset_original"
    assert {p.name for p in folder.iterdir()} == {
        *("images", "joints.mat", "names.csv", "ordinal.mat"),
    }
    joints, ordinal = loadmat(folder / "joints.mat"), loadmat(folder / "ordinal.mat")["ord"]
    assert joints["joints"].shape == (3, 14, 2) and ordinal.shape == (2, 14, 14)
    for k, i in np.ndindex(2, 14):
        x, y, occluded = joints["joints"][:, i, k]
        if present[k, i]:
            assert [x, y] == pytest.approx((points[k, i] - 0.5).tolist()) and occluded == 0
        else:
            assert np.isnan(x) and np.isnan(y) and occluded == 1
        for j in range(14):
            if known[k, i, j] and i != j:
                assert ordinal[k, i, j] == -relations[k, i, j].item()
            else:
                assert np.isnan(ordinal[k, i, j])
    with (folder / "names.csv").open(encoding="utf-8") as file:
        names = {row["image"]: row["original"] for row in csv.DictReader(file)}
    assert names == {"im0001.jpg": "a b.jpg", "im0002.jpg": "ü.png"}


def test_exported_pictures_have_the_pixels_that_are_learned_from(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    images = save_images(tmp_path / "in", ["a.jpg", "b.png"], exif=exif)
    grey = np.linspace(0, 65535, 4800).reshape(60, 80).astype(np.uint16)
    images.append(tmp_path / "in" / "c.png")
    Image.fromarray(grey).save(images[-1])
    export(tmp_path, images, *_annotated(3))
    for number, image in enumerate(images, start=1):
        copy = tmp_path / "lsp_dataset_original" / "images" / f"im{number:04d}.jpg"
        with Image.open(copy) as pixels:
            assert pixels.format == "JPEG" and not pixels.getexif()
            expected = np.array(open_picture(image).decode(), int)
            assert np.abs(np.array(pixels, int) - expected).max() <= 3
    assert np.array(Image.open(copy)).std() > 50  # not white


def test_export_replaces_an_earlier_export_only(tmp_path):
    images = save_images(tmp_path / "in", ["a.jpg", "b.jpg"])
    export(tmp_path, images, *_annotated(2))
    export(tmp_path, images[:1], *_annotated(1))
    folder = tmp_path / "lsp_dataset_original"
    (copy,) = (folder / "images").iterdir()
    with pytest.raises(InputError, match="expected images outside the export"):
        export(tmp_path, [copy], *_annotated(1))
    (folder / "names.csv").unlink()
    with pytest.raises(InputError, match="found other data"):
        export(tmp_path, images, *_annotated(2))
    images[1].write_bytes(b"no image")
    with pytest.raises(InputError, match=r"b\.jpg: expected an image"):
        export(tmp_path / "out", images, *_annotated(2))
    assert not list((tmp_path / "out").glob("[!.]*"))


def test_export_without_answers_or_with_other_joints_is_a_message(tmp_path):
    ranks = make_folder(tmp_path)
    with pytest.raises(InputError, match="expected answers to export, found none"):
        export_folder(tmp_path)
    labelled(tmp_path, ranks, count=10)
    change_joints(tmp_path, "a.png", "neck", (3, 3))
    with pytest.raises(InputError, match=r"joints\.csv: expected the joints of the answers so far"):
        export_folder(tmp_path)


def test_export_while_a_session_is_open_and_an_image_is_gone(tmp_path):
    ranks = make_folder(tmp_path)
    session = Session(tmp_path, "ann")
    answer_truly(session, ranks, 12)
    assert export_folder(tmp_path).answers == 12
    answer_truly(session, ranks, 1)
    assert export_folder(tmp_path).answers == 13
    session.close()
    (tmp_path / "a.png").unlink()
    exported = export_folder(tmp_path)
    assert exported.images == 2 and "gone: a.png; their answers are kept" in exported.text()
    assert len(lsp_mpii_ordinal.load(exported.folder)) == 2
    plain = json.loads((exported.folder / "annotations.json").read_text())
    assert len(plain["events"]) == 13 > exported.answers


def test_the_plain_export_keeps_every_event_with_annotator_and_time(tmp_path):
    ranks = make_folder(tmp_path)
    session = Session(tmp_path, "ann")
    answer_truly(session, ranks, 6)
    session.back()
    session.skip()
    session.close()
    exported = export_folder(tmp_path)
    events = json.loads((exported.folder / "annotations.json").read_text())["events"]
    assert [event["kind"] for event in events] == ["answer"] * 6 + ["undo", "skip"]
    assert [event["undone"] for event in events] == [False] * 5 + [True, False, False]
    assert all(event["annotator"] == "ann" and event["time"] for event in events)


def test_joints_that_two_clicked_are_those_of_the_first(tmp_path):
    make_folder(tmp_path, ("one.png", "two.png"), joints=False)
    sessions = [Session(tmp_path, name) for name in ("bob", "ann")]
    for k in range(13):
        for session, away in zip(sessions, (0.0, 40.0), strict=True):
            session.click((20.0 + away + k, 30.0), 1.0)
    sessions[0].click((33.0, 30.0), 1.0)  # bob is first with the last joint
    sessions[0].skip()
    sessions[0].answer("closer", 1.0)
    for session in sessions:
        session.close()
    joints = joints_of(pictures(tmp_path), export_folder(tmp_path).folder / "joints.csv")
    assert joints.keypoints_px[0, LSP14.index("neck")].tolist() == [21.0, 30.0]


# several annotators


def test_two_annotators_are_combined_and_compared(tmp_path):
    ranks = make_folder(tmp_path)
    for annotator in ("bob", "ann"):
        labelled(tmp_path, ranks, annotator)
    labelled(tmp_path, ranks, "cy", 0)  # has looked, and is not compared
    exported = export_folder(tmp_path)
    assert vars(exported.agreement) == {"relations": 2 * 91 + 66, "alike": 1, "alpha": 1}
    assert "248 relations known to two or more, all alike in 100.0%" in exported.text()
    plain = json.loads((exported.folder / "annotations.json").read_text())
    assert plain["annotators"] == ["bob", "ann"] and plain["agreement"]["alpha"] == 1


def test_combined_relations_are_those_of_the_majority_in_order():
    ranks = [np.arange(14), np.arange(14), np.arange(14)[::-1].copy()]
    relations = torch.tensor(np.stack([true_relations(r) for r in ranks]), dtype=torch.int8)
    known = ~torch.eye(14, dtype=torch.bool).expand(3, 1, 14, 14)
    together, settled = combine(relations[:, None], known)
    assert torch.equal(together, relations[:1])
    assert torch.equal(settled, known[0])


def matrices(units):
    """Relations of the first pairs of joints, given by all annotators; None: not known."""
    pairs = torch.triu_indices(14, 14, 1)[:, : len(units)]
    relations = torch.zeros(len(units[0]), 1, 14, 14, dtype=torch.int8)
    known = relations.bool()
    for (i, j), values in zip(pairs.T.tolist(), units, strict=True):
        for a, value in enumerate(values):
            if value is not None:
                relations[a, 0, i, j], relations[a, 0, j, i] = value, -value
                known[a, 0, i, j] = known[a, 0, j, i] = True
    return relations, known


def test_alpha_by_hand():
    # Two annotators, four units: (1,1) (1,0) (0,0) (0,0). n = 8, n_1 = 3, n_0 = 5:
    # D_o = 2/8, D_e = 2 * 3 * 5 / (8 * 7), so alpha = 1 - (1/4) / (15/28) = 8/15
    found = agreement(*matrices([(1, 1), (1, 0), (0, 0), (0, 0), (None, 1)]))
    assert (found.relations, found.alike) == (4, 0.75)
    assert found.alpha == pytest.approx(8 / 15)


answers = st.lists(
    st.lists(st.sampled_from([None, -1, 0, 1]), min_size=3, max_size=3), min_size=2, max_size=25
)


@given(answers)
def test_alpha_is_that_of_all_pairs_of_values(units):
    found = agreement(*matrices(units))
    units = [[v for v in unit if v is not None] for unit in units]
    units = [unit for unit in units if len(unit) > 1]
    values = [v for unit in units for v in unit]
    chance = [a != b for a, b in permutations(values, 2)]
    assert found.relations == len(units)
    if units:
        assert found.alike == pytest.approx(np.mean([len(set(unit)) == 1 for unit in units]))
    if not any(chance):
        assert np.isnan(found.alpha)
        return
    within = sum(
        sum(a != b for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units
    ) / len(values)
    assert found.alpha == pytest.approx(1 - within / (sum(chance) / len(chance)))
