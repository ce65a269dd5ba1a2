"""Rows as data, runs done once, and the same results whoever trains them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ordlib import synthetic
from ordlib.batches import batch_indices
from ordlib.errors import InputError
from ordlib.experiments import ROWS, Run, Setting, get_row, run, runs, train
from ordlib.experiments.evaluation import predict
from ordlib.experiments.published import table
from ordlib.files import VERSION
from ordlib.scales import check_seed

WEAK, FULL = "table1/volume1/weak", "table1/depth/full"
SMOKE = Setting("smoke", device="cpu")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("outputs")
        patch.setenv("ORDLIB_OUTPUTS", str(folder))
        yield folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_all_rows_of_table_1_are_there() -> None:
    assert set(table(1)["row"]) <= set(ROWS)
    assert [ROWS[r].stacks for r in ROWS if r.startswith("table1/volume2")] == [2, 2]
    # what is chosen is chosen on the held-out training subject, never on a test subject
    choices = [row for row in ROWS.values() if row.id.startswith("choice/")]
    assert choices and {(r.train_split, r.test_split) for r in choices} == {("fit", "val")}


def test_a_run_is_done_once_and_read_again(outputs: Path, monkeypatch) -> None:
    first = run(WEAK, SMOKE)
    names = {"config.json", "log.csv", "metrics.json", "predictions-studio.safetensors"}
    assert set(contents(first.folder)) == names | {"weights.safetensors"}
    assert Run(get_row(WEAK), SMOKE).done
    monkeypatch.setattr(runs, "_train", None)
    again = run(WEAK, SMOKE)
    assert again.metrics == first.metrics and again.folder == first.folder
    assert again.metrics["studio"]["mpjpe"] == pytest.approx(
        float(again.predictions()["mpjpe"].mean())
    )
    assert list(again.log.columns) == ["step", "heatmap", "rank"]
    config = json.loads((first.folder / "config.json").read_text())
    assert config["row"]["id"] == WEAK and config["seed"] == 0


def test_two_trainings_and_side_by_side_trainings_agree(outputs: Path, monkeypatch) -> None:
    alone = contents(run(WEAK, SMOKE).folder)
    run(FULL, SMOKE)
    images = rendered(outputs)
    shutil.rmtree(outputs / "smoke")
    train([WEAK, FULL], [SMOKE], jobs=2)
    assert rendered(outputs) == images
    both = contents(run(WEAK, SMOKE).folder)
    assert both == alone
    assert Run(get_row(FULL), SMOKE).done


def rendered(outputs: Path) -> dict:
    """All stand-ins there are."""
    folders = (outputs / "smoke" / "data").iterdir()
    return {folder.name: contents(folder) for folder in folders if folder.is_dir()}


def test_the_network_of_a_run_gives_its_predictions(outputs: Path) -> None:
    result = run(WEAK, SMOKE)
    test_set = synthetic.load("studio", "test", "smoke", 0)
    prediction = predict(result.network(), test_set, result.scale.ranking_unit_mm)
    tensors = load_file(result.folder / "predictions-studio.safetensors")
    torch.testing.assert_close(prediction.depth, tensors["depth"])
    assert tensors["joints_mm"].shape == (48, 17, 3)
    assert all(torch.isfinite(t).all() for name, t in tensors.items() if name != "ordinal_accuracy")


def test_what_decides_a_result_is_in_the_name_of_its_folder(outputs: Path) -> None:
    folders = {
        Run(get_row(row), Setting(scale, seed, precision=precision, device="cpu")).folder
        for row in (WEAK, FULL)
        for scale in ("smoke", "quick")
        for seed in (0, 1)
        for precision in ("32-true", "bf16-mixed")
    }
    assert len(folders) == 16


def test_an_interrupted_evaluation_is_finished_from_the_weights(outputs: Path) -> None:
    first = run(FULL, SMOKE)
    before = contents(first.folder)
    (first.folder / "metrics.json").unlink()
    (first.folder / "predictions-studio.safetensors").unlink()
    assert contents(run(FULL, SMOKE).folder) == before


@pytest.mark.parametrize(
    ("name", "message", "read"),
    [
        ("weights", "expected the weights", Run.network),
        ("predictions-studio", "expected results of a finished run", Run.predictions),
        ("metrics", "expected results of a finished run", lambda damaged: damaged.metrics),
    ],
)
def test_damaged_files_are_named(outputs: Path, name: str, message: str, read) -> None:
    result = run(FULL, replace(SMOKE, seed=1))
    (path,) = result.folder.glob(f"{name}.*")
    intact = path.read_bytes()
    path.write_bytes(intact[:100] if name == "weights" else b"{")
    with pytest.raises(InputError, match=f"{path.name}: {message}"):
        read(result)
    path.write_bytes(intact)


def test_every_epoch_shows_every_sample_once() -> None:
    steps = [batch_indices(24, 8, seed=0, step=step) for step in range(6)]
    for epoch in (steps[:3], steps[3:]):
        assert np.array_equal(np.sort(np.concatenate(epoch)), np.arange(24))
    assert not np.array_equal(steps[0], steps[3])
    assert np.array_equal(steps[4], batch_indices(24, 8, seed=0, step=4))
    assert len(batch_indices(5, 8, seed=0, step=3)) == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale": "large"}, "scale: expected one of smoke, quick, desk, paper, found 'large'"),
        ({"seed": -1}, "seed: expected a whole number from 0 to 4294967295, found -1"),
        ({"device": "abacus"}, "device: expected"),
        ({"precision": "16"}, "precision: expected 32-true or bf16-mixed, found '16'"),
        ({"data": "nowhere"}, "nowhere: expected a folder of data sets, found nothing"),
    ],
)
def test_bad_settings(wrong: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Setting(**{"scale": "smoke", "device": "cpu"} | wrong)


def test_rows_and_seeds_as_text() -> None:
    with pytest.raises(InputError, match="row: expected one of table1/depth/weak"):
        run("table1/volume3/weak", SMOKE)
    assert check_seed("3") == 3  # as Papermill gives it
    for wrong in ("one", 1.5, "", "-1"):
        with pytest.raises(InputError, match=f"seed: .*, found {wrong!r}"):
            check_seed(wrong)


LAST = {WEAK: "11,282.622,65.0685", "table2/ordinal": "11,205.63,463.205,102.07"}
"""Last line of the log, with PyTorch 2.13 on a CPU with AVX2."""


@pytest.mark.skipif(
    (torch.__version__[:4], torch.backends.cpu.get_cpu_capability()) != ("2.13", "AVX2"),
    reason="sums are in another order with another PyTorch or on another CPU",
)
@pytest.mark.parametrize("row", LAST)
def test_what_a_run_does_has_not_changed(outputs: Path, row: str) -> None:
    """Where this fails with a reason, raise `files.VERSION`, or older runs are reused."""
    assert (run(row, SMOKE).folder / "log.csv").read_text().splitlines()[-1] == LAST[row]
    assert VERSION == 3
