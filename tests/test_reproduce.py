"""The driver, on notebooks of three cells, and the processes that it starts."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import version
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
    source_digest,
    tables_text,
)
from ordlib.experiments.workers import side_by_side

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
data: str = ""  # real ones

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
SMOKE = Setting("smoke", device="cpu")


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


def test_two_runs_are_identical_and_clean(notebooks, outputs, tmp_path, monkeypatch):
    source = _write(notebooks, "03_show.py", SHOW)
    setting, lines = Setting("smoke", 7, device="cpu"), []
    first = reproduce(setting, notebooks=notebooks, say=lines.append)
    assert [line.split(";")[0] for line in lines] == ["[1/1] 03_show: done"]
    monkeypatch.setenv("ORDLIB_OUTPUTS", str(tmp_path / "other"))
    second = reproduce(setting, notebooks=notebooks)
    assert first == outputs / "smoke"
    assert _files(first) == _files(second) == ["notebooks/03_show.ipynb"]
    text = (first / "notebooks" / "03_show.ipynb").read_text("utf-8")
    assert text == (second / "notebooks" / "03_show.ipynb").read_text("utf-8")
    assert str(tmp_path) not in text
    copy = nbformat.reads(text, as_version=4)
    assert set(copy.metadata) == {"kernelspec", "language_info", "ordlib"}
    assert copy.metadata.ordlib == {"source": source_digest(source), "version": version("ordlib")}
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
    _write(notebooks, "03_good.py", "# %%\nopen('ran', 'a').write('x')\n")
    bad = _write(notebooks, "02_bad.py", "# %%\nraise RuntimeError('no luck')\n")
    published = outputs / "smoke" / "notebooks" / "02_bad.ipynb"
    published.parent.mkdir(parents=True)
    published.write_text("the good copy")
    with pytest.raises(NotebookFailed, match="no luck") as failure:
        reproduce(SMOKE, jobs=1, notebooks=notebooks)
    draft = outputs / "smoke" / "drafts" / "02_bad.ipynb"
    assert str(draft) in str(failure.value)
    assert "RuntimeError" in draft.read_text("utf-8")
    assert published.read_text() == "the good copy"

    bad.write_text(HEADER, "utf-8")
    lines: list[str] = []
    reproduce(SMOKE, notebooks=notebooks, say=lines.append)
    assert lines[0] == "03_good: finished before the interruption, kept"
    assert (notebooks / "ran").read_text() == "x"
    assert "cells" in published.read_text("utf-8")
    assert _files(outputs) == ["smoke/notebooks/02_bad.ipynb", "smoke/notebooks/03_good.ipynb"]


def _gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ended_run_leaves_nothing_half_done_and_continues(notebooks, outputs, number):
    """Worker and kernel end with the command, however that ends."""
    slow = "# %%\nimport os, time\nopen('began.tmp', 'w').write(f'{os.getpid()} {os.getppid()}')\n"
    slow += "os.rename('began.tmp', 'began')\ntime.sleep(100)\n"
    _write(notebooks, "02_slow.py", slow)
    _write(notebooks, "03_first.py", "# %%\n1\n")
    call = (
        "import sys; from pathlib import Path; from ordlib import cli; from ordlib.experiments "
        "import reproduce; reproduce.reproduce.__kwdefaults__['notebooks'] = Path(sys.argv[1]); "
        "sys.exit(cli.main(['reproduce', '--scale', 'smoke', '--device', 'cpu', '--jobs', '1']))"
    )
    command = [sys.executable, "-c", call, str(notebooks)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    began, deadline = notebooks / "began", time.monotonic() + 120
    while not began.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate()
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert errors == "\nordlib: interrupted; the same command continues\n"
    while not all(_gone(int(pid)) for pid in began.read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert os.listdir(outputs / "smoke" / "notebooks") == ["03_first.ipynb"]

    _write(notebooks, "02_slow.py", "# %%\n2\n")
    lines: list[str] = []
    reproduce(SMOKE, notebooks=notebooks, say=lines.append)
    assert lines[0] == "03_first: finished before the interruption, kept"
    copies = ["smoke/notebooks/02_slow.ipynb", "smoke/notebooks/03_first.ipynb"]
    assert _files(outputs) == copies


def test_notebooks_run_side_by_side(notebooks, outputs):
    # each waits for the other, so neither ends if they run in turn
    wait = "# %%\nimport time\nfrom pathlib import Path\nPath('{}').touch()\n"
    wait += "while not Path('{}').exists():\n    time.sleep(0.05)\n"
    _write(notebooks, "01_a.py", wait.format("a", "b") + "time.sleep(1)\n")
    _write(notebooks, "02_b.py", wait.format("b", "a"))
    lines: list[str] = []
    reproduce(SMOKE, jobs=2, notebooks=notebooks, say=lines.append)
    assert [line.split(";")[0] for line in lines] == ["[1/2] 02_b: done", "[2/2] 01_a: done"]


def test_a_kernel_that_dies_is_a_failed_notebook(notebooks, outputs):
    _write(notebooks, "01_x.py", "# %%\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(NotebookFailed, match=r"01_x.py: DeadKernelError"):
        reproduce(SMOKE, notebooks=notebooks)
    assert _files(outputs) == ["smoke/drafts/01_x.ipynb"]


def test_a_notebook_without_the_parameters_is_refused(notebooks, outputs):
    _write(notebooks, "01_x.py", "", header=HEADER.replace("seed: int = 0", "sede: int = 0"))
    with pytest.raises(InputError, match=r"01_x.py.*no seed"):
        reproduce(SMOKE, notebooks=notebooks)
    assert _files(outputs) == []


def test_a_killed_worker_is_one_message_and_ends_the_others(tmp_path):
    calls = {"long": partial(_sleep, tmp_path / "pid"), "killed": partial(_die, tmp_path / "pid")}
    with pytest.raises(InputError, match="work: a worker process was killed"):
        side_by_side("work", calls, 2)
    assert _gone(int((tmp_path / "pid").read_text()))


def _sleep(sign: Path) -> None:
    sign.with_suffix(".tmp").write_text(str(os.getpid()))
    sign.with_suffix(".tmp").rename(sign)
    time.sleep(100)


def _die(sign: Path) -> None:
    """What happens when the system is out of memory."""
    while not sign.exists():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


def test_networks_are_trained_before_the_notebooks(notebooks, outputs, monkeypatch):
    calls = []

    def train(*arguments):
        calls.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr("ordlib.experiments.train", train)
    _write(notebooks, "04_a.py", "# %%\nROWS = ['table1/b', 'table1/a']\n")
    _write(notebooks, "05_b.py", "# %%\nROWS = ['table1/a', 'table1/c']\n")
    with pytest.raises(KeyboardInterrupt):
        reproduce(Setting("desk", 5, device="cpu"), jobs=2, notebooks=notebooks)
    rows = ["table1/b", "table1/a", "table1/c"]
    assert calls == [(rows, [Setting("desk", seed, device="cpu") for seed in (5, 6, 7)], 2)]


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
    with pytest.raises(InputError, match="found none"):
        reproduce(SMOKE, notebooks=notebooks)
    _write(notebooks, "03_data.py", "")
    with pytest.raises(InputError, match=r"one of 03_data, found '77'"):
        find_notebooks("03,77", notebooks)


def test_tables_are_aligned_text(tmp_path):
    assert tables_text(tmp_path) == ""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "table1.csv").write_text("row,published\nweak,112.347\nfull,\n")
    lines = tables_text(tmp_path).splitlines()
    assert lines == ["table1", " row  published", "weak     112.35", "full           "]
