"""The waits for locks of the database: which session waits, for how long, and for which other one.

There are two sources, because each is incomplete. Samples of `pg_locks` have every wait that lasts longer than two samples,
with the holder of the lock at that moment. The server's log has each wait over 100 ms exactly, and none below.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from .figures import percentile

SAMPLE_SECONDS = 0.002
LIMIT_MS = 100.0
SETTINGS = {"log_lock_waits": "on", "deadlock_timeout": f"{LIMIT_MS:.0f}ms"}
SAMPLE_QUERY = """
WITH locks AS MATERIALIZED (SELECT * FROM pg_locks)
SELECT w.pid, w.mode || ' on ' || w.locktype || coalesce(' of ' || w.relation::regclass, ''),
       extract(epoch FROM w.waitstart), extract(epoch FROM clock_timestamp()),
       extract(epoch FROM a.xact_start), a.query,
       h.pid, concat_ws(', ', b.state, b.wait_event), b.query
FROM locks w
JOIN pg_stat_activity a ON a.pid = w.pid
LEFT JOIN locks h ON h.granted AND h.pid <> w.pid AND h.locktype = w.locktype
    AND (h.transactionid, h.database, h.relation, h.page, h.tuple, h.virtualxid, h.classid, h.objid)
    IS NOT DISTINCT FROM
    (w.transactionid, w.database, w.relation, w.page, w.tuple, w.virtualxid, w.classid, w.objid)
