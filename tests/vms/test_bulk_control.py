"""Requests for the same action on many VMs."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from tasks.models import EntityLock, Job, JobStatus
from tenants.scoping import Role, Scope
from tests.factories import (
    CloudAccountFactory,
    InformationSystemFactory,
    MembershipFactory,
    VirtualMachineFactory,
)
from tests.working import work
from vms.models import VirtualMachine, VMStatus
from vms.services import control_many, control_vm

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client(member):
    client = APIClient()
    client.force_authenticate(member.user)
    return client


def request_bulk_action(client, vms, action="start", **options):
    ids = [str(getattr(vm, "pk", vm)) for vm in vms]
    return client.post("/api/v1/vms/actions/", {"ids": ids, "action": action, **options}, format="json")


def test_a_bulk_start_starts_each_vm(cloud, client, vms_of):
    vms = vms_of(20, status="SHUTOFF")

    answer = request_bulk_action(client, vms)
    work()

    assert (answer.status_code, answer.json()["changed"], answer.json()["refused"]) == (202, 20, 0)
    assert [result["vm"] for result in answer.json()["results"]] == [str(vm.pk) for vm in vms]
    assert set(VirtualMachine.objects.values_list("status", flat=True)) == {VMStatus.RUNNING}
    assert all(cloud.accepted(vm.openstack_id, "os-start") == 1 for vm in vms)


def test_mode_all_starts_no_vm_when_one_is_refused(client, vms_of, scope):
    stopped, busy = vms_of(2, status="SHUTOFF")
    (paused,) = vms_of(1, status="PAUSED")
    other = VirtualMachineFactory()
    control_vm(scope=scope, vm_id=busy.pk, action="start")

    answer = request_bulk_action(client, [stopped, busy, paused, other, uuid.uuid4()], action="stop")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_all_valid")
    codes = [result["refusal"] and result["refusal"]["code"] for result in answer.json()["results"]]
    assert codes == [None, "busy", "wrong_state", "not_found", "not_found"]
    assert Job.objects.count() == 1
    assert EntityLock.objects.count() == 1


def test_mode_valid_starts_the_vms_that_allow_it(client, vms_of):
    stopped = vms_of(2, status="SHUTOFF")
    (running,) = vms_of(1)
    (paused,) = vms_of(1, status="PAUSED")

    answer = request_bulk_action(client, [*stopped, running, paused], mode="valid")

    results = answer.json()["results"]
    assert (answer.status_code, answer.json()["changed"], answer.json()["refused"]) == (202, 2, 1)
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert results[2]["refusal"] is None  # It runs already: there is nothing to do and nothing wrong.
    assert results[3]["refusal"]["code"] == "wrong_state"
    work()
    assert set(Job.objects.values_list("status", flat=True)) == {JobStatus.SUCCEEDED}


def test_a_dry_run_says_what_would_be_and_does_nothing(client, vms_of):
    stopped = vms_of(2, status="SHUTOFF")
    (paused,) = vms_of(1, status="PAUSED")

    answer = request_bulk_action(client, [*stopped, paused], dry_run=True)

    assert (answer.status_code, answer.json()["changed"], answer.json()["refused"]) == (200, 2, 1)
    assert not Job.objects.exists()


def test_a_vm_named_twice_gets_one_action(client, vms_of):
    (vm,) = vms_of(1, status="SHUTOFF")

    answer = request_bulk_action(client, [vm, vm])

    results = answer.json()["results"]
    assert answer.status_code == 202
    assert results[0]["job"] == results[1]["job"]
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("options", "code"), [({"action": "explode"}, "unknown_action"), ({"hard": True}, "hard_not_known")]
)
def test_what_is_wrong_with_all_is_said_once(client, vms_of, options, code):
    answer = request_bulk_action(client, vms_of(2, status="SHUTOFF"), **options)

    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_more_than_five_hundred_are_refused(client):
    answer = request_bulk_action(client, [uuid.uuid4() for _ in range(501)])

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["ids"])


def test_five_hundred_cost_as_many_statements_as_ten():
    counts = []
    account = CloudAccountFactory()
    for count in (10, 500):
        member = MembershipFactory(role=Role.OPERATOR)
        system = InformationSystemFactory(tenant=member.tenant)
        vms = VirtualMachine.objects.bulk_create(
            VirtualMachineFactory.build_batch(
                count, information_system=system, account=account, status=VMStatus.STOPPED
            )
        )
        scope = Scope(member.user, member.tenant, Role.OPERATOR)
        with CaptureQueriesContext(connection) as queries:
            controls = control_many(scope=scope, vm_ids=[vm.pk for vm in vms], action="start", fields={})
        assert all(control.changed for control in controls)
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 10
