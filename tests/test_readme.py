"""The README's results table is the one that the committed run produced."""

import re
from pathlib import Path

import pandas as pd
import pytest

from ordlib.published import table

ROOT = Path(__file__).parents[1]


def results_table() -> str:
    """Table 1 in Markdown, from the CSV file of scale `quick`."""
    found = pd.read_csv(ROOT / "outputs" / "quick" / "tables" / "table1.csv")
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


def questions_table() -> str:
    """Questions an image by strategy in Markdown, from the CSV file of scale `quick`."""
    found = pd.read_csv(ROOT / "outputs" / "quick" / "tables" / "02_questions.csv")
    lines = [found.columns, ["---"] + ["--:"] * (len(found.columns) - 1), *found.to_numpy()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@pytest.mark.parametrize(
    ("name", "table_now"), [("table1", results_table), ("questions", questions_table)]
)
def test_results_are_those_of_the_committed_run(name, table_now) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    shown = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", text, re.DOTALL)
    assert shown is not None and shown[1] == table_now()


def test_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert [
        link for link in links if not link.startswith("http") and not (ROOT / link).exists()
    ] == []
