"""Pairs of key and value in a text area of a form: one `key=value` on each line."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext as _


def parse_key_values(text: str) -> tuple[dict[str, str], list[str]]:
    """Parse lines of `key=value`; return the pairs, and the errors of invalid lines."""
    pairs: dict[str, str] = {}
    errors = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not equals:
            errors.append(_("Line %(number)s has no '='. Write key=value.") % {"number": number})
        elif name.strip() in pairs:
            errors.append(_("Line %(number)s repeats the key '%(name)s'.") % {"number": number, "name": name})
        pairs[name.strip()] = value.strip()
    return pairs, errors


def format_key_values(pairs: Mapping[str, str]) -> str:
    """Return pairs as the text of the form, sorted by key."""
    return "\n".join(f"{name}={value}" for name, value in sorted(pairs.items()))
