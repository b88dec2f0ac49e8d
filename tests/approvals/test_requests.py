"""Commands that need agreement: what is requested, approved and carried out, and what is not."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from api.domain_errors import DomainError
from approvals.models import ApprovalDelegation, ApprovalRequest
from approvals.services import expire_requests
from cloudaccounts.models import CloudResource
from events.models import Event
from tasks import engine
from tasks.models import Job
from tenants.models import Membership, Tenant, User
from tenants.scoping import Role
from tests.factories import MembershipFactory, VirtualMachineFactory
from tests.working import work
from vms.commands.power import POWER_COMMANDS
from vms.models import VirtualMachine, VMLogin, VMStatus

from .conftest import add_policy, sign_in

pytestmark = [pytest.mark.usefixtures("catalogue"), pytest.mark.django_db(transaction=True)]


def requested(answer):
    """Return the request of an answer; nothing else has been recorded."""
    assert answer.status_code == 202, answer.json()
    body = answer.json()
    assert "job" not in body
    assert body["request"]["status"] == "pending"
    return body["request"]


def decide(client, request, decision="approve", **body):
    return client.post(f"/api/v1/requests/{request['id']}/{decision}/", body, format="json")


def stop(client, vm):
    return client.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json")


def expire(request):
    past = timezone.now() - timedelta(seconds=1)
    ApprovalRequest.objects.filter(pk=request["id"]).update(expires_at=past)


@pytest.fixture
def vm(system, account):
    """A running VM of the tenant."""
    return VirtualMachineFactory(information_system=system, account=account, status=VMStatus.RUNNING)


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
    assert list(codes) == ["approval.requested", "approval.approved"]


def test_a_power_action_waits_and_a_second_click_is_the_same_request(add_approver, tenant, vm, policy):
    operator, approver = add_approver(Role.OPERATOR), add_approver()

    first = requested(stop(operator, vm))
    second = requested(stop(operator, vm))

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


# --- Bad days ----------------------------------------------------------------------------------------------


def test_an_approval_is_given_once(admin, system, policy, approver, add_approver):
    request = requested(admin.new_vm(system))
    assert decide(approver, request).status_code == 202

    for client in (approver, add_approver()):
        late = decide(client, request)
        assert (late.status_code, late.json()["code"]) == (409, "already_decided")
        assert late.json()["decided_by"] == approver.member.user.username
        assert decide(client, request, "reject").json()["code"] == "already_decided"
    assert Job.objects.count() == 1


def test_nobody_decides_about_their_own_request(admin, system, policy, tenant):
    request = requested(admin.new_vm(system))

    for decision in ("approve", "reject"):
        refused = decide(admin, request, decision)
        assert (refused.status_code, refused.json()["code"]) == (403, "own_request")
    assert not Job.objects.exists()
    assert decide(admin, request, "withdraw").json()["request"]["status"] == "withdrawn"


def test_a_delegate_does_not_decide_about_their_own_request_nor_one_about_the_delegators(
    admin, system, policy, tenant, add_approver
):
    """The approver is away, and has named somebody who is no approver."""
    approver, deputy = add_approver(), add_approver(Role.OPERATOR)
    until = timezone.now() + timedelta(days=1)
    body = {"delegate": deputy.member.user.username, "ends_at": until.isoformat()}
    request = requested(admin.new_vm(system, name="shop-1"))
    assert decide(deputy, request).json()["code"] == "not_an_approver"

    assert admin.post("/api/v1/approval-delegations/", body, format="json").status_code == 201
    assert decide(deputy, request).json()["code"] == "not_an_approver"  # The delegator has requested it.
    delegation = approver.post("/api/v1/approval-delegations/", body, format="json").json()
    assert deputy.get("/api/v1/requests/?waiting=true").json()["count"] == 1
    (decision,) = decide(deputy, request).json()["request"]["decisions"]

    assert (decision["user"], decision["on_behalf_of"]) == (
        deputy.member.user.username,
        approver.member.user.username,
    )
    assert approver.delete(f"/api/v1/approval-delegations/{delegation['id']}/").status_code == 204


def test_a_request_that_has_expired_is_not_approved(admin, system, policy, approver):
    """Whether the schedule has run or not."""
    request = requested(admin.new_vm(system))
    ApprovalRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert (decide(approver, request).status_code, decide(approver, request).json()["code"]) == (
        409,
        "expired",
    )
    assert expire_requests() == 1
    assert expire_requests() == 0
    assert decide(approver, request).json()["code"] == "expired"
    assert not Job.objects.exists()
    assert Event.objects.filter(code="approval.expired").count() == 1
    again = requested(admin.new_vm(system))
    assert again["id"] != request["id"]


@pytest.mark.parametrize("takes", ["quota", "network", "flavor", "system"])
def test_what_was_taken_back_is_not_carried_out(admin, system, policy, approver, account, takes):
    request = requested(admin.new_vm(system))
    if takes == "quota":
        Tenant.objects.update(quota_vms=0)
    elif takes == "system":
        system.delete()
    else:
        CloudResource.objects.filter(account=account, type=takes).delete()

    refused = decide(approver, request)

    assert (refused.status_code, refused.json()["code"]) == (409, "no_longer_valid")
    assert refused.json()["reason"]["code"] == ("quota_exceeded" if takes == "quota" else "invalid")
    assert not Job.objects.exists()
    found = ApprovalRequest.objects.get()
    assert (found.status, found.decisions.count()) == ("pending", 0)
    assert decide(approver, request, "reject").json()["request"]["status"] == "rejected"


@pytest.mark.parametrize("loses", ["membership", "role", "account"])
def test_a_requester_without_their_rights_requests_nothing(admin, system, policy, approver, loses):
    request = requested(admin.new_vm(system))
    if loses == "membership":
        admin.member.delete()
    elif loses == "role":
        Membership.objects.filter(pk=admin.member.pk).update(role=Role.VIEWER)
    else:
        User.objects.filter(pk=admin.member.user.pk).update(is_active=False)

    refused = decide(approver, request)

    assert (refused.status_code, refused.json()["code"]) == (409, "no_longer_valid")
    assert not Job.objects.exists()


@pytest.mark.parametrize("loses", ["membership", "role"])
def test_an_approver_without_their_role_decides_nothing(admin, system, policy, approver, loses):
    request = requested(admin.new_vm(system))
    if loses == "membership":
        approver.member.delete()
    else:
        Membership.objects.filter(pk=approver.member.pk).update(role=Role.OPERATOR)

    refused = decide(approver, request)

    assert refused.status_code == 403
    assert ApprovalRequest.objects.get().status == "pending"


def test_a_chain_whose_approver_was_switched_off_is_decided_by_the_others(
    admin, system, tenant, add_approver
):
    gone, left = add_approver(Role.OPERATOR), add_approver(Role.OPERATOR)
    add_policy(tenant, level1_role="", level1_users=[gone.member.user, left.member.user])
    deputy = add_approver(Role.VIEWER)
    ApprovalDelegation.objects.create(
        tenant=tenant,
        user=gone.member.user,
        delegate=deputy.member.user,
        starts_at=timezone.now() - timedelta(hours=1),
        ends_at=timezone.now() + timedelta(hours=1),
    )
    request = requested(admin.new_vm(system))
    User.objects.filter(pk=gone.member.user.pk).update(is_active=False)

    assert decide(deputy, request).json()["code"] == "not_an_approver"
    assert decide(left, request).json()["request"]["status"] == "approved"


def test_a_policy_that_is_removed_or_changed_releases_nothing(admin, system, policy, approver, add_approver):
    """Neither does the requester, an administrator, release their own request by changing the policy."""
    request = requested(admin.new_vm(system))
    operator = add_approver(Role.OPERATOR)
    url = f"/api/v1/approval-policies/{policy.pk}/"
    assert admin.patch(url, {"level1_role": "operator"}, format="json").status_code == 200
    assert decide(operator, request).json()["code"] == "not_an_approver"

    assert admin.delete(url).status_code == 204

    assert not Job.objects.exists()
    assert decide(operator, request).json()["code"] == "not_an_approver"
    assert decide(approver, request).json()["request"]["status"] == "approved"


def test_members_of_other_tenants_see_no_request(admin, system, policy):
    request = requested(admin.new_vm(system))
    stranger = sign_in(MembershipFactory(role=Role.ADMIN).user)

    assert stranger.get("/api/v1/requests/").json()["count"] == 0
    assert stranger.get(f"/api/v1/requests/{request['id']}/").status_code == 404
    for decision in ("approve", "reject", "withdraw"):
        assert decide(stranger, request, decision).status_code == 404


def test_commands_of_the_portal_itself_pass(vm, tenant):
    """The stop at the end of a VM's runtime is requested by nobody, and a retry by staff was agreed to before."""
    add_policy(tenant, commands=["vms.stop", "vms.stop_at_runtime_end"])
    command = POWER_COMMANDS["stop"](str(vm.pk))
    command.vm = vm
    with transaction.atomic():
        job = engine.submit(command, tenant=tenant).job

    assert job.kind == "vms.stop"


