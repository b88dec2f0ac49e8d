"""`/health/ready` is 503 while jobs are not processed; `/health/serving` only depends on the web process."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from portal import system_health
from tasks.models import Job
from tasks.queues import BrokerStatus

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def long_installed(monkeypatch):
    """Make the installation a day old, with workers that read all queues."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_migrations SET applied = now() - interval '1 day'")
    monkeypatch.setattr("tasks.queues.broker_status", lambda: BrokerStatus({"jobs": 0}, []))


@pytest.fixture
def running(long_installed):
    """Let beat have just sent tasks, and a canary have just ended."""
    call_command("write_schedules", verbosity=0)
    PeriodicTask.objects.update(last_run_at=timezone.now())
    create_canary()


def create_canary(ago=timedelta(seconds=5)):
    at = timezone.now() - ago
    return Job.objects.create(
        kind="tasks.canary", status="succeeded", deadline=at, created_at=at, started_at=at, ended_at=at
    )


def ready(client):
    answer = client.get("/health/ready")
    return answer.status_code, answer.json()["status"], set(answer.json()["problems"])


def serving(client):
    return client.get("/health/serving").status_code


def test_all_is_well(client, running):
    assert ready(client) == (200, "ok", set())
    assert serving(client) == 200


@pytest.mark.parametrize("ago", [timedelta(seconds=90), timedelta(hours=5), timedelta(days=400)])
def test_a_dead_beat_is_reported(client, running, ago):
    PeriodicTask.objects.update(last_run_at=timezone.now() - ago)

    assert ready(client) == (503, "degraded", {"beat"})
    assert serving(client) == 200


def test_a_beat_that_never_ran_is_reported_after_a_while(client, running):
    PeriodicTask.objects.update(last_run_at=None)
    Job.objects.all().delete()
    assert ready(client) == (503, "degraded", {"beat", "canary"})

    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_migrations SET applied = now() - interval '20 seconds'")
    assert ready(client) == (200, "ok", set())


@pytest.mark.parametrize("ago", [timedelta(minutes=3), timedelta(hours=23), timedelta(days=2)])
def test_dead_workers_are_reported(client, running, ago):
    Job.objects.all().delete()
    create_canary(ago)

    assert ready(client) == (503, "degraded", {"canary"})
    assert serving(client) == 200


def test_a_canary_in_the_future_does_not_count(client, running):
    Job.objects.all().delete()
    create_canary(timedelta(minutes=10))
    create_canary(-timedelta(hours=3))

    assert ready(client)[2] == {"canary"}


def test_runs_in_the_future_do_not_count(client, running):
    PeriodicTask.objects.update(last_run_at=timezone.now() + timedelta(hours=3))

    assert ready(client) == (503, "degraded", {"beat", "clock"})


def test_a_schedule_in_the_future_is_reported(client, running):
    PeriodicTask.objects.filter(name="tasks.sweep").update(last_run_at=timezone.now() + timedelta(hours=3))

    assert ready(client)[2] == {"clock"}


def test_an_unread_queue_with_messages_is_reported(client, running, monkeypatch):
    worker = {"name": "one", "queues": ["jobs"]}
    monkeypatch.setattr(
        "tasks.queues.broker_status", lambda: BrokerStatus({"jobs": 3, "sync": 0, "deploys": 2}, [worker])
    )

    answer = client.get("/health/ready")

    assert ready(client) == (503, "degraded", {"queues"})
    assert answer.json()["problems"]["queues"].endswith(": deploys.")


def test_disabled_schedules_are_only_reported_if_all_are_disabled(client, running):
    PeriodicTask.objects.filter(task=system_health.CANARY_SCHEDULE).update(enabled=False)
    Job.objects.all().delete()
    assert ready(client) == (200, "ok", set())

    PeriodicTask.objects.update(enabled=False)
    assert ready(client)[2] == {"schedules"}


def test_rare_schedules_are_not_reported_early(client, running):
    PeriodicTask.objects.exclude(name="portal.forget_old_keys").update(enabled=False)
    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(hours=30))

    assert ready(client)[2] == set()
