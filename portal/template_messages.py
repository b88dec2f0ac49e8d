"""Extraction of the messages of Django templates for Babel, which only supports Python itself (`babel.cfg`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from io import BytesIO
from typing import IO, Any

from babel.messages.extract import extract_python
from django.utils.translation.template import templatize


def extract(
    file: IO[bytes], keywords: Mapping[str, Any], comment_tags: Collection[str], options: Any
) -> Iterator[Any]:
    """Extract the messages of `{% translate %}` and `{% blocktranslate %}` from a template."""
    # `templatize` replaces messages by calls of gettext and everything else by X. Its indentation is not valid Python.
    calls = "\n".join(line.strip() for line in templatize(file.read().decode()).splitlines())
    yield from extract_python(BytesIO(calls.encode()), keywords, comment_tags, options)
