"""Columns of messages that each reader gets in their own language."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils.functional import Promise

from .messages import decode_message, encode_message

if TYPE_CHECKING:
    TextField = models.TextField[Any, str]
    JSONField = models.JSONField[Any, Any]
else:
    # They are generic for the type checker alone.
    TextField, JSONField = models.TextField, models.JSONField


class MessageField(TextField):
    """A text, or a `Message`, which is stored language-neutrally and read in the active language: see messages.py.

    It behaves as a `TextField` in every query: "" is "", `values()` gives the sentence, and two equal messages are equal.
    Handwritten SQL has to call `encode_message` and `decode_message`.
    """

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """Return the stored message in the active language."""
        return None if value is None else decode_message(value)

    def get_prep_value(self, value: Any) -> Any:
        """Return the stored form."""
        if isinstance(value, str | Promise):
            return encode_message(value)
        return super().get_prep_value(value)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        """Appear in migrations as the `TextField` that it is in the database: the change of a class changes no column."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.TextField", list(args), dict(kwargs)


class MessageMapField(JSONField):
    """A JSON object with messages or texts as its values, stored and read as those of a `MessageField`."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Return the object with its messages in the active language."""
        found = super().from_db_value(value, expression, connection)
        return _map_texts(found, decode_message)

    def get_prep_value(self, value: Any) -> Any:
        """Return the stored form."""
        return super().get_prep_value(_map_texts(value, encode_message))

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        """Appear in migrations as the `JSONField` that it is in the database."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", list(args), dict(kwargs)


def _map_texts(value: Any, function: Callable[[str], str]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: function(text) if isinstance(text, str) else text for name, text in value.items()}
