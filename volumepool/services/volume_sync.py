"""Request a status sync of volumes, and find regions whose volumes are out of date."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from cloudaccounts.services.region_syncs import request_regions, select_stale
from tasks.dispatch import dispatch_task
from tenants.scoping import Role, Scope

from ..models import Volume, VolumeSyncState


def request_volume_sync(*, scope: Scope, account_id: int | None = None) -> list[tuple[int, str]]:
    """Request a sync of the scope's volumes; return the accounts and regions that will be synced.

    The request is recorded, so that this run also compares attachments with Nova. Raises 403 `role_too_low`.
    """
    scope.require(Role.OPERATOR)
    volumes = Volume.objects.within(scope).filter(account__active=True)
    if account_id is not None:
        volumes = volumes.filter(account=account_id)
    regions = sorted(set(volumes.order_by().values_list("account_id", "region")))
    request_regions(VolumeSyncState, regions, "wanted_at")
    if regions:
        dispatch_task("volumepool.sync_region_volumes", *regions)
    return regions


def accept_volume_losses(states: QuerySet[VolumeSyncState]) -> int:
    """Let the next run of some regions mark every missing volume; return the number of regions. For staff who have checked."""
    accepted = states.update(losses_accepted=True, wanted_at=timezone.now())
    dispatch_task("volumepool.sync_region_volumes", *states.values_list("account_id", "region"))
    return accepted


def select_stale_volume_states(now: datetime | None = None) -> QuerySet[VolumeSyncState]:
    """Return the regions whose volumes were not listed for three sync intervals: an alarm, because a sync that does not run reports no error."""
    after = timedelta(seconds=3 * settings.VOLUME_STATUS_SYNC_SECONDS)
    return select_stale(VolumeSyncState, Volume.objects.filter(volume_id__isnull=False), after, now)
