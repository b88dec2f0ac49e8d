"""Paginate lists by page number, and logs by cursor."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from rest_framework.pagination import BasePagination, PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError


def _parse_parameter(request: Request, name: str, default: int, minimum: int, maximum: int) -> int:
    texts = request.query_params.getlist(name)
    if not texts:
        return default
    text = texts[-1]
    # The length is checked first: Python raises an error for a number of more than 4300 digits.
    is_valid = len(text) <= 19 and text.isascii() and text.isdigit() and minimum <= int(text) <= maximum
    if len(texts) > 1 or not is_valid:
        raise ValidationError(
            {
                name: [
                    _("Must be one whole number from %(least)s to %(most)s.")
                    % {"least": minimum, "most": maximum}
                ]
            }
        )
    return int(text)


class PagePagination(PageNumberPagination):
    """`?page=&page_size=`: 50 rows a page by default, 200 at most; a page past the end is 404."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    # The parameters that `api.filtering.FiltersBackend` accepts.
    parameters: ClassVar[frozenset[str]] = frozenset({"page", "page_size"})

    def get_page_size(self, request: Request) -> int:
        """Return the page size. Raises 400 when it is out of bounds, instead of reducing it silently."""
        return _parse_parameter(request, "page_size", self.page_size or 50, 1, self.max_page_size or 200)

    def get_page_number(self, request: Request, paginator: Any) -> int:
        """Return the page number. Raises 400 for an invalid one; a page past the end is 404 later."""
        return _parse_parameter(request, "page", 1, 1, 10**9)


class LogPagination(BasePagination):
    """Append-only lines by id: `?after=<id>&limit=<n>`, oldest first.

    `after` in the response is the cursor of the next request: the id of the last line, or the cursor that was sent when there
    were no lines.
    """

    default_limit = 200
    max_limit = 1000
    parameters: ClassVar[frozenset[str]] = frozenset({"after", "limit"})

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """Return the lines after the cursor."""
        after = _parse_parameter(request, "after", 0, 0, 2**63 - 1)
        limit = _parse_parameter(request, "limit", self.default_limit, 1, self.max_limit)
        lines = list(queryset.filter(pk__gt=after).order_by("pk")[:limit])
        self.after = lines[-1].pk if lines else after
        return lines

    def get_paginated_response(self, data: Any) -> Response:
        """Return the lines, and the cursor of the next request."""
        return Response({"results": data, "after": self.after})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe the pagination in the OpenAPI document."""
        return {
            "type": "object",
            "required": ["results", "after"],
            "properties": {
                "results": schema,
                "after": {"type": "integer", "description": "The cursor of the next request."},
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Describe the pagination in the OpenAPI document."""
        return [
            {"name": "after", "required": False, "in": "query", "schema": {"type": "integer", "minimum": 0}},
            {
                "name": "limit",
                "required": False,
                "in": "query",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": self.max_limit,
                    "default": self.default_limit,
                },
            },
        ]
