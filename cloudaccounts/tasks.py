"""Celery doorbells: primary keys only, no business words."""

from celery import shared_task

from . import services
from .sync import resources

# A listing of a large account takes its time; the lease shows meanwhile that the worker lives.
LONGEST_SYNC_SECONDS = 3600


@shared_task(name="cloudaccounts.sync_account", expires=3600)
def sync_account(account_id: int) -> None:
    """Open a log for each type of one account, and ring for each."""
    services.open_scheduled_syncs(account_id)


@shared_task(
    name="cloudaccounts.sync_resource",
    soft_time_limit=LONGEST_SYNC_SECONDS,
    time_limit=LONGEST_SYNC_SECONDS + 30,
)
def sync_resource(log_id: int) -> None:
    """Carry out one sync."""
    resources.run_sync(log_id)


@shared_task(name="cloudaccounts.sweep", expires=30)
def sweep() -> None:
    """Close what died, ring again for what nobody took, and keep every schedule in step."""
    services.sweep()


@shared_task(name="cloudaccounts.prune", expires=3600)
def prune() -> None:
    """Forget what is older than it is kept."""
    services.prune()
