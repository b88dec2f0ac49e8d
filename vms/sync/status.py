"""Status sync: what the clouds say of all VMs, brought into our rows on a schedule.

The sync of one account and region is one paged raw listing, compared in memory, and one bulk update a page.
Nothing is written for what did not change: that the cloud still agrees is said once, by `SyncState.listed_at`.

A reading never beats a newer write: a VM that a job holds, or that was written after the listing began, is left
alone. The update's own WHERE decides that, row by row, under the row's lock.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from cloudaccounts.connect import open_cloud
from cloudaccounts.encryption import UnreadableSecret
from openstack_client import Cloud, CloudError, Server
from tasks.leases import held, lease, new_owner
from tasks.models import EntityLock

from ..models import SyncRun, SyncState, VirtualMachine, VMOperationLog, VMStatus
from .mapping import ServerColumns, columns_of

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Counts:
    synced: int = 0
    updated: int = 0
    skipped: int = 0
    errors: int = 0
    missing: int = 0
    unknown_words: dict[str, int] = field(default_factory=dict)


class MassLoss(Exception):
    """More VMs are missing from a listing than can be believed; nothing is marked."""


def regions_to_sync() -> list[tuple[int, str]]:
    """Every (account, region) that has VMs bound to servers and whose account is active."""
    bound = VirtualMachine.objects.filter(openstack_id__isnull=False, account__active=True)
    return list(bound.order_by("account_id", "region").values_list("account_id", "region").distinct())


def sync_region(account_id: int, region: str) -> SyncRun | None:
    """Bring the VMs of one account and region up to date; None when a run is on already.

    Single-flight by a compare-and-set on the region's `SyncState`, with a lease, so that a run that dies frees
    it. Never raises for what the cloud does: a run that fails says why and leaves everything as it was.
    """
    state, _created = SyncState.objects.get_or_create(account_id=account_id, region=region)
    owner = new_owner()
    mine = SyncState.objects.filter(pk=state.pk)
    free = Q(owner="") | Q(lease_until__lt=Now())
    if not mine.filter(free).update(owner=owner, lease_until=Now() + lease()):
        return None
    SyncRun.objects.filter(account_id=account_id, region=region, state=SyncRun.State.RUNNING).update(
        state=SyncRun.State.FAILED, ended_at=Now(), message="The worker that ran it ended before it did."
    )
    run = SyncRun.objects.create(account_id=account_id, region=region)
    counts = _Counts()
    with held(SyncState, owner):
        try:
            began = _sync(state, counts)
        except (CloudError, UnreadableSecret, MassLoss) as error:
            run.state, run.message = SyncRun.State.FAILED, str(error)
            log.warning("vm_sync_failed", account=account_id, region=region, error=str(error))
        except Exception:
            run.state, run.message = SyncRun.State.FAILED, "An error of the portal itself."
            log.exception("vm_sync_errored", account=account_id, region=region)
        else:
            run.state = SyncRun.State.SUCCESS
            mine.filter(owner=owner).update(listed_at=began)
        finally:
            for name, value in asdict(counts).items():
                setattr(run, name, value)
            run.ended_at = timezone.now()
            run.save()
            mine.filter(owner=owner).update(owner="", lease_until=None)
    return run


def _sync(state: SyncState, counts: _Counts) -> datetime:
    """List, compare, write; when the listing began."""
    began = _database_now()
    cloud = open_cloud(state.account, state.region)
    VirtualMachine.objects.filter(account=state.account, region=state.region, sync_state=None).update(sync_state=state)
    found = 0
    for page in cloud.compute.server_pages():
        found += _sync_page(state, page, began, counts)
    bound = VirtualMachine.objects.filter(account=state.account, region=state.region, openstack_id__isnull=False)
    # Bound while the listing went on: not missing, only newer than the listing.
    bound = bound.filter(written_at__lt=began)
    total = bound.count()
    if found < total:
        _note_missing(cloud, state, bound, total, began, counts)
    return began


def _database_now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


_COLUMNS = ("openstack_id", "pk", "status", "ip_address", "mac_address", "addresses", "fault", "missing_count")


def _sync_page(state: SyncState, page: Sequence[Server], began: datetime, counts: _Counts) -> int:
    """Compare a page with our rows and write what changed; how many of our VMs it showed."""
    rows = {
        row[0]: row
        for row in VirtualMachine.objects.filter(
            account=state.account, region=state.region, openstack_id__in=[server.id for server in page]
        ).values_list(*_COLUMNS)
    }
    if not rows:
        return 0
    changed: list[tuple[UUID, VMStatus, VMStatus, ServerColumns]] = []
    for server in page:
        row = rows.get(server.id)
        if row is None:
            continue
        try:
            columns = columns_of(server)
        except Exception:  # noqa: BLE001 - one bad server never stops the rest.
            counts.errors += 1
            log.warning("server_unreadable", server=server.id, exc_info=True)
            continue
        status = columns.status
        if status is None:
            counts.unknown_words[server.status[:50]] = counts.unknown_words.get(server.status[:50], 0) + 1
            status = row[2]
        now = (status, columns.ip_address, columns.mac_address, columns.addresses, columns.fault, 0)
        if row[2:] != now:
            changed.append((row[1], VMStatus(row[2]), VMStatus(status), columns))
    counts.synced += len(rows)
    if changed:
        with transaction.atomic():
            written = _write(changed, began)
            _log_changes([(pk, old, new) for pk, old, new, _columns in changed if pk in written and old != new])
        counts.updated += len(written)
        counts.skipped += len(changed) - len(written)
    return len(rows)


def _write(changed: Sequence[tuple[UUID, VMStatus, VMStatus, ServerColumns]], began: datetime) -> set[UUID]:
    """Update the rows that are neither held by a job nor newer than the listing; which they were.

    Safe against a click that comes at the same moment: it locks the VM row and moves `written_at`, so this
    statement either waits and sees that, or has written before the click looked.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE vms_virtualmachine AS vm SET
                status = new.status, ip_address = new.ip::inet, mac_address = new.mac, addresses = new.addresses::jsonb,
                fault = new.fault, missing_count = 0, observed_at = %s,
                written_at = statement_timestamp(), updated_at = statement_timestamp()
            FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
                AS new(id, status, ip, mac, addresses, fault)
            WHERE vm.id = new.id AND vm.written_at < %s
              AND NOT EXISTS (SELECT 1 FROM tasks_entitylock WHERE key = 'vm:' || vm.id)
            RETURNING vm.id
            """,
            [
                began,
                [str(pk) for pk, *_rest in changed],
                [str(new) for _pk, _old, new, _columns in changed],
                [columns.ip_address for *_rest, columns in changed],
                [columns.mac_address for *_rest, columns in changed],
                [json.dumps(columns.addresses) for *_rest, columns in changed],
                [columns.fault.replace("\x00", "") for *_rest, columns in changed],
                began,
            ],
        )
        return {pk for (pk,) in cursor.fetchall()}


def _log_changes(changes: Sequence[tuple[UUID, VMStatus, VMStatus]], detail: str = "") -> None:
    """One log entry for each VM whose status the cloud changed without us."""
    if not changes:
        return
    vms = VirtualMachine.objects.filter(pk__in=[pk for pk, _old, _new in changes])
    names = {pk: (name, tenant) for pk, name, tenant in vms.values_list("pk", "name", "information_system__tenant_id")}
    VMOperationLog.objects.bulk_create(
        VMOperationLog(
            tenant_id=names[pk][1],
            vm_id=pk,
            vm_name=names[pk][0],
            operation=VMOperationLog.Operation.SYNC,
            detail=detail or f"{old} -> {new}",
            success=True,
        )
        for pk, old, new in changes
        if pk in names
    )


def _note_missing(
    cloud: Cloud, state: SyncState, bound: models.QuerySet[VirtualMachine], total: int, began: datetime, counts: _Counts
) -> None:
    """Note what a complete listing did not show; missing twice is `error`. Raises `MassLoss`."""
    # A server may have been on no page because others were made or removed during the listing: the ids are asked
    # for in a second, quick pass before anything is believed.
    seen = {server.id for page in cloud.compute.server_pages() for server in page}
    missing = [
        (pk, status, count)
        for pk, openstack_id, status, count in bound.values_list("pk", "openstack_id", "status", "missing_count")
        if openstack_id not in seen
    ]
    counts.missing = len(missing)
    if not missing:
        return
    if len(missing) >= 2 and len(missing) > total * settings.VM_SYNC_MASS_LOSS_SHARE:  # noqa: PLR2004
        raise MassLoss(
            _("%(missing)s of %(total)s VMs are missing from the cloud's listing. That is not believed: nothing was marked.")
            % {"missing": len(missing), "total": total}
        )
    held_keys = set(
        EntityLock.objects.filter(key__in=[f"vm:{pk}" for pk, *_rest in missing]).values_list("key", flat=True)
    )
    free = [(pk, status, count) for pk, status, count in missing if f"vm:{pk}" not in held_keys]
    counts.skipped += len(missing) - len(free)
    first_time = [pk for pk, _status, count in free if count == 0]
    again = [(pk, VMStatus(status)) for pk, status, count in free if count >= 1 and status != VMStatus.ERROR]
    with transaction.atomic():
        rows = VirtualMachine.objects.filter(written_at__lt=began)
        rows.filter(pk__in=first_time).update(missing_count=F("missing_count") + 1)
        rows.filter(pk__in=[pk for pk, _status in again]).update(
            status=VMStatus.ERROR,
            missing_count=F("missing_count") + 1,
            fault=_("The cloud no longer lists its server."),
            observed_at=began,
            written_at=Now(),
            updated_at=Now(),
        )
        _log_changes(
            [(pk, old, VMStatus.ERROR) for pk, old in again], "missing from two listings in a row -> error"
        )
    counts.updated += len(again)
