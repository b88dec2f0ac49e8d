"""Arguments are checked before a request goes out. Everything here raises `InvalidRequest`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import InvalidRequest
from .records.storage import IMAGE_BASE_FIELDS

# Ids become part of a path, so nothing that could lead elsewhere: no slash, no leading dot, no percent sign.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,254}")
# Nova's own limits: at most 60 characters, no slash and no comma (a comma separates tags in a query).
_TAG = re.compile(r"[^/,\x00-\x1f]{1,60}")
_MOST_TAGS = 50
_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9_.:\-]{0,254}")
_NO_PROPERTIES = IMAGE_BASE_FIELDS | {
    "limit", "marker", "member_status", "size_max", "size_min", "sort", "sort_dir", "sort_key", "tag",
}  # fmt: skip
_NOT_FOR_IMAGES = IMAGE_BASE_FIELDS | {
    "base_image_ref", "bdm_v2", "block_device_mapping", "image_type", "instance_uuid", "root_device_name", "user_id",
}  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def checked_id(value: object, what: str) -> str:
    """The id itself, if it looks like one."""
    if not isinstance(value, str) or not _ID.fullmatch(value) or ".." in value:
        raise InvalidRequest(f"{value!r:.80} is not an id of a {what}.")
    return value


def checked_name(value: object, what: str) -> str:
    """The name itself: 1 to 255 characters that can be seen."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(f"The name of a {what} must not be empty.")
    if len(value) > 255:
        raise InvalidRequest(f"The name of a {what} has at most 255 characters.")
    if _CONTROL.search(value):
        raise InvalidRequest(f"The name of a {what} must not hold control characters.")
    return value


def checked_tag(value: object) -> str:
    """The tag itself: 1 to 60 characters without slash and comma, as Nova has it."""
    if not isinstance(value, str) or not _TAG.fullmatch(value):
        raise InvalidRequest("A server's tag has 1 to 60 characters, without slash and comma.")
    return value


def checked_tags(values: Sequence[str]) -> list[str]:
    """A copy: 1 to 50 tags, each as `checked_tag` wants it. Without one, nobody could find the server again."""
    if isinstance(values, str) or not 1 <= len(values) <= _MOST_TAGS:
        raise InvalidRequest(f"A server has 1 to {_MOST_TAGS} tags.")
    return [checked_tag(value) for value in values]


def checked_property(value: object) -> str:
    """The name of an image's property itself: not one of Glance's own fields or query words, which mean other things."""
    if not isinstance(value, str) or not _PROPERTY.fullmatch(value) or value in _NO_PROPERTIES:
        raise InvalidRequest(f"{value!r:.80} is not a name of an image's property.")
    return value


def checked_properties(value: Mapping[str, str]) -> dict[str, str]:
    """A copy: metadata for a new image. Names that mean something to Glance or Nova are refused.

    Nova passes them on as they are, and answers some with 500 when the image is half made.
    """
    found = checked_metadata(value)
    if taken := sorted(found.keys() & _NOT_FOR_IMAGES):
        raise InvalidRequest(f"An image's metadata must not hold {', '.join(taken)}: the cloud sets it.")
    return found


def checked_metadata(value: Mapping[str, str] | None) -> dict[str, str]:
    """A copy: text to text, keys of 1 to 255 characters, values of at most 255."""
    items: Mapping[Any, Any] = value or {}
    result: dict[str, str] = {}
    for key, text in items.items():
        if (
            not isinstance(key, str)
            or not isinstance(text, str)
            or not 1 <= len(key) <= 255
            or len(text) > 255
        ):
            raise InvalidRequest(
                "Metadata is text to text, at most 255 characters each, and keys are not empty."
            )
        result[key] = text
    return result


def checked_page_size(value: int) -> int:
    """The page size itself: at least 1."""
    if value < 1:
        raise InvalidRequest("A page holds at least one object.")
    return value


def checked_size(value: object) -> int:
    """The size of a disk in whole GB: at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequest("A disk has at least 1 GB, in whole GB.")
    return value


def checked_lines(value: object) -> int:
    """The number of lines itself: at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequest("A console is read by whole lines, at least 1.")
    return value
