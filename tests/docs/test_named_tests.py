"""The tests and files that the documentation names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([*(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("*.md")])
ROOMS = "|".join(path.parent.name for path in REPOSITORY.glob("*/__init__.py")) + "|docs|tests"
DEFINED = {
    name
    for path in (REPOSITORY / "tests").rglob("*.py")
    for name in re.findall(r"^\s*def (test_\w+)", path.read_text(), re.MULTILINE)
}


def names_in(page: Path) -> set[str]:
    return set(re.findall(r"`(test_\w+)`", page.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_page_names_tests_that_exist(page):
    assert names_in(page) - DEFINED == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_page_names_files_that_exist(page):
    named = set(re.findall(rf"`((?:{ROOMS})/[\w/.-]+\.(?:py|md|json|yaml))\b", page.read_text()))

    assert {name for name in named if not (REPOSITORY / name).exists()} == set()


def test_every_promise_of_the_threat_model_names_a_test():
    rows = [
        line
        for line in (REPOSITORY / "docs" / "threat-model.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| promise", "|---"))
    ]

    assert len(rows) > 30
    assert [row for row in rows if not re.search(r"`test_\w+`", row)] == []
