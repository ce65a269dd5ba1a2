"""Photographs to learn from and to test on: what is read, PCK, training, the command."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from labelling_folders import answer_truly, make_folder
from photo_files import half as half_of_archive
from photo_files import lspet_array, random_points, save_half, save_images, save_mat
from safetensors.torch import load_file

from ordlib import experiments, synthetic
from ordlib.cli import main
from ordlib.data import PoseDataset
from ordlib.datasets import lspet
from ordlib.errors import InputError
from ordlib.experiments import photographs
from ordlib.experiments.photographs import ALONE, GAIN, GROUPS, TOGETHER, compare, measure, pck
from ordlib.labelling.exporting import export_folder
from ordlib.labelling.session import Session
from ordlib.skeleton import H36M17, LSP14, LSP14_IN_H36M17

SHOULDER, HIP = H36M17.index("left_shoulder"), H36M17.index("right_hip")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("outputs")
        patch.setenv("ORDLIB_OUTPUTS", str(folder))
        yield folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten photographs in the layout of LSP Extended; the last one lacks an end of the torso."""
    root = tmp_path_factory.mktemp("photographs")
    save_images(root / "images", [f"im{k:05d}.jpg" for k in range(1, 11)])
    flags = np.ones((10, 14))
    flags[9, 9] = 0
    save_mat(root / "joints.mat", "joints", lspet_array(random_points(10), flags))
    return root


@pytest.fixture(scope="module")
def parts(folder):
    return photographs.split(photographs.read(folder, size=32))


@pytest.fixture
def answered(tmp_path):
    """Photographs that somebody has labelled with the tool, exported."""
    root = tmp_path / "my photographs"
    ranks = make_folder(root, tuple(f"{k}.png" for k in range(6)))
    session = Session(root, "ann")
    answer_truly(session, ranks)
    session.close()
    export_folder(root)
    return root


# what is read


def test_the_first_are_to_train_and_the_last_to_test(folder, parts):
    train, test = parts
    assert all(isinstance(part, PoseDataset) for part in parts)
    assert [part.split for part in parts] == ["train", "test"]
    assert train.labels.meta["frame"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert test.labels.meta["frame"].tolist() == [9, 10]
    assert (photographs.answered(train), photographs.measurable(test)) == (0, 1)
    assert [len(part) for part in photographs.split(photographs.read(folder), 7)] == [3, 7]
    text = photographs.summary(*parts)
    assert "8 to learn from, with 2D joints alone; 2 to test on, 1 of them without" in text


def test_photographs_are_those_of_the_data_set(folder):
    mine, theirs = photographs.read(folder, size=40), lspet.load(folder, size=40)
    rows = np.arange(10)
    for name in ("images", "keypoints_px", "visible", "intrinsics"):
        assert torch.equal(getattr(mine.batch(rows), name), getattr(theirs.batch(rows), name))


def test_the_real_sample_is_split_as_it_is_said(shared_data):
    dataset = photographs.read(shared_data / "lspet", size=16)
    assert len(dataset) == 1500
    train, test = photographs.split(dataset)
    assert (len(train), len(test)) == (1200, 300)
    assert set(train.labels.meta["frame"]) == set(range(1, 1201))


def test_photographs_without_joints_are_left_out(tmp_path):
    make_folder(tmp_path, ("a.png", "b.png", "c.png", "d.png"), joints=False)
    lines = [
        f"{name},{joint},{20 + 3 * k},{30 + 2 * k}"
        for name in ("b.png", "d.png")
        for k, joint in enumerate(LSP14.joints)
    ]
    (tmp_path / "joints.csv").write_text("\n".join(["image,joint,x,y", *lines]))
    train, test = photographs.split(photographs.read(tmp_path, size=32), 2)
    assert (len(train), len(test)) == (1, 1)


def test_answers_of_the_tool_are_used_unless_joints_are_named(answered):
    train, test = photographs.split(photographs.read(answered, size=32))
    assert (photographs.answered(train), len(test)) == (5, 1)
    assert photographs.row_for(train).id == "table2/ordinal"
    assert "2D joints, and ordinal answers for 5" in photographs.summary(train, test)
    train, _ = photographs.split(photographs.read(answered, answered / "joints.csv", size=32))
    assert photographs.answered(train) == 0 and photographs.row_for(train).id == "table2/keypoints"


def test_the_authors_archive_is_read(tmp_path):
    for name in ("lsp_dataset_original", "mpii_upis1h"):
        save_half(tmp_path / name, half_of_archive(name))
    train, test = photographs.split(photographs.read(tmp_path, size=32), 3)
    assert set(train.labels.meta["part"]) == {"lsp"} and photographs.answered(train) == 3
    assert set(test.labels.meta["part"]) == {"mpii"}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda root: (root / "joints.mat").unlink(), {}, r"expected 2D joints .* found neither"),
        (lambda root: None, {"test": 4}, "test: expected 1 to 3 of 4 photographs.* found 4"),
        (lambda root: None, {"test": 1}, "with left shoulder and right hip to test, found 3 and 0"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, change, options, message):
    save_images(tmp_path / "images", [f"im{k:05d}.jpg" for k in range(1, 5)])
    flags = np.ones((4, 14))
    flags[3, 2] = 0
    save_mat(tmp_path / "joints.mat", "joints", lspet_array(random_points(4), flags))
    change(tmp_path)
    with pytest.raises(InputError, match=message):
        photographs.split(photographs.read(tmp_path, size=32), **options)


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match="expected images"):
        photographs.read(tmp_path)


