"""Who waits for a lock of the database, for how long, and for whom: seen from a connection of its own, and told by the server.

Two witnesses, as each has a blind spot. Samples of `pg_locks` show every wait that lasts longer than two looks, with who
holds the lock at that moment; the server's log counts each wait over 100 ms exactly, and none below.
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

LOOK_EVERY = 0.002
LIMIT_MS = 100.0
SETTINGS = {"log_lock_waits": "on", "deadlock_timeout": f"{LIMIT_MS:.0f}ms"}
LOOK = """
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
TOLD = re.compile(
    r"process (\d+) (still waiting for|acquired|avoided|detected) .*?(\w+Lock on .*?) after ([\d.]+) ms"
)


@dataclass(slots=True)
class Wait:
    """One wait for one lock, as long as it was last seen to be, and what its holder did then."""

    pid: int
    what: str
    statement: str
    transaction_began: float
    ms: float
    # At the head of the queue: what its connection did, and its statement, which is the last one if it did nothing.
    holder: str


class LockWatch:
    """Looks all the time while it is open; it needs a superuser, as the benchmarks' own server has."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.waits: dict[tuple[int, str, float], Wait] = {}
        # Milliseconds that somebody waited, by his statement and by what the head of the queue did meanwhile.
        self.blame: defaultdict[tuple[str, str], float] = defaultdict(float)
        self.intervals: list[float] = []
        self.told: list[tuple[float, str]] = []
        self._failed: list[Exception] = []
        self._over = Event()
        self._thread = Thread(target=self._look)

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

        self._over.set()
        self._thread.join()
        with connection.cursor() as cursor:
            for name in SETTINGS:
                cursor.execute(f"ALTER SYSTEM RESET {name}")
            cursor.execute("SELECT pg_reload_conf()")
        with self.log.open(encoding="utf-8", errors="replace") as file:
            file.seek(self._log_began)
            lines = file.readlines()
        self.told = list(_told(lines))
        # A witness who has seen nothing because he was not there must not pass for good news.
        if self._failed:
            raise self._failed[0]
        if not self.intervals or not all(
            any(f'"{name}" changed' in line for line in lines) for name in SETTINGS
        ):
            raise RuntimeError(
                "Nobody has watched the locks: no look was taken, or the server logged no waits."
            )

    def _look(self) -> None:
        try:
            self._look_until_over()
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that asked.
            self._failed.append(error)

    def _look_until_over(self) -> None:
        from django.db import connection

        last = time.perf_counter()
        with connection.cursor() as cursor:
            while not self._over.wait(LOOK_EVERY):
                cursor.execute(LOOK)
                rows = cursor.fetchall()
                now = time.perf_counter()
                self.intervals.append((now - last) * 1000)
                self._keep(rows, (now - last) * 1000)
                last = now
        connection.close()

    def _keep(self, rows: Iterable[tuple[Any, ...]], passed_ms: float) -> None:
        """Keep what one look has shown."""
        waiting: dict[int, tuple[Wait, int | None]] = {}
        for pid, what, waitstart, now, transaction_began, statement, holder, doing, holders_statement in rows:
            # Several may hold a lock that is shared; the first of them is blamed.
            if pid in waiting:
                continue
            ms = float(now - waitstart) * 1000
            blamed = f"{doing}: {label(holders_statement)}" if holder else "gone"
            wait = Wait(pid, what, label(statement), float(transaction_began or 0), ms, blamed)
            self.waits[pid, what, float(waitstart)] = wait
            waiting[pid] = wait, holder
        for wait, holder in list(waiting.values()):
            # Whoever waits himself holds up nobody by his own doing: the head of the queue does.
            before, passed = holder, {wait.pid}
            while before in waiting and before not in passed:
                passed.add(before)
                wait.holder, before = waiting[before][0].holder, waiting[before][1]
            self.blame[wait.statement, wait.holder] += min(wait.ms, passed_ms)

    @property
    def longest(self) -> Wait | None:
        """The longest wait that was seen."""
        return max(self.waits.values(), key=lambda wait: wait.ms, default=None)

    @property
    def longest_ms(self) -> float:
        """The longest wait of which either of the two witnesses knows."""
        return max([wait.ms for wait in self.waits.values()] + [ms for ms, _what in self.told], default=0.0)

    def over_the_limit(self) -> tuple[int, int]:
        """How many waits took over 100 ms: by the samples, by the server's log."""
        return sum(wait.ms > LIMIT_MS for wait in self.waits.values()), len(self.told)

    def most_blamed(self, count: int) -> list[tuple[float, str, str]]:
        """What held others up most: milliseconds of all who waited, their statement, what the head of the queue did."""
        most = sorted(((ms, *who) for who, ms in self.blame.items()), reverse=True)
        return most[:count]

    def longest_together(self) -> float:
        """The most that one transaction waited, all its waits together: it may stand in several queues one after another."""
        together: defaultdict[tuple[int, float], float] = defaultdict(float)
        for wait in self.waits.values():
            together[wait.pid, wait.transaction_began] += wait.ms
        return max(together.values(), default=0.0)

    def between_looks(self) -> tuple[float, float]:
        """Median and 99th percentile of the milliseconds between two looks: what is shorter may be unseen."""
        return percentile(self.intervals or [0.0], 0.5), percentile(self.intervals or [0.0], 0.99)


def label(statement: str | None) -> str:
    """A statement's verb and its first table. The server shows the first 1024 characters, which may not reach FROM."""
    text = " ".join((statement or "").split())
    verb = text.partition(" ")[0].upper()
    table = re.search(r'(?:FROM|UPDATE|INTO) "?(\w+)"?', text) or re.search(r'"(\w+)"\."', text)
    locks = " FOR UPDATE" if "FOR UPDATE" in text or "FOR NO KEY UPDATE" in text else ""
    return f"{verb} {table[1]}{locks}" if table else verb or "-"


def _told(lines: Iterable[str]) -> Iterable[tuple[float, str]]:
    """Each wait over the limit in the server's log: once, as long as it was in the end, or when it was last told of."""
    open_waits: dict[tuple[str, str], float] = {}
    for line in lines:
        if not (found := TOLD.search(line)):
            continue
        pid, verb, what, ms = found.groups()
        if verb == "acquired":
            open_waits.pop((pid, what), None)
            yield float(ms), what
        else:
            open_waits[pid, what] = float(ms)
    yield from ((ms, what) for (_pid, what), ms in open_waits.items())
