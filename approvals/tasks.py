"""Celery tasks: a few lines each."""

from celery import shared_task

from .services import expire_requests


@shared_task(name="approvals.expire", expires=60)
def expire() -> None:
    """Expire the requests whose time is over."""
    expire_requests()
