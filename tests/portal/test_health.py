"""Whether the portal says so when it cannot be used, asked of a real web process."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import closing, contextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import psycopg2
import pytest
import requests
from django.conf import settings
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from tests.conftest import flush_broker
from tests.factories import MembershipFactory, ScheduledAccountFactory, UserFactory, VirtualMachineFactory
from tests.servers import free_port
from tests.stories import select_evenly
from tests.web_processes import get_test_database_url, start_web_process
from vms.models import SyncState

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def serve(tmp_path):
    """Serve the portal with other environment variables."""
    return lambda **environment: start_web_process(tmp_path, threads=2, environment=environment)


@pytest.fixture
def silent_port():
    """A port that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(20)
        yield listener.getsockname()[1]


# Seconds. Without a limit of its own, a connection to what does not answer lasts for minutes.
PATIENCE = 15


def ask(portal, name):
    """The status, the body, and how many seconds the answer took."""
    began = time.monotonic()
    answer = requests.get(f"{portal.url}/health/{name}", timeout=30)
    return answer.status_code, answer.json(), time.monotonic() - began


def broker_at(port):
    return urlsplit(settings.REDIS_URL)._replace(netloc=f":hidden@127.0.0.1:{port}").geturl()


def database_at(port):
    return urlsplit(get_test_database_url())._replace(netloc=f"portal:hidden@127.0.0.1:{port}").geturl()


@pytest.fixture
def running_beat():
    """Beat has just rung, the canary's schedule is not on, and no message of another test waits for a worker."""
    flush_broker()
    interval = IntervalSchedule.objects.create(every=5, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.create(
        name="any", task="tasks.sweep", interval=interval, last_run_at=timezone.now() + timedelta(seconds=30)
    )


def test_all_is_well(serve, running_beat):
    with serve() as portal:
        status, body, _seconds = ask(portal, "ready")
        assert (status, body["status"]) == (200, "ok")
        assert (body["database"], body["broker"], body["migrations"]) == ("ok", "ok", "ok")
        assert ask(portal, "live")[:2] == (200, {"status": "ok"})


@pytest.mark.story
@pytest.mark.parametrize(
    "silent",
    select_evenly([True, False], 1),
    ids=lambda silent: "it takes connections and is silent" if silent else "nobody listens",
)
def test_a_broker_that_is_away_is_named(serve, running_beat, silent_port, silent):
    with serve(REDIS_URL=broker_at(silent_port if silent else free_port())) as portal:
        status, body, seconds = ask(portal, "ready")

        assert (status, body["status"]) == (503, "unavailable")
        assert (body["broker"], body["database"], body["migrations"]) == ("does not answer", "ok", "ok")
        assert seconds < PATIENCE
        assert "hidden" not in json.dumps(body)
        assert ask(portal, "live")[0] == 200


@pytest.mark.story
def test_a_database_that_is_away_is_named(serve):
    with serve(DATABASE_URL=database_at(free_port())) as portal:
        status, body, seconds = ask(portal, "ready")

        assert (status, body["status"]) == (503, "unavailable")
        assert (body["database"], body["broker"]) == ("does not answer", "ok")
        assert body["migrations"] == "unknown"
        assert seconds < PATIENCE
        assert "hidden" not in json.dumps(body)


@pytest.mark.story
def test_a_process_lives_although_nothing_else_does(serve, silent_port):
    with serve(DATABASE_URL=database_at(silent_port), REDIS_URL=broker_at(silent_port)) as portal:
        status, _body, seconds = ask(portal, "live")

    assert status == 200
    assert seconds < PATIENCE


@contextmanager
def the_database_takes_nobody():
    """The test's own connection stays; all others are cut, and no new one is let in."""
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        mine = cursor.fetchone()[0]
    with closing(psycopg2.connect(os.environ["DATABASE_URL"])) as outside, outside.cursor() as cursor:
        outside.autocommit = True
        cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
                [name, mine],
            )
            yield cursor.rowcount
        finally:
            cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


@pytest.mark.story
def test_a_database_that_goes_away_and_comes_back_is_noticed_both_times(serve, running_beat):
    with serve() as portal:
        assert ask(portal, "ready")[0] == 200

        with the_database_takes_nobody() as connections_cut:
            assert connections_cut
            gone = ask(portal, "ready")
            assert gone[0] == 503
            assert (gone[1]["database"], gone[1]["broker"]) == ("does not answer", "ok")

        for _ in range(4):  # Every thread has a connection of its own.
            assert ask(portal, "ready")[0] == 200


def test_accounts_are_named_to_staff_and_to_the_metrics_alone(client, settings):
    account = ScheduledAccountFactory(name="Department of secrets")
    VirtualMachineFactory(account=account, region="RegionOne", openstack_id="server-1")
    SyncState.objects.create(
        account=account, region="RegionOne", listed_at=timezone.now() - timedelta(days=30)
    )
    settings.METRICS_TOKEN = "of-the-metrics"

    def named(**headers):
        return "Department of secrets" in client.get("/health/ready", headers=headers).content.decode()

    assert not named()
    assert not named(Authorization="Bearer another")
    assert not named(Authorization="Bearer ")
    assert named(Authorization="Bearer of-the-metrics")
    settings.METRICS_TOKEN = ""
    assert not named(Authorization="Bearer ")
    client.force_login(MembershipFactory(role="admin").user)
    assert not named()
    client.force_login(UserFactory(is_staff=True))
    assert named()
