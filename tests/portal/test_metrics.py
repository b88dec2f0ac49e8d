"""What a Prometheus is told, and who may ask."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest
import redis
import requests
from django.db import transaction
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from redis.backoff import NoBackoff
from redis.retry import Retry

from api import shared_metrics
from api.shared_metrics import Histogram, MetricStore, Stored
from cloudaccounts.models import SyncLog
from portal.celery import app
from tasks import canary, engine, queues
from tasks.models import Job
from tests.conftest import flush_broker
from tests.factories import CloudAccountFactory
from tests.servers import free_port
from tests.tasks import external_system
from tests.web_processes import start_web_process
from tests.working import wait_for, work

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
    flush_broker()
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
    assert 0 <= found["portal_queue_oldest_message_age_seconds", "jobs"] < 60
    assert found["portal_queue_oldest_message_age_seconds", "deploys"] == 0
    assert found["portal_queue_workers", "jobs"] == 0
    assert found["portal_jobs_ended_total", "tasks.canary", "succeeded"] >= 1
    assert found["portal_job_duration_seconds_count", "tasks.canary"] >= 1
    assert found["portal_database_connections",] >= 1


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


def test_a_request_counts_by_its_route_and_never_by_its_address(client):
    def count(*labels):
        return figures(client).get(("portal_http_requests_total", *labels), 0)

    live, unmatched = ("GET", "/health/live", "200"), ("GET", "unmatched", "404")
    before = count(*live), count(*unmatched)

    for path in ("/health/live", "/health/live", "/not/a/page/1", "/not/a/page/2", "/not/a/page/3"):
        client.get(path)

    assert (count(*live) - before[0], count(*unmatched) - before[1]) == (2, 3)
    names = [name for key in figures(client) for name in key]
    assert not [name for name in names if "not/a/page" in name]


def test_a_request_that_waits_for_a_job_counts_without_its_duration(client):
    def durations():
        return figures(client).get(("portal_http_request_duration_seconds_count", "/health/live"), 0)

    before = durations()
    client.get("/health/live", headers={"Prefer": "respond-async, wait=20"})
    client.get("/health/live")

    assert durations() - before == 1


def test_processes_add_up_and_keep_their_counts_while_redis_is_away(monkeypatch):
    flush_broker()
    one, other = MetricStore(), MetricStore()
    field = '["portal_test","","a"]'
    one.add({field: 2})
    other.add({field: 0.5})
    one.flush()
    with monkeypatch.context() as patch:
        patch.setattr(other, "_client", redis.Redis(port=free_port(), retry=Retry(NoBackoff(), 0)))
        with pytest.raises(redis.RedisError):
            other.flush()
        other.add({field: 1})
    other.flush()
    other.flush()

    assert list(one.read().series("portal_test", 1)) == [(["a"], {"": 3.5})]
    assert list(one.read().series("portal_test", 2)) == [], (
        "Fields of a release with other labels are left out."
    )


def test_the_buckets_of_durations_add_up(monkeypatch):
    monkeypatch.setattr(shared_metrics, "_declared", {})
    durations = Histogram("portal_test_seconds", "Test.", ("kind",), (0.5, 2.0))
    counts = {
        json.dumps(["portal_test_seconds", part, "a"]): value
        for part, value in {"0.5": 3.0, "2.0": 2.0, "+Inf": 1.0, "9.0": 7.0, "sum": 12.5}.items()
    }

    family = durations.build_family(Stored(counts, {}, 0, 0.0))

    assert {(sample.name, sample.labels.get("le")): sample.value for sample in family.samples} == {
        ("portal_test_seconds_bucket", "0.5"): 3,
        ("portal_test_seconds_bucket", "2.0"): 5,
        ("portal_test_seconds_bucket", "+Inf"): 6,
        ("portal_test_seconds_count", None): 6,
        ("portal_test_seconds_sum", None): 12.5,
    }


@pytest.mark.story
def test_a_web_process_tells_that_the_database_is_away_and_writes_its_counts(client, tmp_path):
    live = ("portal_http_requests_total", "GET", "/health/live", "200")
    before = figures(client).get(live, 0)
    nowhere = f"postgresql://portal:hidden@127.0.0.1:{free_port()}/portal"
    with start_web_process(tmp_path, threads=2, environment={"DATABASE_URL": nowhere}) as portal:
        answer = requests.get(f"{portal.url}/metrics", timeout=30)
        lines = answer.text.splitlines()

        assert answer.status_code == 200
        assert "portal_database_up 0.0" in lines
        assert not [line for line in lines if line.startswith("portal_jobs{")]
        # Its own thread writes what it counts, and another process reads that.
        wait_for("the process has reported", lambda: figures(client).get(("portal_web_processes",)))
        for _ in range(7):
            assert requests.get(f"{portal.url}/health/live", timeout=30).ok

    # The first request asked whether it had started. It has written the last ones when it ended.
    assert figures(client)[live] - before == 8


def test_the_ages_of_queues_are_those_of_the_oldest_message_and_job(client, monkeypatch):
    monkeypatch.setattr(queues, "_broker", queues.BackgroundProbe(queues._fetch_broker_status))
    assert queues.measure_message_age(None) == 0
    assert queues.measure_message_age(b'{"headers": {"sent_at": "no number"}}') is None
    assert queues.measure_message_age(b'{"headers": []}') is None
    flush_broker()
    with transaction.atomic():
        jobs = [engine.submit(external_system.BuildHouseCommand(name)).job for name in ("a", "b")]
    due, leased = timezone.now() - timedelta(hours=1), timezone.now() - timedelta(minutes=10)
    Job.objects.filter(pk=jobs[0].pk).update(not_before=due, queue="deploys")
    # Its worker has died: it is due since the end of its lease.
    Job.objects.filter(pk=jobs[1].pk).update(
        not_before=due, status="running", owner="dead", lease_until=leased
    )
    with app.connection_for_write() as broker:
        message = json.loads(broker.default_channel.client.rpop("jobs"))
        message["headers"]["sent_at"] -= 7200
        broker.default_channel.client.rpush("jobs", json.dumps(message))

    status = queues._fetch_broker_status()

    assert 7200 <= status.ages["jobs"] < 7300
    assert queues.measure_queue_ages() == {
        "deploys": pytest.approx(3600, abs=60),
        "jobs": pytest.approx(600, abs=60),
        "polling": 0,
    }
    described = wait_for(
        "an answer of the broker",
        lambda: (told := client.get("/health/ready").json()["queues"])["jobs"]["messages"] and told,
    )
    assert described["deploys"]["oldest_due_seconds"] == pytest.approx(3600, abs=60)
    assert described["jobs"]["is_read"] is False
    flush_broker()
