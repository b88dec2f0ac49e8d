"""Neutron: quotas, plain and with what is in use of them."""

from __future__ import annotations

from .exchange import Answer, Call
from .neutron_things import KINDS, refused
from .state import Thing

# Kinds that have a quota and nothing else here, with Neutron's own limits.
_OTHERS = {"subnetpool": -1, "rbac_policy": 10}


def show_quota(call: Call, project_id: str) -> Answer:
    """The limits alone."""
    _need_own(call, project_id)
    return Answer(200, {"quota": {name: _limit(call, project_id, name) for name in _names()}})


def show_details(call: Call, project_id: str) -> Answer:
    """With what is in use."""
    _need_own(call, project_id)
    used = dict.fromkeys(_OTHERS, 0)
    for singular, attribute, _ in KINDS.values():
        things: dict[str, Thing] = getattr(call.region, attribute)
        used[singular] = sum(thing.get("project_id") == project_id for thing in things.values())
    details = {
        name: {"limit": _limit(call, project_id, name), "used": used[name], "reserved": 0}
        for name in _names()
    }
    return Answer(200, {"quota": details})


def put_quota(call: Call, project_id: str) -> Answer:
    """By an administrator."""
    if not call.token.is_admin:
        raise refused(403, "PolicyNotAuthorized", "rule:update_quota is disallowed by policy")
    limits = call.region.quotas.setdefault(project_id, {})
    wanted: Thing = call.request.json().get("quota") or {}
    limits.update({name: int(value) for name, value in wanted.items() if name in _names()})
    call.state.dirty = True
    return show_quota(call, project_id)


def check_quota(call: Call, singular: str, things: dict[str, Thing]) -> None:
    """Refuse one more than the project may have."""
    limit = call.state.quota(call.region, call.token.project_id or "", singular)
    if limit < 0:
        return
    if sum(thing.get("project_id") == call.token.project_id for thing in things.values()) >= limit:
        raise refused(409, "OverQuota", f"Quota exceeded for resources: ['{singular}'].")


def _names() -> list[str]:
    return [*(singular for singular, _, _ in KINDS.values()), *_OTHERS]


def _limit(call: Call, project_id: str, name: str) -> int:
    found = call.state.quota(call.region, project_id, name)
    return _OTHERS.get(name, -1) if found < 0 else found


def _need_own(call: Call, project_id: str) -> None:
    if project_id != call.token.project_id and not call.token.is_admin:
        words = "User does not have admin privileges: Only admin is authorized to access quotas for another project."
        raise refused(403, "AdminRequired", words)
