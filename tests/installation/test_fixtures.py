"""The servers, the simulator and the workers that the other tests stand on."""

import os
import signal
import time
import urllib.request

import psycopg2
import pytest
from django.core.cache import cache
from django.db import connection

from portal.celery import app


@pytest.mark.django_db
def test_the_database_is_postgresql_and_the_cache_is_real():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_migrations")
        assert cursor.fetchone()[0] > 0
    cache.set("house", "yes", 5)

    assert cache.get("house") == "yes"


def test_the_test_database_asks_for_a_password():
    address = os.environ["DATABASE_URL"]
    password = address.rpartition("@")[0].rpartition(":")[2]

    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(address.replace(password, "wrong"))


def test_the_simulator_answers(simulator):
    with urllib.request.urlopen(simulator.url + "/identity/v3", timeout=5) as answer:  # noqa: S310 - always http, on loopback.
        assert answer.status == 200


@pytest.mark.story
def test_a_worker_answers_and_can_be_killed(celery_worker):
    worker = celery_worker(queues="jobs", concurrency=2)
    names = [name for reply in app.control.ping(timeout=1) for name in reply]
    assert len(names) == 1

    os.kill(worker.pid, signal.SIGKILL)

    assert worker.wait(5) == -signal.SIGKILL
    assert app.control.ping(destination=names, timeout=1) == []


@pytest.mark.story
def test_a_worker_serves_the_queues_it_was_given(celery_worker):
    celery_worker(queues="sync,polling")
    deadline = time.monotonic() + 10
    while not (answer := app.control.inspect(timeout=1).active_queues()):
        assert time.monotonic() < deadline

    (queues,) = answer.values()
    assert {queue["name"] for queue in queues} == {"sync", "polling"}
