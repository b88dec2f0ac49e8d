"""The accounts, regions and statuses that the pages of this room offer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cloudaccounts.models import CloudAccount, CloudResource
from pages.lists import Filter
from tasks import engine
from tenants.scoping import Scope

from ..models import CloudRow, RowStatus

UPDATING = gettext_lazy("Updating")


def list_accounts(scope: Scope) -> list[CloudAccount]:
    """Return the accounts in which the tenant of the scope may have something; all that staff see without a tenant."""
    if scope.tenant is None:
        return list(CloudAccount.objects.within(scope).managed().order_by("name"))
    return list(CloudAccount.objects.for_tenant(scope.tenant).managed().filter(active=True).order_by("name"))


def list_regions(accounts: list[CloudAccount]) -> list[str]:
    """Return the regions of some accounts in which a sync has found something; [] when there is one alone."""
    present = CloudResource.objects.present().filter(account__in=accounts)
    regions = list(present.order_by("region").values_list("region", flat=True).distinct())
    return regions if len(regions) > 1 else []


def build_filters(accounts: list[CloudAccount]) -> list[Filter]:
    """Return the filters by account and by status."""
    return [
        Filter(
            "account",
            _("Cloud account"),
            _("All cloud accounts"),
            [(str(account.pk), account.name) for account in accounts],
        ),
        Filter("status", _("Status"), _("All statuses"), list(RowStatus.choices)),
    ]


def build_rows(listed: Sequence[CloudRow], name: str) -> list[dict[str, Any]]:
    """Return what a table shows of each row: the row itself under `name`, the job that changes it, and the label of that. One query."""
    holders = engine.lock_holders(row.lock_key for row in listed)
    return [
        {
            name: row,
            "job": (job := holders.get(row.lock_key)),
            "busy": label_busy(job),
        }
        for row in listed
    ]


def label_busy(job: Any) -> str:
    """Return the label of a row that a job changes; "" without a job."""
    return str(UPDATING) if job is not None else ""
