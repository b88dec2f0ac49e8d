"""Status sync: what the clouds say of all VMs, brought into our rows on a schedule.

The sync of one account and region is one paged raw listing, compared in memory, and one bulk update a page.
Nothing is written for what did not change: that the cloud still agrees is said once, by `SyncState.listed_at`.

Most runs list what has changed since the last one, which costs the cloud next to nothing. Every hour, and when somebody
asks, a full run lists all servers: only that can show what is missing, and what Nova changes without saying so
(a floating address does not move a server's `updated`).

A reading never beats a newer write: a VM that a job holds, or that was written after the listing began, is left
alone. The update's own WHERE decides that, row by row, under the row's lock.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import DataError, IntegrityError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from cloudaccounts.clock_offsets import build_clock_warning
from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudResource
from cloudaccounts.sync.clock_offsets import record_clock_offset
from cloudaccounts.text_sanitizer import plain
from openstack_client import Cloud, CloudError, RecordPage, ServerReading
from security.encryption import UnreadableSecret
from tasks.clock import database_now, is_recent
from tasks.leases import cut_leases, held, lease, new_owner
from tasks.models import EntityLock

from ..models import SyncRun, SyncState, VirtualMachine, VMOperationLog, VMStatus
from .mapping import ServerColumns, columns_of
from .watching import CLOCK_SKEW

log = structlog.get_logger(__name__)

# Of the servers of a run that could not be read, so many are named in its message.
MOST_NAMED = 5


@dataclass(slots=True)
class _Counts:
    synced: int = 0
    updated: int = 0
    skipped: int = 0
    errors: int = 0
    missing: int = 0
    # Of the servers that could not be read, the first few in words; and whether one of them had no id.
    unreadable: list[str] = field(default_factory=list)
    has_nameless: bool = False
    unknown_words: dict[str, int] = field(default_factory=dict)


class MassLoss(Exception):
    """More VMs are missing from a listing than can be believed; nothing is marked."""


def regions_to_sync() -> list[tuple[int, str]]:
    """Every (account, region) that has VMs bound to servers and whose account is active."""
    bound = VirtualMachine.objects.filter(openstack_id__isnull=False, account__active=True)
    return list(bound.order_by("account_id", "region").values_list("account_id", "region").distinct())


def regions_known() -> list[tuple[int, str]]:
    """Every (account, region) of an active account in which anything was ever seen or made."""
    states = SyncState.objects.filter(account__active=True)
    resources = CloudResource.objects.filter(account__active=True).order_by()
    return sorted(
        {
            *regions_to_sync(),
            *states.values_list("account_id", "region"),
            *resources.values_list("account_id", "region").distinct(),
        }
    )


def moving_regions() -> list[tuple[int, str]]:
    """Those of them in which the cloud was last seen doing something to a VM."""
    moving = VirtualMachine.objects.filter(moving=True, openstack_id__isnull=False, account__active=True)
    return list(moving.order_by("account_id", "region").values_list("account_id", "region").distinct())


def sync_region(account_id: int, region: str, *, full: bool = False) -> SyncRun | None:
    """Bring the VMs of one account and region up to date; None when a run is on already.

    It lists all servers when `full`, when somebody has asked for that, and when the last such run is
    `settings.VM_FULL_SYNC_SECONDS` ago; otherwise what has changed.

    Single-flight by a compare-and-set on the region's `SyncState`, with a lease, so that a run that dies frees
    it. Never raises for what the cloud does: a run that fails says why and leaves everything as it was.
    """
    state, _created = SyncState.objects.get_or_create(account_id=account_id, region=region)
    owner = new_owner()
    mine = SyncState.objects.filter(pk=state.pk)
    cut_leases(mine)
    free = Q(owner="") | Q(lease_until__lt=Now())
    if not mine.filter(free).update(owner=owner, lease_until=Now() + lease()):
        return None
    state.refresh_from_db()
    SyncRun.objects.filter(account_id=account_id, region=region, state=SyncRun.State.RUNNING).update(
        state=SyncRun.State.FAILED, ended_at=Now(), message=_("The worker that ran it ended before it did.")
    )
    run = SyncRun.objects.create(account_id=account_id, region=region, full=full or _full_is_due(state))
    counts = _Counts()
    with held(SyncState, owner):
        try:
            began = _sync(state, counts, full=run.full)
        except (CloudError, UnreadableSecret, MassLoss) as error:
            run.state, run.message = SyncRun.State.FAILED, str(error)
            log.warning("vm_sync_failed", account=account_id, region=region, error=str(error))
        except Exception:
            run.state, run.message = SyncRun.State.FAILED, _("An error of the portal itself.")
            log.exception("vm_sync_errored", account=account_id, region=region)
        else:
            run.state = SyncRun.State.SUCCESS
            run.message = " ".join(filter(None, (_unreadable_words(counts), _note_clock(state))))
            mine.filter(owner=owner).update(**_seen_through(state, run, counts, began))
        finally:
            for name in ("synced", "updated", "skipped", "errors", "missing", "unknown_words"):
                setattr(run, name, getattr(counts, name))
            run.ended_at = timezone.now()
            run.save()
            mine.filter(owner=owner).update(owner="", lease_until=None)
    return run


def _full_is_due(state: SyncState) -> bool:
    if state.changes_from is None or state.full_listed_at is None:
        return True
    if state.full_wanted_at is not None and state.full_wanted_at > state.full_listed_at:
        return True
    return not is_recent(state.full_listed_at, timedelta(seconds=settings.VM_FULL_SYNC_SECONDS))


def _seen_through(
    state: SyncState, run: SyncRun, counts: _Counts, began: datetime
) -> dict[str, datetime | bool]:
    """What a run that succeeded writes of itself."""
    # What had to be left alone may have changed before this run began, and the next listing of changes must still
    # tell. A full run tells it too, so there is no need to go back further than the last two of them.
    changes_from = began
    if counts.skipped and not (run.full and state.changes_from is None):
        oldest = began - timedelta(seconds=2 * settings.VM_FULL_SYNC_SECONDS)
        changes_from = max(oldest, state.changes_from or oldest)
    seen: dict[str, datetime | bool] = {"listed_at": began, "changes_from": changes_from}
    # A person's word is for one full run.
    return seen | {"full_listed_at": began, "losses_accepted": False} if run.full else seen


def _sync(state: SyncState, counts: _Counts, *, full: bool) -> datetime:
    """List, compare, write; when the listing began."""
    began = database_now()
    cloud = open_cloud(state.account, state.region)
    VirtualMachine.objects.filter(account=state.account, region=state.region, sync_state=None).update(
        sync_state=state
    )
    if not full:
        assert state.changes_from is not None
        for page in cloud.compute.reading_pages(changes_since=state.changes_from - CLOCK_SKEW):
            _sync_page(page, _readings(state, [reading.id for reading in page]), began, counts)
        return began
    # All of the region's readings at once: 100 bytes a VM, against an index look-up for each.
    unseen = _readings(state)
    for page in cloud.compute.reading_pages():
        _sync_page(page, unseen, began, counts)
    # What was listed without an id may be any of those that are unseen.
    if unseen and not counts.has_nameless:
        _note_missing(cloud, state, set(unseen), began, counts)
    return began


def _note_clock(state: SyncState) -> str:
    """Say on the account how far the cloud's clock is from ours; what to tell people of it, or ""."""
    offset = open_cloud(state.account, state.region).clock_offset()
    record_clock_offset(state.account, state.region, offset)
    return build_clock_warning(offset)


