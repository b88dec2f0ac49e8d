"""The faults, one at a time: how each begins, and how it ends. They strike one host; the other one stays whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg2

from devserver import launch
from tests.faults.framework.servers import REPOSITORY

from .lock_holder import LOCKED
from .namespaces import entered
from .processes import HostProcesses
from .servers import (
    APP_HOSTS,
    CLOUD_HOST,
    DATABASE_HOST,
    POSTGRES_PORT,
    STANDBY_HOST,
    VALKEY_PORT,
    HostServers,
)

# The host that is struck, unless the fault chooses one.
VICTIM = "app-b"
SERVER_HOSTS = (DATABASE_HOST, STANDBY_HOST, CLOUD_HOST)
# The way of a slow host's packets, each way.
SLOW_DELAY_SECONDS, SLOW_LOSS = 0.2, 0.2
CLOCK_SECONDS = 300
# What a watcher of the database needs to notice that the primary is dead, and to promote the standby.
PROMOTION_SECONDS = 5.0
# The number of beat's lock in two halves, as pg_locks has it (portal/beat.py).
BEAT_HOLDER = (
    "SELECT host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32) + objid::bigint = %s"
)


@dataclass
class Installation:
    """The targets of faults: the servers with the network, and the portal's processes."""

    servers: HostServers
    processes: HostProcesses
    # Called again and again by faults that take their time.
    pause: Callable[[], None]
    struck: str = VICTIM
    _lock_holder: subprocess.Popen[bytes] | None = None

    def start_lock_holder(self, vm_id: str) -> None:
        """Lock the row of a VM in a transaction of the struck host."""
        log = self.servers.folder / f"{self.struck}.lock-holder.log"
        log.unlink(missing_ok=True)
        with entered(self.servers.hosts[self.struck]):
            self._lock_holder = launch.start(
                [sys.executable, "-m", "tests.faults.hosts.lock_holder", vm_id],
                log=log,
                folder=REPOSITORY,
                environment=os.environ,
                when_parent_dies=signal.SIGKILL,
            )
        self.servers.wait(lambda: LOCKED in log.read_text(), "The holder of a lock")

    def end_lock_holder(self) -> None:
        """End the process that holds the lock, if there is one."""
        if self._lock_holder is not None:
            self._lock_holder.kill()
            self._lock_holder.wait()
            self._lock_holder = None

    def is_locked(self, vm_id: str) -> bool:
        """Return whether the row of a VM is locked."""
        statement = "SELECT 1 FROM vms_virtualmachine WHERE id = %s FOR UPDATE SKIP LOCKED"
        return not self.servers.query(statement, vm_id)

    def cut(
        self, targets: Sequence[str], *, ways: Sequence[str] = ("there", "back"), port: int | None = None
    ) -> None:
        """Lose every packet between the struck host and others, for one way or both, of one port or all."""
        network = self.servers.network
        network.set_rules(*network.make_rules(self.struck, targets, ways=ways, loss=1.0, port=port))

    def find_beat_leader(self) -> str:
        """Return the host whose beat holds the lock; empty if none does."""
        from portal.beat import BEAT_LOCK

        try:
            rows = self.servers.query(BEAT_HOLDER, BEAT_LOCK)
        except psycopg2.Error:
            return ""
        hosts = {host.address: name for name, host in self.servers.hosts.items()}
        return hosts.get(str(rows[0][0]), "") if rows else ""


def _mend_network(installation: Installation) -> None:
    installation.servers.network.set_rules()


def _get_other_hosts(struck: str) -> list[str]:
    return [*SERVER_HOSTS, *(host for host in APP_HOSTS if host != struck)]


@dataclass(frozen=True)
class Fault:
    """A fault: `begin` and `end` are carried out by the main thread."""

    name: str
    title: str
    begin: Callable[[Installation], None]
    end: Callable[[Installation], None] = _mend_network
    needs_clock: bool = False
    # A transaction on the struck host holds a lock when the fault begins; the report says when it is freed.
    holds_lock: bool = False


def _cut_host(installation: Installation) -> None:
    installation.cut(_get_other_hosts(installation.struck))


