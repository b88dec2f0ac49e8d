"""Celery tasks: a few lines each."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from .delivering import deliver
from .retention import remove_deliveries


@shared_task(name="notifications.deliver", expires=5)
def deliver_events() -> None:
    """Deliver new events to webhooks and subscribers."""
    deliver()


@shared_task(name="notifications.remove_old", expires=3600)
def remove_old() -> None:
    """Delete the deliveries that are older than the retention."""
    remove_deliveries(timezone.now() - timedelta(days=settings.DELIVERY_RETENTION_DAYS))
