"""Whether anything happens: whether beat rings, jobs come through, and every queue with messages is read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection
from django_celery_beat.models import PeriodicTask

from tasks import queues
from tasks.canary import LATE_SECONDS, seconds_since_canary
from tasks.clock import database_now

# Schedules ring every few seconds; a beat that is silent for so long is dead, or waits for one that is.
BEAT_LATE_SECONDS = 60.0
CANARY_SCHEDULE = "tasks.canary"


def system_health() -> dict[str, Any]:
    """Return what is wrong with the system as `problems`, by name, each with a sentence for operators; empty when all is well.

    It looks at rows, and at the broker, which it waits for less than a second. The times are the database's. A new
    installation has as long to show the first sign of life as any sign is good for, from its migrations on.
    """
    since_start = _seconds_since_migrations()
    beat, canary = queues.seconds_since_beat(), seconds_since_canary()
    problems: dict[str, str] = {}
    silent = _max_beat_silence()
    if silent is None:
        problems["schedules"] = "No schedule is switched on, so nothing rings."
    elif (since_start if beat is None else beat) > silent:
        problems["beat"] = f"Beat has not rung for more than {silent:.0f} s."
    if ahead := queues.count_schedules_ahead():
        problems["clock"] = (
            f"{ahead} schedules count from a time to come; beat puts them right when it ticks."
        )
    if _is_canary_enabled() and (since_start if canary is None else canary) > LATE_SECONDS:
        problems["canary"] = f"No job has come through for more than {LATE_SECONDS} s."
    if unread := _list_unread_queues():
        problems["queues"] = f"Messages wait, and no worker reads: {', '.join(unread)}."
    return problems


def _max_beat_silence() -> float | None:
    """How long beat may be silent: twice the shortest interval at least. None when no schedule is on."""
    on = PeriodicTask.objects.filter(enabled=True).exclude(name="celery.backend_cleanup")
    spans = [
        task.interval.schedule.run_every if task.interval is not None else timedelta(days=1)
        for task in on.select_related("interval")
    ]
    if not spans:
        return None
    return max(BEAT_LATE_SECONDS, 2 * min(spans).total_seconds() + 10)


def _is_canary_enabled() -> bool:
    """Whether the canary's schedule is on: whoever has switched it off misses none."""
    return bool(PeriodicTask.objects.filter(task=CANARY_SCHEDULE, enabled=True).exists())


def _list_unread_queues() -> list[str]:
    """The queues that have messages and no worker; none when that cannot be known, which the canary tells soon enough."""
    broker = queues.broker_status()
    if broker is None:
        return []
    return sorted(name for name, depth in broker.depths.items() if depth and name not in broker.served)


def _seconds_since_migrations() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(applied) FROM django_migrations")
        (applied,) = cursor.fetchone()
    return 0.0 if applied is None else float((database_now() - applied).total_seconds())
