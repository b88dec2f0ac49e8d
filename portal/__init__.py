"""The project: settings, Celery app, URL map, and the web process."""

from .celery import app as celery_app

__all__ = ["celery_app"]
