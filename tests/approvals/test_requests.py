"""Commands that need agreement: what is requested, approved and carried out, and what is not."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from approvals.models import ApprovalRequest
from cloudaccounts.models import CloudResource
from events.models import Event
from tasks.models import Job
from tenants.models import Tenant
from tenants.scoping import Role
from tests.openapi_document import read_openapi_document
from tests.working import work
from vms.models import VirtualMachine, VMStatus

from .conftest import add_policy

pytestmark = [pytest.mark.usefixtures("catalogue"), pytest.mark.django_db(transaction=True)]


def requested(answer):
    """Return the request of an answer, which the schema of its operation has; nothing else has been recorded."""
    assert answer.status_code == 202, answer.json()
    body = answer.json()
    assert body.keys() == {"request"}
    assert "RequestOnly" in list_accepted_bodies(answer)
    assert body["request"]["status"] == "pending"
    return body["request"]


def list_accepted_bodies(answer):
    """Return the names of the schemas that a 202 of the answer's operation may have."""
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", f"/{answer.resolver_match.route}").replace("{pk}", "{id}")
    operation = read_openapi_document()["paths"][path][answer.request["REQUEST_METHOD"].lower()]
    schema = operation["responses"]["202"]["content"]["application/json"]["schema"]
    return [one["$ref"].rpartition("/")[2] for one in schema.get("oneOf", [schema])]


def decide(client, request, decision="approve", **body):
    return client.post(f"/api/v1/requests/{request['id']}/{decision}/", body, format="json")


def stop(client, vm):
    return client.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json")


def expire(request):
    past = timezone.now() - timedelta(seconds=1)
    ApprovalRequest.objects.filter(pk=request["id"]).update(expires_at=past)


def test_a_vm_is_requested_approved_and_created(admin, system, policy, approver, cloud):
    request = requested(admin.new_vm(system, name="shop-1"))

    assert not VirtualMachine.objects.exists()
    assert not Job.objects.exists()
    (planned,) = request["plan"]["commands"]
    assert (planned["kind"], planned["object"]) == ("vms.create", {"type": "vm", "id": "", "name": "shop-1"})
    assert (planned["details"]["cpu_cores"], planned["details"]["data_center_types"]) == (2, ["production"])
    assert request["requested_by"] == admin.member.user.username
    assert request["reserved"] == {"vms": 1, "cpu_cores": 2, "memory_gb": 4, "disk_gb": 40}

    answer = decide(approver, request, comment="fits the budget")

    assert answer.status_code == 202, answer.json()
    body = answer.json()
    assert (body["request"]["status"], body["request"]["job"]["id"]) == ("approved", body["job"]["id"])
    (decision,) = body["request"]["decisions"]
    assert (decision["kind"], decision["user"], decision["comment"]) == (
        "approved",
        approver.member.user.username,
        "fits the budget",
    )
    work(20)
    vm = VirtualMachine.objects.get()
    assert (vm.name, vm.status, vm.created_by) == ("shop-1", VMStatus.RUNNING, admin.member.user)
    assert [server["name"] for server in cloud.call("GET", "objects")["servers"]] == ["shop-1"]
    codes = Event.objects.filter(object_type="approval").order_by("id").values_list("code", flat=True)
    assert list(codes) == ["approval.requested", "approval.waiting", "approval.approved"]


def test_a_power_action_waits_and_a_second_click_is_the_same_request(add_approver, tenant, vm, policy):
    operator, approver = add_approver(Role.OPERATOR), add_approver()

    first = requested(stop(operator, vm))
    body = {"action": "stop"}
    waiting = {"Prefer": "wait=5"}  # There is nothing to wait for.
    second = requested(operator.post(f"/api/v1/vms/{vm.pk}/actions/", body, format="json", headers=waiting))

    assert (first["id"], first["plan"]["commands"][0]["object"]["id"]) == (second["id"], str(vm.pk))
    assert not Job.objects.exists()
    assert operator.get("/api/v1/requests/?waiting=true").json()["count"] == 0
    assert approver.get("/api/v1/requests/?waiting=true").json()["count"] == 1
    answer = decide(approver, first)
    assert (answer.json()["job"]["kind"], Job.objects.count()) == ("vms.stop", 1)
    assert Job.objects.get().created_by == operator.member.user
    assert approver.get("/api/v1/requests/?waiting=true").json()["count"] == 0
    vm.refresh_from_db()
    assert vm.desired_state == "stopped"


def test_a_dry_run_and_what_no_policy_names_are_not_held_back(admin, system, tenant, vm, policy):
    assert admin.new_vm(system, dry_run=True).status_code == 200
    answer = admin.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": "restart"}, format="json")

    assert answer.json()["job"]["kind"] == "vms.restart"
    assert not ApprovalRequest.objects.exists()


def test_an_idempotency_key_stores_the_request_and_the_decision_once(admin, system, policy, approver):
    key = {"HTTP_IDEMPOTENCY_KEY": "click-1"}
    body = {"information_system": str(system.pk), "name": "shop-1", "os_type": "ubuntu"}
    body |= {"cpu_cores": 2, "memory_gb": 4, "disk_gb": 40}
    first = admin.post("/api/v1/vms/", body, format="json", **key)
    again = admin.post("/api/v1/vms/", body, format="json", **key)

    assert (again.status_code, again.json()) == (202, first.json())
    assert ApprovalRequest.objects.count() == 1
    url = f"/api/v1/requests/{first.json()['request']['id']}/approve/"
    approved = approver.post(url, {}, format="json", **key)
    repeated = approver.post(url, {}, format="json", **key)

    assert (approved.status_code, repeated.status_code) == (202, 202)
    assert repeated.json() == approved.json()
    assert Job.objects.count() == 1


