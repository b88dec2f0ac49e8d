"""Celery tasks: a few lines each."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from .numbering import number_all_events
from .retention import remove_events


@shared_task(name="events.number", expires=60)
def number() -> None:
    """Number the events that have no number."""
    number_all_events()


@shared_task(name="events.remove_old", expires=3600)
def remove_old() -> None:
    """Delete the events that are older than the retention."""
    remove_events(timezone.now() - timedelta(days=settings.EVENT_RETENTION_DAYS))
