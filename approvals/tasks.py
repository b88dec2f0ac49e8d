"""Celery tasks: a few lines each."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from .services import expire_requests, prune_requests


@shared_task(name="approvals.expire", expires=60)
def expire() -> None:
    """Expire the requests whose time is over."""
    expire_requests()


@shared_task(name="approvals.prune", expires=3600)
def prune() -> None:
    """Delete the requests that are older than the retention."""
    prune_requests(timezone.now() - timedelta(days=settings.APPROVAL_RETENTION_DAYS))
