"""The simulated cloud's time, the durations of its operations, and the formats of timestamps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(slots=True)
class Clock:
    """The durations in seconds, and the time. State is computed from the time when it is read, so no thread is needed.

    `offset` shifts the cloud's clock against the machine's, so that a test need not wait.
    """

    build_seconds: float = 3.0
    action_seconds: float = 1.0
    volume_seconds: float = 2.0
    token_seconds: float = 3600.0
    offset: float = 0.0

    def now(self) -> float:
        """Return the cloud's time in seconds since 1970."""
        return time.time() + self.offset


def format_zulu(timestamp: float | None) -> str | None:
    """Format a timestamp as Nova, Glance and Neutron do: whole seconds and a Z."""
    if timestamp is None:
        return None
    return datetime.fromtimestamp(int(timestamp), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_naive(timestamp: float | None) -> str | None:
    """Format a timestamp as the databases of Nova and Cinder do: whole seconds, six zeros, no zone."""
    if timestamp is None:
        return None
    return datetime.fromtimestamp(int(timestamp), UTC).strftime("%Y-%m-%dT%H:%M:%S.000000")


def format_precise(timestamp: float) -> str:
    """Format a timestamp as Keystone does: with microseconds and a Z."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
