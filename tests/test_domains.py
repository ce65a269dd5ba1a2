"""Real data sets in the roles of the stand-ins: found, trained on, and never mixed with them."""

import json
import os
import shutil
from pathlib import Path

import human36m_files
import humaneva_files
import pandas as pd
import photo_files
import pytest
import threedhp_files
import torch

from ordlib.arrays import TRUST
from ordlib.errors import InputError
from ordlib.experiments import Run, Setting, get_row, run, runs, train
from ordlib.experiments import roles as domains
from ordlib.experiments.components import component
from ordlib.experiments.reproduce import left_out, reproduce
from ordlib.metrics import mpjpe


@pytest.fixture(autouse=True)
def trusted(monkeypatch) -> None:
    """The user has named the archives of HumanEva-I, which need unpickling."""
    monkeypatch.setenv(TRUST, "data_3d_humaneva15.npz, data_2d_humaneva15_gt.npz")


FULL, ORDINAL = "table1/volume2/full", "table2/ordinal"

pytestmark = [
    # what small fabricated sets lack, which their loaders say
    pytest.mark.filterwarnings("ignore:(?s).*(found no TS|found valid frames)"),
]


def save_human36m(root: Path) -> None:
    for half, subjects in (("train", ("S1", "S5", "S8")), ("valid", ("S9", "S11"))):
        names = human36m_files.film_names(subjects, cameras=human36m_files.CAMERAS[:2])
        human36m_files.save_c2f(root, half, human36m_files.c2f(names))


