"""The README's tables, from the CSV files of a run.

    .venv/bin/python tests/readme_tables.py

writes them anew between their marks, `<!-- name -->` and `<!-- /name -->`.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

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


def verdicts() -> str:
    """How many claims have which verdict."""
    judged = pd.read_csv(RESULTS / "claims.csv")
    counts = ", ".join(f"{(judged['verdict'] == word).sum()} {word}" for word in VERDICTS)
    return f"Of {len(judged)} claims: {counts}."


TABLES: Mapping[str, tuple[str, Callable[[], str]]] = {
    "verdicts": ("claims.csv", verdicts),
    "table1": ("tables/table1.csv", table1),
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
