"""Celery doorbells: primary keys only, no business words."""

from celery import shared_task

from . import services
from .services.orphans import sweep_orphans
from .services.status_sync import prune_runs
from .sync.regions import select_known_regions, select_moving_regions, select_regions_with_vms
from .sync.status import sync_region


@shared_task(name="vms.sync_status", expires=120)
def sync_status() -> None:
    """Ring once for every account and region that has VMs."""
    for account_id, region in select_regions_with_vms():
        sync_region_status.delay(account_id, region)


@shared_task(name="vms.sync_moving", expires=20)
def sync_moving() -> None:
    """Ring once for every account and region in which something moves."""
    for account_id, region in select_moving_regions():
        sync_region_status.delay(account_id, region)


@shared_task(name="vms.sync_region_status", expires=240)
def sync_region_status(account_id: int, region: str) -> None:
    """Sync the VM status of one account and region."""
    sync_region(account_id, region)


@shared_task(name="vms.sweep_orphans", expires=300)
def sweep_all_orphans() -> None:
    """Ring once for every account and region that may hold orphans."""
    for account_id, region in select_known_regions():
        sweep_region_orphans.delay(account_id, region)


@shared_task(name="vms.sweep_region_orphans", expires=300)
def sweep_region_orphans(account_id: int, region: str) -> None:
    """Look for orphans in one account and region."""
    sweep_orphans(account_id, region)


@shared_task(name="vms.runtime_window", expires=300)
def runtime_window() -> None:
    """Announce the end of runtimes, and stop what is past it."""
    services.warn_of_runtime_end()
    services.stop_at_runtime_end()


@shared_task(name="vms.confirm_resizes", expires=300)
def confirm_resizes() -> None:
    """Confirm resizes that nobody has confirmed in time."""
    services.confirm_due_resizes()


@shared_task(name="vms.prune", expires=3600)
def prune() -> None:
    """Forget runs that ended long ago, and what was read of consoles."""
    prune_runs()
