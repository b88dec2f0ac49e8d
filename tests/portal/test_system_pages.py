"""The pages of applications and of the quota: who may see and do what, what is refused, and what keeps an application."""

from __future__ import annotations

import re
import uuid

import pytest
from django.test import Client

from tenants.models import InformationSystem
from tenants.quotas import measure_usage, measure_usage_by_system
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    InformationSystemFactory,
    MembershipFactory,
    TenantFactory,
    UserFactory,
    VirtualMachineFactory,
    VolumeFactory,
    VolumeSnapshotFactory,
)
from volumepool.models import GONE

pytestmark = pytest.mark.django_db

NEVER = uuid.UUID(int=0)
PAGE = "/systems/"


def text(answer):
    return answer.content.decode()


@pytest.fixture
def system(tenant):
    return InformationSystemFactory(tenant=tenant, name="Shop", owner="Ann", description="Sells.")


FIELDS = {
    "name": "Store",
    "owner": "Bob",
    "description": "Two\nlines",
    "default_account": "",
    "default_network": "",
}
FORMS = [
    ("/systems/new/", FIELDS),
    ("/systems/{}/edit/", FIELDS),
    ("/systems/{}/remove/", {"confirm_name": "Shop"}),
]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(("page", "form"), FORMS)
def test_a_form_is_for_administrators(as_role, system, page, form, role):
    client, page = as_role(role), page.format(system.pk)

    asked, sent = client.get(page), client.post(page, form)

    assert (asked.status_code, sent.status_code) == ((200, 302) if role == Role.ADMIN else (403, 403))
    unchanged = [one.name for one in InformationSystem.objects.all()] == ["Shop"]
    assert unchanged is (role != Role.ADMIN)
    shown = text(client.get(PAGE))
    assert ("data-dialog" in shown) is (role == Role.ADMIN)


@pytest.mark.parametrize(("page", "form"), FORMS[1:])
def test_anothers_and_what_never_was_are_not_there(as_role, system, page, form):
    stranger = as_role(Role.ADMIN, of=TenantFactory())

    for pk in (system.pk, NEVER):
        assert stranger.get(page.format(pk)).status_code == 404
        assert stranger.post(page.format(pk), form).status_code == 404
    assert "Shop" not in text(stranger.get(PAGE))
    assert Client().get(page.format(system.pk))["Location"].startswith("/login/")


def test_the_list_counts_what_each_owns(as_role, system):
    VirtualMachineFactory.create_batch(3, information_system=system)
    VolumeFactory.create_batch(2, information_system=system)
    InformationSystemFactory(tenant=system.tenant, name="Empty")

    html = text(as_role(Role.VIEWER).get(PAGE))

    row = re.search(rf'<tr id="system-{system.pk}">.*?</tr>', html, re.DOTALL)[0]
    assert re.findall(r'class="number">(?:<a [^>]*>)?(\d+)', row) == ["3", "2", "0"]
    assert "Empty" not in text(as_role(Role.VIEWER).get(f"{PAGE}?search=ann"))
    assert "No results for these filters" in text(as_role(Role.VIEWER).get(f"{PAGE}?search=nothing"))
    assert "No applications yet" in text(as_role(Role.VIEWER, of=TenantFactory()).get(PAGE))


