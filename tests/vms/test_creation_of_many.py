"""Several VMs of one request: names, quota, one transaction, one answer."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks.models import Job
from tenants.models import Tenant
from tests.factories import VirtualMachineFactory
from tests.working import work
from vms.models import VirtualMachine, VMStatus

pytestmark = pytest.mark.django_db(transaction=True)


def names_of(answer):
    assert answer.status_code in {200, 202}, answer.json()
    return [vm["name"] for vm in answer.json()["vms"]]


def test_three_vms_are_created_by_three_jobs(admin, system, catalogue):
    answer = admin.new_vm(system, name="web", count=3, tags={"env": "prod"}, boot_volume=True)

    assert (answer.status_code, names_of(answer)) == (202, ["web-1", "web-2", "web-3"])
    assert [job["entity_id"] for job in answer.json()["jobs"]] == [vm["id"] for vm in answer.json()["vms"]]
    assert {vm["current_job"]["id"] for vm in answer.json()["vms"]} == {
        job["id"] for job in answer.json()["jobs"]
    }
    work(40)
    rows = VirtualMachine.objects.values_list("status", "tags")
    assert list(rows) == [(VMStatus.RUNNING, {"env": "prod"})] * 3


def test_numbers_begin_with_the_first_that_is_free(admin, system, account, catalogue):
    for name in ("web-1-a", "web-3-a", "web-x-a"):
        VirtualMachineFactory(information_system=system, account=account, name=name)

    assert names_of(admin.new_vm(system, name="web-{n}-a", count=3)) == ["web-2-a", "web-4-a", "web-5-a"]
    assert names_of(admin.new_vm(system, name="db", count=1)) == ["db"]
    assert names_of(admin.new_vm(system, name="db-{n}", count=1)) == ["db-1"]


def test_all_or_none_are_within_the_quota(admin, system, catalogue):
    Tenant.objects.filter(pk=system.tenant_id).update(quota_vms=2)

    answer = admin.new_vm(system, count=3)

    assert (answer.status_code, answer.json()["code"]) == (409, "quota_exceeded")
    assert answer.json()["quota"]["vms"] == {"needed": 3, "left": 2, "total": 2}
    assert not VirtualMachine.objects.exists()
    assert not Job.objects.exists()


def test_a_dry_run_names_the_vms_and_writes_nothing(admin, system, catalogue):
    answer = admin.new_vm(system, name="web-{n}", count=2, dry_run=True)

    assert (answer.status_code, names_of(answer), answer.json()["jobs"]) == (200, ["web-1", "web-2"], [])
    assert not VirtualMachine.objects.exists()


def test_the_same_key_creates_them_once(admin, system, catalogue):
    admin.credentials(HTTP_IDEMPOTENCY_KEY="three")

    first, second = admin.new_vm(system, count=3), admin.new_vm(system, count=3)

    assert first.json() == second.json()
    assert VirtualMachine.objects.count() == 3


@pytest.mark.parametrize("count", [0, 51, "many", None])
def test_a_bad_count_is_refused(admin, system, catalogue, count):
    body = {
        "information_system": str(system.pk),
        "name": "web",
        "cpu_cores": 2,
        "memory_gb": 4,
        "disk_gb": 40,
    }

    answer = admin.post("/api/v1/vms/", {**body, "os_type": "ubuntu", "count": count}, format="json")

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["count"])


def test_a_name_that_is_too_long_with_its_number_is_refused(admin, system, catalogue):
    answer = admin.new_vm(system, name="w" * 199, count=2)

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["name"])
    assert not VirtualMachine.objects.exists()


def test_waiting_is_for_one_vm(admin, system, catalogue):
    answer = admin.post(
        "/api/v1/vms/",
        {
            "information_system": str(system.pk),
            "name": "web",
            "cpu_cores": 2,
            "memory_gb": 4,
            "disk_gb": 40,
            "os_type": "ubuntu",
            "count": 2,
        },
        format="json",
        HTTP_PREFER="wait=5",
    )

    assert (answer.status_code, len(answer.json()["jobs"])) == (202, 2)


@pytest.mark.parametrize("boot_volume", [False, True])
def test_twenty_cost_as_many_statements_as_two(admin, system, catalogue, boot_volume):
    counts = []
    for count in (2, 20):
        with CaptureQueriesContext(connection) as queries:
            answer = admin.new_vm(system, name=f"of-{count}", count=count, boot_volume=boot_volume)
        assert answer.status_code == 202
        counts.append(len(queries))

    assert counts[0] == counts[1]