LEFT JOIN pg_stat_activity b ON b.pid = h.pid
WHERE NOT w.granted AND w.waitstart IS NOT NULL
"""
LOG_LINE = re.compile(
    r"process (\d+) (still waiting for|acquired|avoided|detected) .*?(\w+Lock on .*?) after ([\d.]+) ms"
)


@dataclass(slots=True)
class Wait:
    """One wait for one lock, with its duration and its holder at the last sample."""

    pid: int
    what: str
    statement: str
    transaction_began: float
    ms: float
    # The session at the head of the queue: its state and its statement, which is the last one if it is idle.
    holder: str


class LockWatch:
    """Samples the locks while it is open. It needs a superuser, as the benchmarks' own server has."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.waits: dict[tuple[int, str, float], Wait] = {}
        # Milliseconds of waiting, by the statement that waited and by what the head of the queue did.
        self.wait_ms_by_holder: defaultdict[tuple[str, str], float] = defaultdict(float)
        self.intervals: list[float] = []
        self.logged: list[tuple[float, str]] = []
        self._failed: list[Exception] = []
        self._closed = Event()
        self._thread = Thread(target=self._sample)

    def __enter__(self) -> Self:
        from django.db import connection

        self._log_began = self.log.stat().st_size
        with connection.cursor() as cursor:
            for name, value in SETTINGS.items():
                cursor.execute(f"ALTER SYSTEM SET {name} = %s", [value])
            cursor.execute("SELECT pg_reload_conf()")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from django.db import connection

        self._closed.set()
        self._thread.join()
        with connection.cursor() as cursor:
            for name in SETTINGS:
                cursor.execute(f"ALTER SYSTEM RESET {name}")
            cursor.execute("SELECT pg_reload_conf()")
        with self.log.open(encoding="utf-8", errors="replace") as file:
            file.seek(self._log_began)
            lines = file.readlines()
        self.logged = list(_read_log(lines))
        # No waits without a single sample would not prove anything.
        if self._failed:
            raise self._failed[0]
        if not self.intervals or not all(
            any(f'"{name}" changed' in line for line in lines) for name in SETTINGS
        ):
            raise RuntimeError(
                "The locks were not watched: no sample was taken, or the server's settings were not applied."
            )

    def _sample(self) -> None:
        try:
            self._sample_until_closed()
        except Exception as error:  # noqa: BLE001 - it is raised in the main thread.
            self._failed.append(error)

    def _sample_until_closed(self) -> None:
        from django.db import connection

        last = time.perf_counter()
        with connection.cursor() as cursor:
            while not self._closed.wait(SAMPLE_SECONDS):
                cursor.execute(SAMPLE_QUERY)
                rows = cursor.fetchall()
                now = time.perf_counter()
                self.intervals.append((now - last) * 1000)
                self._record(rows, (now - last) * 1000)
                last = now
        connection.close()

    def _record(self, rows: Iterable[tuple[Any, ...]], passed_ms: float) -> None:
        """Record the waits of one sample."""
        waiting: dict[int, tuple[Wait, int | None]] = {}
        for pid, what, waitstart, now, transaction_began, statement, holder, doing, holders_statement in rows:
            # Several sessions may hold a shared lock; the wait is counted for the first.
            if pid in waiting:
                continue
            ms = float(now - waitstart) * 1000
            described = f"{doing}: {shorten_statement(holders_statement)}" if holder else "gone"
            wait = Wait(pid, what, shorten_statement(statement), float(transaction_began or 0), ms, described)
            self.waits[pid, what, float(waitstart)] = wait
            waiting[pid] = wait, holder
        for wait, holder in list(waiting.values()):
            # A holder may wait itself: the wait is counted for the head of the queue.
            before, passed = holder, {wait.pid}
            while before in waiting and before not in passed:
                passed.add(before)
                wait.holder, before = waiting[before][0].holder, waiting[before][1]
            self.wait_ms_by_holder[wait.statement, wait.holder] += min(wait.ms, passed_ms)

    @property
    def longest(self) -> Wait | None:
        """Return the longest wait that was sampled."""
        return max(self.waits.values(), key=lambda wait: wait.ms, default=None)

    @property
    def longest_ms(self) -> float:
        """Return the longest wait of both sources."""
        return max([wait.ms for wait in self.waits.values()] + [ms for ms, _what in self.logged], default=0.0)

    def count_over_limit(self) -> tuple[int, int]:
        """Count the waits over 100 ms: by the samples, and by the server's log."""
        return sum(wait.ms > LIMIT_MS for wait in self.waits.values()), len(self.logged)

    def find_worst_holders(self, count: int) -> list[tuple[float, str, str]]:
        """Return the holders with the most waiting: milliseconds, the statement that waited, and what the holder did."""
        worst = sorted(((ms, *who) for who, ms in self.wait_ms_by_holder.items()), reverse=True)
        return worst[:count]

    def sum_longest_transaction(self) -> float:
        """Return the longest sum of the waits of one transaction, which may wait for several locks one after another."""
        sums: defaultdict[tuple[int, float], float] = defaultdict(float)
        for wait in self.waits.values():
            sums[wait.pid, wait.transaction_began] += wait.ms
        return max(sums.values(), default=0.0)

    def measure_sampling(self) -> tuple[float, float]:
        """Return median and 99th percentile of the milliseconds between two samples. Shorter waits may be missed."""
        return percentile(self.intervals or [0.0], 0.5), percentile(self.intervals or [0.0], 0.99)


def shorten_statement(statement: str | None) -> str:
    """Return a statement's verb and first table. The server gives its first 1024 characters, which may not reach FROM."""
    text = " ".join((statement or "").split())
    verb = text.partition(" ")[0].upper()
    table = re.search(r'(?:FROM|UPDATE|INTO) "?(\w+)"?', text) or re.search(r'"(\w+)"\."', text)
    locks = " FOR UPDATE" if "FOR UPDATE" in text or "FOR NO KEY UPDATE" in text else ""
    return f"{verb} {table[1]}{locks}" if table else verb or "-"


def _read_log(lines: Iterable[str]) -> Iterable[tuple[float, str]]:
    """Return each wait over the limit in the server's log once, with its final duration or the last one that was logged."""
    open_waits: dict[tuple[str, str], float] = {}
    for line in lines:
        if not (found := LOG_LINE.search(line)):
            continue
        pid, verb, what, ms = found.groups()
        if verb == "acquired":
            open_waits.pop((pid, what), None)
            yield float(ms), what
        else:
            open_waits[pid, what] = float(ms)
    yield from ((ms, what) for (_pid, what), ms in open_waits.items())
