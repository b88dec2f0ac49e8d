"""Limit how much of a request its errors repeat.

Errors repeat what was sent: names of fields, paths into the body, values inside sentences. Without a limit a response could be
thousands of times as large as its request. Every error passes through here (`api.errors`). The copy stops at its limits, so
its cost does not grow with the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.forms.renderers import DjangoTemplates
from django.forms.utils import ErrorList

MAX_ERRORS = 20
MAX_TEXT_LENGTH = 400
MAX_NAME_LENGTH = 100
# The names and texts of all errors together. A character takes at most six bytes of JSON or HTML.
MAX_CHARACTERS = 8_000
MAX_DEPTH = 8
# The largest problem document in bytes, as the last guard.
MAX_PROBLEM_BYTES = 90_000
SHORTENED_LIST_LENGTH = 20
CUT = "…"


def cut_text(text: object, max_length: int = MAX_TEXT_LENGTH) -> str:
    """Return the text with at most `max_length` characters, and without unpaired surrogates, which cannot be encoded."""
    whole = str(text)
    result = whole if len(whole) <= max_length else whole[: max_length - 1] + CUT
    return result.encode("utf-8", "replace").decode("utf-8")


class _ErrorCopier:
    """Copies errors until a limit is reached."""

    def __init__(self) -> None:
        self.errors = MAX_ERRORS
        self.characters = MAX_CHARACTERS
        self.is_cut = False  # Whether something was left out.

    def is_full(self) -> bool:
        """Return whether a limit is reached; if so, record that something was left out."""
        is_reached = self.errors <= 0 or self.characters <= 0
        self.is_cut = self.is_cut or is_reached
        return is_reached

    def cut_and_count(self, text: object, max_length: int) -> str:
        """Cut a text, and count its characters."""
        result = cut_text(text, max_length)
        self.characters -= len(result) + 2
        return result

    def copy(self, errors: Any, depth: int = 0) -> Any:
        """Copy errors by field, with their nesting, until a limit is reached."""
        if isinstance(errors, Mapping) and depth < MAX_DEPTH:
            named = {}
            for name, inner in errors.items():
                if self.is_full():
                    break
                named[self.cut_and_count(name, MAX_NAME_LENGTH)] = self.copy(inner, depth + 1)
            return named
        if isinstance(errors, list | tuple) and depth < MAX_DEPTH:
            listed = []
            for inner in errors:
                if self.is_full():
                    break
                self.characters -= 2
                listed.append(self.copy(inner, depth + 1))
            return listed
        self.errors -= 1
        if isinstance(errors, Mapping | list | tuple):
            self.is_cut = True
            return [CUT]
        return self.cut_and_count(errors, MAX_TEXT_LENGTH)


def limit_errors(errors: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the first errors by field, with names and texts cut, and whether any were left out."""
    copier = _ErrorCopier()
    return copier.copy(errors), copier.is_cut


def limit_problem(members: dict[str, Any]) -> dict[str, Any]:
    """Return a problem document that is not larger than `MAX_PROBLEM_BYTES`.

    The lists of a larger one are shortened; if that is not enough, only its texts and numbers are kept.
    """
    if _size(members) <= MAX_PROBLEM_BYTES:
        return members
    shorter = {
        name: value[:SHORTENED_LIST_LENGTH] if isinstance(value, list) else value
        for name, value in members.items()
    }
    shorter["truncated"] = True
    if _size(shorter) <= MAX_PROBLEM_BYTES:
        return shorter
    return {
        name: cut_text(value) if isinstance(value, str) else value
        for name, value in shorter.items()
        if isinstance(value, str | int | None)
    }


def _size(members: Mapping[str, Any]) -> int:
    """Return the size in bytes as JSON; the count stops above `MAX_PROBLEM_BYTES`."""
    size = 0
    for chunk in DjangoJSONEncoder(default=str, ensure_ascii=False).iterencode(members):
        size += len(chunk.encode("utf-8", "replace"))
        if size > MAX_PROBLEM_BYTES:
            break
    return size


class LimitedFormRenderer(DjangoTemplates):
    """Renders Django's forms, also in the admin, with the first errors of each field, each cut.

    Django's messages repeat the entered values. For `FORM_RENDERER`.
    """

    def render(self, template_name: str, context: dict[str, Any], request: Any = None) -> str:
        """Render a widget, a form or a list of errors."""
        errors = context.get("errors")
        if isinstance(errors, ErrorList):
            context = {**context, "errors": cut_texts(errors)}
        return super().render(template_name, context, request)


def cut_texts(texts: Iterable[object]) -> list[str]:
    """Return the first texts, each cut."""
    return [cut_text(text) for text in islice(texts, MAX_ERRORS)]
