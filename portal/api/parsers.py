"""JSON in: strict, bounded, and without what PostgreSQL cannot keep."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from .errors import BadFields, Refused, too_large


class JSONParser(BaseParser):
    """Parses one JSON object.

    What other parsers let through is refused: NaN and Infinity, also as 1e999; a name that comes twice in one
    object, where two readers could each believe another value; null characters and halves of surrogate pairs,
    which cannot be stored; bodies over the size limit; nesting deeper than the stack.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The body as a dictionary. Raises 400 `parse_error`, 400 `invalid` by field, or 413 `too_large`."""
        body = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise Refused(413, "too_large", too_large())
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ParseError(_("The body is not UTF-8: see byte %(byte)s.") % {"byte": error.start}) from None
        try:
            value = json.loads(
                text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_without_doubles
            )
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None
        except json.JSONDecodeError as error:
            where = {"line": error.lineno, "column": error.colno}
            raise ParseError(
                _("The body is not JSON: see line %(line)s, column %(column)s.") % where
            ) from None
        except ValueError as error:
            raise ParseError(_("The body is not JSON: %(error)s.") % {"error": error}) from None
        if not isinstance(value, dict):
            raise ParseError(_('The body must be a JSON object, as in {"name": "value"}.'))
        errors = {path: [reason] for path, reason in _unfit_texts(value)}
        if errors:
            raise BadFields(errors)
        return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(_("%(name)s is not a JSON value") % {"name": name})


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(_("the number %(number)s is too large") % {"number": text[:50]})
    return number


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        double = next(name for name, _value in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(_("'%(name)s' is given twice") % {"name": double[:100]})
    return made


def _unfit_texts(body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields whose texts cannot be stored, by path, and why. A list instead of calls, so that depth costs no stack."""
    left: list[tuple[str, Any]] = [("", body)]
    while left:
        path, value = left.pop()
        if isinstance(value, str):
            if reason := _why_unfit(value):
                yield path, reason
        elif isinstance(value, dict):
            for key, item in value.items():
                shown = ascii(key[:100])[1:-1] if _why_unfit(key) else key[:100]
                field = f"{path}.{shown}" if path else shown
                if reason := _why_unfit(key):
                    yield field, reason
                if isinstance(item, str | dict | list):
                    left.append((field, item))
        elif isinstance(value, list):
            left.extend(
                (f"{path}.{index}", item)
                for index, item in enumerate(value)
                if isinstance(item, str | dict | list)
            )


def _why_unfit(text: str) -> Any:
    if "\x00" in text:
        return _("Null characters are not allowed.")
    try:
        text.encode()
    except UnicodeEncodeError:
        return _("Half of a surrogate pair is not a character.")
    return None
