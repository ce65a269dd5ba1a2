"""The README's tables are those that the committed run produced."""

import re

import numpy as np
import pandas as pd
import pytest
import readme_tables
from readme_tables import README, RESULTS, ROOT, TABLES

from ordlib.experiments.claims import CLAIMS, judge


@pytest.mark.parametrize("name", TABLES)
def test_results_are_those_of_the_committed_run(name: str) -> None:
    file, make = TABLES[name]
    shown = readme_tables.between(name).search(README.read_text("utf-8"))
    assert shown is not None
    if not (RESULTS / file).exists():
        pytest.skip(f"{file} is not there yet: make reproduce writes it")
    assert shown[0] == f"{make()}\n", "python tests/readme_tables.py renews the tables"


def test_tables_are_renewed_where_their_results_are(tmp_path, monkeypatch) -> None:
    readme, columns = tmp_path / "README.md", ["strategy", "wild"]
    (tmp_path / "tables").mkdir()
    monkeypatch.setattr(readme_tables, "README", readme)
    monkeypatch.setattr(readme_tables, "RESULTS", tmp_path)
    old = "a\n<!-- claims -->\n<!-- /claims -->\nb\n<!-- questions -->\nold\n<!-- /questions -->\n"
    readme.write_text(old)
    readme_tables.write()
    assert readme.read_text() == old
    half = {(1, "table1/depth/full", "mpjpe"): np.ones((1, 3))}
    judge(half).to_csv(tmp_path / "claims.csv", index=False)
    questions = pd.DataFrame([["all", "91.0 ± 0.0"]], columns=columns)
    questions.to_csv(tmp_path / "tables" / "02_questions.csv", index=False)
    for _ in range(2):  # a second time changes nothing
        readme_tables.write()
        lines = readme.read_text("utf-8").splitlines()
        assert lines[:2] == ["a", "<!-- claims -->"] and lines[-1] == "<!-- /questions -->"
        assert lines[2] == "Of 24 claims: 0 reproduced, 0 not reproduced, 24 undecided."
        assert sum(line.startswith("| Section 4") for line in lines) == len(CLAIMS)
        assert lines[-4:-1] == ["| strategy | wild |", "| --- | --: |", "| all | 91.0 ± 0.0 |"]


def test_claims_are_counted() -> None:
    assert f"{len(CLAIMS)} testable claims" in README.read_text("utf-8")


def test_links_lead_somewhere() -> None:
    text = README.read_text("utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert [
        link for link in links if not link.startswith("http") and not (ROOT / link).exists()
    ] == []
