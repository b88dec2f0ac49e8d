"""The health of the system: beat runs, jobs are processed, and a worker reads every queue that has messages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection
from django_celery_beat.models import PeriodicTask

from tasks import queues
from tasks.canary import LATE_SECONDS, seconds_since_canary
from tasks.clock import database_now
from tasks.restore_guard import find_suspension

# Schedules run every few seconds. A beat that has sent no task for this time has ended or hangs.
BEAT_LATE_SECONDS = 60.0
CANARY_SCHEDULE = "tasks.canary"


def find_system_problems() -> dict[str, Any]:
    """Return the problems of the system by name, each with a sentence for operators; empty when the system is healthy.

    It reads rows, and queries the broker for less than a second. The times are those of the database. In a new
    installation, beat and canary count as silent from the time of its migrations.
    """
    since_start = _seconds_since_migrations()
    beat, canary = queues.seconds_since_beat(), seconds_since_canary()
    problems: dict[str, str] = {}
    if reason := find_suspension():
        problems["restored"] = f"{reason} Sweeps, pools and jobs wait for `manage.py check_restore`."
    max_silence = _max_beat_silence()
    if max_silence is None:
        problems["schedules"] = "No schedule is enabled, so beat sends no tasks."
    elif (since_start if beat is None else beat) > max_silence:
        problems["beat"] = f"Beat has sent no task for more than {max_silence:.0f} s."
    if ahead := queues.count_schedules_ahead():
        problems["clock"] = (
            f"{ahead} schedules have a last run in the future; beat corrects them when it runs."
        )
    if _is_canary_enabled() and (since_start if canary is None else canary) > LATE_SECONDS:
        problems["canary"] = f"No canary job has ended for more than {LATE_SECONDS} s."
    if unread := _list_unread_queues():
        problems["queues"] = f"No worker reads these queues, which have messages: {', '.join(unread)}."
    return problems


def _max_beat_silence() -> float | None:
    """Return how many seconds beat may send no task: at least twice the shortest interval. None without an enabled schedule."""
    enabled = PeriodicTask.objects.filter(enabled=True).exclude(name="celery.backend_cleanup")
    spans = [
        task.interval.schedule.run_every if task.interval is not None else timedelta(days=1)
        for task in enabled.select_related("interval")
    ]
    if not spans:
        return None
    return max(BEAT_LATE_SECONDS, 2 * min(spans).total_seconds() + 10)


def _is_canary_enabled() -> bool:
    """Return whether the canary's schedule is enabled."""
    return bool(PeriodicTask.objects.filter(task=CANARY_SCHEDULE, enabled=True).exists())


def _list_unread_queues() -> list[str]:
    """Return the queues with messages and without a worker; none when the broker does not answer, which the canary will show."""
    broker = queues.broker_status()
    if broker is None:
        return []
    return sorted(name for name, depth in broker.depths.items() if depth and name not in broker.served)


def _seconds_since_migrations() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(applied) FROM django_migrations")
        (applied,) = cursor.fetchone()
    return 0.0 if applied is None else float((database_now() - applied).total_seconds())
