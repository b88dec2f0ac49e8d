"""The parser of JSON bodies: strict, limited, and without texts that PostgreSQL cannot store."""

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
from .error_limits import MAX_ERRORS
from .errors import too_large

# The code after the parser creates several objects for each value, and an error for each invalid one.
MAX_VALUES = 10_000
MAX_DEPTH = 32
# The names from the body to a value, innermost first. As a linked list, a step costs the same at any depth.
Path = tuple["Path", object] | None


class JSONParser(BaseParser):
    """Parses one JSON object.

    It refuses what other parsers accept: NaN and Infinity, also as 1e999; a name that is given twice in one object, for which
    two readers could use different values; null characters and unpaired surrogates, which cannot be stored; bodies over the
    size limit, with more than `MAX_VALUES` values, or nested deeper than `MAX_DEPTH`.
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
        errors = {path: [reason] for path, reason in islice(_find_unstorable_texts(value), MAX_ERRORS)}
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
        duplicate = next(name for name, _value in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(_("'%(name)s' is given twice") % {"name": duplicate[:100]})
    return parsed


def _find_unstorable_texts(body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield path and reason for each text that cannot be stored. Raises 400 for too many values or too deep nesting.

    It uses a list instead of recursion, so that depth costs no stack; a path is joined only for an error.
    """
    pending: list[tuple[Path, int, Any]] = [(None, 1, body)]
    values = 0
    while pending:
        path, depth, value = pending.pop()
        if isinstance(value, str):
            if reason := _explain_unstorable(value):
                yield _join_path(path), reason
            continue
        if depth > MAX_DEPTH:
            raise ParseError(_("The JSON is nested too deeply."))
        values += len(value)
        if values > MAX_VALUES:
            raise ParseError(_("The body has more than %(most)s values.") % {"most": MAX_VALUES})
        items: Iterable[tuple[object, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(key, str) and (reason := _explain_unstorable(key)):
                yield _join_path((path, key)), reason
            if isinstance(item, str | dict | list):
                pending.append(((path, key), depth + 1, item))


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
    return ascii(name[:100])[1:-1] if _explain_unstorable(name) else name[:100]


def _explain_unstorable(text: str) -> Any:
    if "\x00" in text:
        return _("Null characters are not allowed.")
    try:
        text.encode()
    except UnicodeEncodeError:
        return _("Unpaired surrogates are not allowed.")
    return None