def test_one_is_created_once_and_changed(as_role, tenant):
    client = as_role(Role.ADMIN)
    key = re.search(r'name="form_key" value="(\w+)"', text(client.get("/systems/new/")))[1]
    client.post("/systems/new/", {**FIELDS, "form_key": key})
    again = client.post("/systems/new/", {**FIELDS, "form_key": key}, follow=True)

    system = InformationSystem.objects.get()
    assert "Nothing was done twice" in text(again)
    assert (system.tenant, system.name, system.owner) == (tenant, "Store", "Bob")
    account = CloudAccountFactory(name="one")
    changed = client.post(
        f"/systems/{system.pk}/edit/",
        {**FIELDS, "name": "Depot", "default_account": str(account.pk), "version": "1"},
        follow=True,
    )
    system.refresh_from_db()
    assert "Application Depot was changed." in text(changed)
    assert (system.name, system.default_account, system.version) == ("Depot", account, 2)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": "sHOP"}, "name"),
        ({"owner": "x" * 101}, "owner"),
        ({"owner": "\u202e"}, "owner"),
        ({"description": "x" * 2001}, "description"),
        ({"default_account": "4711"}, "default-account"),
        ({"default_account": "x"}, "default-account"),
        ({"default_account": "9" * 40}, "default-account"),
        ({"default_network": "no spaces"}, "default-network"),
        ({"default_network": "x" * 65}, "default-network"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost(as_role, system, changed, field):
    answer = as_role(Role.ADMIN).post("/systems/new/", {**FIELDS, **changed})

    assert answer.status_code == (409 if changed == {"name": "sHOP"} else 400)
    assert f'id="{field}-error"' in text(answer)
    assert "owner" in changed or 'value="Bob"' in text(answer)
    assert InformationSystem.objects.count() == 1


def test_an_account_of_another_tenant_is_not_there(as_role, system):
    theirs = CloudAccountFactory(tenant=TenantFactory(), name="theirs")
    client = as_role(Role.ADMIN)

    assert "theirs" not in text(client.get("/systems/new/"))
    assert client.post("/systems/new/", {**FIELDS, "default_account": str(theirs.pk)}).status_code == 400


def test_a_change_meanwhile_is_told_and_not_overwritten_unknowingly(as_role, system):
    InformationSystem.objects.update(version=2, owner="Cid")
    client, page = as_role(Role.ADMIN), f"/systems/{system.pk}/edit/"

    refused = client.post(page, {**FIELDS, "version": "1"})

    assert refused.status_code == 412
    assert "Someone else changed this application" in text(refused)
    assert 'value="Bob"' in text(refused)
    assert 'name="version" value="2"' in text(refused)
    system.refresh_from_db()
    assert system.owner == "Cid"
    assert client.post(page, {**FIELDS, "version": "2"}).status_code == 302


def test_an_application_that_owns_something_is_kept_and_says_what(as_role, system):
    VirtualMachineFactory.create_batch(2, information_system=system)
    VolumeFactory(information_system=system)
    client, page = as_role(Role.ADMIN), f"/systems/{system.pk}/remove/"

    html = text(client.get(page))

    assert "2 virtual machines" in html
    assert "1 volumes" in html
    assert 'class="danger"' not in html
    assert client.post(page, {"confirm_name": "Shop"}).status_code == 409
    assert InformationSystem.objects.count() == 1


def test_an_empty_application_is_deleted_once_its_name_was_typed(as_role, system):
    client, page = as_role(Role.ADMIN), f"/systems/{system.pk}/remove/"

    wrong = client.post(page, {"confirm_name": "shop"})
    assert (wrong.status_code, 'id="confirm-name-error"' in text(wrong)) == (400, True)
    gone = client.post(page, {"confirm_name": "Shop"}, follow=True)

    assert "Application Shop was deleted." in text(gone)
    assert client.post(page, {"confirm_name": "Shop"}).status_code == 404


def test_staff_without_a_tenant_see_all_and_are_asked_for_one(staff, system):
    InformationSystemFactory(name="Elsewhere")

    html = text(staff.get(PAGE))
    assert "Shop" in html
    assert "Elsewhere" in html
    assert "/systems/new/" not in html
    assert "Select a tenant first." in text(staff.get("/systems/new/", follow=True))


def test_many_cost_no_more_queries_than_few(as_role, tenant, django_assert_max_num_queries):
    client = as_role(Role.ADMIN)
    for _number in range(10):
        system = InformationSystemFactory(tenant=tenant, default_account=CloudAccountFactory())
        VolumeFactory(information_system=system)
    for page in (PAGE, "/quota/"):
        with django_assert_max_num_queries(13):
            assert client.get(page).status_code == 200


# --- The quota ---------------------------------------------------------------------------------------------


def test_the_quota_page_shows_meters_and_the_use_of_each_application(as_role, system):
    VirtualMachineFactory.create_batch(2, information_system=system, cpu_cores=3, memory_gb=8, disk_gb=100)
    VolumeFactory(information_system=system, size_gb=900)

    html = text(as_role(Role.VIEWER).get("/quota/"))

    assert "2 / 10" in html
    assert "6 / 8" in html
    assert "1.1 TiB / 1,000 GiB" in html
    assert "Shop" in html
    assert "Shop" not in text(as_role(Role.VIEWER, of=TenantFactory()).get("/quota/"))
    assert "Unlimited" in text(as_role(Role.VIEWER, of=TenantFactory()).get("/quota/"))


def test_the_uses_of_the_applications_add_up_to_that_of_the_tenant(tenant, system):
    other = InformationSystemFactory(tenant=tenant)
    for owner in (system, other):
        vm = VirtualMachineFactory(information_system=owner)
        VirtualMachineFactory(information_system=owner)
        VolumeFactory(information_system=owner, is_boot=True, vm=vm, size_gb=40)
        data = VolumeFactory(information_system=owner, extending_to_gb=30)
        VolumeFactory(information_system=owner, status=GONE)
        VolumeSnapshotFactory(information_system=owner, volume=data)
    VirtualMachineFactory()

    rows, total = measure_usage_by_system(tenant), measure_usage(tenant)

    assert len(rows) == 2
    for name, figures in total.items():
        assert sum(row[name] for row in rows) == figures["used"] > 0


def test_staff_select_a_tenant_first_and_need_the_permission(staff, tenant):
    assert "Select a tenant" in text(staff.get("/quota/"))
    client = Client()
    client.force_login(UserFactory(is_staff=True))
    session = client.session
    session["tenant"] = tenant.slug
    session.save()
    assert client.get("/quota/").status_code == 403


@pytest.mark.parametrize("page", [PAGE, "/quota/", "/systems/new/", "/preferences/", "/preferences/tokens/"])
def test_the_pages_hold_nothing_that_the_csp_refuses(page):
    client = Client()
    client.force_login(MembershipFactory(role=Role.ADMIN).user)

    assert not re.findall(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=|<style", text(client.get(page)))
