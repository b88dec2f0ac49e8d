"""Check that each message of the code is translated, and that no translation is left over: `python -m tests.translations`.

`make lint` runs it. It is no test, because it parses all of the code, which takes longer than most tests together.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_keywords, parse_mapping_cfg
from babel.messages.pofile import read_po

REPOSITORY = Path(__file__).resolve().parent.parent
PO = Path("locale/zh_Hans/LC_MESSAGES/django.po")
# Fewer would mean that babel.cfg finds no files.
LEAST_MESSAGES = 200


def find_messages(folder: Path) -> dict[tuple[str | None, Any], str]:
    """Return every message that `make translations` would find, by context and id, and the file that it is in."""
    with (folder / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    [named] = re.findall(r"^KEYWORDS := (.+)$", (folder / "Makefile").read_text(), re.MULTILINE)
    keywords = {**DEFAULT_KEYWORDS, **parse_keywords(named.split())}
    found = extract_from_dir(folder, methods, options, keywords)
    return {(context, message): file for file, _line, message, _comments, context in found}


def is_translated(catalog: Catalog, message: Any, context: str | None) -> bool:
    """Return whether a message has a translation that is no guess, in each of its forms."""
    entry = catalog.get(message, context)
    if entry is None or entry.fuzzy:
        return False
    texts = [entry.string] if isinstance(entry.string, str) else entry.string
    return bool(texts) and all(text.strip() for text in texts)


def find_problems(catalog: Catalog, messages: dict[tuple[str | None, Any], str]) -> Iterator[str]:
    """Yield what is wrong with a catalog for these messages."""
    if len(messages) < LEAST_MESSAGES:
        yield f"Only {len(messages)} messages were found in the code: look at babel.cfg."
    for (context, message), file in messages.items():
        if not is_translated(catalog, message, context):
            yield f"{file}: {message!r} is not translated. Run `make translations`, and translate it in {PO}."
    known = {(entry.context, entry.id) for entry in catalog if entry.id}
    left_over = [message for _context, message in known - set(messages)]
    left_over += [entry.id for entry in catalog.obsolete.values()]
    for message in left_over:
        yield f"{PO}: the code has no message {message!r}. Run `make translations`, and delete the `#~` entries."


def main() -> int:
    """Print the problems; return 1 if there are any."""
    with (REPOSITORY / PO).open("rb") as file:
        catalog = read_po(file, abort_invalid=True)
    problems = list(find_problems(catalog, find_messages(REPOSITORY)))
    print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
