"""A plan, its difference and its approvers in words, for the page of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tasks.command import command_title
from tenants.models import User

from ..models import ApprovalRequest, ApproverRole
from ..offers import list_data_center_types
from ..quota_changes import QUOTA_KIND, QUOTA_TITLE

# The names of a plan's values. A name that is missing here, of a command's parameter, is shown as it is.
# Details are shown in this order.
LABELS: dict[str, str | Promise] = {
    "information_system": gettext_lazy("Application"),
    "data_center_types": gettext_lazy("Environment"),
    "cpu_cores": gettext_lazy("vCPUs"),
    "memory_gb": gettext_lazy("Memory"),
    "disk_gb": gettext_lazy("Disk"),
    "vms": gettext_lazy("Virtual machines"),
    "account": gettext_lazy("Cloud account"),
    "region": gettext_lazy("Region"),
    "flavor": gettext_lazy("Flavor"),
    "flavor_name": gettext_lazy("Flavor"),
    "image": gettext_lazy("Image"),
    "ssh_keys": gettext_lazy("SSH keys"),
    "user_data_digest": gettext_lazy("Digest of the user data"),
    "volume": gettext_lazy("Volume"),
    "count": gettext_lazy("Count"),
    "names": gettext_lazy("Names"),
    "service": gettext_lazy("Service"),
    "action": gettext_lazy("Action"),
    "from_version": gettext_lazy("Previous version"),
    "to_version": gettext_lazy("New version"),
    "hosts": gettext_lazy("Hosts by batch"),
    "strategy": gettext_lazy("Rollout"),
    "present_size": gettext_lazy("Present size"),
    "present_gb": gettext_lazy("Present size"),
}
UNITS = {"memory_gb": "GiB", "disk_gb": "GiB", "present_gb": "GiB"}
MAX_SHOWN_COMMANDS = 50


def title_command(kind: str) -> str:
    """Return the title of a planned command."""
    return str(QUOTA_TITLE) if kind == QUOTA_KIND else command_title(kind)


def show_plan(request: ApprovalRequest) -> list[dict[str, Any]]:
    """Return what the page shows of each planned command: details first, and the parameters folded away."""
    return [
        {
            "title": title_command(command["kind"]),
            "object": command["object"],
            "details": _show_values(command["details"]),
            "params": [(name, _format(name, value)) for name, value in command["params"].items()],
        }
        for command in request.plan["commands"][:MAX_SHOWN_COMMANDS]
    ]


def show_difference(request: ApprovalRequest) -> list[tuple[str, str, str]]:
    """Return the differences as name, value before and value after."""
    shown = []
    for one in request.difference:
        names = [part for part in one["path"].split(".") if part not in {"commands", "details", "params"}]
        name = names[-1] if names else one["path"]
        label = " ".join(str(LABELS.get(part, part)) for part in names[1:] or names)
        shown.append((capfirst(label), _format(name, one["before"]), _format(name, one["after"])))
    return shown


def show_levels(request: ApprovalRequest) -> list[dict[str, Any]]:
    """Return who approves each level, and which one is open."""
    ids = {user for level in request.levels for user in level["users"]}
    names = {str(pk): name for pk, name in User.objects.filter(pk__in=ids).values_list("pk", "username")}
    levels = []
    for number, level in enumerate(request.levels):
        listed = sorted(names[user] for user in level["users"] if user in names)
        role = [str(ApproverRole(level["role"]).label)] if level["role"] else []
        levels.append(
            {
                "number": number + 1,
                "approvers": ", ".join([*role, *listed]) or "—",
                "is_open": request.status == "pending" and number == request.level,
            }
        )
    return levels


def _show_values(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    # The database sorts the names of a JSON object by their length.
    order = {name: number for number, name in enumerate(LABELS)}
    return [
        (str(LABELS.get(name, name)), _format(name, values[name]))
        for name in sorted(values, key=lambda name: (order.get(name, len(order)), name))
        if values[name] not in ("", None, [])
    ]


def _format(name: str, value: Any) -> str:
    if value in ("", None, [], {}):
        return "—"
    if isinstance(value, Mapping):
        if value.keys() == {"present", "requested"}:
            unlimited = _("unlimited")
            old, new = (
                unlimited if value[key] is None else _format(name, value[key])
                for key in ("present", "requested")
            )
            return f"{old} → {new}"
        return ", ".join(f"{LABELS.get(key, key)}: {_format(key, item)}" for key, item in value.items())
    if isinstance(value, list):
        labels = {key: str(label) for key, label in list_data_center_types()}
        return ", ".join(labels.get(str(item), str(item)) for item in value)
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return f"{value} {UNITS[name]}" if name in UNITS else str(value)
