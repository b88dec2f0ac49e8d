"""Celery doorbells: primary keys only, no business words."""

from celery import shared_task

from api import idempotency
from api.login_throttle import delete_empty_counts


@shared_task(name="portal.forget_old_keys", expires=3600)
def delete_old_keys() -> None:
    """Delete idempotency keys that are older than a replay may be, and counts of wrong passwords that are empty."""
    idempotency.delete_old_keys()
    delete_empty_counts()
