"""The lag of a standby in seconds, measured by what its primary had written at known times.

PostgreSQL's own measure, the time of the last replayed transaction, is no use here: on an idle primary it grows although
nothing is missing, and a standby that has lost its primary reports that it has replayed all that it received.
"""

from __future__ import annotations

from collections import deque


class LagMeter:
    """Positions of the primary in its write-ahead log, in bytes, and when they were read (seconds of a monotonic clock)."""

    def __init__(self, keep_seconds: float) -> None:
        self._keep_seconds = keep_seconds
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, read_at: float, position: int) -> None:
        """Remember a position. `read_at` is the time before it was requested: all that was committed until then is in it."""
        # After a failover or a restore, the log may continue below positions of before; they mean nothing any more.
        while self._samples and self._samples[-1][1] > position:
            self._samples.pop()
        self._samples.append((read_at, position))
        while self._samples[0][0] < read_at - self._keep_seconds:
            self._samples.popleft()

    def measure(self, now: float, replayed: int) -> float | None:
        """Return an upper bound of the lag of a standby that has replayed up to a position.

        None when it has replayed none of the remembered positions, so that the lag is unknown or too long to be measured.
        """
        times = [read_at for read_at, position in self._samples if position <= replayed]
        return now - times[-1] if times else None
