"""Data sets found below a folder: which, where, how many samples, and what is wrong with them."""

from pathlib import Path

import human36m_files
import humaneva_files
import numpy as np
import pytest
import threedhp_files
from bvh_files import CMU, bvh_text, random_values, save
from photo_files import (
    half,
    lspet_array,
    random_points,
    relative,
    save_half,
    save_images,
    save_mat,
    save_relative,
)

from ordlib.arrays import TRUST
from ordlib.cli import main
from ordlib.datasets.recognise import LAYOUTS, Found, recognise, table
from ordlib.errors import InputError


@pytest.fixture(autouse=True)
def trusted(monkeypatch) -> None:
    """The user has named the archives of HumanEva-I, which need unpickling."""
    monkeypatch.setenv(TRUST, "data_3d_humaneva15.npz, data_2d_humaneva15_gt.npz")


def _lspet(folder, images=3):
    save_images(folder / "images", [f"im{k:05d}.jpg" for k in range(1, images + 1)])
    array = lspet_array(random_points(3), np.ones((3, 14)))
    return save_mat(folder / "joints.mat", "joints", array).parent


def _human36m(folder):
    names = human36m_files.film_names(("S1",))
    human36m_files.save_c2f(folder, "train", human36m_files.c2f(names))
    return human36m_files.save_test_set(folder)


def _human36m_poses(folder):
    human36m_files.save_baseline(folder, {"S1": ("Eating",), "S9": ("Eating",)})
    return folder


def _fetch(folder):
    content = human36m_files.sequence()
    for name in ("S1/Eating-1", "S9/Eating-1"):
        human36m_files.save_sequence(folder / "processed", name, content)
    return folder / "processed"


def _humaneva(folder):
    humaneva_files.save_archives(folder)
    humaneva_files.save_all_images(folder, 700)
    return folder


def _threedhp(folder):
    threedhp_files.save_sequence(folder / "TS1")
    return folder


def _ordinal(folder):
    for name in ("lsp_dataset_original", "mpii_upis1h"):
        save_half(folder / name, half(name))
    return folder


def _relative(folder):
    return save_relative(folder, relative(5))


def _mocap(folder):
    save(folder, bvh_text(CMU, random_values(CMU)), "deeper/walk.bvh")
    return folder / "deeper"


WRITERS = {
    "Human3.6M": (_human36m, "human36m"),
    "Human3.6M, poses": (_human36m_poses, "human36m"),
    "HumanEva-I": (_humaneva, "humaneva"),
    "MPI-INF-3DHP": (_threedhp, "mpi_inf_3dhp"),
    "LSP + MPII Ordinal": (_ordinal, "lsp_mpii_ordinal"),
    "LSP Extended": (_lspet, "lspet"),
    "Relative Depth LSP": (_relative, "relative_depth_lsp"),
    "motion capture": (_mocap, "mocap"),
}
SPLITS = {
    "Human3.6M": {"train", "test"},
    "Human3.6M, poses": {"train", "test"},
    "HumanEva-I": {"train", "validation"},
    "MPI-INF-3DHP": {"test"},
    "LSP + MPII Ordinal": {"train"},
    "LSP Extended": {"train"},
    "Relative Depth LSP": {"train", "test"},
    "motion capture": {"poses"},
}


def test_every_layout_has_a_test():
    assert [layout.name for layout in LAYOUTS if layout.loader] == list(WRITERS)


@pytest.mark.parametrize("name", WRITERS)
def test_a_data_set_is_found_from_above_and_from_within(tmp_path, name):
    write, loader = WRITERS[name]
    folder = write(tmp_path / "Daten für uns" / "set 1")
    for root in (folder, tmp_path):
        (found,) = recognise(root)
        assert (found.name, found.loader, found.folder) == (name, loader, folder)
        assert found.problem is None
        assert set(found.samples) == SPLITS[name] and min(found.samples.values()) > 0


def test_the_other_layout_of_human36m(tmp_path):
    fetch = _fetch(tmp_path / "h36m")
    assert [(item.name, item.folder) for item in recognise(tmp_path)] == [("Human3.6M", fetch)]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("MPII", ["annot/valid.h5", "annot/valid_images.txt"]),
        ("MPII", ["images/015601864.jpg", "v1/mpii_human_pose_v1_u12_1.mat"]),
        ("ASF/AMC", ["07/07.asf", "07/07_01.amc"]),
    ],
)
def test_what_is_known_and_not_read(tmp_path, capsys, name, files):
    """MPII has `annot/valid.h5` as Human3.6M does, and some copies lists of images too."""
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("015601864.jpg\n")
    found = recognise(tmp_path)
    assert {(item.name, item.problem) for item in found} == {(name, "this format is not read")}
    assert main(["datasets", str(tmp_path)]) == 0
    assert "problem: this format is not read" in capsys.readouterr().out


@pytest.mark.parametrize("name", WRITERS)
def test_companions_that_macos_leaves_are_nothing(tmp_path, name):
    """Archives that macOS packed have `._x` beside each file x, and `__MACOSX` with more."""
    folder = WRITERS[name][0](tmp_path / "set")
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        for companion in (
            path.with_name(f"._{path.name}"),
            tmp_path / "__MACOSX" / path.relative_to(tmp_path),
        ):
            companion.parent.mkdir(parents=True, exist_ok=True)
            companion.write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    (found,) = recognise(tmp_path)
    assert (found.name, found.problem) == (name, None) and set(found.samples) == SPLITS[name]


