"""The marks on the axes of charts: round numbers, and round times in the active time zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import floor, log10

from django.utils import timezone

MAX_COUNT_MARKS, MAX_TIME_MARKS = 4, 7
MINUTE, HOUR, DAY = 60, 3600, 86_400
TIME_STEPS = [
    *(minutes * MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * DAY for days in (1, 2, 5, 10, 20, 40, 80)),
]


def choose_step(highest: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that gives at most `MAX_COUNT_MARKS` lines above zero."""
    if highest <= 0:
        return 1
    power = 10.0 ** floor(log10(highest / MAX_COUNT_MARKS))
    step = next(factor * power for factor in (1, 2, 5, 10) if highest / (factor * power) <= MAX_COUNT_MARKS)
    return max(1, step) if highest > 1 else step


def list_time_marks(times: Sequence[datetime]) -> list[tuple[float, str]]:
    """Return marks of the time axis, each as a share of its length and a text in the active time zone."""
    if len(times) < 2:
        return []
    first, last = times[0], times[-1]
    span = (last - first).total_seconds()
    step = next((step for step in TIME_STEPS if span / step <= MAX_TIME_MARKS), TIME_STEPS[-1])
    midnight = timezone.localtime(first).replace(hour=0, minute=0, second=0, microsecond=0)
    marks = []
    # Adding to a local time adds to what its clock shows. A day may have 25 hours.
    for number in range(int((span + 2 * DAY) // step) + 1):
        at = midnight + timedelta(seconds=number * step)
        share = (at - first).total_seconds() / span
        if 0.03 <= share <= 0.97:
            marks.append((share, at.strftime("%H:%M" if step < DAY else "%m-%d")))
    return marks
