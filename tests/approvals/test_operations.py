"""Services of every room as requests: stored, and repeated as they were called."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import uuid4

import pytest

from approvals.models import ApprovalRequest
from approvals.services.requests import prune_requests
from deploys.models import Deployment
from tasks import operations
from tasks.argument_encoding import decode_value, encode_value
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import InstanceFactory, ServiceFactory, VersionFactory, VirtualMachineFactory
from tests.openapi_document import read_openapi_document
from vms.models import VirtualMachine, VMStatus
from volumepool.models import Volume

from .conftest import add_policy
from .test_requests import decide, requested

pytestmark = [pytest.mark.usefixtures("catalogue"), pytest.mark.django_db(transaction=True)]


@pytest.fixture
def vms(system, account):
    """Three running VMs of the tenant."""
    return VirtualMachineFactory.create_batch(
        3, information_system=system, account=account, status=VMStatus.RUNNING
    )


@dataclass(frozen=True)
class Wanted:
    hosts: tuple[str, ...]
    until: date


def test_arguments_are_read_as_they_were_written():
    value = {
        "id": uuid4(),
        "at": datetime(2026, 11, 30, 12, 0, tzinfo=timezone(timedelta(hours=8))),
        "day": date(2026, 11, 30),
        "price": Decimal("1.50"),
        "role": Role.ADMIN,
        "list": [1, None, True, {"$kind": "uuid"}],
        "wanted": Wanted(("a", "b"), date(2026, 12, 1)),
    }

    assert decode_value(encode_value(value), {"Wanted": Wanted}) == value
    with pytest.raises(ValueError, match="Wanted"):
        decode_value(encode_value(value), {})
    with pytest.raises(TypeError, match="object"):
        encode_value({"x": object()})


def test_every_operation_can_be_repeated_without_the_arguments_that_are_left_out():
    for name, operation in operations._operations.items():
        parameters = inspect.signature(operation.function).parameters
        assert parameters["scope"].kind == inspect.Parameter.KEYWORD_ONLY, name
        for omitted in operation.omitted:
            assert parameters[omitted].default is not inspect.Parameter.empty, (name, omitted)


def test_many_vms_are_one_request(admin, vms, tenant, approver):
    add_policy(tenant, commands=["vms.stop"], min_count=3)
    body = {"ids": [str(vm.pk) for vm in vms], "action": "stop"}
    assert "request" not in admin.post(f"/api/v1/vms/{vms[0].pk}/actions/", {"action": "pause"}).json()
    Job.objects.all().delete()

    request = requested(admin.post("/api/v1/vms/actions/", body, format="json"))

    assert [command["object"]["name"] for command in request["plan"]["commands"]] == [vm.name for vm in vms]
    approved = decide(approver, request).json()["request"]
    assert set(approved["job_ids"]) == {str(job.pk) for job in Job.objects.filter(kind="vms.stop")}
    assert len(approved["job_ids"]) == 3


def test_one_of_many_that_has_changed_is_a_difference(admin, vms, tenant, approver):
    add_policy(tenant, commands=["vms.stop"])
    body = {"ids": [str(vm.pk) for vm in vms], "action": "stop"}
    request = requested(admin.post("/api/v1/vms/actions/", body, format="json"))
    VirtualMachine.objects.filter(pk=vms[2].pk).update(status=VMStatus.STOPPED)

    changed = decide(approver, request).json()["request"]

    assert (changed["status"], len(changed["plan"]["commands"])) == ("pending", 2)
    assert {one["path"] for one in changed["difference"]} >= {"commands.2.kind"}
    assert not Job.objects.exists()


def test_a_change_of_a_vm_that_names_its_version(admin, vms, tenant, approver):
    add_policy(tenant, commands=["vms.change"])
    vm = vms[0]
    answer = admin.patch(
        f"/api/v1/vms/{vm.pk}/",
        {"name": "renamed", "description": "for the fair"},
        format="json",
        headers={"If-Match": f'"{vm.version}"'},
    )
    request = requested(answer)
    vm.refresh_from_db()
    assert vm.description == ""

    assert decide(approver, request).json()["job"]["kind"] == "vms.change"
    vm.refresh_from_db()
    assert vm.description == "for the fair"


def test_new_volumes(admin, system, account, tenant, approver):
    add_policy(tenant, commands=["volumepool.provide_volumes"], min_disk_gb=20)
    body = {"information_system": str(system.pk), "size_gb": 20, "count": 2, "name": "data"}
    small = admin.post("/api/v1/volumes/", {**body, "size_gb": 10}, format="json")
    assert small.json()["job"], small.json()
    volumes, jobs = Volume.objects.count(), Job.objects.count()

    request = requested(admin.post("/api/v1/volumes/", body, format="json"))

    assert (request["reserved"]["disk_gb"], Volume.objects.count(), Job.objects.count()) == (
        40,
        volumes,
        jobs,
    )
    assert request["plan"]["commands"][0]["details"]["count"] == 2
    assert decide(approver, request).json()["request"]["status"] == "approved"
    assert Volume.objects.count() == volumes + 2


@pytest.mark.parametrize(("data_center_type", "is_held"), [("production", True), ("testing", False)])
def test_a_deployment_to_production(admin, tenant, approver, account, system, data_center_type, is_held):
    add_policy(tenant, commands=["deploys.service"], data_center_types=["production"])
    service = ServiceFactory(information_system__tenant=tenant, name="shop")
    first, second = (VersionFactory(service=service) for _ in range(2))
    instance = InstanceFactory(version=first)
    instance.host.vm = VirtualMachineFactory(
        information_system=system, account=account, data_center_type=data_center_type
    )
    instance.host.save()
    url = f"/api/v1/services/{service.pk}/versions/{first.pk}/upgrade/"

    answer = admin.post(url, {"dest_version": str(second.pk), "hosts": "all"}, format="json")

    assert ("request" in answer.json()) == is_held
    if is_held:
        instance.refresh_from_db()
        assert (Deployment.objects.count(), instance.locked) == (0, False)
        (command,) = answer.json()["request"]["plan"]["commands"]
        assert command["details"]["hosts"] == [f"1: {instance.host}"]
        body = decide(approver, answer.json()["request"]).json()
        assert body["job"]["kind"] == "deploys.service"
    assert Deployment.objects.get().operator == admin.member.user


def test_a_plan_does_not_depend_on_the_language_of_the_reader(admin, system, policy, approver):
    request = requested(admin.new_vm(system))

    answer = approver.post(
        f"/api/v1/requests/{request['id']}/approve/",
        {},
        format="json",
        headers={"Accept-Language": "zh-hans"},
    )

    assert (answer.json()["request"]["status"], answer.json()["request"]["difference"]) == ("approved", [])
    assert answer.json()["request"]["status_display"] == "已批准"


def test_old_requests_are_pruned_and_pending_ones_stay(admin, system, policy, approver):
    ended, pending = (requested(admin.new_vm(system, name=name)) for name in ("a", "b"))
    assert decide(approver, ended, "reject").status_code == 202
    later = datetime.now(UTC) + timedelta(seconds=1)

    assert prune_requests(later) == 1
    assert [str(one.pk) for one in ApprovalRequest.objects.all()] == [pending["id"]]


def test_the_schema_has_a_request_wherever_a_command_may_be_held_back():
    """No policy holds back what staff do for the platform, nor what only reads."""
    recorded, held_back = set(), set()
    for methods in read_openapi_document()["paths"].values():
        for operation in methods.values():
            accepted = operation["responses"].get("202")
            if accepted is None:
                continue
            recorded.add(operation["operationId"])
            schema = accepted["content"]["application/json"]["schema"]
            if {"$ref": "#/components/schemas/RequestOnly"} in schema.get("oneOf", []):
                held_back.add(operation["operationId"])

    rooms = ("vms", "volumes", "security_groups", "server_groups", "floating_ips", "services", "deployments")
    assert {name for name in recorded - held_back if name.startswith(rooms)} == {
        "deployments_cancel_create",
        "vms_abort_migration_create",
        "vms_console_create",
        "vms_evacuate_create",
        "vms_migrate_create",
        "vms_password_create",
        "vms_sync_create",
    }
    assert {name for name in held_back if not name.startswith(rooms)} == set()
