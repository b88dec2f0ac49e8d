"""The Celery app: doorbells only.

Every message says "look at this row".
A lost, late or doubled message does no harm: the engine's sweep rings again (`tasks/engine.py`).
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
