"""Lists by pages, with a count; logs by cursor."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework.pagination import BasePagination, PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError


def _whole_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text[:19]) <= most):
        raise ValidationError(
            {name: [_("A whole number from %(least)s to %(most)s.") % {"least": least, "most": most}]}
        )
    return int(text)


class Pages(PageNumberPagination):
    """`?page=&page_size=`: 50 a page unless told otherwise, 200 at the most."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

    def get_page_size(self, request: Request) -> int:
        """The page size asked for. Raises 400 when it is out of bounds, instead of cutting it in silence."""
        return _whole_number(request, "page_size", self.page_size, 1, self.max_page_size)

    def get_page_number(self, request: Request, paginator: Any) -> int:
        """The page asked for; one past the end is 404."""
        return _whole_number(request, "page", 1, 1, 10**9)


class CursorLines(BasePagination):
    """Append-only lines by id: `?after=<id>&limit=<n>`, oldest first; ask again after the last one seen."""

    default_limit = 200
    most = 1000

    def paginate_queryset(self, queryset: models.QuerySet[Any], request: Request, view: Any = None) -> list[Any]:
        """The lines after the cursor."""
        after = _whole_number(request, "after", 0, 0, 2**63 - 1)
        limit = _whole_number(request, "limit", self.default_limit, 1, self.most)
        return list(queryset.filter(pk__gt=after).order_by("pk")[:limit])

    def get_paginated_response(self, data: Any) -> Response:
        """The lines and the cursor that continues after them."""
        return Response({"results": data, "after": data[-1]["id"] if data else None})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """For the OpenAPI document."""
        return {
            "type": "object",
            "required": ["results", "after"],
            "properties": {"results": schema, "after": {"type": ["integer", "null"]}},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """For the OpenAPI document."""
        return [
            {"name": name, "required": False, "in": "query", "schema": {"type": "integer"}}
            for name in ("after", "limit")
        ]
