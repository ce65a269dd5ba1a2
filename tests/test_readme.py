"""The README's tables are those that the committed run produced."""

import re

import pandas as pd
import pytest
import readme_tables
from readme_tables import README, RESULTS, ROOT, TABLES

from ordlib.experiments.claims import CLAIMS


@pytest.mark.parametrize("name", TABLES)
def test_results_are_those_of_the_committed_run(name: str) -> None:
    file, make = TABLES[name]
    shown = readme_tables.between(name).search(README.read_text("utf-8"))
    assert shown is not None
    if not (RESULTS / file).exists():
        pytest.skip(f"{file} is not there yet: make reproduce writes it")
    assert shown[0] == f"{make()}\n", "python tests/readme_tables.py renews the tables"


def test_tables_are_renewed_where_their_results_are(tmp_path, monkeypatch) -> None:
    readme = tmp_path / "README.md"
    monkeypatch.setattr(readme_tables, "README", readme)
    monkeypatch.setattr(readme_tables, "RESULTS", tmp_path)
    old = "a\n<!-- verdicts -->\n<!-- /verdicts -->\n<!-- table1 -->\nold\n<!-- /table1 -->\n"
    readme.write_text(old)
    readme_tables.write()
    assert readme.read_text() == old
    pd.DataFrame({"verdict": ["reproduced", "undecided"]}).to_csv(tmp_path / "claims.csv")
    for _ in range(2):  # a second time changes nothing
        readme_tables.write()
        lines = readme.read_text("utf-8").splitlines()
        assert lines[2] == "Of 2 claims: 1 reproduced, 0 not reproduced, 1 undecided."
        assert lines[4:] == ["<!-- table1 -->", "old", "<!-- /table1 -->"]


def test_readme_fits_one_screen_and_a_half() -> None:
    assert len(README.read_bytes()) <= 9 * 1024


def test_claims_are_counted() -> None:
    assert f"{len(CLAIMS)} testable claims" in README.read_text("utf-8")


def test_links_lead_somewhere() -> None:
    text = README.read_text("utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert [
        link for link in links if not link.startswith("http") and not (ROOT / link).exists()
    ] == []
