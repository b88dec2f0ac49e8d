"""Celery tasks: a few lines each, with primary keys as arguments."""

from datetime import timedelta
from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from . import canary, engine, polling, restore_guard
from .worker_report import portal_report


@shared_task(name="tasks.advance")
def advance(job_id: str) -> None:
    """Advance one job, unless the database counts as restored: the sweep sends the message again later."""
    if not restore_guard.find_suspension():
        engine.advance(UUID(job_id))


@shared_task(name="tasks.poll")
def poll(watcher: str, scope: str) -> None:
    """Poll the watches of one scope."""
    if not restore_guard.find_suspension():
        polling.poll(watcher, scope)


@shared_task(name="tasks.sweep", expires=30)
def sweep() -> None:
    """Dispatch overdue jobs and polls again."""
    if not restore_guard.is_paused("tasks.sweep"):
        engine.sweep()


@shared_task(name="tasks.canary", expires=30)
def send_canary() -> None:
    """Send a canary."""
    if not restore_guard.is_paused("tasks.canary"):
        canary.send_canary()


@shared_task(name="tasks.record_epoch", expires=30)
def record_epoch() -> None:
    """Record that the database has come this far."""
    restore_guard.record_epoch()


@shared_task(name="tasks.prune", expires=3600)
def prune() -> None:
    """Delete jobs that ended long ago."""
    while engine.prune(older_than=timezone.now() - timedelta(days=settings.JOB_RETENTION_DAYS)):
        pass
    while engine.prune(older_than=timezone.now() - canary.RETENTION, kind=canary.CanaryCommand.kind):
        pass


# Workers import this module, which registers `portal_report`, too.
__all__ = ["advance", "poll", "portal_report", "prune", "record_epoch", "send_canary", "sweep"]
