"""Run the notebooks: train what they need, execute them, publish clean copies.

A notebook names the networks it needs in a literal list `ROWS = [...]`. These are trained first,
with their progress on the terminal and not in the notebook.

With a folder of real data sets, a notebook is run if it has a literal list `ROLES = [...]` and all
that this names is in that folder, and also what its networks learn from. The others are left out,
and why is said: their results would be those of stand-ins.
"""

import ast
import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pandas as pd
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from ordlib import experiments
from ordlib.errors import InputError
from ordlib.experiments import Setting, roles
from ordlib.experiments.rows import get_row
from ordlib.experiments.workers import cores, side_by_side
from ordlib.files import digest, replacing

PACKAGE = Path(__file__).parents[1]
NOTEBOOKS = PACKAGE.parent / "notebooks"
Say = Callable[[str], None]


class NotebookFailed(Exception):
    """A notebook raised; the message says where its copy with the traceback lies."""


def find_notebooks(only: str | None = None, folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks in the order of their numbers.

    Args:
        only: numbers or names of the notebooks wanted, separated by commas; all without it.
        folder: where to look.

    Raises:
        InputError: there are no notebooks, or none of that number or name.
    """
    sources = sorted(folder.glob("[0-9][0-9]_*.py"))
    if not sources:
        raise InputError(f"{folder}: expected notebooks NN_name.py, found none")
    names: dict[str, Path] = {}
    for source in sources:
        number, _, name = source.stem.partition("_")
        names |= dict.fromkeys((source.stem, number, str(int(number)), name), source)
    if not only:
        return sources
    wanted = [word.strip().removesuffix(".py") for word in only.split(",")]
    if unknown := [word for word in wanted if word not in names]:
        known = ", ".join(source.stem for source in sources)
        raise InputError(f"notebook: expected one of {known}, found {', '.join(unknown)!r}")
    return sorted({names[word] for word in wanted})


def needed_rows(source: Path) -> list[str]:
    """Rows in the notebook's literal list `ROWS`, read without executing anything."""
    return _literal_list(source, "ROWS") or []


def _literal_list(source: Path, name: str) -> list[str] | None:
    try:
        statements = ast.parse(source.read_text("utf-8")).body
    except SyntaxError as error:
        raise InputError(
            f"{source.name}: expected Python, found in line {error.lineno}: {error.msg}"
        ) from error
    for node in statements:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            try:
                return list(ast.literal_eval(node.value))
            except ValueError as error:
                raise InputError(
                    f"{source.name}: {name}: expected a list of plain strings, "
                    f"found {ast.unparse(node.value)}"
                ) from error
    return None


def left_out(source: Path, data: str) -> str:
    """Why a notebook cannot be run with these real data sets alone; empty if it can."""
    beside = _literal_list(source, "ROLES")
    if beside is None:
        return "it shows the method on stand-ins"
    learned = [role for row in needed_rows(source) for role in roles.training_roles(get_row(row))]
    missing = roles.lacking(learned + beside, data)
    return f"it needs {' and '.join(missing)}" if missing else ""


def source_digest(source: Path) -> str:
    """What an executed copy says of the text that it was made from."""
    return digest(source.read_text("utf-8"))


def execute(source: Path, parameters: dict[str, Any], folder: Path, mark: Path) -> None:
    """Execute one notebook, publish its copy in `folder/notebooks`, and then make the mark.

    Raises:
        InputError: the notebook does not take the parameters.
        NotebookFailed: a cell raised. The copy with the traceback lies in `folder/drafts`, the
            published one stays as it was.
    """
    notebook = jupytext.read(source)
    if unknown := set(parameters) - set(papermill.inspect_notebook(notebook)):
        raise InputError(
            f"{source.name}: expected the parameters {', '.join(parameters)} in the cell "
            f"tagged 'parameters', found no {', '.join(sorted(unknown))}"
        )
    draft = folder / "drafts" / f"{source.stem}.ipynb"
    draft.parent.mkdir(parents=True, exist_ok=True)
    unfinished = draft.with_suffix(".partial.ipynb")
    try:
        notebook = papermill.execute_notebook(
            notebook,
            unfinished,
            parameters,
            kernel_name="python3",
            cwd=source.parent,
            progress_bar=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],
        )
    except (PapermillExecutionError, DeadKernelError) as error:
        os.replace(unfinished, draft)
        name, reason = (
            getattr(error, "ename", type(error).__name__),
            getattr(error, "evalue", error),
        )
        raise NotebookFailed(
            f"{source.name}: {name}: {reason}; see how far it came in {draft}"
        ) from error
    with replacing(folder / "notebooks" / f"{source.stem}.ipynb") as temporary:
        temporary.write_text(nbformat.writes(_clean(notebook, source)) + "\n", "utf-8")
    unfinished.unlink()
    draft.unlink(missing_ok=True)
    mark.touch()


