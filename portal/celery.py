"""The Celery app: doorbells only.

Every message says "look at this row".
A lost, late or doubled message does no harm: the engine's sweep rings again (`tasks/engine.py`).
"""

import os
from typing import Any

from celery import Celery
from celery.signals import task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@task_prerun.connect
def drop_dead_connections(**_signal: Any) -> None:
    """Look whether the worker's database connection is still good, as Django does before each request.

    After a restart of PostgreSQL the first task would otherwise fail in every worker process.
    """
    from django.db import close_old_connections

    close_old_connections()
