"""Celery doorbells: primary keys only, no business words."""

from celery import shared_task

from api.idempotency import forget_old_keys as forget
from api.login_throttle import forget_old_counts


@shared_task(name="portal.forget_old_keys", expires=3600)
def forget_old_keys() -> None:
    """Delete idempotency keys that nobody can replay any more, and empty counts of wrong passwords."""
    forget()
    forget_old_counts()
