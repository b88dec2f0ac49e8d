"""The SQL that the room writes by hand, each statement with the reason why the ORM does not do it.

The tables are those of `VirtualMachine`, `VMUsage`, `VMOperationLog`, `tasks.models.EntityLock` and `tenants.models.InformationSystem`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from .models import VMUsage

# The readings of every bound VM of a region. The ORM could express this statement; it stands here because it has to change
# together with the next one.
READINGS_OF_REGION = """
    SELECT openstack_id, CASE WHEN missing_count = 0 THEN reading ELSE '' END
    FROM vms_virtualmachine WHERE account_id = %s AND region = %s AND openstack_id IS NOT NULL
"""

# The readings of some servers, "" for VMs that a job holds. The lock's key is text made of the VM's id, which no
# relation of the ORM can join on.
READINGS_OF_SERVERS = """
    SELECT openstack_id, CASE WHEN missing_count = 0 AND held.key IS NULL THEN reading ELSE '' END
    FROM vms_virtualmachine AS vm LEFT JOIN tasks_entitylock AS held ON held.key = 'vm:' || vm.id
    WHERE account_id = %s AND region = %s AND openstack_id = ANY(%s)
"""

# Write a page of servers to the rows that no job holds and that are not newer than the listing, with a line of the operation
# log for each changed status. The ORM would need a lock, a read, two writes, and a round trip for each: in one statement
# the check and the write are under the same row locks, and a page costs one round trip.
WRITE_SERVER_COLUMNS = """
    WITH new AS (
        SELECT * FROM unnest(%(openstack_id)s::text[], %(status)s::text[], %(ip)s::inet[], %(mac)s::text[],
                             %(addresses)s::jsonb[], %(fault)s::text[], %(moving)s::bool[],
                             %(host)s::text[], %(reading)s::text[])
            AS t(openstack_id, status, ip, mac, addresses, fault, moving, host, reading)
    ), old AS (
        SELECT vm.id, vm.name, vm.status, vm.information_system_id,
               COALESCE(new.status, vm.status) AS new_status,
               (vm.status, vm.ip_address, vm.mac_address, vm.addresses, vm.fault, vm.moving,
                vm.host, vm.missing_count)
                   IS DISTINCT FROM
               (COALESCE(new.status, vm.status), new.ip, new.mac, new.addresses, new.fault, new.moving,
                new.host, 0) AS differs,
               new.ip, new.mac, new.addresses, new.fault, new.moving, new.host, new.reading
        FROM vms_virtualmachine AS vm JOIN new USING (openstack_id)
        WHERE vm.written_at < %(began)s
          AND NOT EXISTS (SELECT 1 FROM tasks_entitylock WHERE key = 'vm:' || vm.id)
        FOR UPDATE OF vm
    ), written AS (
        UPDATE vms_virtualmachine AS vm SET
            status = old.new_status, ip_address = old.ip, mac_address = old.mac, addresses = old.addresses,
            fault = old.fault, moving = old.moving, host = old.host, reading = old.reading, missing_count = 0,
            observed_at = %(began)s,
            written_at = CASE WHEN old.differs THEN statement_timestamp() ELSE vm.written_at END,
            updated_at = CASE WHEN old.differs THEN statement_timestamp() ELSE vm.updated_at END
        FROM old WHERE vm.id = old.id
    ), logged AS (
        INSERT INTO vms_vmoperationlog
            (tenant_id, vm_id, vm_name, operation, operator, detail, success, job_id, at)
        SELECT system.tenant_id, old.id, old.name, 'sync', '', old.status || ' -> ' || old.new_status,
               true, NULL, statement_timestamp()
        FROM old JOIN tenants_informationsystem AS system ON system.id = old.information_system_id
        WHERE old.status <> old.new_status
    )
    SELECT count(*), count(*) FILTER (WHERE differs) FROM old
