"""The checked-in OpenAPI document is the one that the code makes: a change of the contract shows in review."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import translation

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"


def test_the_document_in_docs_is_that_of_the_code(tmp_path):
    made = tmp_path / "openapi.yaml"
    with translation.override("en"):
        call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(made))

    written, wanted = DOCUMENT.read_text().splitlines(), made.read_text().splitlines()

    if written != wanted:
        changes = list(
            difflib.unified_diff(written, wanted, "docs/openapi.yaml", "the code", lineterm="", n=2)
        )
        pytest.fail(
            "The API is not as docs/openapi.yaml says. If it is meant so: make schema\n"
            + "\n".join(changes[:60])
        )
