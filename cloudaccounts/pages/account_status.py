"""The status of an account for people: one badge, the worst first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from ..models import CloudAccount


@dataclass(frozen=True, slots=True)
class StatusBadge:
    """A status with its label; `status` selects the color."""

    status: str
    label: str


def describe_status(account: CloudAccount) -> StatusBadge:
    """Return the badge of an account: disabled, refused by the cloud, failed, not tested, or active."""
    if not account.active:
        return StatusBadge("off", _("Disabled"))
    if account.sign_in_failed_at is not None:
        return StatusBadge("failed", _("Sign-in failed"))
    if account.last_error:
        return StatusBadge("failed", _("Connection failed"))
    if account.last_verified_at is None:
        return StatusBadge("unverified", _("Not tested yet"))
    return StatusBadge("active", _("Connected"))


def list_status_choices() -> list[tuple[str, Any]]:
    """Return the choices of the list's filter by status."""
    return [
        ("active", _("Connected")),
        ("failed", _("Sign-in or connection failed")),
        ("unverified", _("Not tested yet")),
        ("disabled", _("Disabled")),
    ]


def status_condition(status: str) -> Q:
    """Return the condition of one of the choices; together they are all accounts, each once."""
    failed = Q(sign_in_failed_at__isnull=False) | ~Q(last_error="")
    if status == "disabled":
        return Q(active=False)
    if status == "failed":
        return Q(active=True) & failed
    tested = Q(last_verified_at__isnull=False)
    return Q(active=True) & ~failed & (tested if status == "active" else ~tested)
