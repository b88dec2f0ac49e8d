"""Start, stop and restart by simultaneous requests, and over REST."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection
from rest_framework.test import APIClient

from tasks.models import Job
from tests.factories import MembershipFactory
from tests.vms.control_requests import control
from tests.working import work
from vms.commands.server import ServerCommand

pytestmark = pytest.mark.django_db(transaction=True)


def simultaneously(count, ask):
    start, answers = threading.Barrier(count), []

    def one():
        try:
            start.wait()
            answers.append(ask())
        except Exception as error:  # noqa: BLE001
            answers.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(count)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return answers


def test_many_at_once_are_one_job_and_one_action(cloud, scope, vms_of):
    (vm,) = vms_of(1, status="SHUTOFF")

    answers = simultaneously(40, lambda: control(scope, vm, "start"))
    work()

    assert [answer.changed for answer in answers].count(True) == 1
    assert len({answer.job.pk for answer in answers}) == 1
    assert cloud.accepted(vm.openstack_id, "os-start") == 1


def test_without_the_locks_many_at_once_go_wrong(cloud, scope, vms_of, monkeypatch):
    """Show the race: without the locks on the VM's row and entity, one click becomes several jobs."""
    (vm,) = vms_of(1, status="SHUTOFF")
    monkeypatch.setattr(ServerCommand, "locks", lambda self: [])
    monkeypatch.setattr("vms.models.VirtualMachineQuerySet.select_for_update", lambda self, **options: self)

    simultaneously(8, lambda: control(scope, vm, "start"))

    assert Job.objects.count() > 1


# --- Over REST ---------------------------------------------------------------------------------------------


@pytest.fixture
def client(member):
    client = APIClient()
    client.force_authenticate(member.user)
    return client


def test_the_answer_has_the_job_where_to_follow_it_and_the_vm(client, vms_of):
    (vm,) = vms_of(1)

    answer = client.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json")

    body = answer.json()
    assert answer.status_code == 202
    assert answer["Location"] == f"/api/v1/jobs/{body['job']['id']}/"
    assert body["vm"]["current_job"]["id"] == body["job"]["id"]
    assert body["vm"]["allowed_actions"] == []
    assert [step["name"] for step in body["job"]["steps"]] == ["send_request", "wait_for_completion"]
    assert client.get(answer["Location"]).json()["status"] == "queued"


def test_who_would_rather_wait_gets_the_finished_job(client, vms_of):
    (vm,) = vms_of(1)

    def soon():
        try:
            until = time.monotonic() + 10
            while not Job.objects.exists() and time.monotonic() < until:
                time.sleep(0.05)
            work()
        finally:
            connection.close()

    worker = threading.Thread(target=soon)
    worker.start()
    answer = client.post(
        f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json", headers={"Prefer": "wait=15"}
    )
    worker.join()

    assert answer.status_code == 200
    assert answer["Preference-Applied"] == "wait=15"
    assert answer.json()["job"]["status"] == "succeeded"
    assert answer.json()["vm"]["status"] == "stopped"


def test_a_key_that_is_sent_twice_acts_once(cloud, client, vms_of):
    (vm,) = vms_of(1)
    send = lambda body: client.post(  # noqa: E731
        f"/api/v1/vms/{vm.pk}/actions/", body, format="json", headers={"Idempotency-Key": "k1"}
    )

    first = send({"action": "stop"})
    work()
    again, other = send({"action": "stop"}), send({"action": "start"})

    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
    assert again.json() == first.json()
    assert again["Location"] == first["Location"]
    assert cloud.accepted(vm.openstack_id, "os-stop") == 1


def test_busy_names_the_job_that_holds_it(client, vms_of):
    (vm,) = vms_of(1)
    first = client.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json").json()["job"]

    answer = client.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": "restart"}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (409, "busy")
    assert answer.json()["job"]["id"] == first["id"]


def test_a_member_of_two_tenants_names_one(vms_of, member):
    (vm,) = vms_of(1)
    other = MembershipFactory(user=member.user)
    client = APIClient()
    client.force_authenticate(member.user)
    url = f"/api/v1/vms/{vm.pk}/"

    assert client.get(url).json()["code"] == "tenant_required"
    assert client.get(url, headers={"X-Tenant": member.tenant.slug}).status_code == 200
    assert client.get(url, headers={"X-Tenant": other.tenant.slug}).status_code == 404
    assert client.get(url, headers={"X-Tenant": "nowhere"}).status_code == 404
