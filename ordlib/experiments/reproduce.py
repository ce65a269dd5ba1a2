"""Run the notebooks: train what they need, execute them, publish clean copies.

A notebook names the networks it needs in a literal list `ROWS = [...]`. These are trained first,
with their progress on the terminal and not in the notebook.

With a folder of real data sets, a notebook is run if it has a literal list `ROLES = [...]` and all
that this names is in that folder, and also what its networks learn from. The others are left out,
and why is said: their results would be those of stand-ins.
"""

import ast
import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pandas as pd
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from ordlib.errors import InputError
from ordlib.experiments import roles as domains
from ordlib.experiments.rows import get_row
from ordlib.experiments.setting import Setting
from ordlib.experiments.workers import cores, end_with_parent, worker_processes
from ordlib.files import digest, outputs_root, replacing

PACKAGE = Path(__file__).parents[1]
NOTEBOOKS = PACKAGE.parent / "notebooks"
Say = Callable[[str], None]


class NotebookFailed(Exception):
    """A notebook raised; the message says where its copy with the traceback lies."""


@dataclass(frozen=True)
class Job:
    """One notebook to be executed with one set of parameters.

    Attributes:
        source: the py:percent file.
        parameters: values of the cell tagged `parameters`.
        folder: results of this scale; the executed copy goes into its `notebooks`.
    """

    source: Path
    parameters: dict[str, Any]
    folder: Path

    @property
    def target(self) -> Path:
        """The published copy."""
        return self.folder / "notebooks" / f"{self.source.stem}.ipynb"

    @property
    def draft(self) -> Path:
        """Where a copy with a traceback is kept, apart from the published ones."""
        return self.folder / "drafts" / f"{self.source.stem}.ipynb"

    @property
    def mark(self) -> Path:
        """Left beside the drafts until a run is complete: what an interrupted run has finished."""
        return self.draft.with_suffix(".done")

    def fingerprint(self) -> str:
        """Digest of all that the published copy follows from, and of the copy itself."""
        modules = sorted(PACKAGE.rglob("*.py"))
        code = [path.read_text("utf-8") for path in (self.source, *modules, self.target)]
        return digest([code, self.parameters])

    def finished(self) -> bool:
        """Whether an interrupted run has executed exactly this already."""
        if not (self.target.exists() and self.mark.exists()):
            return False
        return self.mark.read_text("utf-8") == self.fingerprint()


def find_notebooks(only: str | None = None, folder: Path | None = None) -> list[Path]:
    """The notebooks in the order of their numbers.

    Args:
        only: numbers or names of the notebooks wanted, separated by commas; all without it.
        folder: where to look; the repository's `notebooks` by default.

    Raises:
        InputError: there are no notebooks, or none of that number or name.
    """
    folder = NOTEBOOKS if folder is None else folder
    found = sorted(folder.glob("[0-9][0-9]_*.py"))
    if not found:
        raise InputError(f"{folder}: expected notebooks NN_name.py, found none")
    if not only:
        return found
    wanted = [word.strip().removesuffix(".py") for word in only.split(",")]
    unknown = [w for w in wanted if not any(w in _names(path) for path in found)]
    if unknown:
        known = ", ".join(path.stem for path in found)
        raise InputError(f"notebook: expected one of {known}, found {', '.join(unknown)!r}")
    return [path for path in found if _names(path) & set(wanted)]


def _names(path: Path) -> set[str]:
    number, _, name = path.stem.partition("_")
    return {path.stem, number, name, str(int(number))}


def needed_rows(source: Path) -> list[str]:
    """Rows in the notebook's literal list `ROWS`, read without executing anything."""
    return _literal_list(source, "ROWS")


