"""Celery tasks: they take primary keys and call services."""

from celery import shared_task

from . import services
from .services.reminders import record_paid_ends
from .sync import resources

# The listing of a large account takes long; meanwhile the lease shows that its worker is alive.
LONGEST_SYNC_SECONDS = 3600


@shared_task(name="cloudaccounts.sync_account", expires=3600)
def sync_account(account_id: int) -> None:
    """Open and dispatch the syncs of one account."""
    services.open_scheduled_syncs(account_id)


@shared_task(
    name="cloudaccounts.sync_resource",
    soft_time_limit=LONGEST_SYNC_SECONDS,
    time_limit=LONGEST_SYNC_SECONDS + 30,
)
def sync_resource(log_id: int) -> None:
    """Run one sync."""
    resources.run_sync(log_id)


@shared_task(name="cloudaccounts.sweep", expires=30)
def sweep() -> None:
    """Close dead syncs, dispatch unclaimed ones again, and repair schedules."""
    services.sweep_syncs()


@shared_task(name="cloudaccounts.remind", expires=1800)
def remind() -> None:
    """Tell which prepaid resources end soon."""
    record_paid_ends()


@shared_task(name="cloudaccounts.prune", expires=3600)
def prune() -> None:
    """Delete history that has expired."""
    services.prune_history()
