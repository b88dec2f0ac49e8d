"""Nova: what servers are called: their names, tags and metadata, and the limits of these."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .exchange import Answer, Call, bad_request, conflict, forbidden, inner, not_found

if TYPE_CHECKING:
    from .server import SimulatedServer

_MOST_TAGS = 50
_METADATA_STATES = {"active", "paused", "suspended", "stopped"}
_KEY = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")


def check_name(name: Any) -> None:
    """The name of a server or of an image of it. Raises `Refused` 400 in the words of Nova's schemas."""
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


def checked_tags(tags: Any) -> list[str]:
    """All tags of a server. Raises `Refused` 400 in the words of Nova's schemas."""
    if not isinstance(tags, list):
        raise bad_request(f"Invalid input for field/attribute tags. Value: {tags}.")
    if len(tags) > _MOST_TAGS:
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


def checked_metadata(call: Call, metadata: Any) -> dict[str, str]:
    """All metadata of a server or image. Raises `Refused`: 400 for the schema, 403 for the quota `metadata_items`."""
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
    limit = call.state.quota(call.region, call.token.project_id or "", "metadata_items")
    if 0 <= limit < len(metadata):
        raise forbidden(f"Maximum number of metadata items exceeds {limit}")
    return dict(metadata)


def _find(call: Call, server_id: str) -> SimulatedServer:
    from .nova import find  # noqa: PLC0415 - the two know each other.

    return find(call, server_id)


def _touched(call: Call, server: SimulatedServer) -> None:
    # Not `updated`: Nova's listing with changes-since does not show a change of tags.
    server.text = None
    call.state.dirty = True


def show_tags(call: Call, server_id: str) -> Answer:
    """A server's tags."""
    return Answer(200, {"tags": _find(call, server_id).tags})


def put_tags(call: Call, server_id: str) -> Answer:
    """All tags at once."""
    server = _find(call, server_id)
    server.tags = checked_tags(call.request.json().get("tags"))
    _touched(call, server)
    call.did("replace_tags", server_id)
    return Answer(200, {"tags": server.tags})


def put_tag(call: Call, server_id: str, tag: str) -> Answer:
    """One more."""
    server = _find(call, server_id)
    _check_tag("tag", tag)
    if tag in server.tags:
        return Answer(204)
    if len(server.tags) >= _MOST_TAGS:
        raise bad_request(f"The number of tags exceeded the per-server limit {_MOST_TAGS}")
    server.tags.append(tag)
    _touched(call, server)
    call.did("add_tag", server_id)
    return Answer(201)


def delete_tag(call: Call, server_id: str, tag: str) -> Answer:
    """One less."""
    server = _find(call, server_id)
    if tag not in server.tags:
        raise not_found(f"Server {server_id} has no tag '{tag}'")
    server.tags.remove(tag)
    _touched(call, server)
    call.did("remove_tag", server_id)
    return Answer(204)


def show_metadata(call: Call, server_id: str) -> Answer:
    """A server's metadata."""
    return Answer(200, {"metadata": _find(call, server_id).metadata})


def change_metadata(call: Call, server_id: str) -> Answer:
    """PUT replaces all, POST adds."""
    call.action, call.object_id = "change_metadata", server_id
    wanted = inner(call.request.json(), "metadata")
    server = _find(call, server_id)
    if server.vm_state not in _METADATA_STATES:
        raise conflict(
            f"Cannot 'update metadata' instance {server_id} while it is in vm_state {server.vm_state}"
        )
    server.metadata = checked_metadata(
        call, wanted if call.request.method == "PUT" else {**server.metadata, **wanted}
    )
    _touched(call, server)
    server.updated = call.now
    call.did("change_metadata", server_id)
    return Answer(200, {"metadata": server.metadata})


def delete_metadata(call: Call, server_id: str, key: str) -> Answer:
    """One key less."""
    server = _find(call, server_id)
    if key not in server.metadata:
        raise not_found("Metadata item was not found")
    server.metadata = {k: v for k, v in server.metadata.items() if k != key}
    _touched(call, server)
    server.updated = call.now
    return Answer(204)


TABLE: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/servers/<server_id>/tags", show_tags),
    ("PUT", "/servers/<server_id>/tags", put_tags),
    ("PUT", "/servers/<server_id>/tags/<tag>", put_tag),
    ("DELETE", "/servers/<server_id>/tags/<tag>", delete_tag),
    ("GET", "/servers/<server_id>/metadata", show_metadata),
    ("PUT", "/servers/<server_id>/metadata", change_metadata),
    ("POST", "/servers/<server_id>/metadata", change_metadata),
    ("DELETE", "/servers/<server_id>/metadata/<key>", delete_metadata),
]
