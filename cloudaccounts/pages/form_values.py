"""What the forms of accounts share: the version that they were opened with, and lists of regions."""

from __future__ import annotations

import re

from django.http import QueryDict

from api.preconditions import etag_of


def get_if_match(form: QueryDict) -> str | None:
    """Return the account's version in a form as an ETag; None for a form without one, which matches any version."""
    version = form.get("version", "")
    return etag_of(int(version)) if version.isascii() and version.isdigit() and len(version) < 19 else None


def split_regions(text: str) -> list[str]:
    """Return the regions in a text field: one in each line, or separated by commas."""
    return [name for part in re.split(r"[\n,]", text) if (name := part.strip())]
