"""The project: settings, Celery app, URL map, and what every API shares."""

from .celery import app as celery_app

__all__ = ["celery_app"]
