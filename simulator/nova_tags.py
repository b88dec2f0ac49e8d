"""Nova: names, tags and metadata of servers, and their limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .calls import Call
from .http_messages import Response, bad_request, conflict, forbidden, not_found, unwrap
from .nova_lookup import check_lock, find_server
from .server import SimulatedServer

_MAX_TAGS = 50
_METADATA_STATES = {"active", "paused", "suspended", "stopped"}
_KEY = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")


def check_name(name: Any) -> None:
    """Check the name of a server or image. Raises `HttpError` 400 in the words of Nova's schemas."""
    start = f"Invalid input for field/attribute name. Value: {name}. '{name}'"
    if not isinstance(name, str) or not name:
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
        raise bad_request(f"Invalid input for field/attribute tags. Value: {tags}.")
    if len(tags) > _MAX_TAGS:
        raise bad_request(f"Invalid input for field/attribute tags. Value: {tags}. {tags} is too long")
    for place, tag in enumerate(tags):
        _check_tag(place, tag)
    return list(dict.fromkeys(tags))


def _check_tag(place: object, tag: Any) -> None:
    start = f"Invalid input for field/attribute {place}. Value: {tag}. '{tag}'"
    if not isinstance(tag, str):
        raise bad_request(f"{start} is not of type 'string'")
    if not 1 <= len(tag) <= 60:
        raise bad_request(f"{start} is too {'long' if tag else 'short'}")
    if "," in tag or "/" in tag:
        raise bad_request(f"{start} does not match '^[^,/]*$'")


def validate_metadata(call: Call, metadata: Any) -> dict[str, str]:
    """Return the metadata of a server or image. Raises `HttpError`: 400 for the schema, 403 for the quota `metadata_items`."""
    if not isinstance(metadata, dict):
        raise bad_request(f"Invalid input for field/attribute metadata. Value: {metadata}.")
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


def _check_label_state(server: SimulatedServer, operation: str) -> None:
    if server.vm_state not in _METADATA_STATES:
        raise conflict(f"Cannot '{operation}' instance {server.id} while it is in vm_state {server.vm_state}")


def _mark_changed(call: Call, server: SimulatedServer) -> None:
    # Not `updated`: Nova's listing with changes-since does not show a change of tags.
    server.text = None
    call.state.dirty = True


def show_tags(call: Call, server_id: str) -> Response:
    """Show a server's tags."""
    return Response(200, {"tags": find_server(call, server_id).tags})


def put_tags(call: Call, server_id: str) -> Response:
    """Replace a server's tags."""
    server = find_server(call, server_id)
    _check_label_state(server, "update tags")
    server.tags = validate_tags(call.request.json().get("tags"))
    _mark_changed(call, server)
    call.record_accepted("replace_tags", server_id)
    return Response(200, {"tags": server.tags})


def put_tag(call: Call, server_id: str, tag: str) -> Response:
    """Add one tag."""
    server = find_server(call, server_id)
    _check_label_state(server, "update tag")
    _check_tag("tag", tag)
    if len(server.tags) >= _MAX_TAGS:
        raise bad_request(f"The number of tags exceeded the per-server limit {_MAX_TAGS}")
    if tag in server.tags:
        return Response(204)
    server.tags.append(tag)
    _mark_changed(call, server)
    call.record_accepted("add_tag", server_id)
    return Response(201)


def delete_tag(call: Call, server_id: str, tag: str) -> Response:
    """Delete one tag."""
    server = find_server(call, server_id)
    _check_label_state(server, "delete tag")
    if tag not in server.tags:
        raise not_found(f"Server {server_id} has no tag '{tag}'")
    server.tags.remove(tag)
    _mark_changed(call, server)
    call.record_accepted("remove_tag", server_id)
    return Response(204)


def show_metadata(call: Call, server_id: str) -> Response:
    """Show a server's metadata."""
    return Response(200, {"metadata": find_server(call, server_id).metadata})


def change_metadata(call: Call, server_id: str) -> Response:
    """Replace (PUT) or extend (POST) a server's metadata."""
    call.action, call.object_id = "change_metadata", server_id
    requested = unwrap(call.request.json(), "metadata")
    server = find_server(call, server_id)
    check_lock(call, server)
    _check_label_state(server, "update metadata")
    server.metadata = validate_metadata(
        call, requested if call.request.method == "PUT" else {**server.metadata, **requested}
    )
    _mark_changed(call, server)
    server.updated = call.now
    call.record_accepted("change_metadata", server_id)
    return Response(200, {"metadata": server.metadata})


def delete_metadata(call: Call, server_id: str, key: str) -> Response:
    """Delete one metadata key."""
    server = find_server(call, server_id)
    check_lock(call, server)
    _check_label_state(server, "delete metadata")
    if key not in server.metadata:
        raise not_found("Metadata item was not found")
    server.metadata = {k: v for k, v in server.metadata.items() if k != key}
    _mark_changed(call, server)
    server.updated = call.now
    return Response(204)


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/servers/<server_id>/tags", show_tags),
    ("PUT", "/servers/<server_id>/tags", put_tags),
    ("PUT", "/servers/<server_id>/tags/<tag>", put_tag),
    ("DELETE", "/servers/<server_id>/tags/<tag>", delete_tag),
    ("GET", "/servers/<server_id>/metadata", show_metadata),
    ("PUT", "/servers/<server_id>/metadata", change_metadata),
    ("POST", "/servers/<server_id>/metadata", change_metadata),
    ("DELETE", "/servers/<server_id>/metadata/<key>", delete_metadata),
]
