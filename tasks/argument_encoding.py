"""Encode the arguments of a service as JSON, so that its call can be stored and repeated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

# A value that JSON does not have is an object with these two keys.
KIND, VALUE = "$kind", "$value"
# `datetime` comes before `date`, of which it is a subclass.
_TEXT_KINDS: dict[str, tuple[type[Any], Any]] = {
    "uuid": (UUID, UUID),
    "datetime": (datetime, datetime.fromisoformat),
    "date": (date, date.fromisoformat),
    "time": (time, time.fromisoformat),
    "decimal": (Decimal, Decimal),
}
_LIST_KINDS: dict[str, type[Any]] = {"tuple": tuple, "set": set, "frozenset": frozenset}


def encode_value(value: Any) -> Any:
    """Return a value as JSON: a mapping, list, tuple, set, dataclass, number, text, id or date. Raises TypeError for any other.

    Members of text choices are stored as their text.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    for kind, (text_type, _read) in _TEXT_KINDS.items():
        if isinstance(value, text_type):
            text = str(value) if kind in {"uuid", "decimal"} else value.isoformat()
            return {KIND: kind, VALUE: text}
    if isinstance(value, Mapping):
        return {KIND: "dict", VALUE: {str(name): encode_value(item) for name, item in value.items()}}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {one.name: encode_value(getattr(value, one.name)) for one in dataclasses.fields(value)}
        return {KIND: f"dataclass:{type(value).__name__}", VALUE: fields}
    if isinstance(value, list):
        return [encode_value(item) for item in value]
    for kind, list_type in _LIST_KINDS.items():
        if isinstance(value, list_type):
            return {KIND: kind, VALUE: [encode_value(item) for item in value]}
    raise TypeError(f"An argument of type {type(value).__name__} can't be stored; pass it as plain values.")


def decode_value(stored: Any, dataclass_types: Mapping[str, type]) -> Any:
    """Return the value of `encode_value`. Only the given dataclasses are created. Raises ValueError for an unknown kind."""
    if isinstance(stored, list):
        return [decode_value(item, dataclass_types) for item in stored]
    if not isinstance(stored, dict):
        return stored
    kind, value = stored[KIND], stored[VALUE]
    if kind in _TEXT_KINDS:
        return _TEXT_KINDS[kind][1](value)
    if kind in _LIST_KINDS:
        return _LIST_KINDS[kind](decode_value(item, dataclass_types) for item in value)
    if kind == "dict":
        return {name: decode_value(item, dataclass_types) for name, item in value.items()}
    name = kind.removeprefix("dataclass:")
    if name not in dataclass_types:
        raise ValueError(f"A stored argument has the kind '{kind}', which this release does not know.")
    known = {one.name for one in dataclasses.fields(dataclass_types[name])}
    fields = {field: decode_value(item, dataclass_types) for field, item in value.items() if field in known}
    return dataclass_types[name](**fields)
