"""Resource sync of 50,000 resources of mixed types: the first one, one that finds nothing changed, one that finds 1 %.

Each is held against the least that anybody could do: ask for the very same pages with a bare HTTP client and parse them,
then COPY the very same rows into tables of the same columns and indexes. Limit and sync are taken in turns, as the machine
is not equally busy all the time.
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from .cloud import account_at, bare_session, control_api
from .figures import Figure, Line, Note, timed
from .stack import REPOSITORY, Stack
from .statements import statements_of

if TYPE_CHECKING:
    from cloudaccounts.models import CloudAccount

# Of each 50,000. A server has a port besides, and a volume on it; the rest of a region's types have a few objects each.
MIX = {
    "servers": 10_000,
    "ports": 10_000,
    "volumes": 8_000,
    "snapshots": 6_000,
    "security_groups": 3_000,
    "networks": 600,
    "subnets": 600,
    "routers": 300,
    "floating_ips": 400,
    "images": 500,
    "keypairs": 550,
}
FEW = 5_000
MANY = 50_000
TIMES = 3
CHANGED = 0.01
MOST_GROWTH_MB = 50
DAY = 86_400
TABLES = ("cloudaccounts_cloudresource", "cloudaccounts_resourcelink")


def resources(stack: Stack) -> list[Line]:
    """First and repeated syncs of many, and what the syncing process needs of memory for few and for many."""
    from portal.celery import freeze_garbage_collector

    lines: list[Line] = []
    grown: list[float] = []
    freeze_garbage_collector()  # As in a worker.
    for count in (FEW, MANY):
        url, account = _prepare(stack, count)
        if count == MANY:
            lines += _syncs(url, account)
        grown.append(_memory_of_a_first_sync(account))
        lines.append(Note(f"{count}, first: memory of the process grows", f"{grown[-1]:.0f} MB", grown[-1]))
    more = grown[1] - grown[0]
    lines.append(
        Figure(
            f"memory of a first sync, from {FEW} to {MANY}",
            f"+{more:.0f} MB",
            f"{MOST_GROWTH_MB} MB",
            more,
            MOST_GROWTH_MB,
            "at most",
        )
    )
    return lines


def _prepare(stack: Stack, count: int) -> tuple[str, CloudAccount]:
    """A cloud with so many objects, whose servers hang together with volumes, ports, groups and keys; and its account."""
    url = stack.simulator()
    control_api(url, "POST", "clock", {"token_seconds": 30 * DAY})
    wanted = {kind: many * count // MANY for kind, many in MIX.items()}
    servers = wanted.pop("servers")
    shared = {
        "project": "demo",
        "metadata": {"application": "shop", "cost-center": "4711", "tier": "backend"},
    }
    found = control_api(url, "POST", "seed", {**shared, **wanted})
    volumes, keys = found["volumes"], found["keypairs"]
    attached = "os-extended-volumes:volumes_attached"
    raw = [
        {
            attached: [{"id": volumes[number % len(volumes)], "delete_on_termination": False}],
            "key_name": keys[number % len(keys)],
        }
        for number in range(servers)
    ]
    control_api(url, "POST", "seed", {**shared, "tags": ["shop", "backend"], "raw": {"servers": raw}})
    return url, account_at(url, url)


def _sync(account: CloudAccount) -> dict[str, int]:
    """Sync every type, as the schedule does it; how many resources are new, changed and as before."""
    from cloudaccounts.registry import list_synced_types
    from cloudaccounts.sync.resources import sync_resource

    counts = {"created": 0, "updated": 0, "unchanged": 0}
    for type_code in list_synced_types(account):
        log = sync_resource(account.pk, type_code)
        assert log is not None
        assert log.state == "success", log.message
        assert log.missing == log.expired == 0, (type_code, log.missing, log.expired)
        for name in counts:
            counts[name] += getattr(log, name)
    return counts


def _syncs(url: str, account: CloudAccount) -> list[Line]:
    control_api(url, "DELETE", "requests")
    first = statements_of(lambda: _sync(account))
    fetch = _fetcher(url)
    rows = [_copied_out(table, account) for table in TABLES]
    total, links = (table.count(b"\n") for table in rows)
    lines: list[Line] = [
        Note("resources", str(total), total),
        Note("links", str(links), links),
        Note(f"{total}, first: statements", str(first), first.round_trips),
    ]
    fetching, copying = [], []

    def limit() -> float:
        fetching.append(timed(fetch))
        copying.append(_copied_in(rows))
        return fetching[-1] + copying[-1]

    some = int(total * CHANGED)
    for what, before, expected, to_reach in (
        ("first", partial(_forget, account), {"created": total, "updated": 0, "unchanged": 0}, 3.0),
        ("nothing changed", int, {"created": 0, "updated": 0, "unchanged": total}, 1.5),
        (
            "1 % changed",
            partial(_differ, account, some),
            {"created": 0, "updated": some, "unchanged": total - some},
            1.5,
        ),
    ):
        limits, runs = [], []
        for _ in range(TIMES):
            limits.append(limit())
            before()
            runs.append(timed(partial(_expect, account, expected)))
        lines += _compared(f"{total}, {what}", limits, runs, to_reach)
        if what != "first":
            before()
            sent = statements_of(lambda: _sync(account))
            lines.append(Note(f"{total}, {what}: statements", str(sent), sent.round_trips))
    for what, seconds in (("fetch + parse", fetching), ("COPY", copying)):
        taken = statistics.median(seconds)
        lines.append(Note(f"limit: {what}", f"{taken:.3f} s", taken))
    return lines


def _compared(
    what: str, limits: Sequence[float], runs: Sequence[float], to_reach: float
) -> Iterable[Figure | Note]:
    limit, taken = statistics.median(limits), statistics.median(runs)
    yield Figure(what, f"{taken:.3f} s", f"{limit:.3f} s fetch + COPY", taken / limit, to_reach, "at most")
    best = min(runs) / min(limits)
    yield Note(f"{what}: best against best", f"{best:.2f} ({min(runs):.3f} s)", best)


def _expect(account: CloudAccount, expected: dict[str, int]) -> None:
    counts = _sync(account)
    assert counts == expected, (counts, expected)


def _fetcher(url: str) -> Callable[[], None]:
    """Asks again for every page that the syncs have asked for since the log was emptied, and parses it; nothing more."""
    asked = [
        f"{url}{entry['path']}" + (f"?{entry['query']}" if entry["query"] else "")
        for entry in control_api(url, "GET", "requests")["requests"]
        if entry["method"] == "GET" and entry["service"] != "identity" and entry["status"] == 200
    ]
    session, _endpoints = bare_session(url)

    def fetch() -> None:
        for address in asked:
            answer = session.get(address, timeout=30)
            assert answer.status_code == 200, address
            json.loads(answer.content)

    fetch()
    return fetch


def _copied_out(table: str, account: CloudAccount) -> bytes:
    """The rows of an account as COPY has them."""
    from django.db import connection

    with connection.cursor() as cursor:
        query = f"COPY (SELECT * FROM {table} WHERE account_id = {int(account.pk)}) TO STDOUT"
        rows = io.BytesIO()
        cursor.copy_expert(query, rows)
        return rows.getvalue()


def _copied_in(rows: Sequence[bytes]) -> float:
    """Seconds that it takes to COPY rows into empty tables of the same columns and indexes, and to commit that."""
    from django.db import connection

    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DROP TABLE IF EXISTS bench_{table}")
            cursor.execute(f"CREATE TABLE bench_{table} (LIKE {table} INCLUDING ALL)")

        def copy_in() -> None:
            for table, lines in zip(TABLES, rows, strict=True):
                cursor.copy_expert(f"COPY bench_{table} FROM STDIN", io.BytesIO(lines))

        return timed(copy_in)


def _forget(account: CloudAccount) -> None:
    """As if the account had never been synced, and as if that were long ago: nothing of before is left to be cleaned."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM cloudaccounts_synclogline")
        cursor.execute(
            "TRUNCATE cloudaccounts_resourcelink, cloudaccounts_resourcechange, cloudaccounts_cloudresource"
        )
        cursor.execute("VACUUM ANALYZE cloudaccounts_cloudresource")


def _differ(account: CloudAccount, count: int) -> None:
    """Let so many rows, of all types in turn, say something else than the cloud."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE cloudaccounts_cloudresource SET status = 'Another', digest = '' WHERE id IN (
                SELECT id FROM cloudaccounts_cloudresource WHERE account_id = %s ORDER BY md5(cloud_id) LIMIT %s)
            """,
            [account.pk, count],
        )


def _memory_of_a_first_sync(account: CloudAccount) -> float:
    """Megabytes by which the memory of a process that has loaded everything grows at most in a sync that writes all."""
    _forget(account)
    told = subprocess.run(
        [sys.executable, "-m", "bench.sync_alone", str(account.pk), "resources"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(told.stdout)
