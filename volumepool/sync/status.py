"""Status sync: the status of all volumes and snapshots of tenants in Cinder, written to their rows on a schedule.

The sync of one account and region is one paged listing of each, compared in memory; what differs is written by one
statement. Cinder lists no changes, so every run lists everything.

A listing never overwrites a newer write: a row that a job holds, whose VM a job holds, or that was written after the listing
began, is left alone. The statement's own WHERE decides that, row by row, under the row's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from api.messages import message as _
from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from cloudaccounts.sync.listed_statuses import MassLossError, SyncCounts
from openstack_client import Cloud, CloudError
from security.encryption import UnreadableSecretError
from tasks.clock import database_now
from tasks.leases import Lease, shorten_leases

from ..models import Volume, VolumeSnapshot, VolumeSyncState
from .nova_attachments import compare_with_nova, should_compare_with_nova
from .volume_listing import VolumeComparison, compare_snapshots

log = structlog.get_logger(__name__)

# Syncs of rooms above that run with the volumes of an account and region.
Follower = Callable[[Cloud, CloudAccount, str, datetime, SyncCounts], None]
_followers: list[Follower] = []


def register_follower(follower: Follower) -> None:
    """Register a sync of a room above, to run with that of the volumes."""
    if follower not in _followers:
        _followers.append(follower)


def select_regions_to_sync() -> list[tuple[int, str]]:
    """Return every active account with each of its regions that has volumes or snapshots of tenants."""
    regions: set[tuple[int, str]] = set()
    for manager in (Volume.objects, VolumeSnapshot.objects):
        active = manager.filter(account__active=True).order_by()
        regions.update(active.values_list("account_id", "region").distinct())
    return sorted(regions)


def sync_region(account_id: int, region: str) -> VolumeSyncState | None:
    """Sync the volumes and snapshots of one account and region; return None when a run is under way already.

    Single-flight by a compare-and-set on the region's row, with a lease, so that the region is free again after a run that
    died. Never raises for an error of the cloud: a failed run writes the reason and changes no row.
    """
    state, _created = VolumeSyncState.objects.get_or_create(account_id=account_id, region=region)
    row = VolumeSyncState.objects.filter(pk=state.pk)
    shorten_leases(row)
    lease = Lease.acquire(row)
    if lease is None:
        return None
    state.refresh_from_db()
    counts, columns = SyncCounts(), {}
    with lease.kept_alive():
        try:
            columns = _sync(state, counts) | {"message": "", "losses_accepted": False}
        except (CloudError, UnreadableSecretError, MassLossError) as error:
            columns = {"message": str(error)}
            log.warning("volume_sync_failed", account=account_id, region=region, error=str(error))
        except Exception:
            columns = {"message": _("Internal error.")}
            log.exception("volume_sync_errored", account=account_id, region=region)
        finally:
            lease.release(**columns, figures=counts.as_json())
    state.refresh_from_db()
    return state


def _sync(state: VolumeSyncState, counts: SyncCounts) -> dict[str, Any]:
    """List, compare and write; return the columns of the state to update."""
    began = database_now()
    cloud = open_cloud(state.account, state.region)
    comparison = VolumeComparison(state, began, counts)
    for page in cloud.block_storage.volume_pages():
        comparison.compare_page(cloud, page)
    comparison.record_missing(Volume, comparison.unseen, "volume_id")
    compare_snapshots(cloud, state, comparison, counts)
    for follower in _followers:
        follower(cloud, state.account, state.region, began, counts)
    times: dict[str, Any] = {"listed_at": began}
    if should_compare_with_nova(state):
        compare_with_nova(cloud, state, began, counts)
        times["compared_at"] = began
    return times
