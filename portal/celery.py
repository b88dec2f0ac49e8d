"""The Celery app: doorbells only.

Every message says "look at this row".
A lost, late or doubled message does no harm: the engine's sweep rings again (`tasks/engine.py`).
"""

import gc
import os
import time
from typing import Any

from celery import Celery
from celery.signals import task_prerun, worker_init, worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
# Django's checks, which Celery would run at every start of a worker, load all pages and serializers: a quarter of its time
# and memory, for what it never serves. `manage.py migrate` and `manage.py check` run them.
os.environ.setdefault("CELERY_SKIP_CHECKS", "yes")

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def register_concurrency(sender: Any, **_signal: Any) -> None:
    """Have the engine know how many processes this worker has: no tenant may hold all of them."""
    from tasks import fairness

    fairness.init_worker_slots(sender.concurrency)


@worker_process_init.connect
def freeze_garbage_collector(**_signal: Any) -> None:
    """Take what is loaded now, which stays until the process ends, out of the garbage collector's sight.

    It would otherwise be walked through again and again while a sync makes objects by the ten thousand: a quarter of its
    processor time.
    """
    gc.collect()
    gc.freeze()


# A connection that has answered this short a time ago is taken to be good: to ask is a round trip for each doorbell.
TRUST_SECONDS = 1.0
_trusted_until = 0.0


@task_prerun.connect
def close_dead_connections(**_signal: Any) -> None:
    """Look whether the worker's database connection is still good, as Django does before each request.

    After a restart of PostgreSQL the first task would otherwise fail in every worker process.
    A worker that is busy looks once a second, and after every error that may have come of a broken connection:
    so a restart in the midst of work costs each process at most the one doorbell that noticed it.
    """
    global _trusted_until  # noqa: PLW0603 - a worker process does one task at a time.
    from django.db import close_old_connections, connections

    broken = any(connection.errors_occurred for connection in connections.all(initialized_only=True))
    if broken or time.monotonic() >= _trusted_until:
        close_old_connections()
        _trusted_until = time.monotonic() + TRUST_SECONDS
