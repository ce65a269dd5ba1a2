"""Fixtures and settings that all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")
# Shared machines stall now and then; a failing example is printed so that it can be repeated.
settings.register_profile("ordlib", deadline=None, print_blob=True)
settings.load_profile("ordlib")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def outputs(tmp_path, monkeypatch) -> Path:
    """An empty root of results: no test reads or writes those of the repository."""
    root = tmp_path / "outputs"
    monkeypatch.setenv("ORDLIB_OUTPUTS", str(root))
    return root


@pytest.fixture
def shared_data() -> Path:
    """Folder of real sample files, which are not part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real sample files are not there (../shared/data)")
    return SHARED_DATA
