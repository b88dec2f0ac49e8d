"""Ownership for a while: who works on a row, and how others learn that he died.

A worker that claims a row writes its name and a lease into it, and gives a sign of life while it works.
When the process dies, the signs stop, the lease runs out, and the next worker may claim the row.

Why this is safe although clocks and schedulers are not: a lease only decides who *tries*.
Every write of a claim names its owner, so the write of a worker that slept through its lease hits no row and is
refused; and steps are written so that an effect is looked for before it is repeated.
All times are the database's, so workers' clocks do not matter.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import connection, models
from django.db.models.functions import Now

log = structlog.get_logger(__name__)


def lease() -> timedelta:
    """How long a claim stands without a sign of life."""
    return timedelta(seconds=settings.JOB_LEASE_SECONDS)


def new_owner() -> str:
    """A name for one claim: where it is, for people, and a part that no other claim has."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(6)}"


class _Keeper:
    """One thread a process, which extends the leases of what the process works on.

    It sleeps as long as nothing takes longer than a third of a lease, so short steps cost two dictionary writes.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.held: dict[str, tuple[type[models.Model], float]] = {}
        self.guard = threading.Lock()
        threading.Thread(target=self.keep, name="lease-keeper", daemon=True).start()

    def keep(self) -> None:
        while True:
            period = settings.JOB_LEASE_SECONDS / 3
            time.sleep(period)
            long_ago = time.monotonic() - period / 2
            with self.guard:
                due = [(owner, model) for owner, (model, since) in self.held.items() if since < long_ago]
            if due:
                self.extend(due)

    def extend(self, due: list[tuple[str, type[models.Model]]]) -> None:
        try:
            for model in {model for _, model in due}:
                owners = [owner for owner, of in due if of is model]
                model._default_manager.filter(owner__in=owners).update(lease_until=Now() + lease())  # noqa: SLF001
        except Exception:
            # The next round tries again; a lease that runs out meanwhile costs a second claim, which is fenced.
            log.warning("leases_not_extended", exc_info=True)
        finally:
            connection.close()  # This thread works seldom; it must not sit on a connection.


_keeper: _Keeper | None = None


@contextmanager
def held(model: type[models.Model], owner: str) -> Iterator[None]:
    """Keep the lease of `owner` alive while the block runs."""
    global _keeper  # noqa: PLW0603 - one keeper a process; a forked child needs its own thread.
    if _keeper is None or _keeper.pid != os.getpid():
        _keeper = _Keeper()
    keeper = _keeper
    with keeper.guard:
        keeper.held[owner] = (model, time.monotonic())
    try:
        yield
    finally:
        with keeper.guard:
            keeper.held.pop(owner, None)
