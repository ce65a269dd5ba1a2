"""Relative Depth LSP: meaning of its answers, samples, and bad files."""

import json

import numpy as np
import pytest
import torch
from photo_files import RELATIVE_NAMES, answer, relative, save_images, save_relative
from PIL import Image

from ordlib.data import PoseDataset
from ordlib.datasets import relative_depth_lsp
from ordlib.errors import InputError
from ordlib.relations import ordinal_accuracy
from ordlib.skeleton import H36M17
from ordlib.synthetic.making import ORDINAL_JOINTS

FILE = "relative_depth_lsp_v1.json"


def _h36m(name):
    """Index of a joint of the file among the 17."""
    return H36M17.index({"nose": "head_top", "neck": "thorax"}.get(name, name))


def _loaded(folder, content, split="train", **options):
    dataset = relative_depth_lsp.load(save_relative(folder, content), split=split, **options)
    return dataset, dataset.batch(list(range(len(dataset))))


def _with(key, value, item=0):
    content = relative()
    content["images"][item][key] = value
    return content


# --- the traps -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("label", "relation"), [(0, 1), (1, -1)])
def test_label_0_says_that_kp0_is_closer(tmp_path, label, relation):
    """Relations are +1 where the first joint is closer: an order of depths gives the same."""
    wrist, hip = RELATIVE_NAMES.index("left_wrist"), RELATIVE_NAMES.index("right_hip")
    _, batch = _loaded(tmp_path, _with("anns", [answer(wrist, hip, label)]))
    i, j = _h36m("left_wrist"), _h36m("right_hip")
    assert batch.relations[0, i, j] == relation and batch.relations[0, j, i] == -relation
    assert batch.annotated[0].nonzero().tolist() == sorted([[i, j], [j, i]])
    depth = torch.zeros(1, 17)
    depth[0, i] = -100.0 if label == 0 else 100.0  # smaller is closer
    assert ordinal_accuracy(depth, batch.relations[:1], batch.annotated[:1]) == 1


def test_the_nose_stands_for_the_top_of_the_head(tmp_path):
    content = relative()
    _, batch = _loaded(tmp_path, content, size=55)
    assert batch.visible[:, H36M17.index("head_top")].all()
    assert not batch.visible[:, H36M17.index("jaw")].any()
    assert batch.relations[0, H36M17.index("head_top"), _h36m("right_wrist")] == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_joints_is_read_from_the_file(tmp_path, seed):
    order = np.random.default_rng(seed).permutation(14)
    content, shuffled = relative(seed=seed), relative(seed=seed)
    shuffled["joint_names"] = [RELATIVE_NAMES[k] for k in order]
    place = {int(old): new for new, old in enumerate(order)}
    for item in shuffled["images"]:
        item["keypoints"] = np.reshape(item["keypoints"], (14, 2))[order].ravel().tolist()
        item["anns"] = [answer(place[a["kp0"]], place[a["kp1"]], a["label"]) for a in item["anns"]]
    _, one = _loaded(tmp_path / "one", content)
    _, other = _loaded(tmp_path / "other", shuffled)
    for name in ("keypoints_px", "visible", "relations", "annotated", "images"):
        assert getattr(one, name).equal(getattr(other, name))


def test_occluded_joints_have_a_position_and_missing_ones_none(tmp_path):
    content = _with("occluded", [1] * 14)
    content["images"][0]["keypoints"][2:4] = 0.0, 0.0  # the neck
    content["images"][0]["keypoints"][4:6] = float("nan"), 5.0  # the left shoulder
    content["images"][0]["keypoints"][6] = 0.0  # the right shoulder: a position
    _, batch = _loaded(tmp_path, content)
    hidden = [j for j in ORDINAL_JOINTS if not batch.visible[0, j]]
    assert hidden == sorted([_h36m("neck"), _h36m("left_shoulder")])


def test_joints_lie_on_their_pixels_counted_from_0(tmp_path):
    rng = np.random.default_rng(3)
    columns, rows = rng.permutation(70)[:14] + 5, rng.permutation(50)[:14] + 5
    content = _with("keypoints", np.stack([columns, rows], -1).ravel().astype(float).tolist())
    folder = save_relative(tmp_path, content)
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[rows, columns] = 255
    Image.fromarray(pixels).save(folder / "lsp_dataset/images/im0001.jpg", "PNG")
    batch = relative_depth_lsp.load(folder, size=720).batch([0])
    for joint in ORDINAL_JOINTS:
        x, y = batch.keypoints_px[0, joint].floor().int().tolist()
        assert batch.images[0, 0, y, x] > 220


def test_contradicting_answers_are_left_out_and_counted(tmp_path):
    answers = [answer(2, 3, 0), answer(3, 2, 0), answer(4, 5, 1), answer(5, 4, 0), answer(4, 5, 1)]
    folder = save_relative(tmp_path, _with("anns", answers))
    with pytest.warns(UserWarning, match="1 pairs have answers that contradict each other"):
        dataset = relative_depth_lsp.load(folder)
    assert dataset.contradictions == {"lsp": 1}
    batch = dataset.batch([0])
    i, j = _h36m("left_elbow"), _h36m("right_elbow")
    assert sorted(batch.annotated[0].nonzero().tolist()) == sorted([[i, j], [j, i]])
    assert batch.relations[0, i, j] == -1


# --- samples -------------------------------------------------------------------------------------


