"""What goes wrong between a request and its approval: nothing is carried out that nobody agreed to."""

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
from tests.factories import MembershipFactory
from vms.commands.power import POWER_COMMANDS
from vms.models import VMLogin

from .conftest import add_policy, sign_in
from .test_requests import decide, requested

pytestmark = [pytest.mark.usefixtures("catalogue"), pytest.mark.django_db(transaction=True)]


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
    digest = request["plan"]["commands"][0]["details"]["user_data_digest"]
    other = requested(admin.new_vm(system, name="shop-2", user_data="#cloud-config\npassword: other"))
    assert digest
    assert digest != other["plan"]["commands"][0]["details"]["user_data_digest"]
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
