"""Time in the simulated cloud: how long things take, and how a moment is written."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(slots=True)
class Clock:
    """Durations in seconds. State moves are worked out from the time when somebody looks, so no thread is needed.

    `offset` shifts the cloud's clock against the machine's, so a test need not wait.
    """

    build_seconds: float = 3.0
    action_seconds: float = 1.0
    volume_seconds: float = 2.0
    token_seconds: float = 3600.0
    offset: float = 0.0

    def now(self) -> float:
        """The cloud's time, in seconds since 1970."""
        return time.time() + self.offset


def zulu(moment: float | None) -> str | None:
    """As Nova, Glance and Neutron write it: whole seconds and a Z."""
    if moment is None:
        return None
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plain(moment: float | None) -> str | None:
    """As databases of Nova and Cinder write it: whole seconds, six zeros, no zone."""
    if moment is None:
        return None
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%S.000000")


def precise(moment: float) -> str:
    """As Keystone writes it: with microseconds and a Z."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