def test_splits_are_those_of_the_file(tmp_path):
    folder = save_relative(tmp_path / "Größe 1", relative(5))
    train = relative_depth_lsp.load(str(folder), size=48)
    assert isinstance(train, PoseDataset) and train.skeleton is H36M17
    assert (train.name, train.split, len(train)) == ("relative_depth_lsp", "train", 3)
    test = relative_depth_lsp.load(folder, split="test")
    assert (test.split, len(test)) == ("test", 2)
    batch = train.batch([2, 0])
    assert batch.meta["frame"].tolist() == [5, 1]
    assert test.batch([0, 1]).meta["frame"].tolist() == [2, 4]
    assert batch.images.shape == (2, 3, 48, 48) and batch.joints_mm is None


@pytest.mark.parametrize("images", ["lsp_dataset", "."])
def test_images_lie_in_the_folder_of_lsp_or_beside_the_file(tmp_path, images):
    assert len(relative_depth_lsp.load(save_relative(tmp_path, relative(), images))) == 2


def test_a_linked_folder_of_images(tmp_path):
    save_relative(tmp_path / "there", relative())
    save_relative(tmp_path / "here", relative(), images=None)
    (tmp_path / "here" / "lsp_dataset").symlink_to(tmp_path / "there" / "lsp_dataset")
    assert len(relative_depth_lsp.load(tmp_path / "here")) == 2


def test_an_image_of_another_format_than_its_name(tmp_path):
    folder = save_relative(tmp_path, relative())
    Image.new("L", (80, 60), 200).save(folder / "lsp_dataset/images/im0001.jpg", "PNG")
    assert relative_depth_lsp.load(folder).batch([0]).images.max() == 200


# --- bad files -----------------------------------------------------------------------------------


def _change_answer(**changes):
    return _with("anns", [answer(0, 1, 0), answer(2, 3, 1) | changes], item=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "expected lists joint_names and images, found list"),
        ({"images": []}, "expected lists joint_names and images, found images"),
        ({"joint_names": RELATIVE_NAMES}, "found joint_names"),
        (relative() | {"images": {}}, "expected lists joint_names and images, found joint_names"),
        (relative() | {"images": []}, "expected images of the split train, found none"),
        (relative() | {"joint_names": RELATIVE_NAMES[:13]}, "joint_names: expected right_ankle, "),
        (relative() | {"joint_names": [*RELATIVE_NAMES[:13], "tail"]}, "found nose, .*, tail"),
        (relative() | {"joint_names": [*RELATIVE_NAMES[:13], "nose"]}, "joint_names: expected"),
        (relative() | {"joint_names": [*RELATIVE_NAMES[1:], None]}, "found neck, .*None"),
        (relative() | {"images": [3]}, r"images\[0\]: expected an object, found int"),
        (_with("keypoints", [1.0] * 27), r"images\[0\]: keypoints: expected 28 .* found 27 of"),
        (_with("keypoints", None, 3), r"images\[3\]: keypoints: expected 28 .* found NoneType"),
        (_with("keypoints", [[1.0]] * 28), r"coordinates in pixels, found \[1.0\]"),
        (_with("keypoints", ["1"] * 28), "coordinates in pixels, found '1'"),
        (_with("keypoints", [float("inf")] * 28), "coordinates in pixels, found inf"),
        (_with("is_train", "yes"), "is_train: expected true or false, found 'yes'"),
        (_with("im_file", ""), "im_file: expected a name, found ''"),
        (_with("im_file", 3), "im_file: expected a name, found 3"),
        (_with("im_file", "images/im0002.jpg"), r"images\[1\]: im_file: .*im0002.jpg twice"),
        (_with("anns", None), "anns: expected answers.* found NoneType"),
        (_with("anns", [[0, 1, 0]]), r"anns: expected answers.* found \[0, 1, 0\]"),
        (_change_answer(kp0=14), r"images\[1\]: anns: .* of 0 to 13.* found .*'kp0': 14"),
        (_change_answer(kp1=-1), r"kp0 and kp1 of 0 to 13, .*found .*'kp1': -1"),
        (_change_answer(kp1=1.5), r"found .*'kp1': 1.5"),
        (_change_answer(kp1=True), r"found .*'kp1': True"),
        (_change_answer(kp1=2), "two joints.* found .*'kp1': 2"),
        (_change_answer(label=2), "label 0 or 1, found .*'label': 2"),
        (_change_answer(label=-1), "label 0 or 1, found .*'label': -1"),
        (_change_answer(label=None), "label 0 or 1, found .*'label': None"),
    ],
)
def test_content_that_cannot_be_used(tmp_path, content, message):
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"{FILE}.*{message}"):
        relative_depth_lsp.load(tmp_path)


def test_truncated_and_other_files(tmp_path):
    path = save_relative(tmp_path, relative()) / FILE
    whole = path.read_bytes()
    for raw in (b"", whole[:50], whole[:-3], b"\xff\xfe\x00", b"[" * 100_000):
        path.write_bytes(raw)
        with pytest.raises(InputError, match=rf"{FILE}: expected a JSON file, found damage"):
            relative_depth_lsp.load(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=rf"{FILE}: expected a JSON file, found nothing"):
        relative_depth_lsp.load(tmp_path)


def test_missing_images_are_named_and_counted(tmp_path):
    folder = save_relative(tmp_path, relative(6))
    for number in (3, 5):
        (folder / f"lsp_dataset/images/im000{number}.jpg").unlink()
    with pytest.raises(InputError, match=r"im0003.jpg: expected an image.* 2 of 3 images"):
        relative_depth_lsp.load(folder)
    save_images(folder / "lsp_dataset" / "images", ["im0003.jpg", "im0005.jpg"])
    (folder / "lsp_dataset/images/im0003.jpg").write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=r"im0003.jpg: expected an image"):
        relative_depth_lsp.load(folder)


def test_another_split(tmp_path):
    with pytest.raises(InputError, match="split: expected one of train, test, found 'valid'"):
        relative_depth_lsp.load(tmp_path, split="valid")
