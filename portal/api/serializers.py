"""Serializers that take nothing in silence."""

from __future__ import annotations

import unicodedata
from typing import Any, TypeVar

from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

Row = TypeVar("Row", bound=models.Model)


class _Strict:
    """Refuses fields that it does not know, and fields that only the portal writes."""

    fields: Any

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            writable = sorted(name for name, field in self.fields.items() if not field.read_only)
            errors: dict[str, list[str]] = {}
            for name in data:
                if name not in self.fields:
                    errors[str(name)[:100]] = [
                        str(_("Unknown field; known are: %(known)s.") % {"known": ", ".join(writable)})
                    ]
                elif self.fields[name].read_only:
                    errors[name] = [str(_("This field cannot be set."))]
            if errors:
                raise serializers.ValidationError(errors)
        return super().to_internal_value(data)  # type: ignore[misc]


class StrictSerializer(_Strict, serializers.Serializer[Any]):
    """A serializer for request bodies; unknown and read-only fields are refused by name."""


class StrictModelSerializer(_Strict, serializers.ModelSerializer[Row]):
    """A model serializer; unknown and read-only fields are refused by name."""


class PlainCharField(serializers.CharField):
    """One line of text for people: trimmed, in Unicode's composed form, without control characters."""

    default_error_messages = {"control": _("Control characters are not allowed.")}

    def to_internal_value(self, data: Any) -> str:
        """The text. Raises a validation error."""
        text = unicodedata.normalize("NFC", super().to_internal_value(data))
        if any(unicodedata.category(character) == "Cc" for character in text):
            self.fail("control")
        return text