def test_a_call_that_cannot_be_stored_is_refused_and_does_not_pass(vm, tenant, admin, policy):
    command = POWER_COMMANDS["stop"](str(vm.pk))
    command.vm = vm

    with pytest.raises(DomainError) as refused, transaction.atomic():
        engine.submit(command, tenant=tenant, user=admin.member.user)

    assert refused.value.code == "approval_required"
    assert not Job.objects.exists()


def test_secrets_of_a_request_are_stored_encrypted_and_not_in_its_plan(admin, system, policy, approver):
    secret = "#cloud-config\npassword: kXq93-hidden"
    request = requested(admin.new_vm(system, user_data=secret))

    stored = json.dumps(list(ApprovalRequest.objects.values()), default=str)
    events = json.dumps(list(Event.objects.values()), default=str)

    assert "kXq93" not in stored + events + json.dumps(request)
    assert decide(approver, request).status_code == 202
    login = VMLogin.objects.get()
    assert login.decrypt_user_data() == secret


def test_break_glass_is_for_staff_with_a_reason_that_is_shown(admin, system, policy, approver, staff):
    request = requested(admin.new_vm(system))
    url = f"/api/v1/requests/{request['id']}/break-glass/"

    assert approver.post(url, {"reason": "fire"}, format="json").json()["code"] == "staff_only"
    assert staff.post(url, {}, format="json").status_code == 400
    answer = staff.post(url, {"reason": "fire"}, format="json")

    assert (answer.status_code, answer.json()["job"]["kind"]) == (202, "vms.create")
    (decision,) = approver.get(f"/api/v1/requests/{request['id']}/").json()["decisions"]
    assert (decision["kind"], decision["comment"]) == ("broke_glass", "fire")
    assert Event.objects.get(code="approval.broke_glass").parameters["comment"] == "fire"


