"""Lists by pages, with a count; logs by cursor."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from rest_framework.pagination import BasePagination, PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError


def _whole_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    texts = request.query_params.getlist(name)
    if not texts:
        return default
    text = texts[-1]
    # The length is checked first: Python raises an error for a number of more than 4300 digits.
    fits = len(text) <= 19 and text.isascii() and text.isdigit() and least <= int(text) <= most
    if len(texts) > 1 or not fits:
        raise ValidationError(
            {
                name: [
                    _("It must be one whole number from %(least)s to %(most)s.")
                    % {"least": least, "most": most}
                ]
            }
        )
    return int(text)


class PagePagination(PageNumberPagination):
    """`?page=&page_size=`: 50 a page unless told otherwise, 200 at the most; a page past the end is 404."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    # What `api.filtering.FiltersBackend` takes for known.
    parameters: ClassVar[frozenset[str]] = frozenset({"page", "page_size"})

    def get_page_size(self, request: Request) -> int:
        """Return the page size. Raises 400 when it is out of bounds, instead of cutting it in silence."""
        return _whole_number(request, "page_size", self.page_size or 50, 1, self.max_page_size or 200)

    def get_page_number(self, request: Request, paginator: Any) -> int:
        """Return the page number. Raises 400 for an invalid one; a page past the end is 404 later."""
        return _whole_number(request, "page", 1, 1, 10**9)


class LogPagination(BasePagination):
    """Append-only lines by id: `?after=<id>&limit=<n>`, oldest first; ask again after the last one seen.

    `after` in the answer is what to send next: the id of its last line, or what was sent when there was none, so
    that a reader that has seen all lines can go on with the same cursor.
    """

    default_limit = 200
    most = 1000
    parameters: ClassVar[frozenset[str]] = frozenset({"after", "limit"})

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """Return the lines after the cursor."""
        after = _whole_number(request, "after", 0, 0, 2**63 - 1)
        limit = _whole_number(request, "limit", self.default_limit, 1, self.most)
        lines = list(queryset.filter(pk__gt=after).order_by("pk")[:limit])
        self.after = lines[-1].pk if lines else after
        return lines

    def get_paginated_response(self, data: Any) -> Response:
        """Return the lines, and the cursor that goes on after them."""
        return Response({"results": data, "after": self.after})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe the pagination in the OpenAPI document."""
        return {
            "type": "object",
            "required": ["results", "after"],
            "properties": {
                "results": schema,
                "after": {"type": "integer", "description": "To be sent next."},
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
                    "maximum": self.most,
                    "default": self.default_limit,
                },
            },
        ]
