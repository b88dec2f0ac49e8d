"""The filter by which a list shows what is in the bin. Without it, a list hides that."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters


class BinFilter(filters.BooleanFilter):  # type: ignore[misc] # django-filter has no types.
    """`?in_bin=true` shows what is in the bin alone; anything else shows what is not, also without the parameter."""

    applies_always = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(help_text="True: only what is in the bin. The default is what is not.", **kwargs)

    def filter(self, rows: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Return the rows that are in the bin, or those that are not."""
        return rows.filter(binned_at__isnull=not value)
