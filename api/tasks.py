"""Celery tasks of the API's own tables."""

from celery import shared_task

from . import idempotency
from .login_throttle import delete_empty_counts
from .sessions import delete_ended_sessions


# The name is stored in schedules and messages of the release before.
@shared_task(name="portal.forget_old_keys", expires=3600)
def delete_expired_rows() -> None:
    """Delete expired idempotency keys and sessions, and empty counts of wrong passwords."""
    idempotency.delete_old_keys()
    delete_empty_counts()
    delete_ended_sessions()
