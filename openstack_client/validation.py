"""Validation of arguments before a request is sent. All functions raise `InvalidCloudRequestError`."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, NoReturn

from .errors import InvalidCloudRequestError
from .records.storage import IMAGE_BASE_FIELDS

# Ids become part of a path, so characters that could change it are refused: slash, leading dot, percent sign.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,254}")
# Nova's own limits: at most 60 characters, no slash and no comma (a comma separates tags in a query).
_TAG = re.compile(r"[^/,\x00-\x1f]{1,60}")
_MAX_TAGS = 50
_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9_.:\-]{0,254}")
_RESERVED_NAMES = IMAGE_BASE_FIELDS | {
    "limit", "marker", "member_status", "size_max", "size_min", "sort", "sort_dir", "sort_key", "tag",
}  # fmt: skip
_CLOUD_SET_PROPERTIES = IMAGE_BASE_FIELDS | {
    "base_image_ref", "bdm_v2", "block_device_mapping", "image_type", "instance_uuid", "root_device_name", "user_id",
}  # fmt: skip
# Nova's limit of 65,535 characters is that of the encoded text; base64 has 4 characters for 3 bytes.
MAX_USER_DATA_BYTES = 65_535 // 4 * 3
SERVER_GROUP_POLICIES = ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")
_MAX_PASSWORD = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def validate_id(value: object, what: str) -> str:
    """Return an id if it is safe in a path."""
    if not isinstance(value, str) or not _ID.fullmatch(value) or ".." in value:
        raise InvalidCloudRequestError(f"{value!r:.80} is not a valid id of a {what}.")
    return value


def validate_name(value: object, what: str) -> str:
    """Return a name of 1 to 255 visible characters."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidCloudRequestError(f"The name of a {what} must not be empty.")
    if len(value) > 255:
        raise InvalidCloudRequestError(f"The name of a {what} has at most 255 characters.")
    if _CONTROL.search(value):
        raise InvalidCloudRequestError(f"The name of a {what} must not contain control characters.")
    return value


def validate_tag(value: object) -> str:
    """Return a tag of 1 to 60 characters without slash and comma, which are Nova's limits."""
    if not isinstance(value, str) or not _TAG.fullmatch(value):
        raise InvalidCloudRequestError("A server's tag has 1 to 60 characters, without slash and comma.")
    return value


def validate_tags(values: Sequence[str]) -> list[str]:
    """Return a copy of 1 to 50 tags. A server without a tag could not be found again."""
    if isinstance(values, str) or not 1 <= len(values) <= _MAX_TAGS:
        raise InvalidCloudRequestError(f"A server has 1 to {_MAX_TAGS} tags.")
    return [validate_tag(value) for value in values]


def validate_property(value: object) -> str:
    """Return the name of an image's property: not one of Glance's own fields or query parameters."""
    if not isinstance(value, str) or not _PROPERTY.fullmatch(value) or value in _RESERVED_NAMES:
        raise InvalidCloudRequestError(f"{value!r:.80} is not a valid name of an image property.")
    return value


def validate_properties(value: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of the metadata for a new image; refuse names that Glance or Nova reserve.

    Nova passes them on unchanged, and answers some with 500 after it has created the image.
    """
    found = validate_metadata(value)
    if reserved := sorted(found.keys() & _CLOUD_SET_PROPERTIES):
        raise InvalidCloudRequestError(
            f"An image's metadata must not contain {', '.join(reserved)}: the cloud sets it."
        )
    return found


def validate_metadata(value: Mapping[str, str] | None) -> dict[str, str]:
    """Return a copy of metadata: text to text, keys of 1 to 255 characters, values of at most 255."""
    items: Mapping[Any, Any] = value or {}
    result: dict[str, str] = {}
    for key, text in items.items():
        if (
            not isinstance(key, str)
            or not isinstance(text, str)
            or not 1 <= len(key) <= 255
            or len(text) > 255
        ):
            raise InvalidCloudRequestError(
                "Metadata is text to text, at most 255 characters each, and keys are not empty."
            )
        result[key] = text
    return result


def validate_address(value: object) -> str:
    """Return an IPv4 or IPv6 address in its usual form."""
    try:
        return (
            str(ip_address(value)) if isinstance(value, str) and len(value) <= 100 else _refuse_address(value)
        )
    except ValueError:
        return _refuse_address(value)


def _refuse_address(value: object) -> NoReturn:
    raise InvalidCloudRequestError(
        f"{value!r:.80} is not an address such as '192.0.2.10' or '2001:db8::10'."
    ) from None


def validate_page_size(value: int) -> int:
    """Return a page size of at least 1."""
    if value < 1:
        raise InvalidCloudRequestError("A page holds at least one object.")
    return value


def validate_size(value: object) -> int:
    """Return the size of a disk: at least 1, in whole GiB."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidCloudRequestError("A disk has at least 1 GB, in whole GB.")
    return value


def validate_lines(value: object) -> int:
    """Return a number of lines: at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidCloudRequestError("A console is read by whole lines, at least 1.")
    return value


def encode_user_data(value: str | bytes) -> str:
    """Return user data in base64, at most `MAX_USER_DATA_BYTES` before the encoding. Text is encoded as UTF-8."""
    content = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    if len(content) > MAX_USER_DATA_BYTES:
        raise InvalidCloudRequestError(
            f"The user data has {len(content):,} bytes; Nova takes at most {MAX_USER_DATA_BYTES:,}. Compressed with gzip, "
            "cloud-init reads it too."
        )
    return b64encode(content).decode()


def validate_password(value: object) -> str:
    """Return a password of 1 to 255 characters, without control characters. The error does not show it."""
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_PASSWORD or _CONTROL.search(value):
        raise InvalidCloudRequestError(
            f"A password has 1 to {_MAX_PASSWORD} characters, without control characters."
        )
    return value


def validate_policy(value: object) -> str:
    """Return the policy of a server group."""
    if value not in SERVER_GROUP_POLICIES:
        raise InvalidCloudRequestError(
            f"{value!r:.80} is not a valid policy of a server group; there are {', '.join(SERVER_GROUP_POLICIES)}."
        )
    return str(value)
