"""The Celery app. Its messages are notifications: each contains only the key of a row that a worker has to process.

A lost, late or duplicated message does no harm, because the engine's sweep sends it again (`tasks/engine/recovery.py`).
"""

import gc
import os
import time
from typing import Any

from celery import Celery
from celery.signals import (
    before_task_publish,
    task_prerun,
    worker_before_create_process,
    worker_init,
    worker_process_shutdown,
)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
# Celery would run Django's checks at every start of a worker. They load all pages and serializers, which takes a quarter of
# the start's time and memory. `manage.py migrate` and `manage.py check` run them.
os.environ.setdefault("CELERY_SKIP_CHECKS", "yes")

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def register_concurrency(sender: Any, **_signal: Any) -> None:
    """Create the slots of this worker's processes, so that no tenant can hold all of them."""
    from tasks import fairness

    fairness.init_worker_slots(sender.concurrency)


@worker_init.connect
def start_reporting_metrics(**_signal: Any) -> None:
    """Let the processes of this worker write what they count for `/metrics`."""
    from api import shared_metrics

    shared_metrics.start_reporting()


@worker_process_shutdown.connect
def flush_metrics(**_signal: Any) -> None:
    """Write the last counts of a process of this worker."""
    from api import shared_metrics

    shared_metrics.flush_at_exit()


@worker_init.connect
def trace_worker(**_signal: Any) -> None:
    """Send the spans of this worker's processes, if tracing is on."""
    from portal.tracing import start_tracing

    start_tracing()


@before_task_publish.connect
def record_sending_time(headers: dict[str, Any], **_signal: Any) -> None:
    """Record in each message when it was sent, so that the age of a queue can be told."""
    headers["sent_at"] = time.time()


@worker_before_create_process.connect
def freeze_garbage_collector(**_signal: Any) -> None:
    """Exclude all objects that are loaded at the start from garbage collection, before a process is forked.

    The collector would otherwise traverse them repeatedly while a sync creates tens of thousands of objects, which took a
    quarter of its processor time. It also writes into each object that it visits: when the forked process froze them itself,
    its first collection copied all memory that it shared with its parent.
    """
    gc.collect()
    gc.freeze()


# A connection that was checked within this time is not checked again, because a check costs a round trip.
TRUST_SECONDS = 1.0
_trusted_until = 0.0


@task_prerun.connect
def close_dead_connections(**_signal: Any) -> None:
    """Close the worker's database connection if it is no longer good, as Django does before each request.

    After a restart of PostgreSQL, the first task would otherwise fail in every worker process.
    A busy worker checks once a second, and after every error of a connection. So a restart during work costs each process
    at most one task.
    """
    global _trusted_until  # noqa: PLW0603 - a worker process runs one task at a time.
    from django.db import close_old_connections, connections

    broken = any(connection.errors_occurred for connection in connections.all(initialized_only=True))
    if broken or time.monotonic() >= _trusted_until:
        close_old_connections()
        _trusted_until = time.monotonic() + TRUST_SECONDS
