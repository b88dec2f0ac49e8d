"""Status sync of volumes on demand, and whose picture is too old."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from tasks.doorbell import ring
from tenants.scoping import Role, Scope

from ..models import Volume, VolumeSyncState


def request_volume_sync(*, scope: Scope, account_id: int | None = None) -> list[tuple[int, str]]:
    """Have the volumes of the scope looked at as soon as a worker is free; the accounts and regions that will be.

    The wish is written, so that this run also compares with Nova. Raises 403 `role_too_low`.
    """
    scope.require(Role.OPERATOR)
    volumes = Volume.objects.within(scope).filter(account__active=True)
    if account_id is not None:
        volumes = volumes.filter(account=account_id)
    places = sorted(set(volumes.order_by().values_list("account_id", "region")))
    VolumeSyncState.objects.bulk_create(
        [VolumeSyncState(account_id=account, region=region) for account, region in places],
        ignore_conflicts=True,
    )
    of_these = Q(pk__in=[])
    for account, region in places:
        of_these |= Q(account=account, region=region)
    VolumeSyncState.objects.filter(of_these).update(wanted_at=timezone.now())
    if places:
        ring("volumepool.sync_place", *places)
    return places


def accept_volume_losses(states: QuerySet[VolumeSyncState]) -> int:
    """Have the next run of some places believe whatever it finds missing; how many. For staff who have looked."""
    accepted = states.update(losses_accepted=True, wanted_at=timezone.now())
    ring("volumepool.sync_place", *states.values_list("account_id", "region"))
    return accepted


def select_stale_volume_states(now: datetime | None = None) -> QuerySet[VolumeSyncState]:
    """The places whose volumes nobody has seen for three sync intervals: an alarm, as silence is not health."""
    bound = Volume.objects.filter(
        account=OuterRef("account"), region=OuterRef("region"), volume_id__isnull=False
    )
    limit = (now or timezone.now()) - timedelta(seconds=3 * settings.VOLUME_STATUS_SYNC_SECONDS)
    return VolumeSyncState.objects.filter(
        Q(listed_at=None) | Q(listed_at__lt=limit), Exists(bound), account__active=True
    ).select_related("account")
