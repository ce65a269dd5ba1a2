"""What every command, worker and notebook pays before it begins: nothing heavy loads unasked."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from ordlib.losses import RANKING_UNIT_MM
from ordlib.scales import Scale

ROOT = Path(__file__).parents[1]
HEAVY = ("torch._dynamo", "lightning_fabric", "roma")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


def loaded(code: str, heavy: tuple[str, ...] = HEAVY) -> str:
    """Modules of `heavy` that a fresh process has loaded after some code."""
    report = f"import sys\nprint([name for name in {heavy} if name in sys.modules])"
    command = [sys.executable, "-c", f"{code}\n{report}"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout


def imports_of_notebooks() -> str:
    """The import statements of all notebooks, each once, without what makes them alone."""
    nodes = (node for path in NOTEBOOKS for node in ast.parse(path.read_text()).body)
    imports = (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
    return "\n".join(sorted({ast.unparse(node) for node in imports}))


HELP = """
import runpy
sys_argv = __import__("sys").argv
sys_argv[:] = ["ordlib", "--help"]
try:
    runpy.run_module("ordlib", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code
"""


@pytest.mark.parametrize(
    "code",
    [
        "import ordlib.networks, ordlib.metrics, ordlib.annotation, ordlib.reconstruction",
        "import ordlib.experiments.workers",
        imports_of_notebooks(),
    ],
    ids=["paper", "workers", "notebooks"],
)
def test_nothing_heavy_is_loaded(code):
    assert loaded(code).splitlines()[-1] == "[]"


def test_help_needs_no_torch():
    assert loaded(HELP, (*HEAVY, "torch", "numpy")).splitlines()[-1] == "[]"


def test_scales_repeat_the_unit_of_the_ranking_loss():
    assert Scale.ranking_unit_mm == RANKING_UNIT_MM
