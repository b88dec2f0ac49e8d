"""Celery tasks: each takes keys alone and calls a service or a sync."""

from celery import shared_task

from tasks.restore_guard import is_paused

from . import services
from .queries import merge_vm_usage
from .services import usage
from .services.operation_log import prune_operation_log
from .services.orphans import sweep_orphans
from .services.reminders import record_ends
from .services.status_sync import prune_runs
from .sync.key_pairs import remove_unused_key_pairs
from .sync.regions import select_known_regions, select_moving_regions, select_regions_with_vms
from .sync.status import sync_region


@shared_task(name="vms.sync_status", expires=120)
def sync_all_regions() -> None:
    """Send a sync for every account and region that has VMs."""
    for account_id, region in select_regions_with_vms():
        sync_region_status.delay(account_id, region)


@shared_task(name="vms.sync_moving", expires=20)
def sync_moving_regions() -> None:
    """Send a sync for every account and region in which Nova is changing a server."""
    for account_id, region in select_moving_regions():
        sync_region_status.delay(account_id, region)


@shared_task(name="vms.sync_region_status", expires=240)
def sync_region_status(account_id: int, region: str) -> None:
    """Sync the VM status of one account and region."""
    sync_region(account_id, region)


@shared_task(name="vms.sweep_orphans", expires=300)
def sweep_all_regions() -> None:
    """Send a sweep for every account and region that may hold orphans."""
    for account_id, region in select_known_regions():
        sweep_region_orphans.delay(account_id, region)


@shared_task(name="vms.sweep_region_orphans", expires=300)
def sweep_region_orphans(account_id: int, region: str) -> None:
    """Sweep one account and region for orphans."""
    sweep_orphans(account_id, region)


@shared_task(name="vms.clean_key_pairs", expires=3600)
def clean_key_pairs() -> None:
    """Send a cleanup of key pairs for every account and region that may hold some."""
    for account_id, region in select_known_regions():
        clean_region_key_pairs.delay(account_id, region)


@shared_task(name="vms.clean_region_key_pairs", expires=3600)
def clean_region_key_pairs(account_id: int, region: str) -> None:
    """Remove the key pairs of one account and region that no VM uses any more."""
    remove_unused_key_pairs(account_id, region)


@shared_task(name="vms.runtime_window", expires=300)
def enforce_end_dates() -> None:
    """Announce end dates, and stop the VMs whose end date has passed."""
    if not is_paused("vms.runtime_window"):
        services.warn_of_runtime_end()
        services.stop_at_runtime_end()


@shared_task(name="vms.confirm_resizes", expires=300)
def confirm_resizes() -> None:
    """Confirm resizes whose confirmation period is over."""
    if not is_paused("vms.confirm_resizes"):
        services.confirm_due_resizes()


@shared_task(name="vms.empty_bin", expires=3600)
def empty_bin() -> None:
    """Delete the VMs whose time in the bin is over."""
    if not is_paused("vms.empty_bin"):
        services.empty_vm_bin()


@shared_task(name="vms.prune", expires=3600)
def prune_old_rows() -> None:
    """Delete old sync runs, console texts and entries of the operation log."""
    prune_runs()
    prune_operation_log()


@shared_task(name="vms.record_usage", expires=1800)
def record_usage() -> None:
    """Record what each tenant uses, and delete old samples."""
    usage.record_usage()
    usage.prune_usage()
    record_ends()


@shared_task(name="vms.merge_usage", expires=50)
def merge_usage() -> None:
    """Merge the rows that count VMs."""
    merge_vm_usage()


@shared_task(name="vms.check_usage", expires=3600)
def check_usage() -> None:
    """Compare the rows that count VMs with the VMs, and correct them."""
    usage.check_usage()
