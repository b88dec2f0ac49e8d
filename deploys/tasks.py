"""Celery tasks: a few lines each."""

from celery import shared_task

from .services.retention import prune_deployments


@shared_task(name="deploys.prune", expires=3600)
def prune() -> None:
    """Delete the deployments that are older than the retention."""
    prune_deployments()
