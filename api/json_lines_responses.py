"""Stream lists as JSON lines, for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db import models
from django.http import StreamingHttpResponse
from django.utils import timezone
from rest_framework.renderers import JSONRenderer

from .csv_responses import iterate_checked


class JsonLinesRenderer(JSONRenderer):
    """Accepts requests for `application/jsonl`. An error is a problem in JSON even so."""

    media_type = "application/jsonl"
    format = "jsonl"


def json_lines_response(
    name: str, columns: Sequence[str], rows: models.QuerySet[Any], has_access: Callable[[], object]
) -> StreamingHttpResponse:
    """Return a streamed file of all rows, one JSON object a line, as `csv_response` does in CSV."""
    answer = StreamingHttpResponse(
        _generate_lines(columns, rows, has_access), content_type=JsonLinesRenderer.media_type
    )
    answer["Content-Disposition"] = f'attachment; filename="{name}-{timezone.now():%Y%m%d-%H%M%S}.jsonl"'
    return answer


def _generate_lines(
    columns: Sequence[str], rows: models.QuerySet[Any], has_access: Callable[[], object]
) -> Iterator[str]:
    for row in iterate_checked(rows, has_access):
        values = {column: getattr(row, column) for column in columns}
        yield json.dumps(values, ensure_ascii=False, default=_encode) + "\n"


def _encode(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
