"""The parser of JSON bodies: strict, bounded, and without what PostgreSQL cannot store."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import IO, Any, NoReturn

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from .domain_errors import InvalidFieldsError, TooLargeError
from .error_limits import MOST_ERRORS
from .errors import too_large

# What is behind the parser makes a few objects for each value, and a reason for each that is wrong.
MOST_VALUES = 10_000
DEEPEST = 32
# Names of a path from the body to a value, innermost first; as a chain, it costs the same at any depth.
Path = tuple["Path", object] | None


class JSONParser(BaseParser):
    """Parses one JSON object.

    What other parsers let through is refused: NaN and Infinity, also as 1e999; a name that comes twice in one
    object, where two readers could each believe another value; null characters and halves of surrogate pairs,
    which cannot be stored; bodies over the size limit, with more than `MOST_VALUES` values, or nested deeper than `DEEPEST`.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the body as a dictionary. Raises 400 `parse_error`, 400 `invalid` by field, or 413 `too_large`."""
        body = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise TooLargeError("too_large", too_large())
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ParseError(_("The body is not UTF-8: see byte %(byte)s.") % {"byte": error.start}) from None
        try:
            value = json.loads(
                text,
                parse_constant=_reject_constant,
                parse_float=_parse_finite,
                object_pairs_hook=_reject_duplicates,
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
        errors = {path: [reason] for path, reason in islice(_find_unstorable_texts(value), MOST_ERRORS)}
        if errors:
            raise InvalidFieldsError(errors)
        return value


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(_("%(name)s is not a JSON value") % {"name": name})


def _parse_finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(_("the number %(number)s is too large") % {"number": text[:50]})
    return number


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        seen: set[str] = set()
        double = next(name for name, _value in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(_("'%(name)s' is given twice") % {"name": double[:100]})
    return parsed


def _find_unstorable_texts(body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields whose texts cannot be stored, by path, and why. Raises 400 for too many values or too deep a nesting.

    A list instead of calls, so that depth costs no stack; a path is written out only for what is wrong.
    """
    left: list[tuple[Path, int, Any]] = [(None, 1, body)]
    values = 0
    while left:
        path, depth, value = left.pop()
        if isinstance(value, str):
            if reason := _reject_reason(value):
                yield _join_path(path), reason
            continue
        if depth > DEEPEST:
            raise ParseError(_("The JSON is nested too deeply."))
        values += len(value)
        if values > MOST_VALUES:
            raise ParseError(_("The body has more than %(most)s values.") % {"most": MOST_VALUES})
        items: Iterable[tuple[object, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(key, str) and (reason := _reject_reason(key)):
                yield _join_path((path, key)), reason
            if isinstance(item, str | dict | list):
                left.append(((path, key), depth + 1, item))


def _join_path(path: Path) -> str:
    """Return a path as in `disks.0.name`."""
    names: list[str] = []
    while path is not None:
        path, name = path
        names.append(_printable_name(name))
    return ".".join(reversed(names))


def _printable_name(name: object) -> str:
    if not isinstance(name, str):
        return str(name)
    return ascii(name[:100])[1:-1] if _reject_reason(name) else name[:100]


def _reject_reason(text: str) -> Any:
    if "\x00" in text:
        return _("Null characters are not allowed.")
    try:
        text.encode()
    except UnicodeEncodeError:
        return _("Half of a surrogate pair is not a character.")
    return None
