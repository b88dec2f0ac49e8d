"""How many of a worker's processes one tenant may hold at one time, so that its slow hosts and clouds delay it alone.

A step holds a process for as long as what it talks to takes. So of the processes of each worker, a tenant's jobs hold at
most a share (`TENANT_WORKER_SHARES`, by queue), and at least one. A job that comes when its tenant holds its share is
parked, and rung for when one of the tenant's gives its process back: then it stands in the queue behind what others have
asked for meanwhile.

The share is of each worker (a Celery worker and its processes), because that knows how many it has. What runs outside
of a worker, and platform jobs, which belong to no tenant, are not counted. A worker of one process cannot share it.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping

from django.conf import settings
from django.db import connection

from .doorbell import ring_jobs

# A parked job looks again by itself after so many seconds, should nobody have rung for it.
PARKED_SECONDS = 5.0
# A claim that was held for longer than this looks at its end whether others were parked because of it.
LONG_CLAIM_SECONDS = 0.25
DEFAULT_QUEUE = "jobs"

_processes: int | None = None
_worker_pid: int | None = None


def begin_worker(processes: int | None) -> None:
    """Note how many processes this worker has. Called in its main process, before it starts them."""
    global _processes, _worker_pid
    _processes, _worker_pid = processes, os.getpid()


def worker_pid() -> int:
    """Return the main process of the worker that this process belongs to; this one itself outside of a worker."""
    return _worker_pid or os.getpid()


def worker_name() -> str:
    """Return what tells this worker from others, as the names of owners hold it: see `leases.new_owner`."""
    return f"{socket.gethostname()[:60]}:{worker_pid()}"


def processes_for_tenant(queue: str) -> int | None:
    """Return how many processes of this worker a tenant's work of a queue may hold; None for any number."""
    if _processes is None or _processes < 2:
        return None
    shares: Mapping[str, float] = settings.TENANT_WORKER_SHARES
    share = float(shares.get(queue or DEFAULT_QUEUE, shares.get("", 0.5)))
    return None if share >= 1 else max(1, int(_processes * share))


def limits() -> dict[str, object] | None:
    """Return the parameters of a claim that keeps to the shares; None where there is nothing to keep to."""
    if _processes is None or _processes < 2:
        return None
    named = {queue: processes_for_tenant(queue) for queue in settings.TENANT_WORKER_SHARES if queue}
    named[""] = named.pop(DEFAULT_QUEUE, processes_for_tenant(DEFAULT_QUEUE))
    return {
        "limits": json.dumps({queue: most or _processes for queue, most in named.items()}),
        "else": processes_for_tenant("-") or _processes,
        "worker": worker_name(),
        "parked": PARKED_SECONDS,
    }


# Whether an owner's claim is of this worker, and stands.
HELD_HERE = """
    {owned}.owner <> '' AND {owned}.lease_until > statement_timestamp()
    AND split_part({owned}.owner, ':', 1) || ':' || split_part(split_part({owned}.owner, ':', 3), '.', 1) = %(worker)s
"""


def ring_parked(tenant_id: int, queue: str) -> None:
    """Ring for as many of a tenant's parked jobs of a queue as may run now, the oldest first. Outside of any transaction."""
    most = processes_for_tenant(queue)
    if most is None:
        return
    with connection.cursor() as cursor:
        cursor.execute(_UNPARK, {"tenant": tenant_id, "queue": queue, "most": most, "worker": worker_name()})
        ring_jobs(cursor.fetchall())


_UNPARK = f"""
UPDATE tasks_job SET parked = false, not_before = statement_timestamp() WHERE id IN (
    SELECT id FROM tasks_job WHERE tenant_id = %(tenant)s AND queue = %(queue)s AND parked
    ORDER BY created_at, position
    LIMIT GREATEST(0, %(most)s - (
        SELECT count(*) FROM tasks_job AS other
        WHERE other.tenant_id = %(tenant)s AND other.queue = %(queue)s AND {HELD_HERE.format(owned="other")}))
    FOR UPDATE SKIP LOCKED
) RETURNING id, queue
"""  # noqa: S608 - constants.
