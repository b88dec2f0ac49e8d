"""Measure how far a cloud's clocks are from ours, by the dates of its answers.

Each service's answers are dated by the host that it runs on (`Date`). A service that does not date them is judged by
Keystone's, or by when Keystone says that it gave out a token that we have just got.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from .translation import http_date

# How long earlier offsets of a clock count: it may have been corrected since, and what changed before
# that carries the old time.
_REMEMBERED_SECONDS = 3600.0
_KEPT = 64
# Seconds between two readings.
_EVERY_SECONDS = 5.0


class CloudClock:
    """The offsets of one cloud's clocks to ours, in seconds: negative for a clock that is behind. Thread-safe."""

    def __init__(self) -> None:
        self._offsets: dict[str, deque[tuple[float, float]]] = {}
        self._lock = threading.Lock()

    def note(self, service: str, headers: Mapping[str, str]) -> None:
        """Read the date of an answer that has just arrived."""
        last = self._offsets.get(service)
        if last and time.monotonic() - last[-1][0] < _EVERY_SECONDS:
            return
        said = http_date(headers.get("date"))
        if said is not None:
            # A date is cut to whole seconds.
            self.note_time(service, said + timedelta(seconds=0.5))

    def note_time(self, service: str, said: datetime) -> None:
        """Record the service's present time."""
        offset = (said - datetime.now(UTC)).total_seconds()
        with self._lock:
            self._offsets.setdefault(service, deque(maxlen=_KEPT)).append((time.monotonic(), offset))

    def offset(self, service: str) -> float | None:
        """Return by how many seconds a service's clock is ahead of ours, or None when no answer has told yet."""
        with self._lock:
            readings = self._offsets.get(service) or self._offsets.get("identity")
            return readings[-1][1] if readings else None

    def earliest_offset(self, service: str) -> float | None:
        """Return the lowest offset of the last hour, or None: a change at a time of ours has at least that time there."""
        since = time.monotonic() - _REMEMBERED_SECONDS
        with self._lock:
            readings = self._offsets.get(service) or self._offsets.get("identity")
            return (
                min([offset for at, offset in readings if at >= since] or [readings[-1][1]])
                if readings
                else None
            )

    def worst_offset(self) -> float | None:
        """Return the offset of the service that is furthest from us, or None."""
        with self._lock:
            latest = [readings[-1][1] for readings in self._offsets.values() if readings]
        return max(latest, key=abs, default=None)
