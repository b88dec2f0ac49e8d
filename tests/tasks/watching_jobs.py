"""Jobs that watch objects of the external system, and the polls of their scope."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from tasks import engine, polling
from tasks.models import AsyncTask, Job, PollScope

from . import external_system
from .external_system import GrowTreeCommand


def submit_watching_jobs(*names):
    jobs = []
    for name in names:
        external_system.objects[name] = "small"
        with transaction.atomic():
            jobs.append(engine.submit(GrowTreeCommand(name)).job)
        engine.advance(jobs[-1].pk)
    return jobs


def make_polls_due():
    AsyncTask.objects.update(next_look_at=timezone.now() - timedelta(seconds=1))


def poll_scope():
    make_polls_due()
    # After a round of many the scope rests; here no time passes between two rounds.
    PollScope.objects.filter(owner="").update(lease_until=None)
    polling.poll("thing", "garden")


def advance_job(job):
    engine.advance(job.pk)
    return Job.objects.get(pk=job.pk)
