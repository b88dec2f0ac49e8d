"""Celery tasks: a few lines each."""

from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.utils import timezone

from .numbering import number_all_events
from .retention import remove_events
from .syslog import ForwardingError, forward_events

log = structlog.get_logger(__name__)


@shared_task(name="events.number", expires=60)
def number() -> None:
    """Number the events that have no number."""
    number_all_events()


@shared_task(name="events.remove_old", expires=3600)
def remove_old() -> None:
    """Delete the events that are older than the retention."""
    remove_events(timezone.now() - timedelta(days=settings.EVENT_RETENTION_DAYS))


@shared_task(name="events.forward", expires=60)
def forward() -> None:
    """Forward new events to the syslog server, if there is one. A failure is repeated by the next run."""
    try:
        forward_events()
    except ForwardingError as error:
        log.warning("event_forwarding_failed", error=str(error))