def _unreadable_words(counts: _Counts) -> str:
    if not counts.unreadable:
        return ""
    named = "; ".join(counts.unreadable)
    return _("%(count)s servers could not be read, the others are synced: %(objects)s") % {
        "count": counts.errors,
        "objects": named,
    }


def _readings(state: SyncState, among: list[str] | None = None) -> dict[str, str]:
    """For each bound VM of the region the reading that its row was written from; "" where it must be compared.

    Of a listing of changes, that is also what a job holds: the job may be about to write something older than what
    the listing shows, and the next one must then tell it again.
    """
    with connection.cursor() as cursor:
        if among is None:
            cursor.execute(
                "SELECT openstack_id, CASE WHEN missing_count = 0 THEN reading ELSE '' END"
                " FROM vms_virtualmachine WHERE account_id = %s AND region = %s AND openstack_id IS NOT NULL",
                [state.account_id, state.region],
            )
        else:
            cursor.execute(
                "SELECT openstack_id, CASE WHEN missing_count = 0 AND held.key IS NULL THEN reading ELSE '' END"
                " FROM vms_virtualmachine AS vm LEFT JOIN tasks_entitylock AS held ON held.key = 'vm:' || vm.id"
                " WHERE account_id = %s AND region = %s AND openstack_id = ANY(%s)",
                [state.account_id, state.region, among],
            )
        return dict(cursor.fetchall())


