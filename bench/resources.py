"""Resource sync of 50,000 resources of mixed types: the first one, one that finds nothing changed, one that finds 1 %.

Each is compared with the necessary minimum: fetch and parse the same pages with a bare HTTP client, and COPY the same rows
into tables of the same columns and indexes. Limit and sync are measured in turns, because the load of the machine changes.
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

from .cloud import call_control_api, create_account, open_bare_session
from .figures import Figure, Line, Note, measure
from .stack import REPOSITORY, Stack
from .statements import count_statements

if TYPE_CHECKING:
    from cloudaccounts.models import CloudAccount

# The objects of 50,000. Each server has a port and a volume; the types that are missing here have a few objects each.
COUNTS = {
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
MAX_GROWTH_MB = 50
DAY = 86_400
TABLES = ("cloudaccounts_cloudresource", "cloudaccounts_resourcelink")


def measure_resource_sync(stack: Stack) -> list[Line]:
    """Measure first and repeated syncs of many resources, and the memory of a first sync of few and of many."""
    from portal.celery import freeze_garbage_collector

    lines: list[Line] = []
    growth: list[float] = []
    freeze_garbage_collector()  # As in a worker.
    for count in (FEW, MANY):
        url, account = _create_cloud(stack, count)
        if count == MANY:
            lines += _measure_syncs(url, account)
        growth.append(_measure_memory_growth(account))
        lines.append(Note(f"{count}, first: memory of the process grows", f"{growth[-1]:.0f} MB", growth[-1]))
    more = growth[1] - growth[0]
    lines.append(
        Figure(
            f"memory of a first sync, from {FEW} to {MANY}",
            f"+{more:.0f} MB",
            f"{MAX_GROWTH_MB} MB",
            more,
            MAX_GROWTH_MB,
            "at most",
        )
    )
    return lines


def _create_cloud(stack: Stack, count: int) -> tuple[str, CloudAccount]:
    """Create a cloud with this many objects, whose servers have volumes, ports, groups and keys, and its account."""
    url = stack.start_simulator()
    call_control_api(url, "POST", "clock", {"token_seconds": 30 * DAY})
    counts = {kind: number * count // MANY for kind, number in COUNTS.items()}
    servers = counts.pop("servers")
    shared = {
        "project": "demo",
        "metadata": {"application": "shop", "cost-center": "4711", "tier": "backend"},
    }
    found = call_control_api(url, "POST", "seed", {**shared, **counts})
    volumes, keys = found["volumes"], found["keypairs"]
    attached = "os-extended-volumes:volumes_attached"
    raw = [
        {
            attached: [{"id": volumes[number % len(volumes)], "delete_on_termination": False}],
            "key_name": keys[number % len(keys)],
        }
        for number in range(servers)
    ]
    call_control_api(url, "POST", "seed", {**shared, "tags": ["shop", "backend"], "raw": {"servers": raw}})
    return url, create_account(url, url)


def _sync(account: CloudAccount) -> dict[str, int]:
    """Sync every type, as the schedule does, and return how many resources were created, updated and unchanged."""
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


def _measure_syncs(url: str, account: CloudAccount) -> list[Line]:
    call_control_api(url, "DELETE", "requests")
    first = count_statements(lambda: _sync(account))
    fetch = _make_fetcher(url)
    rows = [_copy_out(table, account) for table in TABLES]
    total, links = (table.count(b"\n") for table in rows)
    lines: list[Line] = [
        Note("resources", str(total), total),
        Note("links", str(links), links),
        Note(f"{total}, first: statements", str(first), first.round_trips),
    ]
    fetching, copying = [], []

    def limit() -> float:
        fetching.append(measure(fetch))
        copying.append(_copy_in(rows))
        return fetching[-1] + copying[-1]

    changed = int(total * CHANGED)
    for what, before, expected, to_reach in (
        ("first", partial(_delete_resources, account), {"created": total, "updated": 0, "unchanged": 0}, 3.0),
        ("nothing changed", int, {"created": 0, "updated": 0, "unchanged": total}, 1.5),
        (
            "1 % changed",
            partial(_change_rows, account, changed),
            {"created": 0, "updated": changed, "unchanged": total - changed},
            1.5,
        ),
    ):
        limits, runs = [], []
        for _ in range(TIMES):
            limits.append(limit())
            before()
            runs.append(measure(partial(_sync_and_check, account, expected)))
        lines += _compare(f"{total}, {what}", limits, runs, to_reach)
        if what != "first":
            before()
            sent = count_statements(lambda: _sync(account))
            lines.append(Note(f"{total}, {what}: statements", str(sent), sent.round_trips))
    for what, seconds in (("fetch + parse", fetching), ("COPY", copying)):
        taken = statistics.median(seconds)
        lines.append(Note(f"limit: {what}", f"{taken:.3f} s", taken))
    return lines


def _compare(
    what: str, limits: Sequence[float], runs: Sequence[float], to_reach: float
) -> Iterable[Figure | Note]:
    limit, taken = statistics.median(limits), statistics.median(runs)
    yield Figure(what, f"{taken:.3f} s", f"{limit:.3f} s fetch + COPY", taken / limit, to_reach, "at most")
    best = min(runs) / min(limits)
    yield Note(f"{what}: best against best", f"{best:.2f} ({min(runs):.3f} s)", best)


def _sync_and_check(account: CloudAccount, expected: dict[str, int]) -> None:
    counts = _sync(account)
    assert counts == expected, (counts, expected)


def _make_fetcher(url: str) -> Callable[[], None]:
    """Return a function that fetches and parses every page that the syncs have requested since the log was emptied."""
    addresses = [
        f"{url}{entry['path']}" + (f"?{entry['query']}" if entry["query"] else "")
        for entry in call_control_api(url, "GET", "requests")["requests"]
        if entry["method"] == "GET" and entry["service"] != "identity" and entry["status"] == 200
    ]
    session, _endpoints = open_bare_session(url)

    def fetch() -> None:
        for address in addresses:
            answer = session.get(address, timeout=30)
            assert answer.status_code == 200, address
            json.loads(answer.content)

    fetch()
    return fetch


def _copy_out(table: str, account: CloudAccount) -> bytes:
    """Return the rows of an account in the format of COPY."""
    from django.db import connection

    with connection.cursor() as cursor:
        query = f"COPY (SELECT * FROM {table} WHERE account_id = {int(account.pk)}) TO STDOUT"
        rows = io.BytesIO()
        cursor.copy_expert(query, rows)
        return rows.getvalue()


def _copy_in(rows: Sequence[bytes]) -> float:
    """Return the seconds that it takes to COPY rows into empty tables of the same columns and indexes, and to commit."""
    from django.db import connection

    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DROP TABLE IF EXISTS bench_{table}")
            cursor.execute(f"CREATE TABLE bench_{table} (LIKE {table} INCLUDING ALL)")

        def copy_in() -> None:
            for table, lines in zip(TABLES, rows, strict=True):
                cursor.copy_expert(f"COPY bench_{table} FROM STDIN", io.BytesIO(lines))

        return measure(copy_in)


def _delete_resources(account: CloudAccount) -> None:
    """Delete all resources and vacuum, as if the account had never been synced."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM cloudaccounts_synclogline")
        cursor.execute(
            "TRUNCATE cloudaccounts_resourcelink, cloudaccounts_resourcechange, cloudaccounts_cloudresource"
        )
        cursor.execute("VACUUM ANALYZE cloudaccounts_cloudresource")


def _change_rows(account: CloudAccount, count: int) -> None:
    """Change this many rows, of all types in turn, so that they differ from the cloud."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE cloudaccounts_cloudresource SET status = 'Another', digest = '' WHERE id IN (
                SELECT id FROM cloudaccounts_cloudresource WHERE account_id = %s ORDER BY md5(cloud_id) LIMIT %s)
            """,
            [account.pk, count],
        )


def _measure_memory_growth(account: CloudAccount) -> float:
    """Return the megabytes by which the memory of a process grows in a sync that writes every resource."""
    _delete_resources(account)
    result = subprocess.run(
        [sys.executable, "-m", "bench.sync_alone", str(account.pk), "resources"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(result.stdout)
