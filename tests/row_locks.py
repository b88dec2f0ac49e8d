"""Two requests at the same rows: the first goes on when the second waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def written_meanwhile(write: Callable[[], object]) -> Iterator[None]:
    """Write in another transaction, which ends when the body waits for one of its rows. Needs `django_db(transaction=True)`."""
    written = threading.Event()

    def begin() -> None:
        with transaction.atomic():
            write()
            written.set()
            _wait_until_somebody_waits()
        connection.close()

    beginning = threading.Thread(target=begin)
    beginning.start()
    try:
        assert written.wait(10)
        yield
    finally:
        beginning.join(20)


def _wait_until_somebody_waits() -> None:
    """Return when another connection waits for the end of this transaction; after ten seconds at most."""
    until = time.monotonic() + 10
    with connection.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"
            )
            if cursor.fetchone()[0]:
                return
            time.sleep(0.02)