"""


def fetch_readings(account_id: int, region: str, server_ids: Sequence[str] | None = None) -> dict[str, str]:
    """Return, by server id, the digest of the reading that each bound VM's row was written from.

    "" means that the row has to be compared. With `server_ids`, only those, and "" also for what a job holds.
    """
    with connection.cursor() as cursor:
        if server_ids is None:
            cursor.execute(READINGS_OF_REGION, [account_id, region])
        else:
            cursor.execute(READINGS_OF_SERVERS, [account_id, region, list(server_ids)])
        return dict(cursor.fetchall())


def write_server_columns(columns: dict[str, list[Any]], began: datetime) -> tuple[int, int]:
    """Write servers into their rows; return how many rows could be written, and how many of those differed.

    `columns` are the lists that `WRITE_SERVER_COLUMNS` unnests, all of one length; `began` is when the listing began.

    Safe beside a user's action: the action locks the VM's row and moves `written_at`, so this statement either waits for
    the row and then skips it, or has written before the action reads it.
    """
    with connection.cursor() as cursor:
        cursor.execute(WRITE_SERVER_COLUMNS, {**columns, "began": began})
        written, differing = cursor.fetchone()
        return written, differing


# Replace the rows of a system and a status by their sum. One statement: a reader sees the rows before it or those after it.
MERGE_USAGE = """
    WITH merged AS (
        DELETE FROM vms_vmusage WHERE (information_system_id, status) IN (
            SELECT information_system_id, status FROM vms_vmusage
            GROUP BY information_system_id, status HAVING count(*) > 1 OR bool_and(vms = 0)
        ) RETURNING *
    )
    INSERT INTO vms_vmusage (information_system_id, status, vms, cpu_cores, memory_gb, disk_gb)
    SELECT information_system_id, status, sum(vms), sum(cpu_cores), sum(memory_gb), sum(disk_gb)
    FROM merged GROUP BY information_system_id, status
    HAVING sum(vms) <> 0 OR sum(cpu_cores) <> 0 OR sum(memory_gb) <> 0 OR sum(disk_gb) <> 0
"""

# Add the difference between the VMs and the rows that count them. Both are read by one statement, so by one snapshot: what
# other transactions write meanwhile is in neither.
CORRECT_USAGE = """
    INSERT INTO vms_vmusage (information_system_id, status, vms, cpu_cores, memory_gb, disk_gb)
    SELECT information_system_id, status, sum(vms), sum(cpu_cores), sum(memory_gb), sum(disk_gb)
    FROM (
        SELECT information_system_id, CASE WHEN binned_at IS NULL THEN status ELSE %(in_bin)s END AS status,
            1 AS vms, cpu_cores, memory_gb, disk_gb
        FROM vms_virtualmachine
        UNION ALL
        SELECT information_system_id, status, -vms, -cpu_cores, -memory_gb, -disk_gb FROM vms_vmusage
    ) AS compared
    GROUP BY information_system_id, status
    HAVING sum(vms) <> 0 OR sum(cpu_cores) <> 0 OR sum(memory_gb) <> 0 OR sum(disk_gb) <> 0
"""
# The key of the advisory lock under which one process at a time merges or corrects.
USAGE_LOCK = 7_461_300_035


def merge_vm_usage() -> int:
    """Merge the rows that count VMs, and return the number of new ones. Skipped while another process does it.

    Safe beside transactions that add rows: only rows that it has deleted itself are summed up.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [USAGE_LOCK])
        if cursor.fetchone() != (True,):
            return 0
        cursor.execute(MERGE_USAGE)
        return int(cursor.rowcount)


def correct_vm_usage() -> int:
    """Correct the rows that count VMs, and return how many were missing or wrong.

    Waits for its turn: two that corrected the same difference would add it twice.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [USAGE_LOCK])
        cursor.execute(CORRECT_USAGE, {"in_bin": VMUsage.IN_BIN})
        return int(cursor.rowcount)
