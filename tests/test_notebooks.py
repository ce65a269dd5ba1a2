"""What holds for every notebook, and for the executed copies that the repository keeps."""

import ast
import tomllib
from pathlib import Path

import jupytext
import nbformat
import papermill
import pytest

from ordlib.experiments.reproduce import NOTEBOOKS, needed_rows, source_digest

SOURCES = sorted(NOTEBOOKS.glob("[0-9]*_*.py"))
COPIES = sorted(NOTEBOOKS.parent.glob("outputs/*/notebooks/*.ipynb"))
FILTERS = tomllib.loads((NOTEBOOKS / "jupytext.toml").read_text("utf-8"))
PARAMETERS = {"scale": str, "seed": int, "device": str, "data": str}
PHOTOGRAPHS = {"photographs": str}

each_notebook = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def _code_cells(source: Path) -> list:
    return [cell for cell in jupytext.read(source).cells if cell.cell_type == "code"]


@each_notebook
def test_round_trip_through_ipynb_changes_nothing(source):
    notebook = jupytext.read(source)
    notebook.metadata["jupytext"] = FILTERS
    assert jupytext.writes(notebook, "py:percent") == source.read_text("utf-8")


@each_notebook
def test_header_holds_the_kernel_alone(source):
    metadata = jupytext.read(source).metadata
    assert dict(metadata.kernelspec) == {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    assert set(metadata) <= {"kernelspec", "jupytext"}
    assert "jupytext_version" not in source.read_text("utf-8")


@each_notebook
def test_first_code_cell_holds_the_parameters_as_plain_literals(source):
    first = _code_cells(source)[0]
    assert first.metadata.get("tags") == ["parameters"]
    values = {}
    for statement in ast.parse(first.source).body:
        assert isinstance(statement, ast.AnnAssign), "parameters are annotated"
        values[ast.unparse(statement.target)] = ast.literal_eval(statement.value)
    types = {name: type(value) for name, value in values.items()}
    assert types in (PARAMETERS, PARAMETERS | PHOTOGRAPHS)
    inferred = papermill.inspect_notebook(jupytext.read(source))
    assert all(inferred[name]["help"] for name in values), "each parameter has a comment"


@each_notebook
def test_cells_are_short_python_without_magics(source):
    for cell in _code_cells(source):
        ast.parse(cell.source)  # magics, shell escapes and help are no Python
        assert len(cell.source.splitlines()) <= 30, cell.source


@each_notebook
def test_rows_are_literal_and_trained_in_the_same_cell(source):
    rows = needed_rows(source)
    assert len(rows) == len(set(rows))
    cells = [cell.source for cell in _code_cells(source) if cell.source.count("ROWS = ")]
    assert len(cells) == bool(rows)
    assert all("train(" in cell for cell in cells), (
        "a notebook that runs alone trains what it needs"
    )


@pytest.mark.parametrize("path", COPIES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_executed_copy_is_what_papermill_made_of_its_source(path):
    source = NOTEBOOKS / f"{path.stem}.py"
    copy = nbformat.read(path, as_version=4)
    nbformat.validate(copy)
    assert copy.metadata.get("ordlib", {}).get("source") == source_digest(source), "stale copy"
    code = [cell for cell in copy.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [out for cell in code for out in cell.outputs if out.output_type == "error"]
    injected = "injected-parameters"
    kept = [cell.source for cell in copy.cells if injected not in cell.metadata.get("tags", [])]
    assert kept == [cell.source for cell in jupytext.read(source).cells], "an edited copy"


def test_no_executed_copy_beside_the_sources():
    assert not list(NOTEBOOKS.glob("*.ipynb"))