def _sync_page(
    page: RecordPage[ServerReading], unseen: dict[str, str], began: datetime, counts: _Counts
) -> None:
    """Take what a page shows out of `unseen`, and write what is not as its row was written."""
    for one in page.unreadable:
        if one.id:
            # It has been listed, so it is not missing.
            if unseen.pop(one.id, None) is None:
                continue  # Not ours.
        else:
            counts.has_nameless = True
        _count_unreadable(counts, str(one))
    suspects = []
    for reading in page:
        known = unseen.pop(reading.id, None)
        if known is None:
            continue  # Not ours.
        counts.synced += 1
        if known != reading.digest and (columns := _columns(reading, counts)) is not None:
            suspects.append((reading, columns))
    if suspects:
        kept, updated = _write_page(suspects, began, counts)
        counts.updated += updated
        counts.skipped += len(suspects) - kept


def _columns(reading: ServerReading, counts: _Counts) -> ServerColumns | None:
    """What a server says; None for one that cannot be read, which never stops the rest."""
    try:
        server = reading.server()
        columns = columns_of(server)
    except Exception as error:
        log.warning("server_unreadable", server=reading.id, exc_info=True)
        _count_unreadable(counts, f"{reading.id}: {error}")
        return None
    if columns.status is None:
        counts.unknown_words[server.status[:50]] = counts.unknown_words.get(server.status[:50], 0) + 1
    return columns


def _count_unreadable(counts: _Counts, words: str) -> None:
    counts.errors += 1
    if len(counts.unreadable) < MOST_NAMED:
        counts.unreadable.append(plain(words, 300))


def _write_page(
    suspects: Sequence[tuple[ServerReading, ServerColumns]], began: datetime, counts: _Counts
) -> tuple[int, int]:
    """As `_write`, but what the database refuses is left out and counted.

    What the wrapper has read is fit for the database, so this is the net below it: a page that is refused is halved until
    what is refused is alone.
    """
    try:
        return _write(suspects, began)
    except (DataError, IntegrityError, ValueError) as error:
        if len(suspects) == 1:
            reading = suspects[0][0]
            log.warning("server_refused", server=reading.id, exc_info=True)
            _count_unreadable(counts, f"{reading.id}: {type(error).__name__}: {error}")
            return 1, 0
    half = len(suspects) // 2
    first, second = (
        _write_page(suspects[:half], began, counts),
        _write_page(suspects[half:], began, counts),
    )
    return first[0] + second[0], first[1] + second[1]


def _write(suspects: Sequence[tuple[ServerReading, ServerColumns]], began: datetime) -> tuple[int, int]:
    """Write rows that no job holds and that are not newer than the listing, and log changed statuses.

    One statement; returns how many rows it could keep in step, and how many of those differed. A word that we do
    not know leaves the status, and leaves no reading, so that it is counted again next time.

    Safe against a click that comes at the same moment: that locks the VM row and moves `written_at`, so this
    statement either waits for the row and then sees that, or has written before the click looked.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH new AS (
                SELECT * FROM unnest(%(id)s::text[], %(status)s::text[], %(ip)s::inet[], %(mac)s::text[],
                                     %(addresses)s::jsonb[], %(fault)s::text[], %(moving)s::bool[],
                                     %(reading)s::text[])
                    AS t(openstack_id, status, ip, mac, addresses, fault, moving, reading)
            ), old AS (
                SELECT vm.id, vm.name, vm.status, vm.information_system_id,
                       COALESCE(new.status, vm.status) AS new_status,
                       (vm.status, vm.ip_address, vm.mac_address, vm.addresses, vm.fault, vm.moving,
                        vm.missing_count)
                           IS DISTINCT FROM
                       (COALESCE(new.status, vm.status), new.ip, new.mac, new.addresses, new.fault, new.moving,
                        0) AS differs,
                       new.ip, new.mac, new.addresses, new.fault, new.moving, new.reading
                FROM vms_virtualmachine AS vm JOIN new USING (openstack_id)
                WHERE vm.written_at < %(began)s
                  AND NOT EXISTS (SELECT 1 FROM tasks_entitylock WHERE key = 'vm:' || vm.id)
                FOR UPDATE OF vm
            ), written AS (
                UPDATE vms_virtualmachine AS vm SET
                    status = old.new_status, ip_address = old.ip, mac_address = old.mac, addresses = old.addresses,
                    fault = old.fault, moving = old.moving, reading = old.reading, missing_count = 0,
                    observed_at = %(began)s,
                    written_at = CASE WHEN old.differs THEN statement_timestamp() ELSE vm.written_at END,
                    updated_at = CASE WHEN old.differs THEN statement_timestamp() ELSE vm.updated_at END
                FROM old WHERE vm.id = old.id
            ), logged AS (
                INSERT INTO vms_vmoperationlog
                    (tenant_id, vm_id, vm_name, operation, operator, detail, success, job_id, at)
                SELECT system.tenant_id, old.id, old.name, 'sync', '', old.status || ' -> ' || old.new_status,
                       true, NULL, statement_timestamp()
                FROM old JOIN tenants_informationsystem AS system ON system.id = old.information_system_id
                WHERE old.status <> old.new_status
            )
            SELECT count(*), count(*) FILTER (WHERE differs) FROM old
            """,
            {
                "id": [reading.id for reading, _columns in suspects],
                "status": [columns.status for _reading, columns in suspects],
                "ip": [columns.ip_address for _reading, columns in suspects],
                "mac": [columns.mac_address for _reading, columns in suspects],
                "addresses": [json.dumps(columns.addresses) for _reading, columns in suspects],
                "fault": [columns.fault for _reading, columns in suspects],
                "moving": [columns.moving for _reading, columns in suspects],
                "reading": [reading.digest if columns.status else "" for reading, columns in suspects],
                "began": began,
            },
        )
        kept, updated = cursor.fetchone()
        return kept, updated


