"""The pages of requests and policies: what is requested on a page waits there, and is decided there."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from approvals.models import ApprovalDelegation, ApprovalPolicy, ApprovalRequest
from tasks.models import Job
from tenants.models import Tenant
from tenants.scoping import Role
from tests.factories import MembershipFactory
from vms.models import VirtualMachine

from .test_requests import requested

pytestmark = [pytest.mark.usefixtures("catalogue"), pytest.mark.django_db(transaction=True)]


def open_browser(user):
    browser = Client()
    browser.force_login(user)
    return browser


def read(answer):
    assert answer.status_code == 200, answer.content[:2000]
    return answer.content.decode()


def waiting_in_navigation(page):
    found = re.search(r'href="/requests/"[^>]*>.*?</a>', page, re.DOTALL)
    count = re.search(r'badge warning">(\d+)', found[0])
    return int(count[1]) if count else 0


def test_a_power_button_leads_to_the_request_which_is_approved_there(admin, vm, policy, approver):
    browser, other = open_browser(admin.member.user), open_browser(approver.member.user)
    form = {"action": "stop", "form_key": "0" * 32}

    pressed = browser.post(f"/vms/{vm.pk}/ask/", form, headers={"HX-Request": "true"})

    request = ApprovalRequest.objects.get()
    assert pressed.headers["HX-Redirect"] == f"/requests/{request.pk}/"
    again = browser.post(f"/vms/{vm.pk}/ask/", form)
    assert (again.status_code, again["Location"]) == (302, f"/requests/{request.pk}/")
    assert ApprovalRequest.objects.count() == 1
    assert not Job.objects.exists()
    own = read(browser.get(f"/requests/{request.pk}/"))
    assert "Requested: waiting for approval." in own
    assert (f"/requests/{request.pk}/withdraw/" in own, f"/requests/{request.pk}/approve/" in own) == (
        True,
        False,
    )
    shown = read(other.get(f"/requests/{request.pk}/"))
    assert f"/requests/{request.pk}/approve/" in shown
    assert (waiting_in_navigation(shown), waiting_in_navigation(own)) == (1, 0)
    assert vm.name in read(other.get("/requests/?view=waiting"))

    read(other.get(f"/requests/{request.pk}/approve/"))
    decided = other.post(f"/requests/{request.pk}/approve/", {"comment": "go"})

    assert (decided.status_code, decided["Location"]) == (302, f"/requests/{request.pk}/")
    page = read(other.get(decided["Location"]))
    assert "Approved. The task has started." in page
    assert f"/jobs/{Job.objects.get().pk}/" in page
    assert waiting_in_navigation(page) == 0
    late = other.post(f"/requests/{request.pk}/approve/", {"comment": ""})
    assert late.status_code == 409
    assert "This request was already decided" in late.content.decode()


def test_the_form_of_a_new_vm_leads_to_the_request(admin, system, policy):
    browser = open_browser(admin.member.user)
    form = {"information_system": system.pk, "name": "shop-1", "boot": "os:ubuntu|", "cpu_cores": 2}
    form |= {"memory_gb": 4, "disk_gb": 40, "count": 1, "form_key": "1" * 32}

    answer = browser.post("/vms/new/", form)

    request = ApprovalRequest.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/requests/{request.pk}/")
    assert not VirtualMachine.objects.exists()
    page = read(browser.get(answer["Location"]))
    assert "Create VM: shop-1" in page
    again = browser.post("/vms/new/", form)
    assert (again.status_code, again["Location"]) == (302, f"/requests/{request.pk}/")
    assert ApprovalRequest.objects.count() == 1
    assert browser.post(f"/requests/{request.pk}/comment/", {"comment": "For <the> fair"}).status_code == 302
    assert "For &lt;the&gt; fair" in read(browser.get(f"/requests/{request.pk}/"))
    assert browser.post(f"/requests/{request.pk}/withdraw/", {}).status_code == 302
    request.refresh_from_db()
    assert request.status == "withdrawn"


def test_a_request_is_rejected_on_its_page_and_carried_out_by_staff_in_an_emergency(
    admin, system, policy, approver, staff
):
    first, second = (requested(admin.new_vm(system, name=name)) for name in ("a", "b"))
    other = open_browser(approver.member.user)
    assert other.post(f"/requests/{first['id']}/reject/", {"comment": "too big"}).status_code == 302
    assert "too big" in read(other.get(f"/requests/{first['id']}/"))

    platform = open_browser(staff.handler._force_user)
    assert other.post(f"/requests/{second['id']}/break-glass/", {"reason": "fire"}).status_code == 403
    read(platform.get(f"/requests/{second['id']}/break-glass/"))
    assert platform.post(f"/requests/{second['id']}/break-glass/", {"reason": ""}).status_code == 400
    assert platform.post(f"/requests/{second['id']}/break-glass/", {"reason": "fire"}).status_code == 302
    assert "carried out without approval" in read(other.get(f"/requests/{second['id']}/"))
    assert Job.objects.count() == 1


def test_several_requests_are_decided_together(admin, system, policy, approver):
    first, second = (requested(admin.new_vm(system, name=name)) for name in ("a", "b"))
    other = open_browser(approver.member.user)
    assert 'name="ids"' not in read(other.get("/requests/"))
    assert read(other.get("/requests/?view=waiting")).count('name="ids"') == 2
    other.post(f"/requests/{first['id']}/reject/", {})

    assert other.post("/requests/decisions/", {"decision": "approve"}).status_code == 302
    assert not Job.objects.exists()
    form = {"decision": "approve", "ids": [first["id"], second["id"]], "comment": "both"}
    answer = other.post("/requests/decisions/", form, follow=True)

    page = read(answer)
    assert "1 request was decided." in page
    assert "This request was already decided" in page
    assert Job.objects.count() == 1


def test_an_administrator_writes_policies(admin, tenant, approver, add_approver):
    browser = open_browser(admin.member.user)
    read(browser.get("/approval-policies/"))
    read(browser.get("/approval-policies/new/"))
    form = {
        "name": "Large",
        "active": "on",
        "commands": ["vms.create", "vms.resize"],
        "min_cpu_cores": "8",
        "data_center_types": ["production"],
        "applies_at": "always",
        "work_begins": "09:00",
        "work_ends": "18:00",
        "valid_hours": "24",
        "level_count": "2",
        "level1_role": "admin",
        "level2_role": "",
        "level2_users": f"{approver.member.user.username}",
    }

    assert browser.post("/approval-policies/new/", form).status_code == 302

    policy = ApprovalPolicy.objects.get()
    assert (policy.tenant, policy.commands, policy.min_cpu_cores) == (
        tenant,
        ["vms.create", "vms.resize"],
        8,
    )
    assert [(one.level, one.user) for one in policy.approvers.all()] == [(2, approver.member.user)]
    assert "Large" in read(browser.get("/approval-policies/"))
    assert 'value="8"' in read(browser.get(f"/approval-policies/{policy.pk}/edit/"))
    for field, wrong in (("level2_users", "nobody"), ("level2_users", ""), ("commands", "x"), ("name", "")):
        refused = browser.post(f"/approval-policies/{policy.pk}/edit/", {**form, field: wrong})
        assert refused.status_code == 400, field
    operator = open_browser(add_approver(Role.OPERATOR).member.user)
    assert operator.get("/approval-policies/").status_code == 403
    assert operator.post(f"/approval-policies/{policy.pk}/edit/", form).status_code == 403
    stranger = open_browser(MembershipFactory(role=Role.ADMIN).user)
    assert stranger.get(f"/approval-policies/{policy.pk}/edit/").status_code == 404
    read(browser.get(f"/approval-policies/{policy.pk}/remove/"))
    assert browser.post(f"/approval-policies/{policy.pk}/remove/").status_code == 302
    assert not ApprovalPolicy.objects.exists()


def test_a_delegation_and_a_quota_request_on_their_pages(admin, tenant, approver, staff):
    browser = open_browser(admin.member.user)
    until = (timezone.localdate() + timedelta(days=3)).isoformat()
    form = {"delegate": approver.member.user.username, "starts_on": timezone.localdate().isoformat()}
    read(browser.get("/requests/delegations/new/"))
    assert browser.post("/requests/delegations/new/", {**form, "ends_on": ""}).status_code == 400
    assert browser.post("/requests/delegations/new/", {**form, "ends_on": until}).status_code == 302
    delegation = ApprovalDelegation.objects.get()
    assert approver.member.user.username in read(browser.get("/requests/"))
    read(browser.get(f"/requests/delegations/{delegation.pk}/end/"))
    assert browser.post(f"/requests/delegations/{delegation.pk}/end/").status_code == 302
    assert not ApprovalDelegation.objects.exists()

    assert "/requests/quota/" in read(browser.get("/quota/"))
    read(browser.get("/requests/quota/"))
    assert browser.post("/requests/quota/", {"cpu_cores": "64"}).status_code == 400
    answer = browser.post("/requests/quota/", {"cpu_cores": "64", "reason": "the shop grows"})
    request = ApprovalRequest.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/requests/{request.pk}/")
    platform = open_browser(staff.handler._force_user)
    assert "the shop grows" in read(platform.get(f"/requests/{request.pk}/"))
    assert platform.post(f"/requests/{request.pk}/approve/", {}).status_code == 302
    assert Tenant.objects.get(pk=tenant.pk).quota_cpu_cores == 64
