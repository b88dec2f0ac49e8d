"""The web pages: what a member sees and may do, and what the wall hides."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from tasks.models import Job
from tenants.scoping import Role
from tests.factories import MembershipFactory, UserFactory, VirtualMachineFactory

pytestmark = pytest.mark.django_db(transaction=True)


def signed_in(member):
    client = Client()
    client.force_login(member.user)
    return client


@pytest.fixture
def operator():
    return MembershipFactory(role=Role.OPERATOR)


@pytest.fixture
def vm(operator):
    return VirtualMachineFactory(information_system__tenant=operator.tenant, name="shop-1")


PAGES = ["/overview/", "/tasks/", "/search/", "/vms/", "/vms/{}/ask/", "/jobs/{}/"]


@pytest.mark.parametrize("page", PAGES)
def test_who_has_not_signed_in_is_asked_to(page, vm):
    answer = Client().get(page.format(vm.pk))

    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/?next=")


def test_one_signs_in_and_sees_ones_own_vms(operator, vm):
    VirtualMachineFactory(name="theirs")
    client = Client()

    answer = client.post(
        "/login/", {"username": operator.user.username, "password": "demo", "next": ""}, follow=True
    )

    assert answer.redirect_chain[-1][0] == "/overview/"
    listed = client.get("/vms/")
    assert b"shop-1" in listed.content
    assert b"theirs" not in listed.content


def test_a_wrong_password_is_told(operator):
    answer = Client().post("/login/", {"username": operator.user.username, "password": "wrong"})

    assert b"Incorrect username or password." in answer.content


def test_a_click_becomes_a_job_that_the_row_follows(operator, vm):
    client = signed_in(operator)
    assert b"Start" in client.get("/vms/").content

    said = client.post(f"/vms/{vm.pk}/ask/", {"action": "start"}, headers={"HX-Request": "true"})
    panel = client.get("/vms/", headers={"HX-Request": "true", "X-Panel": "vms"})

    job = Job.objects.get()
    assert (job.kind, job.created_by) == ("vms.start", operator.user)
    assert (said.status_code, said.content.strip()) == (200, b"")
    assert f"/jobs/{job.pk}/".encode() in panel.content
    assert b"Starting" in panel.content
    assert b"data-busy" in panel.content
    page = client.get(f"/jobs/{job.pk}/")
    assert b"Send request to cloud" in page.content
    assert b"<html" not in client.get(f"/jobs/{job.pk}/", headers={"X-Panel": "job"}).content


def test_a_click_without_the_script_works_too(operator, vm):
    answer = signed_in(operator).post(f"/vms/{vm.pk}/ask/", {"action": "start"})

    assert (answer.status_code, Job.objects.count()) == (302, 1)


def test_a_refusal_is_shown_in_words(operator, vm):
    client = signed_in(operator)

    client.post(f"/vms/{vm.pk}/ask/", {"action": "stop"})
    client.post(f"/vms/{vm.pk}/ask/", {"action": "restart"})

    assert b"restart a VM in state" in client.get("/vms/").content
    assert not Job.objects.exists()


def test_a_viewer_has_no_buttons_and_is_refused(operator, vm):
    viewer = signed_in(MembershipFactory(tenant=operator.tenant, role=Role.VIEWER))
    assert b"formaction" not in viewer.get("/vms/").content

    viewer.post(f"/vms/{vm.pk}/ask/", {"action": "start"})

    assert not Job.objects.exists()


def test_another_tenants_things_are_not_there(operator, vm):
    signed_in(operator).post(f"/vms/{vm.pk}/ask/", {"action": "start"})
    stranger = signed_in(MembershipFactory(role=Role.ADMIN))

    assert b"shop-1" not in stranger.get("/vms/").content
    assert stranger.get(f"/vms/{vm.pk}/", headers={"X-Panel": "vm"}).status_code == 404
    assert stranger.post(f"/vms/{vm.pk}/ask/", {"action": "stop"}).status_code == 404
    assert stranger.get(f"/jobs/{Job.objects.get().pk}/").status_code == 404


def test_a_member_of_two_tenants_chooses_and_cannot_choose_a_third(operator, vm):
    second = MembershipFactory(user=operator.user)
    third = MembershipFactory()
    VirtualMachineFactory(information_system__tenant=third.tenant, name="third-1")
    client = signed_in(operator)

    client.post("/tenant/", {"tenant": second.tenant.slug})
    assert b"shop-1" not in client.get("/vms/").content
    client.post("/tenant/", {"tenant": operator.tenant.slug})
    assert b"shop-1" in client.get("/vms/").content
    client.post("/tenant/", {"tenant": third.tenant.slug})
    assert b"third-1" not in client.get("/vms/").content


def test_who_belongs_to_no_tenant_is_told(db):
    client = Client()
    client.force_login(UserFactory())

    assert client.get("/vms/").status_code == 403


@pytest.mark.parametrize(
    "query", ["?page=x", "?page=-1", "?status=nonsense", "?search=%00", "?search=" + "x" * 3000]
)
def test_nonsense_in_the_address_does_no_harm(operator, vm, query):
    assert signed_in(operator).get("/vms/" + query).status_code == 200


def test_search_finds_by_name_address_and_system(operator, vm):
    VirtualMachineFactory(information_system=vm.information_system, name="db-1", ip_address="10.1.2.3")
    client = signed_in(operator)

    assert b"db-1" in client.get("/vms/?search=10.1.2").content
    assert b"shop-1" not in client.get("/vms/?search=10.1.2").content
    assert b"shop-1" in client.get(f"/vms/?search={vm.information_system.name}").content


def test_pages_need_no_inline_script(operator, vm):
    """Our content security policy allows none."""
    html = signed_in(operator).get("/vms/").content.decode()

    assert not re.findall(r"<script(?![^>]*\bsrc=)", html)
    assert not re.findall(r"\son[a-z]+=", html)
