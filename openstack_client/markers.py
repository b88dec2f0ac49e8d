"""Markers in descriptions, by which an object that a dead caller has created is found again.

Neutron takes no tags with a creation, and a floating IP has no name. So the marker is the end of the description, in
brackets: "Web servers [portal:3f2c]". Records show the text and the marker apart.
"""

from __future__ import annotations

import re

from .errors import InvalidCloudRequestError

# Neutron's limit for descriptions.
MAX_DESCRIPTION = 255
# A colon is required, so that a bracket that a person has written is not taken for a marker.
_MARKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,30}:[A-Za-z0-9_.:\-]{1,60}")
_DESCRIPTION = re.compile(rf"(?s:(.*?)) ?\[({_MARKER.pattern})\]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def validate_marker(value: object) -> str:
    """Return a marker: two words with a colon between them, of letters, digits, dots, dashes and underscores."""
    if not isinstance(value, str) or not _MARKER.fullmatch(value):
        raise InvalidCloudRequestError(
            f"{value!r:.80} is not a valid marker: it has the form 'word:word', without spaces."
        )
    return value


def build_description(text: object, marker: str | None) -> str:
    """Return the description to send, with the marker at its end. Raises `InvalidCloudRequestError`."""
    if not isinstance(text, str) or _CONTROL.search(text):
        raise InvalidCloudRequestError("A description must not contain control characters.")
    found = text.strip()
    if marker is not None:
        found = f"{found} [{validate_marker(marker)}]".lstrip()
    if len(found) > MAX_DESCRIPTION:
        room = MAX_DESCRIPTION - (len(found) - len(text.strip()))
        raise InvalidCloudRequestError(f"A description has at most {room} characters.")
    return found


def split_description(description: str) -> tuple[str, str | None]:
    """Return the text of a description and its marker, or None."""
    found = _DESCRIPTION.fullmatch(description)
    return (found[1], found[2]) if found else (description, None)