# both kinds of weak images


def test_each_half_has_its_share_and_every_sample_its_turn(parts):
    train, test = parts
    both = photographs.beside(train, test)
    assert isinstance(both, PoseDataset) and len(both) == 16
    frames = both.batch(np.arange(16)).meta["frame"]
    assert frames[::2].tolist() == [*range(1, 9)] and frames[1::2].tolist() == [9, 10] * 4
    assert both.batch([3, 1]).meta["frame"].tolist() == [10, 9]
    assert both.batch([4]).meta["frame"].tolist() == [3]


def test_rendered_people_and_photographs_in_one_batch(outputs, parts):
    wild = synthetic.load("wild", "train", "smoke", 0)
    batch = photographs.beside(wild, parts[0]).batch([0, 1, 2, 3])
    assert torch.equal(batch.images[::2], wild.batch([0, 1]).images)
    assert torch.equal(batch.images[1::2], parts[0].batch([0, 1]).images)
    assert batch.annotated[::2].any() and not batch.annotated[1::2].any()
    assert batch.joints_mm is None


# PCK


def right_by_loops(pred, target, visible, threshold):
    found = np.full(visible.shape, np.nan)
    for image in range(len(pred)):
        if not (visible[image, SHOULDER] and visible[image, HIP]):
            continue
        torso = np.hypot(*(target[image, SHOULDER] - target[image, HIP]))
        for joint in range(17):
            if visible[image, joint]:
                distance = np.hypot(*(pred[image, joint] - target[image, joint]))
                found[image, joint] = distance <= threshold * torso
    return found


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0))
def test_pck_as_by_loops(seed, threshold):
    rng = np.random.default_rng(seed)
    target = rng.uniform(0, 64, (5, 17, 2))
    pred = target + rng.normal(0, 8, target.shape)
    visible = rng.random((5, 17)) < 0.8
    expected = right_by_loops(pred, target, visible, threshold)
    tensors = map(torch.from_numpy, (pred, target, visible))
    np.testing.assert_array_equal(pck(*tensors, threshold).numpy(), expected)


def test_the_threshold_itself_is_right():
    target = torch.zeros(1, 17, 2)
    target[0, SHOULDER] = torch.tensor([30.0, 40.0])  # a torso of 50 px
    pred, visible = target.clone(), torch.ones(1, 17, dtype=torch.bool)
    pred[0, 3, 0], pred[0, 5, 1] = 12.5, 12.51
    expected = torch.ones(1, 17)
    expected[0, 5] = 0
    assert torch.equal(pck(pred, target, visible, 0.25), expected)
    with pytest.raises(InputError, match="target_px: expected at least one value"):
        pck(pred[:0], target[:0], visible[:0])


def test_groups_are_the_joints_of_lsp():
    joints = sum((GROUPS[name] for name in GROUPS if name != "all joints"), ())
    assert sorted(joints) == sorted(LSP14_IN_H36M17)


def test_measured_numbers_are_counts(parts, monkeypatch):
    test = parts[1]
    guess = test.labels.keypoints_px.clone()
    guess[0, H36M17.index("left_wrist")] += 64
    prediction = photographs.evaluation.Prediction(guess, torch.zeros(2, 17))
    monkeypatch.setattr(photographs.evaluation, "predict", lambda *a, **k: prediction)
    found = measure(torch.nn.Identity(), test)
    assert found["wrist right"].tolist() == [1, 0] and found["wrist annotated"].tolist() == [2, 0]
    assert found["all joints right"].tolist() == [13, 0]
    assert found["all joints annotated"].tolist() == [14, 0]
    assert "ordinal accuracy" not in found


# training

SMOKE = experiments.Setting("smoke", device="cpu")


def trained_in(crops, setting) -> Path:
    """The folder of a network that has learned from photographs."""
    return Path(photographs.train(crops, setting).source["weights"]).parent


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_training_is_done_once(outputs, parts, monkeypatch):
    first = trained_in(parts[0], SMOKE)
    assert set(contents(first)) == {"config.json", "log.csv", "weights.safetensors"}
    log = pd.read_csv(first / "log.csv")
    assert list(log.columns) == ["step", "volume", "heatmap"] and np.isfinite(log).all().all()
    assert trained_in(replace_images(parts[0]), SMOKE) != first
    with monkeypatch.context() as patch:
        patch.setattr(photographs, "fit", None)
        assert trained_in(parts[0], SMOKE) == first
    alone = experiments.run("table2/keypoints", SMOKE).folder
    mine, theirs = (load_file(f / "weights.safetensors") for f in (first, alone))
    assert mine.keys() == theirs.keys()
    assert any(not torch.equal(mine[key], theirs[key]) for key in mine)


