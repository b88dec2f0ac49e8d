"""Events about what was changed outside the portal and deserves a look: a deletion, another size, an opened security group."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from events.models import Event

from ..cloud_rows import find_tenants
from ..models import CloudAccount, ResourceChange

EVERY_ADDRESS = frozenset({"0.0.0.0/0", "::/0"})
OUTGOING = frozenset({"egress", "out", "outbound"})
# One sync tells of at most so many; the page of changes has all.
MAX_EVENTS = 500


def record_outside_events(account: CloudAccount, type_code: str, changes: Collection[int]) -> None:
    """Record the events of changes of one type that no task explains, in the caller's transaction.

    They go to the tenant of the account, or in a shared account to that of the VM, volume or group; to the platform for
    what nobody has.
    """
    rule = RULES.get(type_code)
    if rule is None or not changes:
        return
    found = ResourceChange.objects.filter(pk__in=changes).select_related("resource").order_by("pk")
    noted = [(change, code, parameters) for change in found for code, parameters in rule(change.fields)]
    noted = noted[:MAX_EVENTS]
    tenants = {}
    if account.tenant_id is None:
        tenants = find_tenants({change.resource.cloud_id for change, _code, _parameters in noted})
    Event.objects.bulk_create(
        [
            Event(
                code=f"cloud_resource.{code}",
                tenant_id=account.tenant_id or tenants.get(change.resource.cloud_id),
                object_type="cloud_resource",
                object_id=str(change.resource_id),
                object_name=(change.resource.name or change.resource.cloud_id)[:300],
                parameters={"account": account.name, "region": change.resource.region, **parameters},
            )
            for change, code, parameters in noted
        ]
    )


Rule = Callable[[dict[str, Any]], list[tuple[str, dict[str, Any]]]]


def _check_server(fields: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    if _is_deletion(fields):
        return [("server_deleted", {})]
    if "attributes.flavor" in fields:
        was, is_now = fields["attributes.flavor"]
        return [("server_resized", {"was": str(was)[:100], "is_now": str(is_now)[:100]})]
    return []


def _check_volume(fields: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [("volume_deleted", {})] if _is_deletion(fields) else []


def _check_group(fields: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    was, is_now = fields.get("attributes.rule_list") or (None, None)
    known = was if isinstance(was, list) else []
    new = [rule for rule in is_now or [] if rule not in known] if isinstance(is_now, list) else []
    opened = [rule for rule in new if isinstance(rule, dict) and _lets_every_address_in(rule)]
    return [("group_opened", {"rules": [_shorten(rule) for rule in opened[:10]]})] if opened else []


def _is_deletion(fields: dict[str, Any]) -> bool:
    return fields.get("expired") == [False, True]


def _lets_every_address_in(rule: dict[str, Any]) -> bool:
    """Return whether a rule of any cloud lets every address in. One of OpenStack without the other side does, too."""
    if str(rule.get("direction", "")).lower() in OUTGOING:
        return False
    sides = {value for value in rule.values() if isinstance(value, str)}
    is_without_side = "remote_cidr" in rule and not rule["remote_cidr"] and not rule.get("remote_group")
    return bool(sides & EVERY_ADDRESS) or is_without_side


def _shorten(rule: dict[str, Any]) -> dict[str, str]:
    """Return a rule without its id and without what it does not have, its values bounded."""
    return {
        str(name)[:50]: str(value)[:100] for name, value in rule.items() if name != "id" and value is not None
    }


RULES: dict[str, Rule] = {"server": _check_server, "volume": _check_volume, "security_group": _check_group}
