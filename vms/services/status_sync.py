"""Request a status sync, and find regions whose data is out of date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from cloudaccounts.services.region_syncs import request_regions, select_outdated, select_stale
from tasks.dispatch import dispatch_task
from tenants.scoping import Role, Scope
from volumepool.services import request_volume_sync

from ..models import ConsoleReading, PasswordReset, SyncRun, SyncState, VirtualMachine, stale_after


def request_sync(*, scope: Scope, account_id: int | None = None) -> list[SyncState]:
    """Request a full sync of the scope's VMs as soon as a worker is free; return the regions.

    The request is written to the row, so it survives a message that the broker loses: the next run is a full one.
    A request during a run concerns the next run. Raises 403 `role_too_low`.
    """
    scope.require(Role.OPERATOR, VirtualMachine)
    vms = VirtualMachine.objects.within(scope).filter(openstack_id__isnull=False, account__active=True)
    if account_id is not None:
        vms = vms.filter(account=account_id)
    regions = sorted(set(vms.order_by().values_list("account_id", "region").distinct()))
    states: QuerySet[SyncState] = request_regions(SyncState, regions, "full_wanted_at")
    if regions:
        dispatch_task("vms.sync_region_status", *regions)
    # Pages of VMs show their volumes too.
    request_volume_sync(scope=scope, account_id=account_id)
    return list(states.select_related("account").order_by("account__name", "region"))


def accept_losses(states: QuerySet[SyncState]) -> int:
    """Let the next full run of some regions mark every missing VM; return the number of regions. For staff who have checked."""
    accepted = states.update(losses_accepted=True, full_wanted_at=timezone.now())
    dispatch_task("vms.sync_region_status", *states.values_list("account_id", "region"))
    return accepted


def select_stale_states(now: datetime | None = None) -> QuerySet[SyncState]:
    """Return the regions whose VMs were not listed for three sync intervals: an alarm, because a sync that does not run reports no error."""
    bound = VirtualMachine.objects.filter(openstack_id__isnull=False)
    return select_stale(SyncState, bound, stale_after(), now)


def list_stale_regions(vms: QuerySet[VirtualMachine]) -> Sequence[Mapping[str, Any]]:
    """Return the stale regions in which some of these VMs are: `account__name`, `region` and `listed_at`, by account.

    One quick query while no listing is late, as it should be: the list of VMs asks this for each page.
    """
    if not select_outdated(SyncState, stale_after()).exists():
        return []
    here = vms.filter(account=OuterRef("account"), region=OuterRef("region"))
    stale = select_stale_states().filter(Exists(here)).order_by("account__name", "region")
    return list(stale.values("account__name", "region", "listed_at"))


def prune_runs(batch: int = 5000) -> None:
    """Delete runs that ended long ago, in batches, and secrets on their way that nobody needs any more.

    Console texts are kept for an hour. A job deletes its new password itself, unless a person has ended the job.
    """
    now = timezone.now()
    old = SyncRun.objects.filter(ended_at__lt=now - timedelta(days=settings.SYNC_RUN_RETENTION_DAYS))
    while ids := list(old.order_by("pk").values_list("pk", flat=True)[:batch]):
        SyncRun.objects.filter(pk__in=ids).delete()
    ConsoleReading.objects.filter(read_at__lt=now - timedelta(hours=1)).delete()
    PasswordReset.objects.filter(created_at__lt=now - timedelta(days=1)).delete()
