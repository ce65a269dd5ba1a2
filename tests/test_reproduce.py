"""The driver, on notebooks of three cells."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from ordlib.errors import InputError
from ordlib.experiments import Setting
from ordlib.experiments.reproduce import (
    NotebookFailed,
    find_notebooks,
    needed_rows,
    reproduce,
    tables_text,
)

HEADER = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% tags=["parameters"]
scale: str = "quick"  # size of everything
seed: int = 0  # of every draw
device: str = "auto"  # where
data: str = ""  # data sets

"""
SHOW = """# %% [markdown]
# Shows what it got.

# %%
import os, sys
for word in (scale, seed, os.environ["OMP_NUM_THREADS"], os.getcwd().split(os.sep)[-1]):
    print(word, flush=True)
print("warning", file=sys.stderr)
{1, "a", "b"}
"""


@pytest.fixture
def notebooks(tmp_path) -> Path:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    return folder


def _write(folder: Path, name: str, body: str, header: str = HEADER) -> Path:
    path = folder / name
    path.write_text(header + body, "utf-8")
    return path


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_two_runs_are_identical_and_clean(notebooks, outputs, tmp_path):
    _write(notebooks, "03_show.py", SHOW)
    first = reproduce("smoke", 7, "cpu", notebooks=notebooks)
    second = reproduce("smoke", 7, "cpu", notebooks=notebooks, outputs=tmp_path / "other")
    assert first == outputs / "smoke"
    assert _files(first) == _files(second) == ["notebooks/03_show.ipynb"]
    text = (first / "notebooks" / "03_show.ipynb").read_text("utf-8")
    assert text == (second / "notebooks" / "03_show.ipynb").read_text("utf-8")
    assert str(tmp_path) not in text
    copy = nbformat.reads(text, as_version=4)
    assert set(copy.metadata) == {"kernelspec", "language_info"}
    assert [cell.id for cell in copy.cells] == [f"cell-{n:02d}" for n in range(4)]
    assert [dict(cell.metadata) for cell in copy.cells] == [
        {"tags": ["parameters"]},
        {"tags": ["injected-parameters"]},
        {},
        {},
    ]
    assert copy.cells[-1].execution_count == 3
    assert copy.cells[-1].outputs[0].text == "smoke\n7\n1\nnotebooks\n"


def test_failed_notebook_is_kept_apart_and_finished_ones_are_not_repeated(notebooks, outputs):
    _write(notebooks, "01_good.py", "# %%\nopen('ran', 'a').write('x')\n")
    bad = _write(notebooks, "02_bad.py", "# %%\nraise RuntimeError('no luck')\n")
    published = outputs / "smoke" / "notebooks" / "02_bad.ipynb"
    published.parent.mkdir(parents=True)
    published.write_text("the good copy")
    with pytest.raises(NotebookFailed, match="no luck") as failure:
        reproduce("smoke", jobs=1, notebooks=notebooks)
    draft = outputs / "smoke" / "drafts" / "02_bad.ipynb"
    assert str(draft) in str(failure.value)
    assert "RuntimeError" in draft.read_text("utf-8")
    assert published.read_text() == "the good copy"

    bad.write_text(HEADER, "utf-8")
    lines: list[str] = []
    reproduce("smoke", notebooks=notebooks, say=lines.append)
    assert "[1/2] 01_good: finished before the interruption, kept" in lines
    assert (notebooks / "ran").read_text() == "x"
    assert "cells" in published.read_text("utf-8")
    assert _files(outputs) == ["smoke/notebooks/01_good.ipynb", "smoke/notebooks/02_bad.ipynb"]


def test_killed_run_leaves_no_half_notebook_and_continues(notebooks, outputs):
    _write(notebooks, "01_first.py", "# %%\n1\n")
    _write(notebooks, "02_slow.py", "# %%\nopen('began', 'w')\nimport time; time.sleep(100)\n")
    call = (
        "import sys; from pathlib import Path; from ordlib.experiments.reproduce import reproduce; "
    )
    call += "reproduce('smoke', device='cpu', notebooks=Path(sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-c", call, str(notebooks)])
    try:
        deadline = time.monotonic() + 120
        signs = (notebooks / "began", outputs / "smoke" / "drafts" / "01_first.done")
        while not all(sign.exists() for sign in signs) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert os.listdir(outputs / "smoke" / "notebooks") == ["01_first.ipynb"]

    _write(notebooks, "02_slow.py", "# %%\n2\n")
    lines: list[str] = []
    reproduce("smoke", device="cpu", notebooks=notebooks, say=lines.append)
    assert lines[0] == "[1/2] 01_first: finished before the interruption, kept"
    copies = ["smoke/notebooks/01_first.ipynb", "smoke/notebooks/02_slow.ipynb"]
    assert _files(outputs) == copies


