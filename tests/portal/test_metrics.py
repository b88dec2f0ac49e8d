"""What a Prometheus is told, and who may ask."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from cloudaccounts.models import SyncLog
from tasks import canary, engine, queues
from tasks.models import Job
from tests.factories import CloudAccountFactory
from tests.tasks import external_system
from tests.working import work

pytestmark = pytest.mark.django_db(transaction=True)


def figures(client):
    text = client.get("/metrics").content.decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_jobs_and_signs_of_life_are_told(client, monkeypatch):
    # What another test has looked at is kept for some seconds.
    monkeypatch.setattr(queues, "_broker", queues.BackgroundProbe(queues._fetch_broker_status))
    external_system.reset()
    canary.send_canary()
    work()
    with transaction.atomic():
        engine.submit(external_system.BuildHouseCommand())

    until = time.monotonic() + 20
    while queues.broker_status() is None and time.monotonic() < until:
        pass  # On a busy machine the first look may take longer than a page waits for it.
    found = figures(client)

    assert found["portal_jobs", "queued"] == 1
    assert found["portal_jobs_last_hour", "tasks.canary", "succeeded"] == 1
    assert 0 <= found["portal_canary_age_seconds",] < 60
    assert found["portal_jobs_troubled",] == found["portal_jobs_overdue",] == 0
    assert found["portal_queue_messages", "jobs"] >= 1


def test_the_age_of_a_queue_is_that_of_its_oldest_due_work(client):
    external_system.reset()
    with transaction.atomic():
        jobs = [
            engine.submit(external_system.BuildHouseCommand(key)).job
            for key in ("old", "new", "later", "own")
        ]
    now = timezone.now()
    for job, seconds, columns in zip(
        jobs,
        (90, 30, -600, 200),
        ({}, {}, {}, {"owner": "another", "lease_until": now + timedelta(hours=1)}),
        strict=True,
    ):
        Job.objects.filter(pk=job.pk).update(not_before=now - timedelta(seconds=seconds), **columns)
    Job.objects.filter(pk=jobs[1].pk).update(queue="deploys")
    SyncLog.objects.create(
        account=CloudAccountFactory(),
        type="image",
        owner="",
        started_at=now - timedelta(seconds=400),
        ended_at=None,
        state=SyncLog.State.RUNNING,
    )

    ages = {name[1]: age for name, age in figures(client).items() if name[0] == "portal_queue_age_seconds"}

    assert ages == {
        "jobs": pytest.approx(90, abs=20),
        "deploys": pytest.approx(30, abs=20),
        "resources": pytest.approx(400, abs=20),
        "polling": 0,
        "volumepool": 0,
    }


def test_what_is_unknown_is_left_out(client, monkeypatch):
    monkeypatch.setattr(queues, "broker_status", lambda: None)

    names = {name for name, *_labels in figures(client)}

    assert "portal_queue_messages" not in names
    assert "portal_canary_age_seconds" not in names


def test_only_who_has_the_token_may_ask(client, settings):
    settings.METRICS_TOKEN = "secret"

    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_production_shows_nothing_without_a_token(client, settings):
    settings.PRODUCTION = True

    assert client.get("/metrics").status_code == 404
