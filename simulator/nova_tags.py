"""Nova: names, tags and metadata of servers, and their limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .calls import Call
from .http_messages import Response, bad_request, conflict, forbidden, unwrap
from .nova_lookup import check_lock, find_server

_MAX_TAGS = 50
_METADATA_STATES = {"active", "paused", "suspended", "stopped"}
_KEY = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")


def check_name(name: Any) -> None:
    """Check the name of a server, image, key pair or group. Raises `HttpError` 400 in the words of Nova's schemas."""
    start = f"Invalid input for field/attribute name. Value: {name}. '{name}'"
    if not isinstance(name, str):
        raise bad_request(
            f"Invalid input for field/attribute name. Value: {name}. {name!r} is not of type 'string'"
        )
    if not name:
        raise bad_request(f"{start} is too short")
    if len(name) > 255:
        raise bad_request(f"{start} is too long")
    if name != name.strip() or not name.isprintable():
        raise bad_request(
            "An invalid 'name' value was provided. The name must be: printable characters. Can not start or end with "
            "whitespace."
        )


def validate_tags(tags: Any) -> list[str]:
    """Return a server's tags without duplicates. Raises `HttpError` 400 in the words of Nova's schemas."""
    if not isinstance(tags, list):
        raise bad_request(
            f"Invalid input for field/attribute tags. Value: {tags}. {tags!r} is not of type 'array'"
        )
    if len(tags) > _MAX_TAGS:
        raise bad_request(f"Invalid input for field/attribute tags. Value: {tags}. {tags} is too long")
    for place, tag in enumerate(tags):
        _check_tag(place, tag)
    return list(dict.fromkeys(tags))


def _check_tag(place: object, tag: Any) -> None:
    start = f"Invalid input for field/attribute {place}. Value: {tag}. {tag!r}"
    if not isinstance(tag, str):
        raise bad_request(f"{start} is not of type 'string'")
    if not 1 <= len(tag) <= 60:
        raise bad_request(f"{start} is too {'long' if tag else 'short'}")
    if "," in tag or "/" in tag:
        raise bad_request(f"{start} does not match '^[^,/]*$'")


def validate_metadata(call: Call, metadata: Any) -> dict[str, str]:
    """Return the metadata of a server or image. Raises `HttpError`: 400 for the schema, 403 for the quota `metadata_items`."""
    if not isinstance(metadata, dict):
        raise bad_request(
            f"Invalid input for field/attribute metadata. Value: {metadata}. {metadata!r} is not of type 'object'"
        )
    for key, value in metadata.items():
        if not _KEY.fullmatch(key):
            raise bad_request(
                f"Invalid input for field/attribute metadata. Value: {metadata}. {key!r} does not match any of the "
                "regexes: '^[a-zA-Z0-9-_:. ]{1,255}$'"
            )
        start = f"Invalid input for field/attribute {key}. Value: {value}. {value!r}"
        if not isinstance(value, str):
            raise bad_request(f"{start} is not of type 'string'")
        if len(value) > 255:
            raise bad_request(f"{start} is too long")
    limit = call.state.get_quota_limit(call.region, call.token.project_id or "", "metadata_items")
    if 0 <= limit < len(metadata):
        raise forbidden(f"Maximum number of metadata items exceeds {limit}")
    return dict(metadata)


def change_metadata(call: Call, server_id: str) -> Response:
    """Replace a server's metadata."""
    call.action, call.object_id = "change_metadata", server_id
    requested = unwrap(call.request.json(), "metadata")
    server = find_server(call, server_id)
    check_lock(call, server)
    if server.vm_state not in _METADATA_STATES:
        raise conflict(
            f"Cannot 'update metadata' instance {server.id} while it is in vm_state {server.vm_state}"
        )
    server.metadata = validate_metadata(call, requested)
    server.updated, server.text = call.now, None
    call.state.dirty = True
    call.record_accepted("change_metadata", server_id)
    return Response(200, {"metadata": server.metadata})


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("PUT", "/servers/<server_id>/metadata", change_metadata),
]
