"""Strict serializers, which refuse what they do not know, and fields of plain text."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.settings import api_settings

from .error_limits import MOST_ERRORS
from .filtering import printable

Row = TypeVar("Row", bound=models.Model)
# Marks without a shape of their own that say in which direction text runs.
DIRECTION_MARKS = frozenset("\u200e\u200f\u061c")
LINE_BREAKS = frozenset("\t\n\r")
# Characters that turn the direction of the text after them: a name could show itself as another.
MOST_COMBINING_MARKS = 30
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


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
        self._refuse_long_runs(text)
        text = unicodedata.normalize("NFC", text)
        for position, character in enumerate(text, start=1):
            wrong = unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or character in TURNING
            if wrong and character not in self.allowed:
                message = self.error_messages["control"] % {"position": position}
                raise serializers.ValidationError(message, code="control")
        return text

    def _refuse_long_runs(self, text: str) -> None:
        """Refuse runs of combining marks longer than Unicode's Stream-Safe Text Format has (UAX #15).

        Normalizing sorts each run, which takes time with the square of its length: minutes for a megabyte.
        """
        run = 0
        for position, character in enumerate(text, start=1):
            run = run + 1 if unicodedata.combining(character) else 0
            if run > MOST_COMBINING_MARKS:
                message = self.error_messages["marks"] % {"most": MOST_COMBINING_MARKS, "position": position}
                raise serializers.ValidationError(message, code="marks")


class CloudNameField(PlainCharField):
    """A name that a cloud's object can have too: a server, a volume, a snapshot.

    Clouds keep names in databases that know no characters beyond U+FFFF (emoji are), and people tell things apart by
    what they see; so both those and marks that nobody sees are refused.
    """

    default_error_messages = {
        "beyond": _(
            "'%(character)s' at position %(position)s is not kept by clouds; use plainer characters."
        ),
        "direction": _("There is an invisible mark of text direction at position %(position)s."),
    }

    def to_internal_value(self, data: Any) -> str:
        """Return the name. Raises a validation error with the position of the first invalid character."""
        text = super().to_internal_value(data)
        for position, character in enumerate(text, start=1):
            shown = {"position": position, "character": character}
            if character in DIRECTION_MARKS or unicodedata.category(character) == "Cf":
                raise serializers.ValidationError(self.error_messages["direction"] % shown, code="direction")
            if ord(character) > 0xFFFF:
                raise serializers.ValidationError(self.error_messages["beyond"] % shown, code="beyond")
        return text


class PlainTextField(PlainCharField):
    """Text of several lines: as `PlainCharField`, with tabs and line breaks."""

    allowed = LINE_BREAKS


class _StrictFieldsMixin:
    """Refuses fields that it does not know, and fields that only the portal writes, along with all other errors."""

    fields: Any

    def to_internal_value(self, data: Any) -> Any:
        unexpected = self._unexpected(data) if isinstance(data, dict) else {}
        try:
            value = super().to_internal_value(data)  # type: ignore[misc]
        except serializers.ValidationError as error:
            if unexpected and isinstance(error.detail, dict):
                raise serializers.ValidationError({**error.detail, **unexpected}) from None
            raise
        if unexpected:
            raise serializers.ValidationError(unexpected)
        return value

    def _unexpected(self, data: dict[Any, Any]) -> dict[str, list[str]]:
        writable = ", ".join(sorted(name for name, field in self.fields.items() if not field.read_only))
        errors: dict[str, list[str]] = {}
        for name in data:
            if len(errors) == MOST_ERRORS:  # More are not shown, and each repeats what is known.
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
    right = {}
    for name, field in serializer.fields.items():
        # A body that is no object at all has no fields to look into.
        if name in errors or field.read_only or not isinstance(serializer.initial_data, dict):
            continue
        with suppress(serializers.ValidationError, serializers.SkipField):
            right[name] = field.run_validation(field.get_value(serializer.initial_data))
    return right, errors


def body_with_dry_run(request: Request) -> Any:
    """Return the request's body, with `dry_run` from the query (`?dry_run=true`) if it is there; the query wins.

    Raises 400 by name for anything else in the query: a mistyped `dry_run` must not lead to a real change.
    """
    if unknown := set(request.query_params) - {"dry_run", api_settings.URL_FORMAT_OVERRIDE}:
        raise serializers.ValidationError(
            {printable(name): [_("Unknown parameter.")] for name in sorted(unknown)[:MOST_ERRORS]}
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
