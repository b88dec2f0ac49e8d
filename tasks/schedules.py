"""Schedules, which the rooms declare in code and a deploy writes to django-celery-beat's tables.

`manage.py write_schedules` creates them by name and never deletes one. Changes of operators (interval, enabled) are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise


@dataclass(frozen=True, slots=True)
class Schedule:
    """A Celery task that beat sends at an interval."""

    name: str
    task: str
    every_seconds: int
    description: str | Promise = ""


_declared: dict[str, Schedule] = {}


def declare_schedule(schedule: Schedule) -> None:
    """Declare a schedule, which the next deploy writes. Called from a room's `AppConfig.ready()`."""
    _declared[schedule.name] = schedule


def declared_schedules() -> list[Schedule]:
    """Return every schedule that the installed rooms declare, by name."""
    return [_declared[name] for name in sorted(_declared)]


def schedule_description(name: str) -> str | None:
    """Return the purpose of a schedule in the reader's language; None for one that the code does not declare."""
    return str(_declared[name].description) if name in _declared else None
