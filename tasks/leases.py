"""Leases: a worker owns a row for a limited time, and another worker can acquire it after the owner has died.

Several tables have the columns `owner` and `lease_until`, and share this implementation: jobs, the scopes of the poller, and
the sync states. A worker acquires the lease of a row by writing its name into it, extends it while it works, and releases
it with its last write. When the process dies, nothing extends the lease, it runs out, and the next worker may acquire it.

This is safe although clocks and schedulers are not exact, because a lease only decides which worker *tries*.
Every write under a lease names its owner, so the write of a worker that was suspended beyond its lease matches no row and
is refused; and a step looks for its effect before it repeats it.
All times are those of the database, so workers' clocks do not matter.

No row can refuse a request to an external system: a worker that is suspended between its check and its request would send
the request when it resumes, for a job that another worker has ended meanwhile. So it calls `check_lease` right before each
request. That compares the time since the last extension, by a clock that also counts while the machine is suspended, and
needs no database. Only the moment between this check and the sending of the request is not covered.

No library is used: advisory locks of PostgreSQL end with the connection, which a worker returns to the pool during a
request to a cloud, and locks in Redis end with Redis; neither refuses a late write.
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

# The columns of a row without an owner.
RELEASED: dict[str, Any] = {"owner": "", "lease_until": None}


class LeaseLostError(Exception):
    """The lease of this thread may have passed to another worker, so this thread must send no more requests."""


def lease_duration() -> timedelta:
    """Return how long a lease is valid without an extension."""
    return timedelta(seconds=settings.JOB_LEASE_SECONDS)


def renewal() -> dict[str, Any]:
    """Return the columns that extend a lease, for a write of its owner."""
    return {"lease_until": Now() + lease_duration()}


def is_unowned() -> Q:
    """Return the condition that a row has no owner, or that its lease has run out."""
    return Q(owner="") | Q(lease_until__lt=Now())


def shorten_leases(rows: models.QuerySet[Any]) -> int:
    """Shorten leases that end later than any lease can, because the database's clock was set back; return how many.

    Safe: a living owner goes on to extend its lease, and the lease of a dead owner runs out after the usual time.
    """
    overlong_leases = rows.exclude(owner="").filter(lease_until__gt=Now() + 2 * lease_duration())
    return overlong_leases.update(**renewal())


def _now() -> float:
    """Return the seconds of a clock that also counts while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One worker's lease of one row.

    `owner` consists of host and process id, for people, and of a part that is unique for each lease.
    """

    def __init__(self, row: models.QuerySet[Any], owner: str | None = None) -> None:
        """Prepare a lease of the row that a queryset selects.

        Its time counts from now, so create it before the row is written.
        """
        self.row = row
        self.owner = (
            f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(6)}" if owner is None else owner
        )
        self.since = _now()
        self.certain_until = self.since + settings.JOB_LEASE_SECONDS

    @classmethod
    def acquire(cls, row: models.QuerySet[Any], condition: Q | None = None) -> Self | None:
        """Acquire the lease of a row by compare-and-set; return None when the row does not meet the condition.

        The default condition is that no other worker has a valid lease.
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
        """Write columns of the row and give up its ownership; return False when nothing was written.

        With a `lease_until` among the columns, the next worker can acquire the row only after that time.
        """
        return self.write(condition, **{**RELEASED, **columns})

    def extend(self) -> None:
        """Extend the lease, unless another worker owns the row."""
        started_at = _now()
        if self.write(**renewal()):
            self.certain_until = started_at + settings.JOB_LEASE_SECONDS

    @contextmanager
    def kept_alive(self, *, guard_effects: bool = False) -> Iterator[Self]:
        """Extend the lease while the block runs.

        With `guard_effects`, `check_lease` raises in this thread as soon as the lease may have run out.
        """
        renewer = _get_renewer()
        token = _guarding_lease.set(self if guard_effects else _guarding_lease.get())
        with renewer.lock:
            renewer.leases[self.owner] = self
        try:
            yield self
        finally:
            with renewer.lock:
                renewer.leases.pop(self.owner, None)
            _guarding_lease.reset(token)


_guarding_lease: ContextVar[Lease | None] = ContextVar("guarding_lease", default=None)


def check_lease() -> None:
    """Raise `LeaseLostError` when this thread's lease may have run out. Call it before each request to an external system."""
    lease = _guarding_lease.get()
    if lease is not None and _now() > lease.certain_until:
        raise LeaseLostError


class _LeaseRenewer:
    """A thread that extends the leases of its process. Each process has one.

    It skips leases that are younger than a sixth of the lease duration, so a short step costs only two dictionary writes.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.leases: dict[str, Lease] = {}
        self.lock = threading.Lock()
        threading.Thread(target=self.run, name="lease-renewer", daemon=True).start()

    def run(self) -> None:
        while True:
            period = settings.JOB_LEASE_SECONDS / 3
            time.sleep(period)
            started_before = _now() - period / 2
            with self.lock:
                due = [lease for lease in self.leases.values() if lease.since < started_before]
            if due:
                self.extend(due)

    def extend(self, leases: list[Lease]) -> None:
        try:
            for lease in leases:
                lease.extend()
        except Exception:
            # The next round retries. If a lease runs out meanwhile, another worker claims the row, and the writes of this
            # one are refused.
            log.warning("leases_not_extended", exc_info=True)
        finally:
            connection.close()  # This thread runs rarely and must not occupy a connection.


_renewer: _LeaseRenewer | None = None


def _get_renewer() -> _LeaseRenewer:
    global _renewer  # noqa: PLW0603 - one renewer for each process; a forked child needs its own thread.
    if _renewer is None or _renewer.pid != os.getpid():
        _renewer = _LeaseRenewer()
    return _renewer