def test_notebooks_run_side_by_side_and_are_reported_in_order(notebooks, outputs):
    # each waits for the other, so neither ends if they run in turn
    wait = "# %%\nimport time\nfrom pathlib import Path\nPath('{}').touch()\n"
    wait += "while not Path('{}').exists():\n    time.sleep(0.05)\n"
    _write(notebooks, "01_a.py", wait.format("a", "b") + "time.sleep(1)\n")
    _write(notebooks, "02_b.py", wait.format("b", "a"))
    lines: list[str] = []
    reproduce("smoke", device="cpu", jobs=2, notebooks=notebooks, say=lines.append)
    assert lines[:2] == ["[2/2] 02_b: running", "[1/2] 01_a: running"]
    assert [line.split(";")[0] for line in lines[2:]] == ["[1/2] 01_a: done", "[2/2] 02_b: done"]


def test_after_a_failure_what_is_under_way_is_finished_and_nothing_begun(notebooks, outputs):
    good = "# %%\nfrom pathlib import Path\nimport time\nPath('began').touch()\ntime.sleep(1)\n"
    bad = "# %%\nimport time\nfrom pathlib import Path\n"
    bad += "while not Path('began').exists():\n    time.sleep(0.05)\nraise ValueError('no luck')\n"
    for name, body in (("01_bad.py", bad), ("02_late.py", "# %%\n1\n"), ("03_good.py", good)):
        _write(notebooks, name, body)
    with pytest.raises(NotebookFailed, match="no luck"):
        reproduce("smoke", device="cpu", jobs=2, notebooks=notebooks)
    assert _files(outputs / "smoke" / "notebooks") == ["03_good.ipynb"]


def test_a_kernel_that_dies_is_a_failed_notebook(notebooks, outputs):
    _write(notebooks, "01_x.py", "# %%\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(NotebookFailed, match=r"01_x.py: DeadKernelError"):
        reproduce("smoke", notebooks=notebooks)
    assert _files(outputs) == ["smoke/drafts/01_x.ipynb"]


def test_a_notebook_without_the_parameters_is_refused(notebooks, outputs):
    _write(notebooks, "01_x.py", "", header=HEADER.replace("seed: int = 0", "sede: int = 0"))
    with pytest.raises(InputError, match=r"01_x.py.*no seed"):
        reproduce("smoke", notebooks=notebooks)
    assert _files(outputs) == []


def test_networks_are_trained_before_the_notebooks(notebooks, outputs, monkeypatch):
    calls = []

    def train(rows, settings, jobs):
        calls.append((rows, settings, jobs, os.environ["ORDLIB_OUTPUTS"]))
        raise KeyboardInterrupt

    monkeypatch.setattr("ordlib.experiments.train", train)
    _write(notebooks, "04_a.py", "# %%\nROWS = ['table1/b', 'table1/a']\n")
    _write(notebooks, "05_b.py", "# %%\nROWS = ['table1/a', 'table1/c']\n")
    with pytest.raises(KeyboardInterrupt):
        reproduce("desk", 5, "cpu", jobs=2, notebooks=notebooks)
    rows = ["table1/b", "table1/a", "table1/c"]
    settings = [Setting("desk", seed, device="cpu") for seed in (5, 6, 7)]
    assert calls == [(rows, settings, 2, str(outputs))]


def test_rows_are_read_without_running_the_notebook(notebooks):
    assert needed_rows(_write(notebooks, "01_a.py", "# %%\n1 / 0\n")) == []
    source = _write(notebooks, "02_b.py", "# %%\nROWS = sorted(experiments.ROWS)\n")
    with pytest.raises(InputError, match="plain strings"):
        needed_rows(source)
    with pytest.raises(InputError, match=r"03_c.py: expected Python, found in line 1"):
        needed_rows(_write(notebooks, "03_c.py", "no Python\n", header=""))


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (None, ["03_data", "09_table1", "10_table2"]),
        ("09", ["09_table1"]),
        ("9", ["09_table1"]),
        ("10, 03", ["03_data", "10_table2"]),
        ("data", ["03_data"]),
        ("09_table1.py", ["09_table1"]),
    ],
)
def test_notebooks_by_number_or_name(notebooks, only, expected):
    for name in ("10_table2.py", "09_table1.py", "03_data.py", "helper.py"):
        _write(notebooks, name, "")
    assert [path.stem for path in find_notebooks(only, notebooks)] == expected


def test_unknown_notebook_lists_the_known_ones(notebooks):
    with pytest.raises(InputError, match="found none"):
        find_notebooks(None, notebooks)
    _write(notebooks, "03_data.py", "")
    with pytest.raises(InputError, match=r"one of 03_data, found '77'"):
        find_notebooks("03,77", notebooks)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale": "huge"}, "smoke, quick, desk, paper, found 'huge'"),
        ({"device": "tpu"}, "found 'tpu'"),
        ({"data": "nowhere"}, "expected a folder of data sets, found nothing"),
    ],
)
def test_bad_arguments_write_nothing(notebooks, outputs, wrong, message):
    _write(notebooks, "01_a.py", "")
    with pytest.raises(InputError, match=message):
        reproduce(**{"scale": "smoke", "notebooks": notebooks, **wrong})
    assert not outputs.exists()


def test_tables_are_aligned_text(tmp_path):
    assert tables_text(tmp_path) == ""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "table1.csv").write_text("row,published\nweak,112.347\nfull,\n")
    lines = tables_text(tmp_path).splitlines()
    assert lines == ["table1", " row  published", "weak     112.35", "full           "]
