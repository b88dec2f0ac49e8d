"""Neutron: quotas, with and without their usage."""

from __future__ import annotations

from .calls import Call
from .http_messages import Response
from .neutron_lookup import KINDS, neutron_error
from .state import Resource

# Kinds that are not simulated, with Neutron's default limits.
_UNUSED_QUOTAS = {"subnetpool": -1, "rbac_policy": 10}


def show_quota(call: Call, project_id: str) -> Response:
    """Show a project's limits."""
    _require_own_project(call, project_id)
    return Response(
        200, {"quota": {name: _get_limit(call, project_id, name) for name in _list_quota_names()}}
    )


def show_details(call: Call, project_id: str) -> Response:
    """Show a project's limits and their usage."""
    _require_own_project(call, project_id)
    used = dict.fromkeys(_UNUSED_QUOTAS, 0)
    for singular, attribute, _ in KINDS.values():
        resources: dict[str, Resource] = getattr(call.region, attribute)
        used[singular] = sum(resource.get("project_id") == project_id for resource in resources.values())
    details = {
        name: {"limit": _get_limit(call, project_id, name), "used": used[name], "reserved": 0}
        for name in _list_quota_names()
    }
    return Response(200, {"quota": details})


def put_quota(call: Call, project_id: str) -> Response:
    """Set a project's limits. For administrators."""
    if not call.token.is_admin:
        raise neutron_error(403, "PolicyNotAuthorized", "rule:update_quota is disallowed by policy")
    limits = call.region.quotas.setdefault(project_id, {})
    requested: Resource = call.request.json().get("quota") or {}
    limits.update({name: int(value) for name, value in requested.items() if name in _list_quota_names()})
    call.state.dirty = True
    return show_quota(call, project_id)


def check_quota(call: Call, singular: str, resources: dict[str, Resource], *, more: int = 1) -> None:
    """Raise `HttpError` 409 when the project's quota has no room for so many more."""
    limit = call.state.get_quota_limit(call.region, call.token.project_id or "", singular)
    if limit < 0:
        return
    used = sum(resource.get("project_id") == call.token.project_id for resource in resources.values())
    if used + more > limit:
        raise neutron_error(409, "OverQuota", f"Quota exceeded for resources: ['{singular}'].")


def _list_quota_names() -> list[str]:
    return [*(singular for singular, _, _ in KINDS.values()), *_UNUSED_QUOTAS]


def _get_limit(call: Call, project_id: str, name: str) -> int:
    found = call.state.get_quota_limit(call.region, project_id, name)
    return _UNUSED_QUOTAS.get(name, -1) if found < 0 else found


def _require_own_project(call: Call, project_id: str) -> None:
    if project_id != call.token.project_id and not call.token.is_admin:
        message = "User does not have admin privileges: Only admin is authorized to access quotas for another project."
        raise neutron_error(403, "AdminRequired", message)
