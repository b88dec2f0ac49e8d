"""Strict serializers, which refuse unknown fields, and fields of plain text."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.settings import api_settings

from .error_limits import MAX_ERRORS
from .filtering import escape_unprintable

Row = TypeVar("Row", bound=models.Model)
# Invisible characters that set the direction of text.
DIRECTION_MARKS = frozenset("\u200e\u200f\u061c")
LINE_BREAKS = frozenset("\t\n\r")
MAX_COMBINING_MARKS = 30
# Characters that override the direction of the text after them: with one, a name could look like another.
DIRECTION_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class PlainCharField(serializers.CharField):
    """One line of text for people: trimmed, in Unicode's composed form, without control characters."""

    default_error_messages = {
        "control": _("Control characters are not allowed; there is one at position %(position)s."),
        "marks": _("More than %(most)s combining marks follow one another at position %(position)s."),
    }
    allowed: ClassVar[frozenset[str]] = frozenset()

    def to_internal_value(self, data: Any) -> str:
        """Return the text. Raises a validation error with the position of the first invalid character."""
        text = super().to_internal_value(data)
        self._refuse_long_mark_runs(text)
        text = unicodedata.normalize("NFC", text)
        for position, character in enumerate(text, start=1):
            is_invalid = (
                unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
                or character in DIRECTION_OVERRIDES
            )
            if is_invalid and character not in self.allowed:
                message = self.error_messages["control"] % {"position": position}
                raise serializers.ValidationError(message, code="control")
        return text

    def _refuse_long_mark_runs(self, text: str) -> None:
        """Refuse runs of combining marks longer than Unicode's Stream-Safe Text Format allows (UAX #15).

        Normalization sorts each run in quadratic time: minutes for a megabyte.
        """
        run = 0
        for position, character in enumerate(text, start=1):
            run = run + 1 if unicodedata.combining(character) else 0
            if run > MAX_COMBINING_MARKS:
                message = self.error_messages["marks"] % {"most": MAX_COMBINING_MARKS, "position": position}
                raise serializers.ValidationError(message, code="marks")


class CloudNameField(PlainCharField):
    """A name that an object in a cloud has too: a server, a volume, a snapshot.

    It refuses characters beyond U+FFFF, such as emoji, which databases of clouds cannot store, and invisible characters, by
    which two different names could look the same.
    """

    default_error_messages = {
        "beyond": _("Clouds can't store '%(character)s' at position %(position)s. Use another character."),
        "direction": _("Invisible characters are not allowed; there is one at position %(position)s."),
    }

    def to_internal_value(self, data: Any) -> str:
        """Return the name. Raises a validation error with the position of the first invalid character."""
        text = super().to_internal_value(data)
        for position, character in enumerate(text, start=1):
            values = {"position": position, "character": character}
            if character in DIRECTION_MARKS or unicodedata.category(character) == "Cf":
                raise serializers.ValidationError(self.error_messages["direction"] % values, code="direction")
            if ord(character) > 0xFFFF:
                raise serializers.ValidationError(self.error_messages["beyond"] % values, code="beyond")
        return text


class PlainTextField(PlainCharField):
    """Text of several lines: as `PlainCharField`, with tabs and line breaks."""

    allowed = LINE_BREAKS


class _StrictFieldsMixin:
    """Refuses unknown and read-only fields, together with all other errors."""

    fields: Any

    def to_internal_value(self, data: Any) -> Any:
        unexpected = self._find_unexpected_fields(data) if isinstance(data, dict) else {}
        try:
            value = super().to_internal_value(data)  # type: ignore[misc]
        except serializers.ValidationError as error:
            if unexpected and isinstance(error.detail, dict):
                raise serializers.ValidationError({**error.detail, **unexpected}) from None
            raise
        if unexpected:
            raise serializers.ValidationError(unexpected)
        return value

    def _find_unexpected_fields(self, data: dict[Any, Any]) -> dict[str, list[str]]:
        writable = ", ".join(sorted(name for name, field in self.fields.items() if not field.read_only))
        errors: dict[str, list[str]] = {}
        for name in data:
            if len(errors) == MAX_ERRORS:  # No more are returned, and each repeats the list of fields.
                break
            if name not in self.fields:
                errors[str(name)[:100]] = [_("Unknown field; known are: %(known)s.") % {"known": writable}]
            elif self.fields[name].read_only:
                errors[name] = [
                    _("Only the portal sets this; fields to send are: %(known)s.") % {"known": writable}
                ]
        return errors


class StrictSerializer(_StrictFieldsMixin, serializers.Serializer[Any]):
    """A serializer for request bodies; unknown and read-only fields are refused by name."""


def split_validation(serializer: StrictSerializer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a request body into the data of its valid fields and the errors of the others.

    For callers that check more than single fields, and report all errors at once.
    """
    if serializer.is_valid():
        return dict(serializer.validated_data), {}
    errors: dict[str, Any] = dict(serializer.errors)
    valid = {}
    for name, field in serializer.fields.items():
        # A body that is no object has no fields.
        if name in errors or field.read_only or not isinstance(serializer.initial_data, dict):
            continue
        with suppress(serializers.ValidationError, serializers.SkipField):
            valid[name] = field.run_validation(field.get_value(serializer.initial_data))
    return valid, errors


def body_with_dry_run(request: Request) -> Any:
    """Return the request's body, with `dry_run` from the query (`?dry_run=true`) in place of its own if that is set.

    Raises 400 for any other parameter, because a mistyped `dry_run` must not make a real change.
    """
    if unknown := set(request.query_params) - {"dry_run", api_settings.URL_FORMAT_OVERRIDE}:
        raise serializers.ValidationError(
            {escape_unprintable(name): [_("Unknown parameter.")] for name in sorted(unknown)[:MAX_ERRORS]}
        )
    dry_run = request.query_params.get("dry_run")
    if dry_run is None or not isinstance(request.data, dict):
        return request.data
    return {**request.data, "dry_run": dry_run}


class StrictModelSerializer(_StrictFieldsMixin, serializers.ModelSerializer[Row]):
    """A model serializer; unknown and read-only fields are refused by name, and texts are plain."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: PlainCharField,
        models.TextField: PlainTextField,
    }
