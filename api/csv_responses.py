"""Stream lists as CSV, for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import get_language
from rest_framework.renderers import JSONRenderer

from .messages import read_in_language
from .row_batches import iterate_rows


class CsvRenderer(JSONRenderer):
    """Accepts requests for `text/csv`. An error is a problem in JSON even so."""

    media_type = "text/csv"
    format = "csv"


ROWS_PER_FETCH = 1000
# The rows between two checks of the caller's access.
ROWS_BETWEEN_CHECKS = 5000


def csv_response(
    name: str, columns: Sequence[str], rows: models.QuerySet[Any], has_access: Callable[[], object]
) -> StreamingHttpResponse:
    """Return a streamed file of all rows, named after `name` and the time. UTF-8 with a byte order mark, which spreadsheets expect.

    `has_access` is called every `ROWS_BETWEEN_CHECKS` rows; when it returns something false, the connection is broken off,
    because half a file would look complete.
    """
    answer = StreamingHttpResponse(
        read_in_language(_generate_lines(columns, rows, has_access), get_language()),
        content_type="text/csv; charset=utf-8",
    )
    answer["Content-Disposition"] = f'attachment; filename="{name}-{timezone.now():%Y%m%d-%H%M%S}.csv"'
    return answer


class _Line:
    """A target for a CSV writer that returns the line."""

    def write(self, line: str) -> str:
        return line


def _generate_lines(
    columns: Sequence[str], rows: models.QuerySet[Any], has_access: Callable[[], object]
) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield "\ufeff" + writer.writerow(columns)
    for row in iterate_checked(rows, has_access):
        yield writer.writerow([_format_cell(row, column) for column in columns])


def iterate_checked(rows: models.QuerySet[Any], has_access: Callable[[], object]) -> Iterator[Any]:
    """Yield all rows. Raises PermissionDenied, which breaks the connection off, when the caller's access has ended meanwhile."""
    for number, row in enumerate(iterate_rows(rows, per_fetch=ROWS_PER_FETCH), start=1):
        if number % ROWS_BETWEEN_CHECKS == 0 and not has_access():
            raise PermissionDenied("The caller's access has ended.")
        yield row


def _format_cell(row: models.Model, column: str) -> str:
    value = getattr(row, column)
    text = "" if value is None else value.isoformat() if hasattr(value, "isoformat") else str(value)
    # A spreadsheet would run a text that begins like this as a formula, with the rights of the person who opens it.
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
