"""Status sync: write the status that the clouds report of all VMs to our rows, on a schedule.

The sync of one account and region is one paged raw listing, compared in memory, and one bulk update a page.
Nothing is written for VMs that did not change: `SyncState.listed_at` holds for all of them when the cloud last agreed.

Most runs list what has changed since the last one, which costs the cloud next to nothing. Every hour, and on request,
a full run lists all servers: only that shows which are missing, and what Nova changes without a trace
(a floating address does not move a server's `updated`).

A reading never overwrites a newer write: a VM that a job holds, or that was written after the listing began, is left
alone. The update's own WHERE decides that, row by row, under the row's lock (`vms/queries.py`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from api.messages import join_messages
from api.messages import message as _
from cloudaccounts.clock_offsets import build_clock_warning
from cloudaccounts.connect import open_cloud
from cloudaccounts.sync.clock_offsets import record_clock_offset
from cloudaccounts.sync.listed_statuses import MassLossError, SyncCounts
from openstack_client import CloudError
from security.encryption import UnreadableSecretError
from tasks.clock import database_now, is_recent
from tasks.leases import Lease, shorten_leases

from ..models import SyncRun, SyncState, VirtualMachine
from ..queries import fetch_readings
from .missing_servers import mark_missing
from .server_pages import sync_page
from .watchers import CLOCK_SKEW

log = structlog.get_logger(__name__)


def sync_region(account_id: int, region: str, *, full: bool = False) -> SyncRun | None:
    """Bring the VMs of one account and region up to date; return None when another run is under way.

    It lists all servers when `full`, when a full run was requested, and when the last one is
    `settings.VM_FULL_SYNC_SECONDS` ago; otherwise the servers that have changed.

    Single-flight by a compare-and-set on the region's `SyncState`, with a lease, so that the region is free again
    after a run that died. Never raises for an error of the cloud: a failed run holds the reason and changes no row.
    """
    state, _created = SyncState.objects.get_or_create(account_id=account_id, region=region)
    row = SyncState.objects.filter(pk=state.pk)
    shorten_leases(row)
    lease = Lease.acquire(row)
    if lease is None:
        return None
    state.refresh_from_db()
    SyncRun.objects.filter(account_id=account_id, region=region, state=SyncRun.State.RUNNING).update(
        state=SyncRun.State.FAILED, ended_at=Now(), message=_("The worker stopped during the sync.")
    )
    run = SyncRun.objects.create(account_id=account_id, region=region, full=full or is_full_run_due(state))
    counts = SyncCounts()
    with lease.kept_alive():
        try:
            began = _list_and_write(state, counts, full=run.full)
        except (CloudError, UnreadableSecretError, MassLossError) as error:
            run.state, run.message = SyncRun.State.FAILED, str(error)
            log.warning("vm_sync_failed", account=account_id, region=region, error=str(error))
        except Exception:
            run.state, run.message = SyncRun.State.FAILED, _("Internal error.")
            log.exception("vm_sync_errored", account=account_id, region=region)
        else:
            run.state = SyncRun.State.SUCCESS
            run.message = join_messages([_describe_unreadable(counts), _check_clock(state)])
            lease.write(**_build_state_columns(state, run, counts, began))
        finally:
            for name in ("synced", "updated", "skipped", "errors", "missing", "unknown_words"):
                setattr(run, name, getattr(counts, name))
            run.ended_at = timezone.now()
            run.save()
            lease.release()
    return run


def is_full_run_due(state: SyncState) -> bool:
    """Return whether the next run has to list all servers: nothing was listed yet, it was requested, or the last one is too old."""
    if state.changes_from is None or state.full_listed_at is None:
        return True
    if state.full_wanted_at is not None and state.full_wanted_at > state.full_listed_at:
        return True
    return not is_recent(state.full_listed_at, timedelta(seconds=settings.VM_FULL_SYNC_SECONDS))


def _build_state_columns(
    state: SyncState, run: SyncRun, counts: SyncCounts, began: datetime
) -> dict[str, datetime | bool]:
    """Return the columns of `SyncState` that a successful run writes."""
    # Rows that were skipped may have changed before this run began, so the next listing of changes has to show
    # them again. A full run shows them too, so the listing need not go back further than the last two full runs.
    changes_from = began
    if counts.skipped and not (run.full and state.changes_from is None):
        oldest = began - timedelta(seconds=2 * settings.VM_FULL_SYNC_SECONDS)
        changes_from = max(oldest, state.changes_from or oldest)
    columns: dict[str, datetime | bool] = {"listed_at": began, "changes_from": changes_from}
    # Losses are accepted for one full run.
    return columns | {"full_listed_at": began, "losses_accepted": False} if run.full else columns


def _list_and_write(state: SyncState, counts: SyncCounts, *, full: bool) -> datetime:
    """List, compare and write; return when the listing began."""
    began = database_now()
    account_id, region = state.account_id, state.region
    cloud = open_cloud(state.account, region)
    VirtualMachine.objects.filter(account=account_id, region=region, sync_state=None).update(sync_state=state)
    if not full:
        assert state.changes_from is not None
        for page in cloud.compute.reading_pages(changes_since=state.changes_from - CLOCK_SKEW):
            sync_page(
                page, fetch_readings(account_id, region, [reading.id for reading in page]), began, counts
            )
        return began
    # All of the region's readings at once: 100 bytes a VM, against an index look-up for each.
    unseen = fetch_readings(account_id, region)
    for page in cloud.compute.reading_pages():
        sync_page(page, unseen, began, counts)
    # A server that was listed without an id may be any of those that are unseen.
    if unseen and not counts.has_unidentified:
        mark_missing(cloud, state, set(unseen), began, counts)
    return began


def _check_clock(state: SyncState) -> str:
    """Record on the account how far the cloud's clock is from ours; return the warning about it, or ""."""
    offset = open_cloud(state.account, state.region).clock_offset()
    record_clock_offset(state.account, state.region, offset)
    return build_clock_warning(offset)


def _describe_unreadable(counts: SyncCounts) -> str:
    if not counts.unreadable:
        return ""
    named = "; ".join(counts.unreadable)
    return _("%(count)s servers could not be read, the others are synced: %(objects)s") % {
        "count": counts.errors,
        "objects": named,
    }