def _literal_list(source: Path, name: str) -> list[str]:
    for node in _parsed(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            try:
                return list(ast.literal_eval(node.value))
            except ValueError as error:
                raise InputError(
                    f"{source.name}: {name}: expected a list of plain strings, "
                    f"found {ast.unparse(node.value)}"
                ) from error
    return []


def _parsed(source: Path) -> ast.Module:
    try:
        return ast.parse(source.read_text("utf-8"))
    except SyntaxError as error:
        raise InputError(
            f"{source.name}: expected Python, found in line {error.lineno}: {error.msg}"
        ) from error


def left_out(source: Path, data: str) -> str:
    """Why a notebook cannot be run with these real data sets alone; empty if it can."""
    assigned = [node for node in _parsed(source).body if isinstance(node, ast.Assign)]
    if "ROLES" not in [ast.unparse(node.targets[0]) for node in assigned]:
        return "it shows the method on stand-ins"
    rows = [get_row(row) for row in needed_rows(source)]
    roles = [role for row in rows for role in domains.training_roles(row)]
    missing = domains.lacking(roles + _literal_list(source, "ROLES"), data)
    return f"it needs {' and '.join(missing)}" if missing else ""


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Environment variables for the kernels and workers started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs between two equal runs: cell ids, times, paths, versions."""
    language = {"name": notebook.metadata.kernelspec.language}
    kernel = dict(notebook.metadata.kernelspec)
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": language})
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    nbformat.validate(notebook)
    return notebook


def execute(job: Job) -> None:
    """Execute one notebook and publish its clean copy.

    Raises:
        InputError: the notebook does not take the parameters.
        NotebookFailed: a cell raised. The published copy stays as it was.
    """
    notebook = jupytext.read(job.source)
    unknown = set(job.parameters) - set(papermill.inspect_notebook(notebook))
    if unknown:
        raise InputError(
            f"{job.source.name}: expected the parameters {', '.join(job.parameters)} in the cell "
            f"tagged 'parameters', found no {', '.join(sorted(unknown))}"
        )
    job.draft.parent.mkdir(parents=True, exist_ok=True)
    job.mark.unlink(missing_ok=True)
    partial = job.draft.with_suffix(".partial.ipynb")
    try:
        notebook = papermill.execute_notebook(
            notebook,
            partial,
            job.parameters,
            kernel_name="python3",
            cwd=job.source.parent,
            progress_bar=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],
        )
    except (PapermillExecutionError, DeadKernelError) as error:
        name = getattr(error, "ename", type(error).__name__)
        if name == "KeyboardInterrupt":
            raise KeyboardInterrupt from error
        os.replace(partial, job.draft)
        reason = getattr(error, "evalue", error)
        raise NotebookFailed(
            f"{job.source.name}: {name}: {reason}; see how far it came in {job.draft}"
        ) from error
    with replacing(job.target) as temporary:
        temporary.write_text(nbformat.writes(_clean(notebook)) + "\n", "utf-8")
    partial.unlink()
    job.draft.unlink(missing_ok=True)
    with replacing(job.mark) as temporary:
        temporary.write_text(job.fingerprint(), "utf-8")


def _execute_all(jobs: Sequence[Job], say: Say, count: int) -> None:
    """Execute `count` notebooks at a time; where one fails, those under way are still finished."""
    titles = [f"[{place}/{len(jobs)}] {job.source.stem}" for place, job in enumerate(jobs, 1)]
    work: dict[str, Job] = {}
    for title, job in zip(titles, jobs, strict=True):
        if job.finished():
            say(f"{title}: finished before the interruption, kept")
        else:
            work[title] = job
    progress = _Progress(list(work), say)
    if min(count, len(work)) > 1:
        _side_by_side(work, progress, count)
    else:
        for title, job in work.items():
            progress.begin(title)
            execute(job)
            progress.end(title)
    for job in jobs:
        job.mark.unlink(missing_ok=True)


def _side_by_side(work: Mapping[str, Job], progress: "_Progress", count: int) -> None:
    # The last one, of studies, takes longest by far: begun last, it would run on alone.
    waiting, running = [*list(work)[-1:], *list(work)[:-1]], dict[Future[None], str]()
    failure: BaseException | None = None
    with worker_processes("notebooks", count, end_with_parent) as pool:
        while running or (waiting and not failure):
            while waiting and len(running) < count and not failure:
                title = waiting.pop(0)
                progress.begin(title)
                running[pool.submit(execute, work[title])] = title
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                title = running.pop(future)
                if future.exception() is None:
                    progress.end(title)
                failure = failure or future.exception()
        if failure:
            raise failure


_LONG = {"00": 10, "01": 5, "02": 10, "07": 7, "16": 10}
"""Notebooks that take many times as long as others, by which the time left is guessed."""


def _weight(titles: Iterable[str]) -> int:
    return sum(_LONG.get(title.split()[-1][:2], 1) for title in titles)


class _Progress:
    """Lines about notebooks; each is said to be done after all that come before it."""

    def __init__(self, titles: Sequence[str], say: Say) -> None:
        self._titles, self._say, self._began = titles, say, time.monotonic()
        self._ended: set[str] = set()
        self._said = 0

    def begin(self, title: str) -> None:
        self._say(f"{title}: running")

    def end(self, title: str) -> None:
        self._ended.add(title)
        while self._said < len(self._titles) and self._titles[self._said] in self._ended:
            elapsed, done = time.monotonic() - self._began, _weight(self._ended)
            left = elapsed / done * (_weight(self._titles) - done)
            line = f"{self._titles[self._said]}: done; elapsed {_span(elapsed)}"
            self._say(f"{line}, about {_span(left)} left")
            self._said += 1


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def tables_text(folder: Path) -> str:
    """Every table of a results folder as aligned text; empty without tables."""
    parts = []
    for path in sorted((folder / "tables").glob("*.csv")):
        text = pd.read_csv(path).to_string(index=False, na_rep="", float_format="{:.2f}".format)
        parts.append(f"{path.stem}\n{text}\n")
    return "\n".join(parts)


def _with_data(sources: Sequence[Path], setting: Setting, say: Say) -> list[Path]:
    """The notebooks that can be run with the data; what plays which role, and what is lacking."""
    data = setting.data or ""
    say(domains.summary(data))
    if not setting.real:
        return list(sources)
    reasons = {source: left_out(source, data) for source in sources}
    for source, reason in reasons.items():
        if reason:
            say(f"{source.stem}: left out, {reason}; without real data it runs on stand-ins")
    chosen = [source for source, reason in reasons.items() if not reason]
    if not chosen:
        raise InputError(f"{data}: expected data sets for a notebook, found too few for any")
    return chosen


def _write_roles(folder: Path, data: str) -> None:
    """Say beside the tables what plays each role in them."""
    with replacing(folder / "tables" / "data.csv") as temporary:
        domains.describe(data).to_csv(temporary)


def reproduce(
    scale: str = "quick",
    seed: int = 0,
    device: str = "auto",
    only: str | None = None,
    data: str | Path | None = None,
    outputs: str | Path | None = None,
    jobs: int | None = None,
    *,
    force: bool = False,
    notebooks: Path | None = None,
    say: Say = lambda line: None,
) -> Path:
    """Train what the notebooks need, execute them and publish clean copies.

    What an interrupted call has finished is not done again by the same call.

    Args:
        scale, seed, device: as the notebooks take them.
        only: numbers or names of the notebooks wanted, separated by commas.
        data: folder of real data sets, which then take the place of stand-ins (notebooks for which
            something is lacking there are left out), and of motion capture, which gives poses.
        outputs: root of all results; see `ordlib.files.outputs_root`.
        jobs: networks trained, and notebooks executed, at a time; without it chosen from the
            machine.
        force: execute again what an interrupted call has finished.
        notebooks: folder of the notebooks.
        say: called with one line of progress at a time.

    Returns:
        The folder of the results.

    Raises:
        InputError: unknown scale, device or notebook; no such folder of data; no notebook that
            could be run with these data.
        NotebookFailed: a notebook raised.
    """
    setting = Setting(scale, seed, str(data) if data else None, device)
    sources = find_notebooks(only, notebooks)
    parameters = {"scale": scale, "seed": seed, "device": device, "data": setting.data or ""}
    if setting.data:
        sources = _with_data(sources, setting, say)
    root = Path(outputs or outputs_root()).resolve()
    # One thread a kernel and fixed hashing: the same digits in the same order in each run.
    with _environment(ORDLIB_OUTPUTS=str(root), OMP_NUM_THREADS="1", PYTHONHASHSEED="0"):
        folder = setting.folder
        if setting.data:
            _write_roles(folder, setting.data)
        work = [Job(source, parameters, folder) for source in sources]
        if force:
            for job in work:
                job.mark.unlink(missing_ok=True)
        rows = list(dict.fromkeys(row for source in sources for row in needed_rows(source)))
        if rows:
            from ordlib import experiments

            seeds = ", ".join(str(one.seed) for one in setting.seeds())
            say(f"Networks: {len(rows)} rows, scale {scale}, seeds {seeds}")
            experiments.train(rows, setting.seeds(), jobs)
        _execute_all(work, say, jobs or cores())
    return folder
