"""Nova: server groups, and the hosts that they allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .calls import Call
from .http_messages import Response, bad_request, forbidden, not_found, unwrap
from .nova_tags import check_name
from .pagination import parse_count
from .state import Resource

_POLICIES = ["anti-affinity", "affinity", "soft-anti-affinity", "soft-affinity"]
_POLICY_SINCE = (2, 64)
_MAX_PAGE = 1000


def list_groups(call: Call) -> Response:
    """List the project's groups, paged by number."""
    query = dict(call.query())
    offset, limit = (parse_count(name, query.get(name, "")) for name in ("offset", "limit"))
    every = "all_projects" in query and call.token.is_admin
    groups = call.region.server_groups.values()
    mine = [group for group in groups if every or group["project_id"] == call.token.project_id]
    page = mine[offset : offset + min(limit or _MAX_PAGE, _MAX_PAGE)]
    return Response(200, {"server_groups": [_serialize(call, group) for group in page]})


def show_group(call: Call, group_id: str) -> Response:
    """Show one group."""
    return Response(200, {"server_group": _serialize(call, _find(call, group_id))})


def create_group(call: Call) -> Response:
    """Create a group, within the project's quota."""
    call.action = "create_server_group"
    requested = unwrap(call.request.json(), "server_group")
    name = requested.get("name")
    check_name(name)
    is_new = call.microversion >= _POLICY_SINCE
    policies = [requested.get("policy")] if is_new else requested.get("policies")
    if not isinstance(policies, list) or len(policies) != 1 or policies[0] not in _POLICIES:
        field, value = ("policy", requested.get("policy")) if is_new else ("policies", policies)
        raise bad_request(
            f"Invalid input for field/attribute {field}. Value: {value}. {value!r} is not one of {_POLICIES}"
        )
    rules = (requested.get("rules") or {}) if is_new else {}
    if rules and policies[0] != "anti-affinity":
        raise bad_request("Only anti-affinity policy supports rules.")
    project_id = call.token.project_id or ""
    limit = call.state.get_quota_limit(call.region, project_id, "server_groups")
    if 0 <= limit <= sum(group["project_id"] == project_id for group in call.region.server_groups.values()):
        raise forbidden("Quota exceeded, too many server groups.")
    new = {
        "id": call.state.new_id(), "name": name, "policy": policies[0], "rules": rules, "members": [],
        "project_id": project_id, "user_id": call.token.user_id,
    }  # fmt: skip
    call.region.server_groups[new["id"]] = new
    call.state.dirty = True
    call.record_accepted("create_server_group", new["id"])
    return Response(200, {"server_group": _serialize(call, new)})


def delete_group(call: Call, group_id: str) -> Response:
    """Delete a group, whether it has members or not."""
    call.action, call.object_id = "delete_server_group", group_id
    del call.region.server_groups[_find(call, group_id)["id"]]
    call.state.dirty = True
    call.record_accepted("delete_server_group", group_id)
    return Response(204)


def select_group(call: Call, body: Resource) -> Resource | None:
    """Return the group that a request for a server names in its scheduler hints. Raises `HttpError` 400 or 403."""
    hints = body.get("os:scheduler_hints") or body.get("OS-SCH-HNT:scheduler_hints") or {}
    group_id = hints.get("group") if isinstance(hints, dict) else None
    if group_id is None:
        return None
    group = call.region.server_groups.get(str(group_id))
    if group is None or group["project_id"] != call.token.project_id:
        raise bad_request(f"Instance group {group_id} could not be found.")
    limit = call.state.get_quota_limit(call.region, call.token.project_id or "", "server_group_members")
    if 0 <= limit <= len(_list_members(call, group)):
        raise forbidden("Quota exceeded, too many servers in group")
    return group


def _find(call: Call, group_id: str) -> Resource:
    found = call.region.server_groups.get(group_id)
    if found is None or not (call.token.is_admin or found["project_id"] == call.token.project_id):
        raise not_found(f"Instance group {group_id} could not be found.")
    return found


def _list_members(call: Call, group: Resource) -> list[str]:
    servers = call.region.servers
    return [one for one in group["members"] if one in servers and not servers[one].is_deleted]


def _serialize(call: Call, group: Resource) -> Resource:
    members = _list_members(call, group)
    if call.microversion >= _POLICY_SINCE:
        return {**group, "members": members}
    policy: Any = group["policy"]
    kept = {name: value for name, value in group.items() if name not in {"policy", "rules"}}
    return {**kept, "policies": [policy], "metadata": {}, "members": members}


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/os-server-groups", list_groups),
    ("POST", "/os-server-groups", create_group),
    ("GET", "/os-server-groups/<group_id>", show_group),
    ("DELETE", "/os-server-groups/<group_id>", delete_group),
]
