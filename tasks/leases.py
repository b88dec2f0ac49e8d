"""Leases: one worker has one row to itself for a while, and others learn when it has died.

Four tables have the columns `owner` and `lease_until`, and this one implementation: jobs, the scopes of the poller, and the
states of the VM sync, of the volume sync and of a resource sync. A worker acquires the lease of a row by writing its name
into it, keeps it alive while it works, and releases it with its last write. When the process dies, nothing extends the
lease any more, it runs out, and the next worker may acquire it.

Why this is safe although clocks and schedulers are not: a lease only decides which worker *tries*.
Every write under a lease names its owner, so the write of a worker that slept through its lease hits no row and is
refused; and a step looks for its effect before it repeats it.
All times are the database's, so workers' clocks do not matter.

What no row can refuse is an effect outside: a worker that falls asleep between its check and its request would send
it when it wakes, for a job that another worker has ended meanwhile. So it calls `check_lease` right before each
request. That measures how long ago the lease was last extended, by a clock that goes on during sleep, and needs
no database. What is left is the moment between that check and the request's departure.

No library is used: advisory locks of PostgreSQL end with the connection, which a worker gives back while it talks to a
cloud, and locks in Redis end with Redis; neither would be refused a late write.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Self

import structlog
from django.conf import settings
from django.db import connection, models
from django.db.models import Q
from django.db.models.functions import Now

log = structlog.get_logger(__name__)

# The columns of a row that nobody owns.
RELEASED: dict[str, Any] = {"owner": "", "lease_until": None}


class LeaseLostError(Exception):
    """The lease under which this thread works may be another worker's; it must have no more effects."""


def lease_duration() -> timedelta:
    """Return how long a lease stands without being extended."""
    return timedelta(seconds=settings.JOB_LEASE_SECONDS)


def renewal() -> dict[str, Any]:
    """Return the columns that extend a lease, for a write under it."""
    return {"lease_until": Now() + lease_duration()}


def is_unowned() -> Q:
    """Return the condition that a row has no owner, or one that has let its lease run out."""
    return Q(owner="") | Q(lease_until__lt=Now())


def shorten_leases(rows: models.QuerySet[Any]) -> int:
    """Shorten leases that end later than any is written with, as the database's clock has gone back since; return how many.

    Safe: an owner that lives goes on to extend its lease, and one that has died loses it after the time of one.
    """
    too_long = rows.exclude(owner="").filter(lease_until__gt=Now() + 2 * lease_duration())
    return too_long.update(**renewal())


def _now() -> float:
    """Return seconds that also count while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One worker's lease of one row.

    `owner` names where the worker is, for people, and has a part that no other lease has.
    """

    def __init__(self, row: models.QuerySet[Any], owner: str | None = None) -> None:
        """Prepare a lease of the row that a queryset selects.

        Its time counts from here, so make it before the row is written.
        """
        self.row = row
        self.owner = (
            f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(6)}" if owner is None else owner
        )
        self.since = _now()
        self.certain_until = self.since + settings.JOB_LEASE_SECONDS

    @classmethod
    def acquire(cls, row: models.QuerySet[Any], condition: Q | None = None) -> Self | None:
        """Acquire the lease of a row by compare-and-set; None when the row does not meet the condition.

        Unless another is given, the condition is that no other worker's lease stands.
        """
        lease = cls(row)
        free = is_unowned() if condition is None else condition
        return lease if row.filter(free).update(owner=lease.owner, **renewal()) else None

    @property
    def held_row(self) -> models.QuerySet[Any]:
        """Return the query for the row if this lease still owns it, else for no row."""
        return self.row.filter(owner=self.owner)

    def write(self, condition: Q | None = None, /, **columns: Any) -> bool:
        """Write columns of the row if it is still owned and meets the condition; return whether it was."""
        rows = self.held_row if condition is None else self.held_row.filter(condition)
        return bool(rows.update(**columns))

    def release(self, condition: Q | None = None, /, **columns: Any) -> bool:
        """Write columns of the row and own it no longer; return False when it was not written.

        A `lease_until` among the columns keeps the row from the next worker until then.
        """
        return self.write(condition, **{**RELEASED, **columns})

    def extend(self) -> None:
        """Extend the lease, unless the row is another worker's."""
        asked_at = _now()
        if self.write(**renewal()):
            self.certain_until = asked_at + settings.JOB_LEASE_SECONDS

    @contextmanager
    def kept_alive(self, *, guard_effects: bool = False) -> Iterator[Self]:
        """Extend the lease while the block runs.

        With `guard_effects`, `check_lease` raises in this thread as soon as the lease may have run out.
        """
        keeper = _keeper_of_process()
        token = _effects_under.set(self if guard_effects else _effects_under.get())
        with keeper.guard:
            keeper.leases[self.owner] = self
        try:
            yield self
        finally:
            with keeper.guard:
                keeper.leases.pop(self.owner, None)
            _effects_under.reset(token)


_effects_under: ContextVar[Lease | None] = ContextVar("effects_under", default=None)


def check_lease() -> None:
    """Raise `LeaseLostError` when this thread works under a lease that may have run out. Call it before each effect."""
    lease = _effects_under.get()
    if lease is not None and _now() > lease.certain_until:
        raise LeaseLostError


class _Keeper:
    """One thread a process, which extends the leases of what the process works on.

    It sleeps as long as nothing takes longer than a third of a lease, so short steps cost two dictionary writes.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.leases: dict[str, Lease] = {}
        self.guard = threading.Lock()
        threading.Thread(target=self.run, name="lease-keeper", daemon=True).start()

    def run(self) -> None:
        while True:
            period = settings.JOB_LEASE_SECONDS / 3
            time.sleep(period)
            long_ago = _now() - period / 2
            with self.guard:
                due = [lease for lease in self.leases.values() if lease.since < long_ago]
            if due:
                self.extend(due)

    def extend(self, leases: list[Lease]) -> None:
        try:
            for lease in leases:
                lease.extend()
        except Exception:
            # The next round tries again; a lease that runs out meanwhile costs a second claim, which is fenced.
            log.warning("leases_not_extended", exc_info=True)
        finally:
            connection.close()  # This thread works seldom; it must not sit on a connection.


_keeper: _Keeper | None = None


def _keeper_of_process() -> _Keeper:
    global _keeper  # noqa: PLW0603 - one keeper a process; a forked child needs its own thread.
    if _keeper is None or _keeper.pid != os.getpid():
        _keeper = _Keeper()
    return _keeper
