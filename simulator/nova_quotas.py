"""Nova: limits and quotas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .calls import Call
from .http_messages import Response, forbidden, unwrap
from .state import Resource
from .transitions import advance_servers

_QUOTA_NAMES = (
    "instances",
    "cores",
    "ram",
    "key_pairs",
    "metadata_items",
    "server_groups",
    "server_group_members",
)


def show_limits(call: Call) -> Response:
    """Show the limits and their usage."""
    region, project_id = call.region, call.token.project_id or ""
    mine = [s for s in region.servers.values() if s.project_id == project_id and not s.is_deleted]

    def limit(name: str) -> int:
        return call.state.get_quota_limit(region, project_id, name)

    absolute: Resource = {
        "maxTotalInstances": limit("instances"), "maxTotalCores": limit("cores"), "maxTotalRAMSize": limit("ram"),
        "maxServerMeta": -1, "maxTotalKeypairs": -1, "maxServerGroups": -1, "maxServerGroupMembers": -1,
        "totalRAMUsed": sum(s.flavor["ram"] for s in mine), "totalCoresUsed": sum(s.flavor["vcpus"] for s in mine),
        "totalInstancesUsed": len(mine), "totalServerGroupsUsed": 0,
    }  # fmt: skip
    return Response(200, {"limits": {"rate": [], "absolute": absolute}})


def show_quota(call: Call, project_id: str) -> Response:
    """Show a project's limits."""
    _require_own_project(call, project_id, "show")
    return Response(200, {"quota_set": {"id": project_id, **_list_limits(call, project_id)}})


def show_quota_in_detail(call: Call, project_id: str) -> Response:
    """Show a project's limits and their usage."""
    _require_own_project(call, project_id, "detail")
    servers = [s for s in call.region.servers.values() if s.project_id == project_id and not s.is_deleted]
    used = {
        "instances": len(servers),
        "cores": sum(server.flavor["vcpus"] for server in servers),
        "ram": sum(server.flavor["ram"] for server in servers),
        "server_groups": sum(g["project_id"] == project_id for g in call.region.server_groups.values()),
    }
    details = {
        name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0}
        for name, limit in _list_limits(call, project_id).items()
    }
    return Response(200, {"quota_set": {"id": project_id, **details}})


def _require_own_project(call: Call, project_id: str, operation: str) -> None:
    if project_id != call.token.project_id:
        call.require_admin(f"os_compute_api:os-quota-sets:{operation}")


def _list_limits(call: Call, project_id: str) -> dict[str, Any]:
    return {name: call.state.get_quota_limit(call.region, project_id, name) for name in _QUOTA_NAMES}


def put_quota(call: Call, project_id: str) -> Response:
    """Set a project's limits. For administrators."""
    call.require_admin("os_compute_api:os-quota-sets:update")
    requested = unwrap(call.request.json(), "quota_set")
    limits = call.region.quotas.setdefault(project_id, {})
    limits.update({name: int(value) for name, value in requested.items() if name in _QUOTA_NAMES})
    call.state.dirty = True
    return Response(200, {"quota_set": _list_limits(call, project_id)})


def check_server_quota(call: Call, flavor: Resource, *, instead_of: Resource | None = None) -> None:
    """Raise `HttpError` 403 with the figures when the project's quota has no room for a server of this flavor.

    `instead_of` is the present flavor of a server that is resized: only the difference counts.
    """
    region, project_id = call.region, call.token.project_id or ""
    limits = region.quotas.get(project_id)
    if not limits:
        return
    advance_servers(call.state, region, call.now)
    servers = [s for s in region.servers.values() if s.project_id == project_id and not s.is_deleted]
    before = instead_of or {"vcpus": 0, "ram": 0}
    for resource, requested, used in (
        ("instances", 0 if instead_of else 1, len(servers)),
        ("cores", flavor["vcpus"] - before["vcpus"], sum(s.flavor["vcpus"] for s in servers)),
        ("ram", flavor["ram"] - before["ram"], sum(s.flavor["ram"] for s in servers)),
    ):
        limit = call.state.get_quota_limit(region, project_id, resource)
        if requested <= 0:
            continue
        if limit >= 0 and used + requested > limit:
            raise forbidden(
                f"Quota exceeded for {resource}: Requested {requested}, but already used {used} of {limit} {resource}"
            )


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/limits", show_limits),
    ("GET", "/os-quota-sets/<project_id>", show_quota),
    ("GET", "/os-quota-sets/<project_id>/detail", show_quota_in_detail),
    ("PUT", "/os-quota-sets/<project_id>", put_quota),
]
