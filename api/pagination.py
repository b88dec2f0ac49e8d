"""Paginate lists by page number, and logs by cursor."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any, ClassVar

from django.core.paginator import EmptyPage, Page, Paginator
from django.db.models import QuerySet
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _
from rest_framework.pagination import BasePagination, PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError


def parse_parameter(request: Request, name: str, default: int, minimum: int, maximum: int) -> int:
    """Return a whole number of the query, or the default. Raises 400 when it is none, out of bounds or given twice."""
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
        return parse_parameter(request, "page_size", self.page_size or 50, 1, self.max_page_size or 200)

    def get_page_number(self, request: Request, paginator: Any) -> int:
        """Return the page number. Raises 400 for an invalid one; a page past the end is 404 later."""
        return parse_parameter(request, "page", 1, 1, 10**9)


class CappedPage(Page[Any]):
    """A page of rows that were not counted to the end."""

    def __init__(self, rows: list[Any], number: int, paginator: CappedPaginator, *, has_more: bool) -> None:
        super().__init__(rows, number, paginator)
        self._has_more = has_more

    def has_next(self) -> bool:
        """Return whether a row follows the page's last one."""
        return self._has_more

    def next_page_number(self) -> int:
        """Return the number of the next page, which may lie behind the rows that were counted."""
        return self.number + 1

    def end_index(self) -> int:
        """Return the position of the page's last row in the list, from 1."""
        return self.start_index() + len(self.object_list) - 1


class CappedPaginator(Paginator[Any]):
    """A paginator that counts no more rows than `MAX_COUNT`, because to count 100,000 takes longer than to read a page.

    The pages behind can be read all the same. `known_count` is the exact number of rows, where it is known without counting.
    Rows whose queryset has a method `fetch_slice` are read by it.
    """

    MAX_COUNT = 10_000

    def __init__(self, rows: QuerySet[Any], per_page: int, *, known_count: int | None = None) -> None:
        super().__init__(rows, per_page)
        self.rows = rows
        self._known_count = known_count

    @cached_property
    def _counted(self) -> int:
        """The exact number of rows, or one more than `MAX_COUNT`."""
        if self._known_count is not None:
            return self._known_count
        return int(self.rows.order_by().values("pk")[: self.MAX_COUNT + 1].count())

    @property
    def is_capped(self) -> bool:
        """Return whether there are more rows than `count`."""
        return self._known_count is None and self._counted > self.MAX_COUNT

    @property
    def count(self) -> int:
        """Return the number of rows, or `MAX_COUNT` when there are more."""
        return self.MAX_COUNT if self.is_capped else self._counted

    @property
    def num_pages(self) -> int:
        """Return the number of pages of the rows that were counted, at least one."""
        return max(1, -(-self.count // self.per_page))

    @property
    def count_label(self) -> str:
        """Return the number of rows for people: "10,000+" when there are more."""
        return f"{number_format(self.count, force_grouping=True)}{'+' if self.is_capped else ''}"

    def validate_number(self, number: Any) -> int:
        """Return the number of a page. When rows were not counted, a number is only known to be too high by reading."""
        try:
            return int(super().validate_number(number))
        except EmptyPage:
            if self.is_capped and int(number) > self.num_pages:
                return int(number)
            raise

    def page(self, number: Any) -> Page[Any]:
        """Return a page. Raises `EmptyPage` when it has no rows, except for the first one."""
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        rows = list(self._fetch(first, first + self.per_page + self.is_capped))
        if not self.is_capped:
            return Page(rows, number, self)
        if not rows:
            raise EmptyPage(self.error_messages["no_results"])
        return CappedPage(rows[: self.per_page], number, self, has_more=len(rows) > self.per_page)

    def get_page(self, number: Any) -> Page[Any]:
        """Return a page; the first or the last one if there is no such page, for which all rows are counted."""
        try:
            return super().get_page(number)
        except EmptyPage:
            self._known_count = self._counted = self.rows.order_by().count()
            return super().get_page(self.num_pages)

    def _fetch(self, first: int, last: int) -> QuerySet[Any]:
        rows: Any = self.rows
        fetched: QuerySet[Any] = (
            rows.fetch_slice(first, last) if hasattr(rows, "fetch_slice") else rows[first:last]
        )
        return fetched


class CappedPagination(PagePagination):
    """Pages of a list that may be very long: `count` ends at 10,000, and `count_is_capped` tells whether there are more.

    `next` leads through all rows. A view that knows their number without counting returns it in `find_known_count`.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        """Return the rows of the page that the request names."""
        known_count = view.find_known_count()
        self.django_paginator_class = partial(CappedPaginator, known_count=known_count)  # type: ignore[assignment]
        return super().paginate_queryset(queryset, request, view)

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page, with whether its count is capped."""
        response = super().get_paginated_response(data)
        response.data = {
            "count": response.data["count"],
            "count_is_capped": self.page.paginator.is_capped,  # type: ignore[union-attr]
            **response.data,
        }
        return response

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe the pagination in the OpenAPI document."""
        described: dict[str, Any] = super().get_paginated_response_schema(schema)
        most = CappedPaginator.MAX_COUNT
        described["properties"]["count"]["description"] = f"The number of rows, at most {most}."
        described["properties"]["count_is_capped"] = {
            "type": "boolean",
            "description": "Whether there are more rows than `count`. `next` leads through all of them.",
        }
        described["required"] = ["count", "count_is_capped", "results"]
        return described


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
        after = parse_parameter(request, "after", 0, 0, 2**63 - 1)
        limit = parse_parameter(request, "limit", self.default_limit, 1, self.max_limit)
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
