"""Filters, search and ordering of lists. What a list does not know is refused by name, never ignored."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import filters
from rest_framework.request import Request
from rest_framework.serializers import ValidationError

SHARED = frozenset({"page", "page_size", "search", "ordering", "format"})


class Filters(DjangoFilterBackend):  # type: ignore[misc]
    """The view's named filters. Raises 400 for unknown names, doubled names and values that do not fit."""

    def filter_queryset(self, request: Request, queryset: models.QuerySet[Any], view: Any) -> models.QuerySet[Any]:
        """The rows that every named filter lets through."""
        filterset_class = self.get_filterset_class(view, queryset)
        known = {} if filterset_class is None else filterset_class.base_filters
        errors: dict[str, list[str]] = {}
        for name, values in request.query_params.lists():
            if name not in known and name not in SHARED:
                names = ", ".join(sorted({*known, *SHARED} - {"format"}))
                errors[name[:100]] = [str(_("Unknown filter; known are: %(known)s.") % {"known": names})]
            elif any("\x00" in value for value in values):
                errors[name] = [str(_("A null character is not allowed."))]
            elif len(values) > 1 and not hasattr(known.get(name), "always_filter"):
                errors[name] = [str(_("Given more than once."))]
        if errors:
            raise ValidationError(errors)
        rows: models.QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return rows


class Search(filters.SearchFilter):
    """`?search=`: every word must occur in one of the view's fields."""

    most_characters = 200

    def get_search_terms(self, request: Request) -> list[str]:
        """The words. Raises 400 when the text is too long."""
        text = request.query_params.get(self.search_param, "")
        if len(text) > self.most_characters or "\x00" in text:
            raise ValidationError(
                {self.search_param: [_("At most %(most)s plain characters.") % {"most": self.most_characters}]}
            )
        return list(super().get_search_terms(request))


class Ordering(filters.OrderingFilter):
    """`?ordering=name,-created_at`. Raises 400 for unknown fields; ties are broken by the key, so pages are stable."""

    def get_ordering(self, request: Request, queryset: models.QuerySet[Any], view: Any) -> Any:
        """The fields to order by."""
        text = request.query_params.get(self.ordering_param)
        known = {name for name, _label in self.get_valid_fields(queryset, view, {"request": request})}
        asked = [name.strip() for name in text.split(",")] if text else []
        unknown = [name for name in asked if name.removeprefix("-") not in known]
        if unknown:
            raise ValidationError(
                {
                    self.ordering_param: [
                        _("Cannot order by '%(unknown)s'; known are: %(known)s.")
                        % {"unknown": unknown[0][:50], "known": ", ".join(sorted(known))}
                    ]
                }
            )
        ordering = asked or list(self.get_default_ordering(view) or [])
        return [*ordering, "pk"] if ordering else None
