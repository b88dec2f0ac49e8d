"""The pages of what an account has that is not managed, of its adoption, and of the move and release of a VM."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tenants.scoping import Role
from tests.factories import (
    InformationSystemFactory,
    MembershipFactory,
    UserFactory,
    VirtualMachineFactory,
    VolumeFactory,
)
from tests.vms.adopting import create_inventory, found_server, found_volume
from vms.models import VirtualMachine, VMOperationLog
from volumepool.models import Volume

pytestmark = pytest.mark.django_db


@pytest.fixture
def member():
    """An administrator of a tenant with an account of its own."""
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def account(member):
    return create_inventory(member.tenant)


@pytest.fixture
def system(member):
    return InformationSystemFactory(tenant=member.tenant, name="Web shop")


@pytest.fixture
def browser(member):
    return sign_in(member.user)


def sign_in(user):
    browser = Client()
    browser.force_login(user)
    return browser


def adopt(browser, account, **form):
    return browser.post(reverse("account-adopt-page", args=[account.pk]), form)


def text_of(response):
    return response.content.decode()


def test_the_account_lists_what_is_not_managed_and_leads_to_its_adoption(browser, account, system):
    volume = found_volume(account, "disk", status="in-use")
    server = found_server(account, "stranger", volumes=[volume])
    page = reverse("account-unmanaged-page", args=[account.pk])

    shown = text_of(browser.get(page))

    assert page in text_of(browser.get(reverse("account-detail-page", args=[account.pk])))
    assert f"server:{server.pk}" in shown and f"volume:{volume.pk}" in shown
    assert "Web shop" in shown
    assert "stranger" not in text_of(browser.get(page, {"type": "volume"}))
    assert "stranger" in text_of(
        browser.get(page, {"search": "STRANG", "type": "server", "ordering": "-name"})
    )
    refused = text_of(browser.get(page, {"status": "unheard-of"}))
    assert "it is not applied" in refused and "stranger" in refused
    resource = text_of(browser.get(reverse("resource-detail-page", args=[server.pk])))
    link = f"{reverse('account-adopt-page', args=[account.pk])}?ids=server:{server.pk}"
    assert link in resource
    assert f"server:{server.pk}" in text_of(browser.get(link))


def test_a_check_shows_the_result_and_the_adoption_carries_it_out(browser, account, system):
    fine, busy = found_server(account, "fine"), found_server(account, "busy", status="BUILD")
    form = {"ids": [f"server:{fine.pk}", f"server:{busy.pk}"], "information_system": str(system.pk)}

    checked = adopt(browser, account, **form, dry_run="1")
    refused = adopt(browser, account, **form)

    assert checked.status_code == 200 and refused.status_code == 409
    for answer in (checked, refused):
        shown = text_of(answer)
        assert "The cloud is still changing it (BUILD)" in shown
        assert f'value="server:{fine.pk}"' in shown and f'<option value="{system.pk}" selected' in shown
    assert not VirtualMachine.objects.exists()
    done = adopt(browser, account, **form, mode="valid")
    assert (done.status_code, done["Location"]) == (302, reverse("account-unmanaged-page", args=[account.pk]))
    messages = text_of(browser.get(done["Location"]))
    assert "1 server or volume was adopted." in messages and "(busy)" in messages
    assert VirtualMachine.objects.get().name == "fine"
    assert "fine</a>" not in messages


def test_a_rule_adopts_and_its_errors_stand_at_its_fields(browser, account, system):
    for name in ("web-1", "web-2", "db-1"):
        found_server(account, name, metadata={"team": "a"})
    form = {"information_system": str(system.pk), "name": "web-*", "metadata": "team=a"}

    wrong = adopt(browser, account, **{**form, "metadata": "no equals sign"})
    empty = adopt(browser, account, information_system=str(system.pk))
    nothing = adopt(browser, account, **{**form, "name": "nobody"}, dry_run="1")

    assert wrong.status_code == 400 and "has no &#x27;=&#x27;" in text_of(wrong)
    assert 'value="web-*"' in text_of(wrong), "what was typed stays"
    assert empty.status_code == 400 and "Enter a project, a name or metadata." in text_of(empty)
    assert "No server meets the rule" in text_of(nothing)
    assert adopt(browser, account, **form).status_code == 302
    assert set(VirtualMachine.objects.values_list("name", flat=True)) == {"web-1", "web-2"}


@pytest.mark.parametrize(
    "form",
    [
        {"ids": ["server:x", "planet:1", ":", "\x00"]},
        {"ids": ["server:00000000-0000-4000-8000-000000000000"], "information_system": "\x00"},
        {"name": "x" * 300},
        {"metadata": "=\n=\n" * 50},
    ],
)
def test_bad_input_is_refused_and_adopts_nothing(browser, account, form):
    found_server(account)

    answer = adopt(browser, account, **form)

    assert answer.status_code == 400
    assert not VirtualMachine.objects.exists()


def test_more_than_fit_into_one_request_are_refused_and_not_adopted_in_part(browser, account, system):
    server, volume = found_server(account), found_volume(account)
    ids = [f"server:{server.pk}"] * 300 + [f"volume:{volume.pk}"] * 201

    answer = adopt(browser, account, ids=ids, information_system=str(system.pk))

    assert answer.status_code == 400
    assert "At most 500 servers and volumes can be adopted at once, and these are 501." in text_of(answer)
    assert not VirtualMachine.objects.exists()


def test_a_missing_application_is_an_error_at_its_field(browser, account):
    answer = adopt(browser, account, ids=[f"server:{found_server(account).pk}"])

    assert answer.status_code == 400
    assert 'aria-invalid="true"' in text_of(answer)


def test_who_may_see_and_adopt(browser, account, member, system):
    shared, strangers = create_inventory(), create_inventory(MembershipFactory().tenant)
    operator = sign_in(MembershipFactory(tenant=member.tenant, role=Role.OPERATOR).user)
    staff = sign_in(UserFactory(is_staff=True, is_superuser=True))
    server = found_server(shared)
    for name in ("account-unmanaged-page", "account-adopt-page"):
        assert browser.get(reverse(name, args=[shared.pk])).status_code == 403
        assert browser.get(reverse(name, args=[strangers.pk])).status_code == 404
        assert operator.get(reverse(name, args=[account.pk])).status_code == 403
        assert staff.get(reverse(name, args=[shared.pk])).status_code == 200
    form = {"ids": [f"server:{server.pk}"], "information_system": str(system.pk)}
    assert adopt(browser, shared, **form).status_code == 403
    assert "account-adopt" not in text_of(operator.get(reverse("account-detail-page", args=[account.pk])))
    assert adopt(staff, shared, **form).status_code == 302
    assert VirtualMachine.objects.get().information_system == system


def test_a_vm_is_moved_from_its_menu(browser, member, system):
    vm = VirtualMachineFactory(information_system__tenant=member.tenant)
    page, form = reverse("vm-detail-page", args=[vm.pk]), reverse("vm-move-page", args=[vm.pk])
    stranger = InformationSystemFactory(name="Not mine")

    shown = text_of(browser.get(form))

    assert form in text_of(browser.get(page))
    assert "Web shop" in shown and "Not mine" not in shown
    assert vm.information_system.name not in shown
    for wrong in ("", "x", str(stranger.pk)):
        answer = browser.post(form, {"information_system": wrong})
        assert answer.status_code == 400 and 'aria-invalid="true"' in text_of(answer)
    moved = browser.post(form, {"information_system": str(system.pk)})
    assert (moved.status_code, moved["Location"]) == (302, page)
    assert "now belongs to Web shop" in text_of(browser.get(page))


def test_a_vm_that_moved_to_another_tenant_says_so_to_the_former_one(browser, member):
    other = MembershipFactory(user=member.user, role=Role.ADMIN).tenant
    target = InformationSystemFactory(tenant=other)
    vm = VirtualMachineFactory(information_system__tenant=member.tenant)
    browser.post("/tenant/", {"tenant": member.tenant.slug})
    VMOperationLog.objects.create(
        tenant=member.tenant, vm_id=vm.pk, vm_name=vm.name, operation="stop", operator="secret", success=True
    )

    moved = browser.post(reverse("vm-move-page", args=[vm.pk]), {"information_system": str(target.pk)})

    assert moved["Location"] == reverse("vm-page")
    page = reverse("vm-detail-page", args=[vm.pk])
    assert "moved to another tenant" in text_of(browser.get(page))
    reader = sign_in(MembershipFactory(tenant=other, role=Role.VIEWER).user)
    for history in (f"{page}?tab=activity", reverse("vm-log-page", args=[vm.pk])):
        shown = text_of(reader.get(history))
        assert "Former tenant" in shown and "secret" not in shown


def test_a_vm_is_released_when_its_name_is_typed(browser, member):
    vm = VirtualMachineFactory(information_system__tenant=member.tenant)
    VolumeFactory(information_system=vm.information_system, account=vm.account, vm=vm, status="in-use")
    form, page = reverse("vm-release-page", args=[vm.pk]), reverse("vm-detail-page", args=[vm.pk])

    assert "its 1 volume" in text_of(browser.get(form))
    assert browser.post(form, {"confirm_name": "another"}).status_code == 400
    assert VirtualMachine.objects.exists()
    released = browser.post(form, {"confirm_name": vm.name})

    assert (released.status_code, released["Location"]) == (302, reverse("vm-page"))
    assert not VirtualMachine.objects.exists() and not Volume.objects.exists()
    assert "was released" in text_of(browser.get(page))
    assert browser.post(form, {"confirm_name": vm.name}).status_code == 404


def test_roles_of_move_and_release(member):
    vm = VirtualMachineFactory(information_system__tenant=member.tenant)
    statuses = {}
    for role in (Role.VIEWER, Role.OPERATOR):
        browser = sign_in(MembershipFactory(tenant=member.tenant, role=role).user)
        for name in ("vm-move-page", "vm-release-page"):
            address = reverse(name, args=[vm.pk])
            statuses[role, name] = browser.get(address).status_code
            assert (address in text_of(browser.get(reverse("vm-detail-page", args=[vm.pk])))) is (
                statuses[role, name] == 200
            )
    assert statuses == {
        (Role.VIEWER, "vm-move-page"): 403,
        (Role.VIEWER, "vm-release-page"): 403,
        (Role.OPERATOR, "vm-move-page"): 200,
        (Role.OPERATOR, "vm-release-page"): 403,
    }
    stranger = sign_in(MembershipFactory(role=Role.ADMIN).user)
    for name in ("vm-move-page", "vm-release-page"):
        assert stranger.get(reverse(name, args=[vm.pk])).status_code == 404
        assert stranger.post(reverse(name, args=[vm.pk]), {"confirm_name": vm.name}).status_code == 404
