"""Filter, search and order lists. Unknown parameters are refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_filters import BooleanFilter
from django_filters import rest_framework as django_filters
from django_filters.widgets import SuffixedMultiWidget
from rest_framework import filters
from rest_framework.request import Request
from rest_framework.serializers import ValidationError
from rest_framework.settings import api_settings

from .error_limits import MAX_ERRORS

# An empty value filters nothing, as in every other filter.
BOOLEAN_VALUES = frozenset({"true", "false", "1", "0", ""})


class ListFilterSet(django_filters.FilterSet):  # type: ignore[misc]
    """The filters of a list, of which each request gets those whose parameters it has.

    A filterset copies all its filters and builds a form field for each, which for a list of VMs without any filter takes a
    tenth of the request. A filter that acts without its parameter sets `applies_always`.
    """

    base_filters: Mapping[str, Any]

    def __init__(self, data: Mapping[str, Any] | None = None, *args: Any, **kwargs: Any) -> None:
        sent = data or {}
        self.base_filters = {
            name: filter_
            for name, filter_ in self.base_filters.items()
            if getattr(filter_, "applies_always", False)
            or any(parameter in sent for parameter in _list_parameters({name: filter_}))
        }
        super().__init__(data, *args, **kwargs)


class FiltersBackend(django_filters.DjangoFilterBackend):  # type: ignore[misc]
    """Applies the view's named filters, and validates all query parameters of its list.

    Raises 400 by name for unknown parameters, parameters that are given twice, and invalid values.
    """

    def filter_queryset(
        self, request: Request, queryset: models.QuerySet[Any], view: Any
    ) -> models.QuerySet[Any]:
        """Return the rows that pass every named filter."""
        filterset_class = self.get_filterset_class(view, queryset)
        named_filters = {} if filterset_class is None else filterset_class.base_filters
        named = _list_parameters(named_filters)
        boolean_names = {
            name for name, filter_ in named_filters.items() if isinstance(filter_, BooleanFilter)
        }
        known = {*named, *_list_shared_parameters(view)}
        errors: dict[str, list[Any]] = {}
        for name, values in request.query_params.lists():
            if name == api_settings.URL_FORMAT_OVERRIDE:
                continue
            if len(errors) == MAX_ERRORS:
                break
            if name not in known:
                names = ", ".join(sorted(known))
                errors[escape_unprintable(name)] = [
                    _("Unknown parameter; known are: %(known)s.") % {"known": names}
                ]
            elif any("\x00" in value for value in values):
                errors[name] = [_("Null characters are not allowed.")]
            elif name in boolean_names and values[-1].lower() not in BOOLEAN_VALUES:
                # django-filter would ignore the filter and return everything.
                errors[name] = [_("Must be true or false.")]
            elif len(values) > 1 and not named.get(name):
                errors[name] = [_("Given more than once.")]
        if errors:
            raise ValidationError(errors)
        rows: models.QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return rows


def _list_parameters(named: Mapping[str, Any]) -> dict[str, bool]:
    """Return the query parameters of a filterset, and whether each may come several times."""
    parameters: dict[str, bool] = {}
    for name, filter_ in named.items():
        widget = filter_.field.widget
        if isinstance(widget, SuffixedMultiWidget):  # A range: `created_after` and `created_before`.
            parameters.update({widget.suffixed(name, suffix): False for suffix in widget.suffixes})
        else:
            parameters[name] = bool(getattr(widget, "allow_multiple_selected", False))
    return parameters


def _list_shared_parameters(view: Any) -> Iterable[str]:
    paginator = getattr(view, "pagination_class", None)
    yield from getattr(paginator, "parameters", ())
    backends = getattr(view, "filter_backends", ())
    if getattr(view, "search_fields", None) and any(
        issubclass(backend, SearchBackend) for backend in backends
    ):
        yield api_settings.SEARCH_PARAM
    if getattr(view, "ordering_fields", None) and any(
        issubclass(backend, OrderingBackend) for backend in backends
    ):
        yield api_settings.ORDERING_PARAM


def escape_unprintable(name: str) -> str:
    """Return a client's parameter name with unprintable characters escaped, cut to 100."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in name[:100]
    )


class SearchBackend(filters.SearchFilter):
    """`?search=`: every word must occur in one of the view's `search_fields`."""

    max_characters = 200
    max_words = 10

    def get_search_terms(self, request: Request) -> list[str]:
        """Return the search words. Raises 400 when there are too many: each is compared with each field of each row."""
        text = request.query_params.get(self.search_param, "")
        if len(text) > self.max_characters:
            raise ValidationError(
                {self.search_param: [_("At most %(most)s characters.") % {"most": self.max_characters}]}
            )
        if "\x00" in text:
            raise ValidationError({self.search_param: [_("Null characters are not allowed.")]})
        words = [word for word in super().get_search_terms(request) if word]
        if len(words) > self.max_words:
            raise ValidationError(
                {self.search_param: [_("At most %(most)s words.") % {"most": self.max_words}]}
            )
        return words

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Describe the parameter in the OpenAPI document, where the view has fields to search."""
        return super().get_schema_operation_parameters(view) if getattr(view, "search_fields", None) else []


class OrderingBackend(filters.OrderingFilter):
    """`?ordering=name,-created_at`, of the view's `ordering_fields`. Raises 400 for others.

    The key breaks ties, in the direction of the last field, so that one index serves both. Without that, a row could be on two
    pages, or on none.
    """

    def get_ordering(self, request: Request, queryset: models.QuerySet[Any], view: Any) -> list[Any]:
        """Return the fields to order by."""
        text = request.query_params.get(self.ordering_param, "")
        requested = [name.strip() for name in text.split(",")] if text else []
        self._check(requested, list(getattr(view, "ordering_fields", None) or []))
        ordering = requested or list(self.get_default_ordering(view) or []) or _get_default_ordering(queryset)
        return [*ordering, *_list_tie_breakers(ordering, queryset.model)]

    def _check(self, requested: list[str], known: list[str]) -> None:
        bare = [name.removeprefix("-") for name in requested]
        unknown = [name for name in bare if name not in known]
        if unknown:
            raise ValidationError(
                {
                    self.ordering_param: [
                        _("Cannot order by '%(unknown)s'; known are: %(known)s.")
                        % {"unknown": escape_unprintable(unknown[0]), "known": ", ".join(sorted(known))}
                    ]
                }
            )
        if len(set(bare)) < len(bare):
            raise ValidationError({self.ordering_param: [_("A field is named twice.")]})

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Describe the parameter in the OpenAPI document, where the view has fields to order by."""
        known = list(getattr(view, "ordering_fields", None) or [])
        if not known:
            return []
        description = "Fields to order by, with a minus to reverse: " + ", ".join(known)
        schema = {"type": "string"}
        return [
            {
                "name": self.ordering_param,
                "required": False,
                "in": "query",
                "description": description,
                "schema": schema,
            }
        ]


def _get_default_ordering(queryset: models.QuerySet[Any]) -> list[Any]:
    return list(queryset.query.order_by or queryset.model._meta.ordering or [])  # noqa: SLF001 - Django's documented API.


def _list_tie_breakers(ordering: list[Any], model: type[models.Model]) -> list[str]:
    keys = {"pk", "-pk", model._meta.pk.name, f"-{model._meta.pk.name}"}  # noqa: SLF001 - as above.
    if keys & {field for field in ordering if isinstance(field, str)}:
        return []
    last = ordering[-1] if ordering else ""
    return ["-pk" if isinstance(last, str) and last.startswith("-") else "pk"]
