"""Writing that leaves nothing half-written."""

import os

import pytest

from ordlib.errors import InputError
from ordlib.files import locked, replacing


def _filled(folder, text):
    folder.mkdir()
    (folder / "a.txt").write_text(text)


def test_a_folder_takes_the_place_of_another(tmp_path):
    target = tmp_path / "export"
    _filled(target, "old")
    with replacing(target) as temporary:
        _filled(temporary, "new")
        assert (target / "a.txt").read_text() == "old"
    assert (target / "a.txt").read_text() == "new"
    assert os.listdir(tmp_path) == ["export"]


def test_a_folder_that_cannot_be_replaced_is_as_it_was(tmp_path, monkeypatch):
    target, rename = tmp_path / "export", os.replace
    _filled(target, "old")

    def refusing(source, place):
        if (source / "a.txt").read_text() == "new":
            raise PermissionError(13, "Permission denied")
        rename(source, place)

    monkeypatch.setattr(os, "replace", refusing)
    wrong = pytest.raises(InputError, match="export: could not be written: Permission denied")
    with wrong, replacing(target) as temporary:
        _filled(temporary, "new")
    assert (target / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["export"]


def test_what_a_killed_writer_left_is_cleared_away(tmp_path):
    _filled(tmp_path / ".export.123.tmp", "half")
    with locked(tmp_path / "export"), replacing(tmp_path / "export") as temporary:
        _filled(temporary, "new")
    assert sorted(os.listdir(tmp_path)) == [".export.lock", "export"]