def save_ordinal(root: Path) -> None:
    for name in photo_files.PATTERNS:
        photo_files.save_half(root / name, photo_files.half(name))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with Human3.6M, the ordinal archive and MPI-INF-3DHP."""
    root = tmp_path / "data"
    save_human36m(root / "h36m")
    save_ordinal(root / "in the wild" / "ordinal")
    threedhp_files.save_sequence(root / "3dhp" / "mpi_inf_3dhp_test_set" / "TS1")
    return root


def again(data: Path) -> str:
    """The folder as it is now; where things lie is looked up once in a process."""
    domains._recognised.cache_clear()
    return str(data)


def smoke(data: Path | str) -> Setting:
    return Setting("smoke", data=str(data), device="cpu")


@pytest.mark.parametrize("row", [FULL, ORDINAL])
def test_a_row_learns_from_real_data_and_is_found_again(data, outputs, monkeypatch, row) -> None:
    first = run(row, smoke(data))
    assert first.folder.parent == outputs / "smoke-data" / "runs"
    assert not (outputs / "smoke").exists(), "nothing was rendered"
    config = json.loads((first.folder / "config.json").read_text())
    assert set(config["data"]) == {"studio"} | ({"wild"} if row == ORDINAL else set())
    assert set(config["tested"]) == {"studio", "shift"}
    for domain in config["tested"]:
        truth = first.truth(domain)
        error = mpjpe(first.predictions(domain)["joints_mm"], truth.joints_mm)
        torch.testing.assert_close(error, first.predictions(domain)["mpjpe"], atol=0.01, rtol=1e-4)
    assert len(first.predictions()["mpjpe"]) == 2 * 2 * 2
    known = first.truth("studio")
    assert known.joints_mm.shape == (8, 17, 3) and set(known.meta["action"]) == {"Eating"}
    assert Run(get_row(row), smoke(data)).done
    monkeypatch.setattr(runs, "_train", None)
    assert run(row, smoke(data)).metrics == first.metrics


def test_decoding_ahead_changes_nothing(data, outputs, monkeypatch) -> None:
    weights = []
    for threads in (4, 0):
        monkeypatch.setattr(runs, "_AHEAD", threads)
        folder = run(ORDINAL, smoke(data)).folder
        weights.append((folder / "weights.safetensors").read_bytes())
        shutil.rmtree(folder)
    assert weights[0] == weights[1]


def test_a_test_set_that_comes_later_costs_no_training(data, outputs, monkeypatch) -> None:
    place, away = data / "3dhp", data.parent / "3dhp"
    shutil.move(place, away)
    alone = run(FULL, smoke(again(data)))
    assert set(alone.tests) == set(alone.metrics) == {"studio"}
    with pytest.raises(InputError, match="domain: table1/volume2/full has studio, found 'shift'"):
        alone.predictions("shift")
    shutil.move(away, place)
    assert not Run(get_row(FULL), smoke(again(data))).done
    monkeypatch.setattr(runs, "fit", None)
    both = run(FULL, smoke(data))
    assert both.folder == alone.folder and both.metrics["shift"]["pck3d"] >= 0
    assert torch.equal(both.predictions()["mpjpe"], alone.predictions()["mpjpe"])


def test_a_row_never_learns_from_both_kinds(data, outputs) -> None:
    shutil.rmtree(data / "in the wild")
    folder = again(data)
    with pytest.raises(InputError, match=r"expected LSP \+ MPII Ordinal \(wild\) in .*table2/ord"):
        run(ORDINAL, smoke(folder))
    with pytest.raises(InputError, match=r"expected HumanEva-I \(duo\) and LSP \+ MPII"):
        train(["table6/ordinal"], [smoke(folder)])
    assert not outputs.exists()
    described = domains.describe(folder)
    assert described["played by"].to_dict() == {
        "studio": "Human3.6M",
        "duo": "stand-in, in no table here",
        "wild": "stand-in, in no table here",
        "shift": "MPI-INF-3DHP",
    }
    assert described.loc["shift", "folder"] == "3dhp/mpi_inf_3dhp_test_set"
    assert "no HumanEva-I (duo), LSP + MPII Ordinal (wild)" in domains.summary(folder)
    assert domains.load("wild", "val", "smoke", 0, data=folder).name == "wild"
    assert set(domains.describe()["played by"]) == {"stand-in"}


def test_a_split_that_the_real_set_lacks_is_not_filled(data) -> None:
    with pytest.raises(InputError, match=r"LSP \+ MPII Ordinal \(wild\) has train, found 'val'"):
        domains.load("wild", "val", "smoke", 0, data=str(data))
    assert set(domains.tests(get_row("choice/mixed/keypoints"), str(data))) == {"studio"}


def test_humaneva_is_read_once_its_archives_are_named(data, monkeypatch) -> None:
    root = humaneva_files.save_archives(data / "HumanEva")
    humaneva_files.save_all_images(root)
    with monkeypatch.context() as patch:
        patch.delenv(TRUST)
        with pytest.raises(InputError, match=f"found a pickle, .* set {TRUST}=data_3d_humaneva15"):
            domains.load("duo", "validation", "smoke", 0, data=again(data))
    dataset = domains.load("duo", "validation", "smoke", 0, data=again(data))
    assert dataset.name == "humaneva" and dataset.batch([0]).images.shape == (1, 3, 32, 32)


def test_a_key_follows_from_what_is_in_the_files(data, tmp_path) -> None:
    row = get_row(ORDINAL)

    def key(folder: Path) -> str:
        return Run(row, smoke(again(folder))).folder.name

    first, stand_in = key(data), Run(row, Setting("smoke", device="cpu")).folder.name
    assert first != stand_in
    moved = tmp_path / "elsewhere" / "data"
    shutil.copytree(data, moved)
    assert key(moved) == first, "the same files in another place"
    shutil.rmtree(moved / "3dhp")
    assert key(moved) == first, "it does not learn from these"
    ordinal = moved / "in the wild" / "ordinal" / "mpii_upis1h" / "ordinal.mat"
    os.utime(ordinal, (1e9, 1e9))
    changed = key(moved)
    assert changed != first
    ordinal.unlink()
    assert key(moved) not in (first, changed)
    assert Run(row, Setting("smoke", device="cpu")).folder.name == stand_in


def test_the_component_learns_from_real_poses(data, outputs, monkeypatch) -> None:
    stand_in = component(Setting("smoke", device="cpu"))
    real = component(smoke(data))
    assert not torch.equal(*(next(network.parameters()) for network in (stand_in, real)))
    monkeypatch.setattr("ordlib.experiments.components.fit_component", None)
    found = component(smoke(data))
    assert torch.equal(*(next(network.parameters()) for network in (found, real)))
    with pytest.raises(InputError, match=r"3D poses to learn from, found 'wild'"):
        component(smoke(data), "wild")
    with pytest.raises(InputError, match=r"expected HumanEva-I \(duo\)"):
        component(smoke(data), "duo")


def test_folders_without_data_sets(tmp_path, data, outputs) -> None:
    with pytest.raises(InputError, match="nowhere: expected a folder of data sets, found nothing"):
        domains.data_folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"found none: Human3\.6M: annot.*TS\[1-6\]"):
        domains.data_folder(tmp_path / "data" / "h36m" / "images")
    # MPII in the hourglass authors' form has such files too
    annot = tmp_path / "mpii" / "annot"
    annot.mkdir(parents=True)
    (annot / "valid.h5").touch()
    (annot / "valid_images.txt").write_text("015601864.jpg\n")
    with pytest.raises(InputError, match=r"expected one or more of Human3\.6M.*found MPII alone"):
        domains.data_folder(annot.parent)
    assert domains.data_folder("") is None


NOTEBOOK = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% tags=["parameters"]
scale: str = "quick"  # size
seed: int = 0  # of every draw
device: str = "auto"  # where
data: str = ""  # real data

# %%
{}
"""


