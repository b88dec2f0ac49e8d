"""Measure the offsets of a cloud's clocks to ours by the dates of its answers.

The host of each service dates its answers (`Date`). For a service that sends no dates, Keystone's offset counts, which is
also read from the issue time of new tokens.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from .translation import parse_http_date

# The time for which earlier offsets of a clock count: it may have been corrected since, and earlier changes carry the
# old time.
_WINDOW_SECONDS = 3600.0
_MAX_READINGS = 64
# The least time between two readings.
_MIN_INTERVAL_SECONDS = 5.0


class CloudClock:
    """The offsets of one cloud's clocks to ours, in seconds: negative for a clock that is behind. Thread-safe."""

    def __init__(self) -> None:
        self._offsets: dict[str, deque[tuple[float, float]]] = {}
        self._lock = threading.Lock()

    def record_date(self, service: str, headers: Mapping[str, str]) -> None:
        """Record the offset by the date of an answer that has just arrived."""
        last = self._offsets.get(service)
        if last and time.monotonic() - last[-1][0] < _MIN_INTERVAL_SECONDS:
            return
        date = parse_http_date(headers.get("date"))
        if date is not None:
            # HTTP dates are truncated to whole seconds.
            self.record_time(service, date + timedelta(seconds=0.5))

    def record_time(self, service: str, present: datetime) -> None:
        """Record the offset by the service's present time."""
        offset = (present - datetime.now(UTC)).total_seconds()
        with self._lock:
            self._offsets.setdefault(service, deque(maxlen=_MAX_READINGS)).append((time.monotonic(), offset))

    def offset(self, service: str) -> float | None:
        """Return by how many seconds a service's clock is ahead of ours, or None without a reading."""
        with self._lock:
            readings = self._offsets.get(service) or self._offsets.get("identity")
            return readings[-1][1] if readings else None

    def earliest_offset(self, service: str) -> float | None:
        """Return the lowest offset of the last hour, or None. A change at time `t` of ours is dated there `t` plus this, or later."""
        since = time.monotonic() - _WINDOW_SECONDS
        with self._lock:
            readings = self._offsets.get(service) or self._offsets.get("identity")
            return (
                min([offset for at, offset in readings if at >= since] or [readings[-1][1]])
                if readings
                else None
            )

    def worst_offset(self) -> float | None:
        """Return the offset of the service whose clock differs the most from ours, or None."""
        with self._lock:
            latest = [readings[-1][1] for readings in self._offsets.values() if readings]
        return max(latest, key=abs, default=None)
