"""Mark the VMs whose servers a complete listing did not show."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from api.messages import message as _
from cloudaccounts.sync.listed_statuses import MassLossError, SyncCounts
from openstack_client import Cloud
from tasks.models import EntityLock

from ..models import SyncState, VirtualMachine, VMOperationLog, VMStatus, lock_key
from .server_pages import sync_page
from .watchers import CLOCK_SKEW


def mark_missing(
    cloud: Cloud, state: SyncState, unseen: set[str], began: datetime, counts: SyncCounts
) -> None:
    """Count the VMs of `unseen` as missing; one that is missing for the second time becomes `error`. Raises `MassLossError`."""
    # A VM that the cloud has reported as deleted is not missing.
    bound = VirtualMachine.objects.filter(
        account=state.account, region=state.region, openstack_id__isnull=False
    ).exclude(status=VMStatus.REMOVED)
    unseen.intersection_update(bound.filter(openstack_id__in=unseen).values_list("openstack_id", flat=True))
    if not unseen:
        return
    # A server that was deleted since the last run is not missing either: a listing of changes shows it. Otherwise a full run
    # after many deletions would be taken for a mass loss, and so would every later one.
    if unseen and state.changes_from is not None:
        deleted = dict.fromkeys(unseen, "")
        for page in cloud.compute.reading_pages(changes_since=state.changes_from - CLOCK_SKEW):
            sync_page(page, deleted, began, counts)
        unseen.intersection_update(deleted)
    if not unseen:
        return
    # A server may have been on no page because others were created or deleted during the listing, so a second listing
    # is searched for the unseen ones.
    for page in cloud.compute.reading_pages():
        unseen.difference_update(reading.id for reading in page)
        unseen.difference_update(record.id for record in page.unreadable)
        if any(not record.id for record in page.unreadable):
            return
    total = bound.count()
    missing = list(bound.filter(openstack_id__in=unseen).values_list("pk", "status", "missing_count"))
    counts.missing = len(missing)
    if not missing:
        return
    held_keys = set(
        EntityLock.objects.filter(key__in=[lock_key(pk) for pk, *_rest in missing]).values_list(
            "key", flat=True
        )
    )
    # A VM that a job holds may be about to be deleted by that job.
    free = [(pk, status, count) for pk, status, count in missing if lock_key(pk) not in held_keys]
    counts.skipped += len(missing) - len(free)
    # VMs that were missing in an earlier run passed this check then; only a sudden loss is held back.
    sudden = sum(count == 0 for _pk, _status, count in free)
    if not state.losses_accepted and sudden >= 2 and sudden > total * settings.VM_SYNC_MASS_LOSS_SHARE:
        raise MassLossError(
            _(
                "%(missing)s of %(total)s VMs disappeared from the cloud. Nothing was marked until you confirm the deletions."
            )
            % {"missing": sudden, "total": total}
        )
    first_time = [pk for pk, _status, count in free if count == 0]
    again = [pk for pk, status, count in free if count >= 1 and status != VMStatus.ERROR]
    with transaction.atomic():
        rows = VirtualMachine.objects.filter(written_at__lt=began)
        rows.filter(pk__in=first_time).update(missing_count=F("missing_count") + 1)
        rows_again = VirtualMachine.objects.filter(
            pk__in=list(rows.filter(pk__in=again).select_for_update().values_list("pk", flat=True))
        )
        rows_again.update(
            status=VMStatus.ERROR,
            missing_count=F("missing_count") + 1,
            fault=_("Not found in the last syncs."),
            observed_at=began,
            written_at=Now(),
            updated_at=Now(),
        )
        detail = _("Not found in two syncs in a row.")
        VMOperationLog.objects.bulk_create(
            VMOperationLog.of(vm, VMOperationLog.Operation.SYNC, detail=detail)
            for vm in rows_again.select_related("information_system")
        )
    counts.updated += len(again)
