"""The README's tables, from the CSV files of a run.

    .venv/bin/python tests/readme_tables.py

writes them anew between their marks, `<!-- name -->` and `<!-- /name -->`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from ordlib.experiments.claims import readable
from ordlib.experiments.intervals import VERDICTS
from ordlib.experiments.published import table

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "outputs" / "desk"


def table1() -> str:
    """Published and reproduced errors, row by row."""
    found = pd.read_csv(RESULTS / "tables" / "table1.csv")
    errors = found[found["column"] == "avg_error_mm"].set_index("row")
    lines = [
        "| architecture | supervision | published | reproduced | interval |",
        "|---|---|--:|--:|---|",
    ]
    for row in table(1).itertuples():
        mine = errors.loc[row.row]
        interval = f"{mine.ci_low:.1f} to {mine.ci_high:.1f}"
        lines.append(
            f"| {row.architecture} | {row.supervision} | {row.avg_error_mm:.2f}"
            f" | {mine.reproduced:.1f} | {interval} |"
        )
    return "\n".join(lines)


def questions() -> str:
    """Questions an image by strategy."""
    found = pd.read_csv(RESULTS / "tables" / "02_questions.csv")
    head = _line(found.columns)
    return "\n".join([head, _line(["---"] + ["--:"] * (len(found.columns) - 1)), *_lines(found)])


def budget() -> str:
    """Errors of longer trainings on the held-out subject, seed by seed."""
    found = pd.read_csv(RESULTS / "tables" / "08_seeds.csv")
    wide = found.pivot(index="training", columns="seed").loc[found["training"].unique()]
    errors, sides = wide["MPJPE (mm)"], wide["other side (%)"].mean(axis=1)
    seeds = [f"seed {seed}" for seed in errors.columns]
    head = ["training", *(f"mm, {seed}" for seed in seeds), "joints on the other side (%)"]
    lines = [
        [_training(name), *(f"{value:.0f}" for value in (*errors.loc[name], sides[name]))]
        for name in wide.index
    ]
    return "\n".join([_line(head), _line(["---"] + ["--:"] * (len(head) - 1)), *map(_line, lines)])


def _training(name: str) -> str:
    kind, _, steps = name.partition(" ")
    return f"{int(steps):,} steps" if steps else f"then `wild`, {kind}"


def claims() -> str:
    """Verdicts on the claims, counted and one by one."""
    judged = pd.read_csv(RESULTS / "claims.csv")
    frame = readable(judged)
    counts = ", ".join(f"{(judged['verdict'] == word).sum()} {word}" for word in VERDICTS)
    count = f"Of {len(judged)} claims: {counts}."
    marks = ["---"] * 3 + ["--:"] * 3 + ["---"]
    return "\n".join([count, "", _line(frame.columns), _line(marks), *_lines(frame)])


def _lines(frame: pd.DataFrame) -> list[str]:
    return [_line(row) for row in frame.to_numpy()]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


TABLES: Mapping[str, tuple[str, Callable[[], str]]] = {
    "claims": ("claims.csv", claims),
    "budget": ("tables/08_seeds.csv", budget),
    "table1": ("tables/table1.csv", table1),
    "questions": ("tables/02_questions.csv", questions),
}
"""By name the file below `RESULTS` and what makes the table of it."""


def between(name: str) -> re.Pattern[str]:
    """What stands between the marks of a table."""
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)


def write() -> None:
    """Renew the tables whose results are there."""
    text = README.read_text("utf-8")
    for name, (file, make) in TABLES.items():
        if (RESULTS / file).exists():
            now = make()
            text = between(name).sub(lambda _, now=now: f"{now}\n", text)
    README.write_text(text, "utf-8")


if __name__ == "__main__":
    write()
