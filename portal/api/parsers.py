"""JSON in: strict, bounded, and without what PostgreSQL cannot keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from .errors import Refused


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class JSONParser(BaseParser):
    """Parses an object. Refuses NaN, null characters, half a surrogate, and bodies over the size limit."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The body as a dictionary. Raises 400 or 413."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise Refused(413, "too_large", _("The body is larger than %(limit)s bytes.") % {"limit": limit})
        try:
            value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
            _check_text(value, "")
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None
        except ValueError as error:
            raise ParseError(_("The body is not JSON: %(error)s") % {"error": error}) from None
        if not isinstance(value, dict):
            raise ParseError(_("The body must be a JSON object."))
        return value


def _check_text(value: Any, path: str) -> None:
    """Raise ValueError where a text holds what cannot be stored, naming the field."""
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError(f"'{path}' holds a null character")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError(f"'{path}' holds half a surrogate pair")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, path)
            _check_text(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            _check_text(item, path)
