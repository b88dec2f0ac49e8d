"""Lists as CSV: streamed, for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import StreamingHttpResponse
from django.utils import timezone
from rest_framework.renderers import JSONRenderer


class CsvRenderer(JSONRenderer):
    """Lets a reader ask for `text/csv`. What is refused is a problem in JSON all the same."""

    media_type = "text/csv"
    format = "csv"


ROWS_AT_ONCE = 1000
# The rows between two checks of the caller's access.
ROWS_BETWEEN_CHECKS = 5000


def csv_response(
    name: str, columns: Sequence[str], rows: models.QuerySet[Any], may_read_on: Callable[[], object]
) -> StreamingHttpResponse:
    """Stream all rows, a line each, as a file named after `name` and the time; UTF-8 with a mark, as spreadsheets want it.

    `may_read_on` is called now and then; when it returns something false, the connection is broken off: half a file that
    looks whole would be worse.
    """
    answer = StreamingHttpResponse(_lines(columns, rows, may_read_on), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}-{timezone.now():%Y%m%d-%H%M%S}.csv"'
    return answer


class _Line:
    """A target for a CSV writer that returns the line."""

    def write(self, line: str) -> str:
        return line


def _lines(
    columns: Sequence[str], rows: models.QuerySet[Any], may_read_on: Callable[[], object]
) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield "\ufeff" + writer.writerow(columns)
    for number, row in enumerate(rows.iterator(chunk_size=ROWS_AT_ONCE), start=1):
        if number % ROWS_BETWEEN_CHECKS == 0 and not may_read_on():
            raise PermissionDenied("The caller may not read on.")
        yield writer.writerow([_cell(row, column) for column in columns])


def _cell(row: models.Model, column: str) -> str:
    value = getattr(row, column)
    text = "" if value is None else value.isoformat() if hasattr(value, "isoformat") else str(value)
    # A spreadsheet would run a text that begins like this as a formula, with the rights of the person who opens it.
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
