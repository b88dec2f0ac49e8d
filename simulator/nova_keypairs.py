"""Nova: key pairs. They are a user's, not a project's, and known by their names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from .clock import plain
from .exchange import Answer, Call, bad_request, conflict, inner, not_found
from .state import Thing

_MOST = 1000
_PAGED_SINCE = (2, 35)
_DELETED_WITH_204_SINCE = (2, 2)
# A key that opens nothing, shown once to who did not bring one, as Nova does.
_PRIVATE_KEY = "-----BEGIN SIMULATED KEY-----\nopens nothing\n-----END SIMULATED KEY-----\n"


def keypair_key(user_id: str, name: str) -> str:
    """Where a region keeps it."""
    return f"{user_id} {name}"


def new_keypair(user_id: str, name: str, public_key: str, created: str | None) -> Thing:
    """A key pair as Nova keeps it."""
    digest = hashlib.md5(public_key.encode(), usedforsecurity=False).hexdigest()
    fingerprint = ":".join(digest[place : place + 2] for place in range(0, 32, 2))
    return {
        "name": name, "type": "ssh", "public_key": public_key, "fingerprint": fingerprint, "user_id": user_id,
        "created_at": created,
    }  # fmt: skip


def list_keypairs(call: Call) -> Answer:
    """The caller's, by name, in pages since microversion 2.35."""
    start = keypair_key(call.token.user_id, "")
    mine = [pair for key, pair in call.region.keypairs.items() if key.startswith(start)]
    mine.sort(key=lambda pair: str(pair["name"]))
    if call.microversion < _PAGED_SINCE:
        return Answer(200, {"keypairs": [_listed(pair) for pair in mine]})
    query = dict(call.query())
    said = query.get("limit") or str(_MOST)
    if not said.isdecimal():
        raise bad_request(f"Invalid input for query parameters limit. Value: {said}.")
    limit = min(int(said), _MOST)
    if (marker := query.get("marker")) is not None:
        if not any(pair["name"] == marker for pair in mine):
            raise bad_request(f"Marker {marker} could not be found.")
        mine = [pair for pair in mine if pair["name"] > marker]
    page = mine[:limit]
    body: Thing = {"keypairs": [_listed(pair) for pair in page]}
    if page and len(page) == limit:
        where = f"{call.base}/os-keypairs?limit={limit}&marker={page[-1]['name']}"
        body["keypairs_links"] = [{"rel": "next", "href": where}]
    return Answer(200, body)


def _listed(pair: Thing) -> Thing:
    return {"keypair": {name: pair[name] for name in ("name", "public_key", "fingerprint", "type")}}


def show_keypair(call: Call, name: str) -> Answer:
    """One, with its dates."""
    pair = _find(call, name)
    return Answer(
        200, {"keypair": {**pair, "deleted": False, "deleted_at": None, "updated_at": None, "id": 1}}
    )


def create_keypair(call: Call) -> Answer:
    """Import a public key, or have a pair made."""
    wanted = inner(call.request.json(), "keypair")
    name = wanted.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= 255:
        raise bad_request(f"Invalid input for field/attribute name. Value: {name}.")
    key = keypair_key(call.token.user_id, name)
    if key in call.region.keypairs:
        raise conflict(f"Key pair '{name}' already exists.")
    given = wanted.get("public_key")
    public_key = given or f"ssh-rsa {call.state.new_hex()} Generated-by-Nova"
    new = new_keypair(call.token.user_id, name, public_key, plain(call.now))
    call.region.keypairs[key] = new
    call.state.dirty = True
    answer = {name: new[name] for name in ("name", "public_key", "fingerprint", "user_id", "type")}
    return Answer(201, {"keypair": answer if given else {**answer, "private_key": _PRIVATE_KEY}})


def delete_keypair(call: Call, name: str) -> Answer:
    """Forget one."""
    _find(call, name)
    del call.region.keypairs[keypair_key(call.token.user_id, name)]
    call.state.dirty = True
    return Answer(204 if call.microversion >= _DELETED_WITH_204_SINCE else 202)


def _find(call: Call, name: str) -> Thing:
    found = call.region.keypairs.get(keypair_key(call.token.user_id, name))
    if found is None:
        raise not_found(f"Keypair {name} not found for user {call.token.user_id}")
    return found


TABLE: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/os-keypairs", list_keypairs),
    ("POST", "/os-keypairs", create_keypair),
    ("GET", "/os-keypairs/<name>", show_keypair),
    ("DELETE", "/os-keypairs/<name>", delete_keypair),
]
