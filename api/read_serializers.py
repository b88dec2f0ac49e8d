"""Read-only serializers that render rows quickly: for what is read far more often than anything else."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

from django.db import models
from rest_framework import serializers

Row = TypeVar("Row", bound=models.Model)
Reader = Callable[[Any, Any], Any]


class ReadOnlyModelSerializer(serializers.ModelSerializer[Row]):
    """A model serializer that is never written through, and reads its columns as they are.

    Django REST framework builds every field anew for each serializer, which costs more than the row's query; here the
    fields are built for the OpenAPI document alone. Columns must be of types that the JSON encoder knows, as text,
    numbers, times and UUIDs are. Of declared fields it knows `SerializerMethodField` and `source` paths.
    """

    def to_representation(self, instance: Row) -> dict[str, Any]:
        """Return the row as plain values."""
        return {name: read(self, instance) for name, read in _readers(type(self))}


@cache
def _readers(serializer: type[ReadOnlyModelSerializer[Any]]) -> list[tuple[str, Reader]]:
    declared: dict[str, Any] = serializer._declared_fields  # noqa: SLF001 - what DRF's metaclass collects there.
    return [(name, _reader(serializer, name, declared.get(name))) for name in serializer.Meta.fields]


def _reader(serializer: type[ReadOnlyModelSerializer[Any]], name: str, declared: Any) -> Reader:
    if isinstance(declared, serializers.SerializerMethodField):
        method: Reader = getattr(serializer, declared.method_name or f"get_{name}")
        return method
    if declared is not None:
        return _path(declared.source or name)
    model: Any = serializer.Meta.model
    return _path(model._meta.get_field(name).attname)  # noqa: SLF001 - Django's documented model API.


def _path(source: str) -> Reader:
    read = attrgetter(source)

    def value(_self: Any, row: Any) -> Any:
        found = read(row)
        return found() if callable(found) else found

    return value
