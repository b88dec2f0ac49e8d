"""Read-only serializers that render rows quickly, for lists that are read often."""

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
    """A model serializer for reading alone, which reads columns without serializer fields.

    Django REST framework builds all fields again for each serializer, which costs more than the query of the row; here they
    are built for the OpenAPI document alone. Columns must have types that the JSON encoder knows, such as text, numbers, times
    and UUIDs. Declared fields may be `SerializerMethodField`s and fields with a `source` path.
    """

    def to_representation(self, instance: Row) -> dict[str, Any]:
        """Return the row as plain values."""
        return {name: read(self, instance) for name, read in _list_readers(type(self))}


@cache
def _list_readers(serializer: type[ReadOnlyModelSerializer[Any]]) -> list[tuple[str, Reader]]:
    declared: dict[str, Any] = serializer._declared_fields  # noqa: SLF001 - where DRF's metaclass collects the declared fields.
    return [(name, _build_reader(serializer, name, declared.get(name))) for name in serializer.Meta.fields]


def _build_reader(serializer: type[ReadOnlyModelSerializer[Any]], name: str, declared: Any) -> Reader:
    if isinstance(declared, serializers.SerializerMethodField):
        method: Reader = getattr(serializer, declared.method_name or f"get_{name}")
        return method
    if declared is not None:
        return _build_path_reader(declared.source or name)
    model: Any = serializer.Meta.model
    return _build_path_reader(model._meta.get_field(name).attname)  # noqa: SLF001 - Django's documented model API.


def _build_path_reader(source: str) -> Reader:
    read = attrgetter(source)

    def read_value(_self: Any, row: Any) -> Any:
        found = read(row)
        return found() if callable(found) else found

    return read_value
