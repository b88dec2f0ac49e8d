"""The report of a Celery worker for the queue page: one broadcast instead of Celery's four."""

from __future__ import annotations

from typing import Any

from celery.worker import state as worker_state
from celery.worker.control import inspect_command


@inspect_command()
def portal_report(state: Any) -> dict[str, Any]:
    """Return this worker's queues, numbers of tasks and uptime, all read from memory."""
    stats = state.consumer.controller.stats()
    active = len(worker_state.active_requests)
    return {
        "queues": sorted(queue.name for queue in state.consumer.task_consumer.queues),
        "concurrency": state.consumer.pool.num_processes,
        "active": active,
        # Celery counts active requests as reserved, too.
        "reserved": len(worker_state.reserved_requests) - active,
        "done": sum(stats["total"].values()),
        "uptime_seconds": stats["uptime"],
        "pid": stats["pid"],
    }