def _clean(notebook: nbformat.NotebookNode, source: Path) -> nbformat.NotebookNode:
    """What Papermill wrote, without what differs between equal runs: cell ids, times, paths."""
    kernel = dict(notebook.metadata.kernelspec)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": kernel,
            "language_info": {"name": kernel["language"]},
            "ordlib": {"source": source_digest(source), "version": version("ordlib")},
        }
    )
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    nbformat.validate(notebook)
    return notebook


def tables_text(folder: Path) -> str:
    """Every table of a results folder as aligned text; empty without tables."""
    texts = []
    for path in sorted((folder / "tables").glob("*.csv")):
        text = pd.read_csv(path).to_string(index=False, na_rep="", float_format="{:.2f}".format)
        texts.append(f"{path.stem}\n{text}\n")
    return "\n".join(texts)


def _with_data(sources: Sequence[Path], setting: Setting, data: str, say: Say) -> list[Path]:
    """The notebooks that the data can play in; says what plays which role and what is lacking."""
    say(roles.summary(data))
    reasons = {source: left_out(source, data) if setting.real else "" for source in sources}
    for source, reason in reasons.items():
        if reason:
            say(f"{source.stem}: left out, {reason}; without real data it runs on stand-ins")
    chosen = [source for source, reason in reasons.items() if not reason]
    if not chosen:
        raise InputError(f"{data}: expected data sets for a notebook, found too few for any")
    with replacing(setting.folder / "tables" / "data.csv") as temporary:
        roles.describe(data).to_csv(temporary)
    return chosen


def reproduce(
    setting: Setting,
    only: str | None = None,
    jobs: int | None = None,
    *,
    force: bool = False,
    notebooks: Path = NOTEBOOKS,
    say: Say = print,
) -> Path:
    """Train what the notebooks need, execute them and publish clean copies.

    What an interrupted call has finished is not done again by the same call.

    Args:
        setting: of the networks and notebooks; with real data sets, notebooks for which something
            is lacking there are left out.
        only: see `find_notebooks`.
        jobs: networks trained, and notebooks executed, at a time; without it chosen from the
            machine.
        force: execute again what an interrupted call has finished.
        notebooks: their folder.
        say: gets one line of progress at a time.

    Returns:
        The folder of the results.

    Raises:
        InputError: no such notebook; none that could be run with these data.
        NotebookFailed: a notebook raised.
    """
    sources, folder = find_notebooks(only, notebooks), setting.folder.resolve()
    parameters = {name: getattr(setting, name) for name in ("scale", "seed", "device")}
    parameters["data"] = setting.data or ""
    if setting.data:
        sources = _with_data(sources, setting, setting.data, say)
    rows = list(dict.fromkeys(row for source in sources for row in needed_rows(source)))
    if rows:
        seeds = ", ".join(str(setting.seed) for setting in setting.seeds())
        say(f"Networks: {len(rows)} rows, scale {setting.scale}, seeds {seeds}")
        experiments.train(rows, setting.seeds(), jobs)
    code = [path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))]
    calls, marks = {}, []
    # the last one, of studies, takes longest by far: begun last, it would run on alone
    for source in (*sources[-1:], *sources[:-1]):
        key = digest([source.read_text("utf-8"), code, parameters])
        mark = folder / "drafts" / f"{source.stem}.{key}.done"
        marks.append(mark)
        if mark.exists() and not force:
            say(f"{source.stem}: finished before the interruption, kept")
        else:
            calls[source.stem] = partial(execute, source, parameters, folder, mark)
    side_by_side("notebooks", calls, jobs or cores(), say)
    for mark in marks:
        mark.unlink()
    return folder