def _slow_host(installation: Installation) -> None:
    network = installation.servers.network
    targets = _get_other_hosts(installation.struck)
    network.set_rules(
        *network.make_rules(installation.struck, targets, delay_seconds=SLOW_DELAY_SECONDS, loss=SLOW_LOSS)
    )


def _cut_port(port: int, *ways: str) -> Callable[[Installation], None]:
    targets = (DATABASE_HOST, STANDBY_HOST) if port == POSTGRES_PORT else (DATABASE_HOST,)

    def begin(installation: Installation) -> None:
        installation.cut(targets, ways=ways, port=port)

    return begin


def _set_clock(seconds: int) -> Callable[[Installation], None]:
    def begin(installation: Installation) -> None:
        # Its beat reckons by its own clock when the schedules are due.
        installation.struck = installation.find_beat_leader() or VICTIM
        installation.processes.set_clock(installation.struck, seconds)

    return begin


def _cut_standby(installation: Installation) -> None:
    installation.struck = STANDBY_HOST
    installation.cut([DATABASE_HOST])


def _set_clock_right(installation: Installation) -> None:
    installation.processes.set_clock(installation.struck, 0)


def _fail_over(installation: Installation) -> None:
    installation.struck = DATABASE_HOST
    installation.servers.kill_postgres()
    until = time.monotonic() + PROMOTION_SECONDS
    while time.monotonic() < until:
        installation.pause()
    installation.servers.promote_standby()


def _kill_host(installation: Installation) -> None:
    installation.processes.kill_host(installation.struck)


def _cut_power(installation: Installation) -> None:
    # Without the network, nothing tells the others that the processes have ended.
    _cut_host(installation)
    installation.end_lock_holder()
    installation.processes.kill_host(installation.struck)


def _start_host(installation: Installation) -> None:
    _mend_network(installation)
    installation.processes.start_host(installation.struck)


def _cut_beat_leader(installation: Installation) -> None:
    installation.struck = installation.find_beat_leader() or VICTIM
    _cut_host(installation)


def _do_nothing(_installation: Installation) -> None:
    """Leave everything as it is."""


FAULTS = (
    Fault("none", "no fault, to compare with", _do_nothing),
    Fault("cut", "one host cut off, both ways", _cut_host, holds_lock=True),
    Fault(
        "slow",
        f"one host slow: {SLOW_DELAY_SECONDS * 1000:.0f} ms each way, {SLOW_LOSS:.0%} of packets lost",
        _slow_host,
    ),
    Fault(
        "database-requests",
        "one way: nothing reaches PostgreSQL from one host",
        _cut_port(POSTGRES_PORT, "there"),
        holds_lock=True,
    ),
    Fault(
        "database-answers",
        "one way: no answer of PostgreSQL reaches one host",
        _cut_port(POSTGRES_PORT, "back"),
        holds_lock=True,
    ),
    Fault("redis-requests", "one way: nothing reaches Redis from one host", _cut_port(VALKEY_PORT, "there")),
    Fault("redis-answers", "one way: no answer of Redis reaches one host", _cut_port(VALKEY_PORT, "back")),
    Fault("redis", "Redis cut from one host, both ways", _cut_port(VALKEY_PORT, "there", "back")),
    Fault(
        "clock-fast",
        "the clock of the host whose beat leads 5 minutes fast",
        _set_clock(CLOCK_SECONDS),
        _set_clock_right,
        needs_clock=True,
    ),
    Fault(
        "clock-slow",
        "the clock of the host whose beat leads 5 minutes slow",
        _set_clock(-CLOCK_SECONDS),
        _set_clock_right,
        needs_clock=True,
    ),
    Fault("host-killed", "all processes of one host killed", _kill_host, _start_host),
    Fault("host-dead", "one host without power", _cut_power, _start_host, holds_lock=True),
    Fault("beat-leader", "the host whose beat leads cut off", _cut_beat_leader),
    Fault("standby", "the synchronous standby cut off from the primary", _cut_standby),
    # The last one, because nothing makes the killed primary a standby again.
    Fault("failover", "PostgreSQL's primary killed, the standby promoted after 5 s", _fail_over, _do_nothing),
)
