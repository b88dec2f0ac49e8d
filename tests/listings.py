"""Whole listings of a cloud, for tests. The portal reads them page by page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

Record = TypeVar("Record")


def read_all_pages(pages: Iterable[Iterable[Record]]) -> list[Record]:
    """Return the records of all pages."""
    return [record for page in pages for record in page]