def _note_missing(cloud: Cloud, state: SyncState, unseen: set[str], began: datetime, counts: _Counts) -> None:
    """Note what a complete listing did not show; missing twice is `error`. Raises `MassLoss`."""
    # What the cloud has said to be deleted is not missing.
    bound = VirtualMachine.objects.filter(
        account=state.account, region=state.region, openstack_id__isnull=False
    ).exclude(status=VMStatus.REMOVED)
    unseen.intersection_update(bound.filter(openstack_id__in=unseen).values_list("openstack_id", flat=True))
    if not unseen:
        return
    # What was deleted since the last run is not missing either: a listing of changes shows it. Without this, a full run
    # after many removals would be taken for a mass loss, and so would every later one.
    if unseen and state.changes_from is not None:
        deleted = dict.fromkeys(unseen, "")
        for page in cloud.compute.reading_pages(changes_since=state.changes_from - CLOCK_SKEW):
            _sync_page(page, deleted, began, counts)
        unseen.intersection_update(deleted)
    if not unseen:
        return
    # A server may have been on no page because others were made or removed during the listing: what is unseen is
    # looked for in a second one before anything is believed.
    for page in cloud.compute.reading_pages():
        unseen.difference_update(reading.id for reading in page)
        unseen.difference_update(one.id for one in page.unreadable)
        if any(not one.id for one in page.unreadable):
            return
    total = bound.count()
    missing = list(bound.filter(openstack_id__in=unseen).values_list("pk", "status", "missing_count"))
    counts.missing = len(missing)
    if not missing:
        return
    held_keys = set(
        EntityLock.objects.filter(key__in=[f"vm:{pk}" for pk, *_rest in missing]).values_list(
            "key", flat=True
        )
    )
    # What a job holds may be on its way out by our own doing.
    free = [(pk, status, count) for pk, status, count in missing if f"vm:{pk}" not in held_keys]
    counts.skipped += len(missing) - len(free)
    # Those that were missed before were believed then; it is the sudden loss that is not.
    sudden = sum(count == 0 for _pk, _status, count in free)
    if not state.losses_accepted and sudden >= 2 and sudden > total * settings.VM_SYNC_MASS_LOSS_SHARE:
        raise MassLoss(
            _(
                "%(missing)s of %(total)s VMs are missing from the cloud's listing. That is not believed: nothing was marked."
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
            fault=_("The cloud no longer lists its server."),
            observed_at=began,
            written_at=Now(),
            updated_at=Now(),
        )
        lost = rows_again.values_list("pk", "name", "information_system__tenant_id")
        VMOperationLog.objects.bulk_create(
            VMOperationLog(
                tenant_id=tenant_id,
                vm_id=pk,
                vm_name=name,
                operation=VMOperationLog.Operation.SYNC,
                detail=_("Now missing from two listings in a row."),
                success=True,
            )
            for pk, name, tenant_id in lost
        )
    counts.updated += len(again)
