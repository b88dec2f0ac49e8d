"""Celery doorbells: primary keys only, no business words."""

from celery import shared_task

from .sync import status


@shared_task(name="vms.sync_status", expires=120)
def sync_status() -> None:
    """Ring once for every account and region that has VMs."""
    for account_id, region in status.regions_to_sync():
        sync_region_status.delay(account_id, region)


@shared_task(name="vms.sync_region_status", expires=240)
def sync_region_status(account_id: int, region: str) -> None:
    """Sync the VM status of one account and region."""
    status.sync_region(account_id, region)
