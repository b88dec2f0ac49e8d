"""Nova: key pairs, which belong to a user, not to a project, and are identified by name."""

from __future__ import annotations

import binascii
import hashlib
import string
from base64 import b64decode
from collections.abc import Callable
from typing import Any

from .calls import Call
from .clock import format_naive
from .http_messages import Response, bad_request, conflict, forbidden, not_found, unwrap
from .nova_tags import check_name
from .pagination import parse_count
from .state import Resource

_MAX_KEYPAIRS = 1000
_PAGED_SINCE = (2, 35)
_DELETED_WITH_204_SINCE = (2, 2)
_NEVER_GENERATED_SINCE = (2, 92)
# Since 2.92, "@" and "." are allowed, too.
_NAME_CHARACTERS = "_- " + string.digits + string.ascii_letters
# A useless key, returned once to a user who did not import one, as Nova does.
_PRIVATE_KEY = "-----BEGIN SIMULATED KEY-----\nopens nothing\n-----END SIMULATED KEY-----\n"


def keypair_key(user_id: str, name: str) -> str:
    """Return the key under which a region stores the key pair."""
    return f"{user_id} {name}"


def build_keypair(user_id: str, name: str, public_key: str, created: str | None) -> Resource:
    """Return a key pair as Nova stores it."""
    # As Nova does, of the key itself; keys that tests seed are no real ones.
    key = decode_public_key(public_key) or public_key.encode()
    digest = hashlib.md5(key, usedforsecurity=False).hexdigest()
    fingerprint = ":".join(digest[start : start + 2] for start in range(0, 32, 2))
    return {
        "name": name, "type": "ssh", "public_key": public_key, "fingerprint": fingerprint, "user_id": user_id,
        "created_at": created,
    }  # fmt: skip


def decode_public_key(public_key: str) -> bytes | None:
    """Return the binary form of an OpenSSH public key, or None for any other text."""
    fields = public_key.split()
    if len(fields) < 2:
        return None
    try:
        found = b64decode(fields[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    kind = fields[0].encode()
    return found if found[4 : 4 + len(kind)] == kind and int.from_bytes(found[:4]) == len(kind) else None


def list_keypairs(call: Call) -> Response:
    """List the caller's key pairs by name, in pages since microversion 2.35."""
    start = keypair_key(call.token.user_id, "")
    mine = [pair for key, pair in call.region.keypairs.items() if key.startswith(start)]
    mine.sort(key=lambda pair: str(pair["name"]))
    if call.microversion < _PAGED_SINCE:
        return Response(200, {"keypairs": [_summarize(pair) for pair in mine]})
    query = dict(call.query())
    limit = min(parse_count("limit", query.get("limit", "")) or _MAX_KEYPAIRS, _MAX_KEYPAIRS)
    if (marker := query.get("marker")) is not None:
        if not any(pair["name"] == marker for pair in mine):
            raise bad_request(f"Marker {marker} could not be found.")
        mine = [pair for pair in mine if pair["name"] > marker]
    page = mine[:limit]
    body: Resource = {"keypairs": [_summarize(pair) for pair in page]}
    if page and len(page) == limit:
        where = f"{call.base}/os-keypairs?limit={limit}&marker={page[-1]['name']}"
        body["keypairs_links"] = [{"rel": "next", "href": where}]
    return Response(200, body)


def _summarize(pair: Resource) -> Resource:
    return {"keypair": {name: pair[name] for name in ("name", "public_key", "fingerprint", "type")}}


def show_keypair(call: Call, name: str) -> Response:
    """Show one key pair with its dates."""
    pair = _find(call, name)
    return Response(
        200, {"keypair": {**pair, "deleted": False, "deleted_at": None, "updated_at": None, "id": 1}}
    )


def create_keypair(call: Call) -> Response:
    """Import a public key, or generate a key pair."""
    requested = unwrap(call.request.json(), "keypair")
    name: Any = requested.get("name")
    is_new = call.microversion >= _NEVER_GENERATED_SINCE
    check_name(name)
    allowed = ("@." if is_new else "") + _NAME_CHARACTERS
    if not set(name) <= set(allowed):
        raise bad_request(
            f"An invalid 'name' value was provided. The name must be: Only expected characters: [{allowed}]"
        )
    given = requested.get("public_key")
    if is_new and given is None:
        raise bad_request(
            f"Invalid input for field/attribute keypair. Value: {requested}. 'public_key' is a required property"
        )
    # Nova computes the fingerprint first, and looks at the quota before it looks for the name.
    if given is not None and decode_public_key(str(given)) is None:
        raise bad_request("Keypair data is invalid: failed to generate fingerprint")
    key = keypair_key(call.token.user_id, name)
    limit = call.state.get_quota_limit(call.region, call.token.project_id or "", "key_pairs")
    mine = sum(pair["user_id"] == call.token.user_id for pair in call.region.keypairs.values())
    if 0 <= limit <= mine:
        raise forbidden("Quota exceeded, too many key pairs.")
    if key in call.region.keypairs:
        raise conflict(f"Key pair '{name}' already exists.")
    public_key = given or f"ssh-rsa {call.state.new_hex()} Generated-by-Nova"
    new = build_keypair(call.token.user_id, name, public_key, format_naive(call.now))
    call.region.keypairs[key] = new
    call.state.dirty = True
    call.record_accepted("create_keypair", name)
    answer = {name: new[name] for name in ("name", "public_key", "fingerprint", "user_id", "type")}
    return Response(201, {"keypair": answer if given else {**answer, "private_key": _PRIVATE_KEY}})


def delete_keypair(call: Call, name: str) -> Response:
    """Delete a key pair."""
    _find(call, name)
    del call.region.keypairs[keypair_key(call.token.user_id, name)]
    call.state.dirty = True
    call.record_accepted("delete_keypair", name)
    return Response(204 if call.microversion >= _DELETED_WITH_204_SINCE else 202)


def _find(call: Call, name: str) -> Resource:
    found = call.region.keypairs.get(keypair_key(call.token.user_id, name))
    if found is None:
        raise not_found(f"Keypair {name} not found for user {call.token.user_id}")
    return found


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/os-keypairs", list_keypairs),
    ("POST", "/os-keypairs", create_keypair),
    ("GET", "/os-keypairs/<name>", show_keypair),
    ("DELETE", "/os-keypairs/<name>", delete_keypair),
]