def save_notebooks(folder: Path) -> Path:
    folder.mkdir()
    bodies = {
        "01_method": "",
        "02_table": f"ROLES = []\nROWS = ['{FULL}']\nprint(data)",
        "03_wild": f"ROLES = []\nROWS = ['{ORDINAL}']",
        "04_shift": f"ROWS = ['{FULL}']\nROLES = ['shift']",
    }
    for name, body in bodies.items():
        (folder / f"{name}.py").write_text(NOTEBOOK.format(body))
    return folder


def test_tables_that_would_mix_are_left_out_and_it_is_said(data, outputs, tmp_path) -> None:
    shutil.rmtree(data / "3dhp")
    shutil.rmtree(data / "in the wild")
    source, lines = save_notebooks(tmp_path / "notebooks"), list[str]()
    setting = Setting("smoke", data=str(again(data)), device="cpu")
    folder = reproduce(setting, notebooks=source, say=lines.append)
    assert folder == outputs / "smoke-data"
    assert lines[0].startswith(f"Data: studio is Human3.6M in {data / 'h36m'}; no HumanEva-I (duo)")
    end = "; without real data it runs on stand-ins"
    assert lines[1:4] == [
        f"01_method: left out, it shows the method on stand-ins{end}",
        f"03_wild: left out, it needs LSP + MPII Ordinal (wild){end}",
        f"04_shift: left out, it needs MPI-INF-3DHP (shift){end}",
    ]
    assert [path.name for path in (folder / "notebooks").iterdir()] == ["02_table.ipynb"]
    assert f'data = \\"{data}\\"' in (folder / "notebooks" / "02_table.ipynb").read_text()
    table = pd.read_csv(folder / "tables" / "data.csv", index_col="role")
    assert list(table.index[table["played by"] != "Human3.6M"]) == ["duo", "wild", "shift"]
    with pytest.raises(InputError, match="found too few for any"):
        reproduce(setting, "03", notebooks=source)


def test_all_notebooks_run_where_all_is_there(data, tmp_path) -> None:
    reasons = [
        left_out(path, str(data)) for path in sorted(save_notebooks(tmp_path / "n").iterdir())
    ]
    assert reasons == ["it shows the method on stand-ins", "", "", ""]
