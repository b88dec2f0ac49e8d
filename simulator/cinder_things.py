"""Cinder: finding volumes and snapshots, one or many."""

from __future__ import annotations

import ast
from operator import itemgetter

from .exchange import Call, not_found
from .moves import settle_volume, settle_volumes
from .state import Thing

VOLUME_OWNER = "os-vol-tenant-attr:tenant_id"
SNAPSHOT_OWNER = "os-extended-snapshot-attributes:project_id"


def find_volume(call: Call, volume_id: str) -> Thing:
    """One that the caller may see, with what is due done. Raises `Refused` 404."""
    return _find(call, call.region.volumes, volume_id, VOLUME_OWNER, "Volume")


def find_snapshot(call: Call, snapshot_id: str) -> Thing:
    """One that the caller may see, with what is due done. Raises `Refused` 404."""
    return _find(call, call.region.snapshots, snapshot_id, SNAPSHOT_OWNER, "Snapshot")


def _find(call: Call, kind: dict[str, Thing], thing_id: str, owner: str, word: str) -> Thing:
    found = kind.get(thing_id)
    if found is not None:
        settle_volume(call.state, call.region, found, call.now)
        found = kind.get(thing_id)
    if found is None or not (call.token.is_admin or found[owner] == call.token.project_id):
        raise not_found(f"{word} {thing_id} could not be found.")
    return found


def listed(call: Call, kind: dict[str, Thing], owner: str) -> list[Thing]:
    """Those that the query asks for, newest first."""
    settle_volumes(call.state, call.region, call.now)
    query = dict(call.query())
    everybody = call.token.is_admin and query.get("all_tenants", "").lower() in {"1", "true"}
    found = [thing for thing in kind.values() if everybody or thing[owner] == call.token.project_id]
    for name in ("status", "name", "volume_id"):
        if name in query:
            found = [thing for thing in found if thing.get(name) == query[name]]
    if "metadata" in query:
        wanted = _metadata(query["metadata"])
        found = [t for t in found if all(t["metadata"].get(key) == value for key, value in wanted.items())]
    found.sort(key=itemgetter("created_at", "id"), reverse=True)
    return found


def _metadata(text: str) -> dict[str, str]:
    """Cinder reads a Python literal; JSON of text to text is one. A text that is none is on no volume."""
    try:
        return dict(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError):
        return {text: text}
