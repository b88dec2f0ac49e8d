"""The status of the replica: it may be used while it answers, follows this primary, and is not too far behind.

A thread of each web process compares replica and primary every second, over connections of its own. So no request waits
for a replica that is away: it reads the last result. A request that fails on the replica suspends it at once.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from enum import StrEnum

import psycopg2
import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from .deadlines import cut_overdue_reads
from .lag import LagMeter
from .probes import Probe
from .routing import REPLICA_ALIAS

log = structlog.get_logger(__name__)

CHECK_SECONDS = 1.0
# A server that is asked how it is and does not answer for so long is away.
ANSWER_SECONDS = 2.0
# A result that is older than this counts for nothing: the thread hangs, or the machine slept.
RESULT_SECONDS = 5.0
# For how long a replica on which a request has failed is not used, even if it answers again.
SUSPENSION_SECONDS = 3.0
# A replica that is slightly behind gets these pauses to replay what the primary has just written.
PAUSES = (0.02, 0.1)

# Flushed and not inserted: a standby receives only what is flushed, so it is never ahead of it.
PRIMARY = """
    SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint, (SELECT system_identifier FROM pg_control_system())
"""
REPLICA = """
    SELECT pg_is_in_recovery(), (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint,
           (SELECT system_identifier FROM pg_control_system())
"""


class ReplicaState(StrEnum):
    """The state of the replica. Only one of them allows to use it."""

    UNKNOWN = "unknown"  # Not checked, or the primary did not answer.
    IN_USE = "in_use"
    BEHIND = "behind"  # Further than DATABASE_REPLICA_MAX_LAG_SECONDS.
    AWAY = "away"  # It does not answer.
    NOT_A_STANDBY = "not_a_standby"  # It was promoted, or the address is that of a primary.
    OTHER_DATABASE = (
        "other_database"  # It follows another server, or another history after a failover or a restore.
    )


@dataclass(frozen=True)
class ReplicaStatus:
    """The result of a check; `checked_at` is in seconds of a monotonic clock, the lag is None when it is not known."""

    state: ReplicaState
    lag_seconds: float | None
    checked_at: float


class ReplicaWatch:
    """Checks the replica, and keeps the last result. Thread-safe: the result is replaced as a whole."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget results, connections and the thread, which a forked child does not have."""
        self._checking = threading.Lock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._primary = Probe(DEFAULT_DB_ALIAS, ANSWER_SECONDS)
        self._replica = Probe(REPLICA_ALIAS, ANSWER_SECONDS)
        self._meter = LagMeter(settings.DATABASE_REPLICA_MAX_LAG_SECONDS + 60)
        self._status = ReplicaStatus(ReplicaState.UNKNOWN, None, float("-inf"))
        self._suspended_until = float("-inf")

    def find_refusal(self) -> str | None:
        """Return why the replica may not be used now; None when it may. Costs nothing, and starts the thread."""
        self._start()
        status, now = self._status, time.monotonic()
        age = now - status.checked_at
        if status.state is not ReplicaState.IN_USE:
            return status.state.value
        if now < self._suspended_until:
            return "suspended"
        if age > RESULT_SECONDS:
            return ReplicaState.UNKNOWN.value
        if (status.lag_seconds or 0.0) + age > settings.DATABASE_REPLICA_MAX_LAG_SECONDS:
            return ReplicaState.BEHIND.value
        return None

    def suspend(self, seconds: float = SUSPENSION_SECONDS) -> None:
        """Do not use the replica for some seconds."""
        self._suspended_until = max(self._suspended_until, time.monotonic() + seconds)

    def fetch_status(self) -> ReplicaStatus:
        """Return the last result, or a new one where no thread checks. It waits for a replica that is away."""
        if time.monotonic() - self._status.checked_at > RESULT_SECONDS:
            self.check()
        return self._status

    def check(self) -> None:
        """Compare the replica with the primary."""
        with self._checking:
            state, lag = self._compare()
            if state is not self._status.state:
                write = log.info if state is ReplicaState.IN_USE else log.warning
                write("replica_state_changed", state=state.value, before=self._status.state.value)
            self._status = ReplicaStatus(state, lag, time.monotonic())

    def _compare(self) -> tuple[ReplicaState, float | None]:
        try:
            is_standby, replayed, replica_system = self._replica.fetch_row(REPLICA)
        except psycopg2.Error:
            return ReplicaState.AWAY, None
        if not is_standby or replayed is None:
            return ReplicaState.NOT_A_STANDBY, None
        try:
            # After the replica: a standby of this primary cannot be ahead of what the primary has written later.
            read_at = time.monotonic()
            written, system = self._primary.fetch_row(PRIMARY)
        except psycopg2.Error:
            return ReplicaState.UNKNOWN, None
        if system != replica_system or replayed > written:
            return ReplicaState.OTHER_DATABASE, None
        self._meter.add(read_at, written)
        for pause in PAUSES:
            if replayed >= written:
                break
            time.sleep(pause)
            try:
                replayed = self._replica.fetch_row(REPLICA)[1]
            except psycopg2.Error:
                return ReplicaState.AWAY, None
        lag = self._meter.measure(time.monotonic(), replayed)
        is_near = lag is not None and lag <= settings.DATABASE_REPLICA_MAX_LAG_SECONDS
        return ReplicaState.IN_USE if is_near else ReplicaState.BEHIND, lag

    def _start(self) -> None:
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="replica", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self.check()
                if cut_overdue_reads():
                    self.suspend()
            except Exception:  # The thread must not end; without a result, the replica is not used.
                log.exception("replica_not_checked")
            time.sleep(CHECK_SECONDS)


watch = ReplicaWatch()
os.register_at_fork(after_in_child=watch.reset)
