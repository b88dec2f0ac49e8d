"""Limits of how much of a request an error repeats.

Errors are made of what was sent: names of fields, paths into the body, values inside sentences. Without a bound an answer
can be thousands of times as large as its request. Everything that refuses passes through here (`api.errors`).
The walk stops at its bounds, so it costs as little as its result, whatever it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.forms.renderers import DjangoTemplates
from django.forms.utils import ErrorList

MOST_ERRORS = 20
LONGEST_TEXT = 400
LONGEST_NAME = 100
# Names and texts of all errors together. A character becomes at most six bytes of JSON or HTML.
MOST_CHARACTERS = 8_000
DEEPEST = 8
# Bytes of a whole problem document, as the last guard.
LARGEST_PROBLEM = 90_000
SHORT_LIST = 20
CUT = "…"


def cut_text(text: object, longest: int = LONGEST_TEXT) -> str:
    """Return the text with at most `longest` characters, and without halves of surrogate pairs, which no encoding has."""
    whole = str(text)
    shown = whole if len(whole) <= longest else whole[: longest - 1] + CUT
    return shown.encode("utf-8", "replace").decode("utf-8")


class _Bounds:
    """The remaining bounds while errors are copied."""

    def __init__(self) -> None:
        self.errors = MOST_ERRORS
        self.characters = MOST_CHARACTERS
        self.cut = False

    def are_reached(self) -> bool:
        """Return whether nothing more may be copied, and note that something was left out."""
        reached = self.errors <= 0 or self.characters <= 0
        self.cut = self.cut or reached
        return reached

    def take(self, text: object, longest: int) -> str:
        """Cut a text, and count its characters."""
        shown = cut_text(text, longest)
        self.characters -= len(shown) + 2
        return shown

    def copy(self, errors: Any, depth: int = 0) -> Any:
        """Copy errors by field, in the nesting that they have, until a bound is reached."""
        if isinstance(errors, Mapping) and depth < DEEPEST:
            named = {}
            for name, inner in errors.items():
                if self.are_reached():
                    break
                named[self.take(name, LONGEST_NAME)] = self.copy(inner, depth + 1)
            return named
        if isinstance(errors, list | tuple) and depth < DEEPEST:
            listed = []
            for inner in errors:
                if self.are_reached():
                    break
                self.characters -= 2
                listed.append(self.copy(inner, depth + 1))
            return listed
        self.errors -= 1
        if isinstance(errors, Mapping | list | tuple):
            self.cut = True
            return [CUT]
        return self.take(errors, LONGEST_TEXT)


def limit_errors(errors: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the first errors by field, with names and texts cut, and whether any were left out."""
    bounds = _Bounds()
    return bounds.copy(errors), bounds.cut


def limit_problem(members: dict[str, Any]) -> dict[str, Any]:
    """Return a problem document that is not larger than `LARGEST_PROBLEM`.

    One that is gets its lists shortened; if that is not enough, it keeps only its members that are texts and numbers.
    """
    if _size(members) <= LARGEST_PROBLEM:
        return members
    shorter = {
        name: value[:SHORT_LIST] if isinstance(value, list) else value for name, value in members.items()
    }
    shorter["truncated"] = True
    if _size(shorter) <= LARGEST_PROBLEM:
        return shorter
    return {
        name: cut_text(value) if isinstance(value, str) else value
        for name, value in shorter.items()
        if isinstance(value, str | int | None)
    }


def _size(members: Mapping[str, Any]) -> int:
    """Return the size in bytes as JSON; it stops as soon as it is over the limit."""
    size = 0
    for part in DjangoJSONEncoder(default=str, ensure_ascii=False).iterencode(members):
        size += len(part.encode("utf-8", "replace"))
        if size > LARGEST_PROBLEM:
            break
    return size


class LimitedFormRenderer(DjangoTemplates):
    """Renders Django's forms, the admin's among them; of the errors of a field the first ones, each cut.

    Django's messages repeat what was entered. For `FORM_RENDERER`.
    """

    def render(self, template_name: str, context: dict[str, Any], request: Any = None) -> str:
        """Render a widget, a form or a list of errors."""
        errors = context.get("errors")
        if isinstance(errors, ErrorList):
            context = {**context, "errors": cut_texts(errors)}
        return super().render(template_name, context, request)


def cut_texts(texts: Iterable[object]) -> list[str]:
    """Return the first texts, each cut."""
    return [cut_text(text) for text in islice(texts, MOST_ERRORS)]
