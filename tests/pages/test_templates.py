"""What the templates may name: nothing that is not served by the portal itself."""

from __future__ import annotations

import re
from pathlib import Path


def test_no_page_names_another_host():
    """Everything that a page needs comes from the portal itself."""
    repository = Path(__file__).resolve().parents[2]
    templates = list(repository.glob("*/templates/**/*.html"))
    assert templates
    for template in templates:
        found = re.findall(r'(?:src|href)="(https?:)?//', template.read_text())
        assert not found, template
