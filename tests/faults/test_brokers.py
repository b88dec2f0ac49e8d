"""The portal on Redis with Sentinels and on RabbitMQ: their server is killed while VMs are stopped and started."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import requests
from django.core.management import call_command
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from api.models import ApiToken
from devserver import launch
from tasks.models import ENDED, EntityLock, Job, JobStatus
from tests.conftest import REPOSITORY
from tests.factories import UserFactory
from tests.rabbitmq import start_rabbitmq
from tests.sentinels import start_valkey_group
from tests.working import wait_for
from vms.models import VirtualMachine, VMStatus

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.story, pytest.mark.timeout(400)]

WORKER = (
    "worker",
    "-n",
    "worker@localhost",
    "-Q",
    "jobs,polling",
    "-c",
    "2",
    "--without-gossip",
    "--without-mingle",
)
SHORT_LEASES = {"JOB_LEASE_SECONDS": "3"}


class Portal:
    """A web process, a worker and beat on servers of their own, and an operator with VMs."""

    def __init__(self, web, headers, staff_headers):
        self.web, self.headers, self.staff_headers = web, headers, staff_headers

    def get(self, path):
        return requests.get(f"{self.web.url}{path}", headers=self.staff_headers, timeout=30)

    def click(self, vm, action):
        answer = requests.post(
            f"{self.web.url}/api/v1/vms/{vm.pk}/actions/",
            json={"action": action},
            headers=self.headers,
            timeout=30,
        )
        assert answer.status_code == 202, answer.text

    def worker_names(self):
        """The workers that answer over the broker; None when the broker does not."""
        workers = self.get("/api/v1/queue/workers/").json()["workers"]
        return workers and [worker["name"] for worker in workers]

    def depths(self):
        return {
            queue["name"]: queue["messages"] for queue in self.get("/api/v1/queue/summary/").json()["queues"]
        }


@pytest.fixture
def run_portal(cloud, web, authorization, celery_process, start_beat):
    """Return a function that runs a portal with additional variables; its sweep runs every second."""
    call_command("write_schedules", verbosity=0)
    second, _created = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.exclude(name="tasks.sweep").update(enabled=False)
    PeriodicTask.objects.filter(name="tasks.sweep").update(interval=second)
    _row, token = ApiToken.objects.create(
        user=UserFactory(is_staff=True, is_superuser=True), name="staff", expiry=None
    )

    def run(environment):
        environment = {**SHORT_LEASES, **environment}
        portal = Portal(web(environment=environment), authorization, {"Authorization": f"Token {token}"})
        celery_process(*WORKER, environment=environment)
        _process, log = start_beat(environment)
        try:
            wait_for("the worker answers", portal.worker_names, 60)
        except AssertionError as error:
            pytest.fail(f"{error}\n{launch.read_last_lines(log, 20)}")
        return portal

    return run


def wait_for_end():
    wait_for(
        f"all jobs end: {list(Job.objects.values_list('kind', 'status', 'outcome_message'))}",
        lambda: not Job.objects.exclude(status__in=ENDED).exists(),
        90,
    )


def assert_each_done_once(cloud, vms, action):
    assert set(Job.objects.values_list("status", flat=True)) == {JobStatus.SUCCEEDED}
    assert [cloud.accepted(vm.openstack_id, action) for vm in vms] == [1] * len(vms)
    assert not EntityLock.objects.exists()


def test_a_killed_primary_is_replaced_and_no_click_is_lost(cloud, vms_of, run_portal, tmp_path):
    vms = vms_of(6)
    cloud.clock(action_seconds=2)
    with start_valkey_group(tmp_path) as group:
        portal = run_portal(group.environment)
        assert portal.get("/health/serving").json()["broker"] == "ok"
        for vm in vms[:3]:
            portal.click(vm, "stop")

        group.kill(group.primary)
        for vm in vms[3:]:
            portal.click(vm, "stop")
        wait_for("the replica is the primary", lambda: group.find_primary() == group.replica, 60)
        wait_for_end()

        assert_each_done_once(cloud, vms, "os-stop")
        wait_for("the portal's cache answers", lambda: portal.get("/health/serving").status_code == 200, 60)
        wait_for("the worker answers over the new primary", portal.worker_names, 60)
        portal.click(vms[0], "start")
        wait_for_end()
        assert VirtualMachine.objects.get(pk=vms[0].pk).status == VMStatus.RUNNING


# Sends a message, waits for a line, sends another one over the same connection, and prints the error.
SENDER = """
import sys
import django
django.setup()
from portal.celery import app
queue, retries = sys.argv[1:]
if retries == "no":
    app.conf.task_publish_retry = False
app.send_task("tasks.advance", args=["before"], queue=queue)
print("sent", flush=True)
sys.stdin.readline()
try:
    app.send_task("tasks.advance", args=["after"], queue=queue)
except Exception as error:
    print(type(error).__name__, flush=True)
"""


def test_the_first_message_after_a_restart_of_rabbitmq_arrives_and_would_not_without_a_second_attempt():
    with start_rabbitmq() as server:
        environment = {**os.environ, **server.environment, "DJANGO_SETTINGS_MODULE": "portal.settings"}
        senders = {
            retries: subprocess.Popen(
                [sys.executable, "-c", SENDER, f"jobs-{retries}", retries],
                cwd=REPOSITORY,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for retries in ("yes", "no")
        }
        assert [sender.stdout.readline() for sender in senders.values()] == ["sent\n", "sent\n"]
        server.kill()
        server.start()

        printed = {retries: sender.communicate("\n", timeout=30)[0] for retries, sender in senders.items()}

        assert printed == {"yes": "", "no": "OperationalError\n"}
        with server.connect() as connection:
            counts = [
                connection.default_channel.queue_declare(f"jobs-{retries}", passive=True).message_count
                for retries in ("yes", "no")
            ]
        assert counts == [1, 0]


def test_rabbitmq_is_the_broker_and_may_be_killed(cloud, vms_of, run_portal):
    vms = vms_of(4)
    cloud.clock(action_seconds=1)
    with start_rabbitmq() as server:
        portal = run_portal(server.environment)
        ready = portal.get("/health/serving").json()
        assert (ready["broker"], ready["cache"]) == ("ok", "ok")
        assert set(portal.depths().values()) == {0}
        for vm in vms[:2]:
            portal.click(vm, "stop")
        wait_for_end()

        server.kill()
        unready = portal.get("/health/serving")
        assert (unready.status_code, unready.json()["broker"]) == (503, "does not answer")
        assert unready.json()["cache"] == "ok"
        for vm in vms[2:]:
            portal.click(vm, "stop")
        wait_for("depths are unknown", lambda: set(portal.depths().values()) == {None}, 60)
        server.start()
        wait_for_end()

        assert_each_done_once(cloud, vms, "os-stop")
        wait_for("the worker answers again", portal.worker_names, 60)
        metrics = portal.get("/metrics").text
        assert 'portal_queue_messages{queue="sync"} 0.0' in metrics
        assert 'portal_queue_read{queue="jobs"} 1.0' in metrics