def test_counts_and_warnings_of_several_sets_in_one_folder(tmp_path):
    _lspet(tmp_path)
    _relative(tmp_path / "relative")
    _threedhp(tmp_path)
    found = {item.name: item for item in recognise(tmp_path)}
    assert set(found) == {"LSP Extended", "Relative Depth LSP", "MPI-INF-3DHP"}
    assert found["LSP Extended"].samples == {"train": 3}
    assert found["Relative Depth LSP"].samples == {"train": 3, "test": 2}
    assert found["LSP Extended"].warnings == ()
    told = " ".join(found["MPI-INF-3DHP"].warnings)
    assert "found no TS2" in told and "expected TS1 603" in told


def test_problems_are_told_by_split(tmp_path):
    folder = _human36m(tmp_path)
    path = folder / "annot" / "valid.h5"
    path.write_bytes(path.read_bytes()[:1000])
    (found,) = recognise(tmp_path)
    assert found.samples == {"train": 8}
    assert found.problem.startswith(f"test: {path}: expected a file of HDF5")
    assert "train:" not in found.problem


def test_a_problem_of_all_splits_is_told_once(tmp_path):
    (_relative(tmp_path) / "relative_depth_lsp_v1.json").write_text("{")
    (found,) = recognise(tmp_path)
    assert found.problem.startswith("train, test: ") and found.problem.count("damage") == 1


@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_data_set_is_recognised_all_the_same(tmp_path, name):
    folder = WRITERS[name][0](tmp_path)
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".jpg", ".png", ".txt"):
            path.write_bytes(path.read_bytes()[:90])
    (found,) = recognise(tmp_path)
    assert found.name == name and found.samples == {} and str(folder) in found.problem


def test_the_halves_of_the_ordinal_archive_are_no_lspet(tmp_path):
    for name in ("lsp_dataset_original", "mpii_upis1h"):
        (save_half(tmp_path / name, half(name)) / "ordinal.mat").unlink()
    (found,) = recognise(tmp_path)
    assert found.name == "LSP + MPII Ordinal" and "no ordinal.mat" in found.problem


def test_links_are_followed_but_not_round_in_circles(tmp_path):
    _lspet(tmp_path / "elsewhere" / "lspet")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    (root / "gone").symlink_to(tmp_path / "absent")
    (found,) = recognise(root)
    assert found.folder == root / "linked" / "lspet"


def test_images_and_hidden_and_deep_folders_are_not_searched(tmp_path):
    for place in ("images/x", "imageSequence", ".trash", "a/b/c/d/e"):
        _lspet(tmp_path / place)
    with pytest.raises(InputError, match="found none"):
        recognise(tmp_path)
    assert len(recognise(tmp_path / "a")) == 1


def test_nothing_recognised_says_what_is_looked_for(tmp_path, capsys):
    with pytest.raises(InputError) as raised:
        recognise(tmp_path)
    for layout in [layout for layout in LAYOUTS if layout.loader]:
        assert layout.name in str(raised.value) and layout.markers[0] in str(raised.value)
    with pytest.raises(InputError, match="absent: expected a folder of data sets, found nothing"):
        recognise(tmp_path / "absent")
    assert main(["datasets", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("ordlib: error: ")
    assert len(captured.err.splitlines()) == 1


def test_the_command_prints_a_table_and_ends_well_with_problems(tmp_path, capsys):
    _lspet(tmp_path / "lspet")
    folder = _human36m(tmp_path / "more" / "h36m")
    (folder / "annot/valid.h5").unlink()
    _threedhp(tmp_path / "3dhp")
    assert main(["datasets", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["data", "set", "folder", "samples"]
    (films,) = (k for k, line in enumerate(lines) if line.startswith("Human3.6M"))
    column = lines[0].index("folder")
    assert lines[films][column:].startswith("more/h36m") and lines[films].endswith("train 8")
    assert lines[films + 1].startswith("  problem: test: ")
    (shift,) = (k for k, line in enumerate(lines) if line.startswith("MPI-INF-3DHP"))
    assert lines[shift + 1].startswith("  warning: ")
    assert lines[-1] == "recognised: 3, with problems: 1"


def test_large_counts_are_readable():
    found = Found("Human3.6M", Path("/d/x"), "human36m", {"train": 312188}, None, ())
    assert "x       train 312,188" in table([found], "/d")


def test_the_real_samples(shared_data):
    (found,) = recognise(shared_data / "lspet")
    assert found.name == "LSP Extended" and found.samples == {"train": 1500}


def test_a_file_that_cannot_be_read_is_a_problem_of_its_set_alone(tmp_path, monkeypatch):
    _lspet(tmp_path / "a")
    _relative(tmp_path / "b")
    read = Path.read_text

    def refusing(path, *args, **options):
        if path.suffix == ".json":
            raise PermissionError(13, "Permission denied")
        return read(path, *args, **options)

    monkeypatch.setattr(Path, "read_text", refusing)
    good, bad = recognise(tmp_path)
    assert good.problem is None and bad.samples == {} and "Permission denied" in bad.problem
