"""The kept file with the tables: it is found by a run of the same code, and by no other."""

from __future__ import annotations

import os

import pytest

from tests import tables


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one room."""
    monkeypatch.setattr(tables, "REPOSITORY", tmp_path)
    monkeypatch.setattr(tables, "__file__", str(tmp_path / "tests" / "tables.py"))
    for file in [
        "room/__init__.py",
        "room/migrations/0001_initial.py",
        "tests/__init__.py",
        "tests/tables.py",
    ]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("before")
    (tmp_path / "requirements.txt").write_text("django==5.2")
    return tmp_path


@pytest.mark.parametrize(
    "file", ["room/migrations/0001_initial.py", "room/new.py", "requirements.txt", "tests/tables.py"]
)
def test_a_change_of_what_makes_the_tables_makes_them_anew(repository, file):
    before = tables.compute_key()

    (repository / file).write_text("after")

    assert tables.compute_key() != before


def test_a_change_of_a_test_does_not(repository):
    before = tables.compute_key()

    (repository / "tests" / "test_room.py").write_text("after")

    assert tables.compute_key() == before


def test_only_the_newest_are_kept(tmp_path):
    made = tmp_path / "made.sql"
    made.write_text("SELECT 1")
    folder = tmp_path / "kept"
    names = [f"{number}.sql" for number in range(tables.MOST_KEPT + 2)]
    for age, name in enumerate(reversed(names[:-1])):
        tables.keep(made, folder / name)
        os.utime(folder / name, (0, 1_000_000 - age))

    tables.keep(made, folder / names[-1])

    assert {file.name for file in folder.iterdir()} == set(names[-tables.MOST_KEPT :])