def test_it_begins_with_a_trained_network_as_mixed_networks_do(outputs, parts, monkeypatch):
    given, train = {}, photographs.fit

    def recording(network, *rest):
        given.update({name: value.clone() for name, value in network.state_dict().items()})
        return train(network, *rest)

    monkeypatch.setattr(photographs, "fit", recording)
    photographs.train(parts[0], replace(SMOKE, seed=4))
    start = experiments.run("table1/volume2/full", replace(SMOKE, seed=4)).network().state_dict()
    assert given.keys() == start.keys()
    assert all(torch.equal(given[name], value) for name, value in start.items())


def replace_images(crops):
    """The same photographs with one pixel changed."""
    images = crops.pixels(np.arange(len(crops)))
    images[0, 0, 0, 0] ^= 1
    return replace(crops, pixels=lambda rows: images[rows])


STOPPED = """
import os, signal, sys
from ordlib import experiments, training
from ordlib.experiments import photographs
smoke = experiments.Setting("smoke", device="cpu")
experiments.run("table1/volume2/full", smoke)  # what it begins with
step = training._set_rate
def stop(optimizer, config, now):
    if now == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    step(optimizer, config, now)
training._set_rate = stop
training._is_due = lambda *_: True
photographs.train(photographs.split(photographs.read(sys.argv[1], size=32))[0], smoke)
"""


def test_a_killed_training_ends_with_the_same_weights(
    outputs, tmp_path, folder, parts, monkeypatch
):
    whole = trained_in(parts[0], SMOKE)
    monkeypatch.setenv("ORDLIB_OUTPUTS", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", STOPPED, str(folder)], env=os.environ, timeout=300)
    assert done.returncode == -signal.SIGKILL
    (left,) = (tmp_path / "smoke" / "runs").glob("photographs-*")
    assert (left / "checkpoint.safetensors").exists()
    assert trained_in(parts[0], SMOKE) == left and contents(left) == contents(whole)


def test_damaged_weights_are_named(outputs, parts):
    weights = trained_in(parts[0], replace(SMOKE, seed=3)) / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match=r"weights\.safetensors: expected the weights"):
        photographs.train(parts[0], replace(SMOKE, seed=3))


def test_both_networks_are_measured_on_the_same_photographs(outputs, parts, monkeypatch):
    monkeypatch.setattr(experiments.Setting, "seeds", lambda self: [self, replace(self, seed=1)])
    table = compare(*parts, SMOKE)
    assert list(table["trained_on"].unique()) == [ALONE, TOGETHER, GAIN]
    assert set(table["measure"]) == {f"PCK {group}" for group in GROUPS}
    whole = table[table["measure"] == "PCK all joints"].set_index("trained_on")
    assert whole["training_photographs"].tolist() == [0, 8, 8]
    assert set(whole["test_photographs"]) == {1} and set(whole["joints"]) == {14}
    assert set(whole["seeds"]) == {2} and set(whole["row"]) == {"table2/keypoints"}
    networks = [photographs.train(parts[0], replace(SMOKE, seed=seed)).network for seed in (0, 1)]
    right = [measure(network, parts[1])["all joints right"].sum() for network in networks]
    assert whole["percent"][TOGETHER] == pytest.approx(100 * np.mean(right) / 14)
    difference = whole["percent"][TOGETHER] - whole["percent"][ALONE]
    assert whole["percent"][GAIN] == pytest.approx(difference)


# the command


def test_from_answers_to_a_figure(outputs, answered, tmp_path, capsys):
    picture = answered / "5.png"
    out = tmp_path / "out"
    options = ["--scale", "smoke", "--device", "cpu", "--test", "2", "--out", str(out)]
    assert main(["photographs", str(answered), *options, "--predict", str(picture)]) == 0
    said = capsys.readouterr().out
    assert "4 to learn from, with 2D joints, and ordinal answers for 4; 2 to test on" in said
    table = pd.read_csv(out / "photographs.csv")
    assert "ordinal accuracy" in set(table["measure"]) and set(table["row"]) == {"table2/ordinal"}
    assert (out / "5.png").stat().st_size > 5000
    assert not list(outputs.rglob("*.png"))


def test_bad_input_is_one_line(folder, tmp_path, capsys):
    for arguments in ([str(tmp_path / "nowhere")], [str(folder), "--predict", "nowhere.jpg"]):
        assert main(["photographs", *arguments, "--scale", "smoke"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("ordlib: error: ") and "nowhere" in line