def test_pending_requests_reserve_the_quota_until_they_end(admin, system, tenant, policy, approver):
    Tenant.objects.filter(pk=tenant.pk).update(quota_cpu_cores=5)
    first = requested(admin.new_vm(system, name="shop-1"))
    second = requested(admin.new_vm(system, name="shop-2"))

    full = admin.new_vm(system, name="shop-3")

    assert (full.status_code, full.json()["code"]) == (409, "quota_exceeded")
    assert full.json()["quota"]["cpu_cores"] == {"needed": 2, "left": 1, "total": 5}
    usage = admin.get(f"/api/v1/tenants/{tenant.pk}/usage/").json()
    assert usage["cpu_cores"] == {"used": 4, "total": 5}
    # What is approved counts as a job in flight, not twice; what is rejected or has expired does not count any more.
    assert decide(approver, first).status_code == 202
    assert admin.get(f"/api/v1/tenants/{tenant.pk}/usage/").json()["cpu_cores"]["used"] == 4
    assert decide(approver, second, "reject").status_code == 202
    assert admin.get(f"/api/v1/tenants/{tenant.pk}/usage/").json()["cpu_cores"]["used"] == 2
    third = requested(admin.new_vm(system, name="shop-3"))
    expire(third)
    assert admin.get(f"/api/v1/tenants/{tenant.pk}/usage/").json()["cpu_cores"]["used"] == 2


def test_the_plan_of_an_approval_has_to_be_the_plan_that_was_agreed_to(
    admin, system, policy, approver, add_approver, account
):
    """A new, smaller flavor has appeared: the portal would take that one now."""
    request = requested(admin.new_vm(system, name="shop-1"))
    flavor = CloudResource.objects.get(
        account=account, type="flavor", name=request["plan"]["commands"][0]["details"]["flavor"]
    )
    CloudResource.objects.filter(pk=flavor.pk).update(
        name="renamed", attributes={**flavor.attributes, "memory_mb": 5 * 1024}
    )

    answer = decide(approver, request, comment="yes")

    body = answer.json()["request"]
    assert (answer.status_code, body["status"], "job" in answer.json()) == (202, "pending", False)
    changed = {one["path"]: (one["before"], one["after"]) for one in body["difference"]}
    assert changed["commands.0.details.memory_gb"] == (4, 5)
    assert body["reserved"]["memory_gb"] == 5
    assert [decision["is_void"] for decision in body["decisions"]] == [True]
    assert not Job.objects.exists()
    assert not VirtualMachine.objects.exists()

    assert decide(approver, request, comment="still yes").json()["job"]["kind"] == "vms.create"
    assert Job.objects.count() == 1


def test_two_levels_need_two_people(admin, system, tenant, add_approver):
    listed = add_approver(Role.VIEWER)
    add_policy(tenant, level_count=2, level2_role="", level2_users=[listed.member.user])
    first, other = add_approver(), add_approver()
    request = requested(admin.new_vm(system))

    assert decide(listed, request).json()["code"] == "not_an_approver"
    body = decide(first, request).json()
    assert (body["request"]["status"], body["request"]["level"], "job" in body) == ("pending", 2, False)
    assert decide(first, request).json()["code"] == "already_approved"
    assert decide(other, request).json()["code"] == "not_an_approver"
    assert not Job.objects.exists()
    assert decide(listed, request).json()["request"]["status"] == "approved"
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("columns", "vm_fields", "is_held"),
    [
        ({"min_cpu_cores": 3}, {"cpu_cores": 2}, False),
        ({"min_cpu_cores": 3}, {"cpu_cores": 4, "memory_gb": 8}, True),
        ({"min_count": 3}, {"count": 2, "name": "a-{n}"}, False),
        ({"min_count": 3}, {"count": 3, "name": "a-{n}"}, True),
        ({"data_center_types": ["production"]}, {"data_center_type": "testing"}, False),
        ({"data_center_types": ["production"]}, {"data_center_type": "production"}, True),
        ({"active": False}, {}, False),
    ],
)
def test_conditions_of_a_policy(admin, system, tenant, columns, vm_fields, is_held):
    add_policy(tenant, **columns)

    answer = admin.new_vm(system, **vm_fields)

    assert answer.status_code == 202, answer.json()
    assert ("request" in answer.json()) == is_held
    assert Job.objects.exists() != is_held


def test_a_policy_of_the_platform_holds_together_with_that_of_the_tenant(
    admin, system, tenant, policy, approver, staff
):
    """A tenant does not get around the platform's policy with one of its own."""
    add_policy(None, name="Platform", level1_role="staff")
    request = requested(admin.new_vm(system))

    assert request["policies"] == ["Two people", "Platform"]
    assert decide(staff, request).json()["code"] == "not_an_approver"
    assert decide(approver, request).json()["request"]["status"] == "pending"
    assert decide(staff, request).json()["request"]["status"] == "approved"
