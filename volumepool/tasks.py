"""Celery tasks: each takes keys alone and calls a service or a sync. They have a worker of their own."""

from celery import shared_task

from tasks.restore_guard import is_paused

from . import services
from .sync import status


@shared_task(name="volumepool.backfill_all", expires=60)
def backfill_all() -> None:
    """Send a backfill for every pool that may lack spares, and record the stock of all pools."""
    if not is_paused("volumepool.backfill"):
        for pool_id in services.select_pools_to_fill():
            backfill.delay(pool_id)
    services.record_stock()


@shared_task(name="volumepool.backfill", expires=300)
def backfill(pool_id: int) -> None:
    """Create the spares that one pool lacks."""
    if not is_paused("volumepool.backfill"):
        services.backfill(pool_id)


@shared_task(name="volumepool.reconcile_all", expires=60)
def reconcile_all() -> None:
    """Send a reconciliation for every account and region that has pools."""
    for account_id, region in services.select_regions_to_reconcile():
        reconcile.delay(account_id, region)


@shared_task(name="volumepool.reconcile", expires=300)
def reconcile(account_id: int, region: str) -> None:
    """Reconcile one account and region with Cinder."""
    services.reconcile(account_id, region)


@shared_task(name="volumepool.sync_status", expires=120)
def sync_all_regions() -> None:
    """Send a sync for every account and region that has volumes of tenants."""
    for account_id, region in status.select_regions_to_sync():
        sync_region_volumes.delay(account_id, region)


@shared_task(name="volumepool.sync_region_volumes", expires=240)
def sync_region_volumes(account_id: int, region: str) -> None:
    """Sync the volumes of one account and region."""
    status.sync_region(account_id, region)


@shared_task(name="volumepool.empty_bin", expires=3600)
def empty_bin() -> None:
    """Delete the volumes whose time in the bin is over."""
    if not is_paused("volumepool.empty_bin"):
        services.empty_volume_bin()


@shared_task(name="volumepool.prune", expires=3600)
def prune_old_rows() -> None:
    """Delete old stock rows and claims."""
    services.prune_history()