def test_a_quota_request_changes_the_quota_when_staff_approve(admin, tenant, approver, staff):
    body = {"cpu_cores": 64, "reason": "the shop grows"}
    answer = admin.post("/api/v1/quota-requests/", body, format="json")
    request = requested(answer)
    assert (request["reason"], request["plan"]["commands"][0]["params"]) == (
        "the shop grows",
        {"cpu_cores": 64},
    )

    assert decide(approver, request).json()["code"] == "not_an_approver"
    tenant.refresh_from_db()
    assert tenant.quota_cpu_cores is None
    Tenant.objects.filter(pk=tenant.pk).update(quota_cpu_cores=8)
    changed = decide(staff, request).json()["request"]
    assert (changed["status"], changed["difference"]) == (
        "pending",
        [{"path": "commands.0.details.cpu_cores.present", "before": None, "after": 8}],
    )
    assert decide(staff, request).json()["request"]["status"] == "approved"
    tenant.refresh_from_db()
    assert tenant.quota_cpu_cores == 64
    events = Event.objects.filter(code="tenant.changed", after__has_key="quota_cpu_cores").order_by("-id")
    assert events[0].after == {"quota_cpu_cores": 64}


def test_many_are_decided_each_by_itself(admin, system, policy, approver):
    first, second = (requested(admin.new_vm(system, name=name)) for name in ("a", "b"))
    assert decide(approver, first, "reject").status_code == 202
    body = {"ids": [first["id"], second["id"]], "decision": "approve"}

    answer = approver.post("/api/v1/requests/decisions/", body, format="json").json()

    one, two = answer["results"]
    assert (one["id"], one["refusal"]["code"], one["job"]) == (first["id"], "already_decided", None)
    assert (two["id"], two["status"], two["job"]) == (second["id"], "approved", str(Job.objects.get().pk))
