"""Cinder: lookup of volumes and snapshots, one or many."""

from __future__ import annotations

import ast
from operator import itemgetter

from .calls import Call
from .http_messages import not_found
from .state import Resource
from .transitions import advance_volume, advance_volumes

VOLUME_OWNER = "os-vol-tenant-attr:tenant_id"
SNAPSHOT_OWNER = "os-extended-snapshot-attributes:project_id"


def find_volume(call: Call, volume_id: str) -> Resource:
    """Return a volume that the caller may see, brought up to date. Raises `HttpError` 404."""
    return _find(call, call.region.volumes, volume_id, VOLUME_OWNER, "Volume")


def find_snapshot(call: Call, snapshot_id: str) -> Resource:
    """Return a snapshot that the caller may see, brought up to date. Raises `HttpError` 404."""
    return _find(call, call.region.snapshots, snapshot_id, SNAPSHOT_OWNER, "Snapshot")


def _find(call: Call, kind: dict[str, Resource], resource_id: str, owner: str, noun: str) -> Resource:
    found = kind.get(resource_id)
    if found is not None:
        advance_volume(call.state, call.region, found, call.now)
        found = kind.get(resource_id)
    if found is None or not (call.token.is_admin or found[owner] == call.token.project_id):
        raise not_found(f"{noun} {resource_id} could not be found.")
    return found


def select_visible(call: Call, kind: dict[str, Resource], owner: str) -> list[Resource]:
    """Return the resources that match the query's filters, newest first."""
    advance_volumes(call.state, call.region, call.now)
    query = dict(call.query())
    all_projects = call.token.is_admin and query.get("all_tenants", "").lower() in {"1", "true"}
    found = [
        resource for resource in kind.values() if all_projects or resource[owner] == call.token.project_id
    ]
    for name in ("status", "name", "volume_id"):
        if name in query:
            found = [resource for resource in found if resource.get(name) == query[name]]
    if "metadata" in query:
        requested = _parse_metadata_filter(query["metadata"])
        found = [t for t in found if all(t["metadata"].get(key) == value for key, value in requested.items())]
    found.sort(key=itemgetter("created_at", "id"), reverse=True)
    return found


def _parse_metadata_filter(text: str) -> dict[str, str]:
    """Parse a metadata filter: a Python literal, as in Cinder, which a JSON object of strings is too. Any other text matches nothing."""
    try:
        return dict(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError):
        return {text: text}
