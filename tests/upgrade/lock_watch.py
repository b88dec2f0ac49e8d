"""A large database of the previous release, requests on it, and a watch of the locks that they wait for.

The rows are copies of one row of each table that the dump has, by `generate_series`, with ids of their own.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import psycopg2

APPLICATION = "requests"
# Rows of other tables for each VM or job, as a portal of some years has them.
FILL = """
CREATE FUNCTION pg_temp.copy_rows(tab regclass, total bigint, changes text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'INSERT INTO %s SELECT made.*
            FROM (SELECT whole_row AS one FROM %s AS whole_row LIMIT 1) AS single,
            (SELECT n, gen_random_uuid() AS uuid FROM generate_series(1, %s) AS n) AS each,
            LATERAL jsonb_populate_record(one, %s) AS made',
        tab, tab, total, changes);
END $$;
SELECT pg_temp.copy_rows('vms_virtualmachine', %(vms)s,
    $c$jsonb_build_object('id', uuid, 'openstack_id', gen_random_uuid(), 'name', 'vm-' || n)$c$);
SELECT pg_temp.copy_rows('volumepool_volume', %(vms)s,
    $c$jsonb_build_object('id', uuid, 'volume_id', gen_random_uuid(), 'name', 'volume-' || n)$c$);
SELECT pg_temp.copy_rows('cloudaccounts_cloudresource', 2 * %(vms)s,
    $c$jsonb_build_object('id', uuid, 'cloud_id', gen_random_uuid(), 'name', 'resource-' || n)$c$);
SELECT pg_temp.copy_rows('vms_vmoperationlog', 2 * %(vms)s,
    $c$jsonb_build_object('id', n + 1000000)$c$);
SELECT pg_temp.copy_rows('tasks_job', %(jobs)s,
    $c$jsonb_build_object('id', uuid, 'root_id', uuid, 'parent_id', NULL, 'retry_of_id', NULL, 'status', 'succeeded',
        'owner', '', 'lease_until', NULL, 'children_open', 0, 'parked', false, 'ended_at', now() - n * interval '1 second',
        'created_at', now() - n * interval '2 seconds')$c$);
INSERT INTO tasks_step SELECT made.* FROM (SELECT whole_row AS one FROM tasks_step AS whole_row LIMIT 1) AS single,
    (SELECT id, row_number() OVER () AS n FROM tasks_job WHERE status = 'succeeded') AS job,
    LATERAL jsonb_populate_record(one, jsonb_build_object('id', n + 1000000, 'job_id', job.id, 'position', 100,
        'name', 'run', 'status', 'succeeded')) AS made;
"""
# What requests and workers do all the time, by the table that they would wait for.
STATEMENTS = {
    "vms_virtualmachine": [
        "SELECT id, name, status FROM vms_virtualmachine ORDER BY name, id LIMIT 50",
        "UPDATE vms_virtualmachine SET observed_at = now(), written_at = now() WHERE id = (SELECT id FROM vms_virtualmachine LIMIT 1)",
    ],
    "tasks_job": [
        "SELECT id, kind FROM tasks_job ORDER BY created_at DESC LIMIT 50",
        "UPDATE tasks_job SET rung_at = now() WHERE id = (SELECT id FROM tasks_job ORDER BY created_at DESC LIMIT 1)",
    ],
    "tasks_step": ["UPDATE tasks_step SET progress = 0 WHERE id = (SELECT id FROM tasks_step LIMIT 1)"],
    "volumepool_volume": [
        "SELECT id, name FROM volumepool_volume LIMIT 50",
        "UPDATE volumepool_volume SET updated_at = now() WHERE id = (SELECT id FROM volumepool_volume LIMIT 1)",
    ],
    "cloudaccounts_cloudresource": [
        "UPDATE cloudaccounts_cloudresource SET last_seen_at = now() WHERE id = (SELECT id FROM cloudaccounts_cloudresource LIMIT 1)"
    ],
    "vms_vmoperationlog": ["SELECT id FROM vms_vmoperationlog ORDER BY id DESC LIMIT 20"],
    "tenants_user": ["SELECT id, username FROM tenants_user LIMIT 1"],
    "tenants_informationsystem": ["SELECT id, name FROM tenants_informationsystem LIMIT 50"],
    "tenants_tenant": ["SELECT id FROM tenants_tenant LIMIT 1 FOR NO KEY UPDATE"],
    "cloudaccounts_cloudaccount": ["SELECT id, name FROM cloudaccounts_cloudaccount LIMIT 50"],
}
# How long a transaction stays open after its statement: the migration waits for it, and others queue behind the migration.
HOLD_SECONDS = 0.05
SAMPLE = """
    SELECT coalesce(relation::regclass::text, locktype), extract(epoch FROM clock_timestamp() - waitstart), clock_timestamp()
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE NOT granted AND waitstart IS NOT NULL AND application_name = %s
"""


@dataclass
class LockWaits:
    """The samples of waits for locks (table, seconds until the sample, its time), and what else was seen."""

    samples: list[tuple[str, float, datetime]] = field(default_factory=list)
    statements: int = 0
    errors: list[str] = field(default_factory=list)

    def find_longest(self, address: str) -> list[tuple[float, str, str]]:
        """Return the longest wait of each table and migration, in seconds, the longest first."""
        with contextlib.closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT applied, app || '.' || name FROM django_migrations ORDER BY applied")
            applied = cursor.fetchall()
        longest: dict[tuple[str, str], float] = {}
        for table, seconds, at in self.samples:
            migration = next((name for when, name in applied if when >= at), "after the last one")
            longest[table, migration] = max(seconds, longest.get((table, migration), 0.0))
        return sorted(((seconds, *key) for key, seconds in longest.items()), reverse=True)


def fill_database(address: str, vms: int, jobs: int) -> None:
    """Give a database of the previous release this many VMs and jobs."""
    with contextlib.closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            # Of foreign keys and the portal's own: the rows are copies of valid ones.
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(FILL.replace("%(vms)s", str(vms)).replace("%(jobs)s", str(jobs)))
            cursor.execute("VACUUM ANALYZE")


@contextlib.contextmanager
def watch_requests(address: str) -> Iterator[LockWaits]:
    """Send requests while the block runs, from two connections, and record what they wait for."""
    waits, over = LockWaits(), threading.Event()
    threads = [threading.Thread(target=_request, args=(address, waits, over, number)) for number in range(2)]
    threads.append(threading.Thread(target=_sample, args=(address, waits, over)))
    for thread in threads:
        thread.start()
    try:
        yield waits
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _request(address: str, waits: LockWaits, over: threading.Event, number: int) -> None:
    statements = [statement for several in STATEMENTS.values() for statement in several]
    with contextlib.closing(psycopg2.connect(address, application_name=APPLICATION)) as connection:
        for statement in itertools.cycle(statements[number:] + statements[:number]):
            if over.is_set():
                return
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute(statement)
                    time.sleep(HOLD_SECONDS)
            except psycopg2.Error as error:
                waits.errors.append(f"{statement}: {error}")
            waits.statements += 1


def _sample(address: str, waits: LockWaits, over: threading.Event) -> None:
    with contextlib.closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not over.wait(0.02):
                cursor.execute(SAMPLE, [APPLICATION])
                waits.samples += [(table, float(seconds), at) for table, seconds, at in cursor.fetchall()]
