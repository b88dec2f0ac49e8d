"""The choice of events on forms: groups to tick, and a field for other codes."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

GROUPS: dict[str, tuple[tuple[str, ...], str | Promise]] = {
    "trouble": (("task.errored", "task.failed", "task.stuck"), _("Tasks that fail or need attention")),
    "ended": (("task.cancelled", "task.succeeded"), _("Tasks that succeed or are canceled")),
    "requested": (("task.requested",), _("Tasks that are requested")),
    "requests": (
        ("approval.approved", "approval.expired", "approval.rejected", "approval.waiting"),
        _("Requests that wait for approval or are decided"),
    ),
    "members": (("invitation.*", "member.*"), _("Members and invitations")),
    "reminders": (("quota.nearly_used", "vm.ends_soon"), _("Quota nearly used, VMs that end soon")),
    "outside": (
        ("cloud_resource.*",),
        _("Changes in clouds outside the portal, prepaid resources that end soon"),
    ),
    "clouds": (("cloud_account.*",), _("Cloud accounts")),
    "all": (("*",), _("All events")),
}
MAX_TEXT_LENGTH = 2000


def read_codes(request: HttpRequest) -> list[str]:
    """Return the codes that a form names, by its groups and in words."""
    text = request.POST.get("other_codes", "")[:MAX_TEXT_LENGTH]
    codes = [code for code in re.split(r"[\s,]+", text) if code]
    for name in request.POST.getlist("groups"):
        if name in GROUPS:
            codes += GROUPS[name][0]
    return codes


def list_choices(codes: list[str]) -> dict[str, Any]:
    """Return the groups with those ticked that the codes contain whole, and the other codes as text."""
    rest = set(codes)
    choices = []
    for name, (group, label) in GROUPS.items():
        is_chosen = set(group) <= set(codes)
        if is_chosen:
            rest -= set(group)
        choices.append({"name": name, "label": label, "is_chosen": is_chosen, "codes": ", ".join(group)})
    return {"event_groups": choices, "other_codes": ", ".join(sorted(rest))}


def describe_codes(codes: list[str]) -> str:
    """Return the events of a reader in words: the labels of whole groups, and the other codes."""
    shown = list_choices(codes)
    labels = [str(group["label"]) for group in shown["event_groups"] if group["is_chosen"]]
    return ", ".join([*labels, *filter(None, [shown["other_codes"]])])
