"""Ownership for a while: who works on a row, and how others learn that he died.

A worker that claims a row writes its name and a lease into it, and gives a sign of life while it works.
When the process dies, the signs stop, the lease runs out, and the next worker may claim the row.

Why this is safe although clocks and schedulers are not: a lease only decides who *tries*.
Every write of a claim names its owner, so the write of a worker that slept through its lease hits no row and is
refused; and steps are written so that an effect is looked for before it is repeated.
All times are the database's, so workers' clocks do not matter.

What no row can refuse is an effect outside: a worker that falls asleep between its look and its request would send
it when it wakes, for a job that somebody else has ended meanwhile. So it asks `check_lease` right before each
request. That measures how long ago the last sign of life was given, by a clock that goes on during sleep, and needs
no database. What is left is the moment between that question and the request's departure.
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
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, models
from django.db.models.functions import Now

log = structlog.get_logger(__name__)


class LeaseLostError(Exception):
    """The claim under which this thread works may be another's by now; it must have no more effects."""


def _now() -> float:
    """Seconds that also count while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class Held:
    """One lease that this process keeps alive, and until when it stands for certain."""

    model: type[models.Model]
    since: float
    certain_until: float


def lease() -> timedelta:
    """How long a claim stands without a sign of life."""
    return timedelta(seconds=settings.JOB_LEASE_SECONDS)


def shorten_leases(rows: models.QuerySet[Any]) -> int:
    """Cut leases that end later than any claim is written with, as the database's clock has gone back since; how many.

    Safe: an owner that lives goes on to extend its lease, and one that has died loses it after the time of one.
    """
    too_long = rows.exclude(owner="").filter(lease_until__gt=Now() + 2 * lease())
    return too_long.update(lease_until=Now() + lease())


def new_owner() -> str:
    """A name for one claim: where it is, for people, and a part that no other claim has."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(6)}"


class _Keeper:
    """One thread a process, which extends the leases of what the process works on.

    It sleeps as long as nothing takes longer than a third of a lease, so short steps cost two dictionary writes.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.held: dict[str, Held] = {}
        self.guard = threading.Lock()
        threading.Thread(target=self.keep, name="lease-keeper", daemon=True).start()

    def keep(self) -> None:
        while True:
            period = settings.JOB_LEASE_SECONDS / 3
            time.sleep(period)
            long_ago = _now() - period / 2
            with self.guard:
                due = [(owner, held) for owner, held in self.held.items() if held.since < long_ago]
            if due:
                self.extend(due)

    def extend(self, due: list[tuple[str, Held]]) -> None:
        try:
            for owner, held in due:
                asked_at = _now()
                rows = held.model._default_manager.filter(owner=owner)  # noqa: SLF001
                if rows.update(lease_until=Now() + lease()):
                    held.certain_until = asked_at + settings.JOB_LEASE_SECONDS
        except Exception:
            # The next round tries again; a lease that runs out meanwhile costs a second claim, which is fenced.
            log.warning("leases_not_extended", exc_info=True)
        finally:
            connection.close()  # This thread works seldom; it must not sit on a connection.


_keeper: _Keeper | None = None
_effects_under: ContextVar[Held | None] = ContextVar("effects_under", default=None)


def check_lease() -> None:
    """Raise `LeaseLostError` when this thread works under a claim that may have run out. To be asked before each effect."""
    held = _effects_under.get()
    if held is not None and _now() > held.certain_until:
        raise LeaseLostError


def claiming() -> float:
    """To be called before a claim is written: the lease counts from no later than that."""
    return _now()


@contextmanager
def effects_under(held: Held) -> Iterator[None]:
    """Let this thread have effects outside only as long as a lease stands."""
    token = _effects_under.set(held)
    try:
        yield
    finally:
        _effects_under.reset(token)


@contextmanager
def held(model: type[models.Model], owner: str, *, since: float | None = None) -> Iterator[Held]:
    """Keep the lease of `owner` alive while the block runs. `since` is when it was asked for: see `claiming`."""
    global _keeper  # noqa: PLW0603 - one keeper a process; a forked child needs its own thread.
    if _keeper is None or _keeper.pid != os.getpid():
        _keeper = _Keeper()
    keeper = _keeper
    since = _now() if since is None else since
    kept = Held(model, since, certain_until=since + settings.JOB_LEASE_SECONDS)
    with keeper.guard:
        keeper.held[owner] = kept
    try:
        yield kept
    finally:
        with keeper.guard:
            keeper.held.pop(owner, None)
