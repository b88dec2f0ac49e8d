"""The pages that rescue and rebuild a VM, and those by which staff move VMs and see hosts."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cloudaccounts.models import CloudResource, ComputeHost
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    MembershipFactory,
    UserFactory,
    VirtualMachineFactory,
    create_catalogue,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def member():
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def account(member):
    account = CloudAccountFactory(tenant=member.tenant)
    create_catalogue(account)
    return account


@pytest.fixture
def vm(member, account):
    return VirtualMachineFactory(
        information_system__tenant=member.tenant,
        account=account,
        region="RegionOne",
        status="running",
        name="shop-1",
        host="compute7",
        disk_gb=40,
    )


@pytest.fixture
def host(account):
    return ComputeHost.objects.create(
        account=account,
        region="RegionOne",
        name="compute8",
        is_up=True,
        is_enabled=True,
        aggregates=["ssd"],
        read_at=timezone.now(),
    )


def sign_in(user):
    browser = Client()
    browser.force_login(user)
    return browser


@pytest.fixture
def browser(member):
    return sign_in(member.user)


@pytest.fixture
def staff():
    return sign_in(UserFactory(is_staff=True, is_superuser=True))


def page(name, vm):
    return reverse(f"vm-{name}-page", args=[vm.pk])


def test_a_vm_is_rescued_from_its_page_with_a_chosen_image(browser, vm):
    image = CloudResource.objects.get(account=vm.account, type="image")
    assert page("rescue", vm) in browser.get(reverse("vm-detail-page", args=[vm.pk])).content.decode()

    answer = browser.post(page("rescue", vm), {"image": image.cloud_id})

    assert answer.status_code == 302
    assert Job.objects.get().params["image_id"] == image.cloud_id


def test_a_rescued_vm_says_so_and_has_the_way_out(browser, vm):
    vm.status = "rescue"
    vm.save()

    text = browser.get(reverse("vm-detail-page", args=[vm.pk])).content.decode()

    assert "rescue image" in text and 'value="unrescue"' in text
    assert 'value="stop"' not in text


def test_a_rebuild_wants_the_name_and_keeps_what_was_entered(browser, vm):
    image = CloudResource.objects.get(account=vm.account, type="image")
    form = {"image": image.cloud_id, "keep_key": "true", "confirm_name": "shop-2"}

    refused = browser.post(page("rebuild", vm), form)

    assert refused.status_code == 400
    assert f'value="{image.cloud_id}" selected' in refused.content.decode()
    assert not Job.objects.exists()
    assert browser.post(page("rebuild", vm), form | {"confirm_name": "shop-1"}).status_code == 302
    params = Job.objects.get().params
    assert (params["keep_key"], params["keep_user_data"]) == (True, False)
    assert params["columns"]["image_name"] == image.name


def test_a_wrong_image_is_told_at_its_field(browser, vm):
    answer = browser.post(page("rebuild", vm), {"image": "moon", "confirm_name": "shop-1"})

    assert answer.status_code == 400
    assert "Image not found: moon." in answer.content.decode()


@pytest.mark.parametrize(
    ("role", "rescue", "rebuild"),
    [(Role.VIEWER, 403, 403), (Role.OPERATOR, 200, 403), (Role.ADMIN, 200, 200)],
)
def test_the_role_decides_who_may_rescue_and_rebuild(vm, role, rescue, rebuild):
    browser = sign_in(MembershipFactory(tenant=vm.information_system.tenant, role=role).user)

    assert browser.get(page("rescue", vm)).status_code == rescue
    assert browser.get(page("rebuild", vm)).status_code == rebuild


def test_a_vm_of_another_tenant_is_not_there(vm):
    browser = sign_in(MembershipFactory(role=Role.ADMIN).user)

    for name in ("rescue", "rebuild", "migrate", "evacuate"):
        assert browser.get(page(name, vm)).status_code == 404
        assert browser.post(page(name, vm), {}).status_code == 404


def test_staff_see_the_host_and_move_the_vm(staff, vm, host):
    ComputeHost.objects.create(
        account=vm.account,
        region="RegionOne",
        name="compute7",
        is_up=True,
        is_enabled=True,
        aggregates=["hdd"],
        read_at=timezone.now(),
    )
    text = staff.get(reverse("vm-detail-page", args=[vm.pk])).content.decode()
    assert "compute7" in text and "hdd" in text and page("migrate", vm) in text
    assert "compute8" in staff.get(page("migrate", vm)).content.decode()

    assert staff.post(page("migrate", vm), {"kind": "sideways"}).status_code == 400
    assert staff.post(page("evacuate", vm), {"confirm_name": "x"}).status_code == 400
    assert not Job.objects.exists()
    assert staff.post(page("migrate", vm), {"kind": "live", "host": "compute8"}).status_code == 302

    assert Job.objects.get().params["host"] == "compute8"


def test_the_tab_of_hosts_is_for_staff_alone(staff, browser, account, host):
    address = reverse("account-hosts-page", args=[account.pk])

    text = staff.get(address).content.decode()

    assert "compute8" in text and "ssd" in text
    assert browser.get(address).status_code == 404
    assert address not in browser.get(reverse("account-detail-page", args=[account.pk])).content.decode()
    browser.post(reverse("account-hosts-read", args=[account.pk]))
    assert not Job.objects.exists()
    staff.post(reverse("account-hosts-read", args=[account.pk]))
    job = Job.objects.get()
    assert (job.kind, job.tenant) == ("cloudaccounts.read_hosts", None)


def test_members_see_no_host_and_cannot_move_a_vm(browser, vm, host):
    for name in ("migrate", "evacuate"):
        assert browser.get(page(name, vm)).status_code == 403
        assert browser.post(page(name, vm), {"kind": "live", "confirm_name": "shop-1"}).status_code == 403
    text = browser.get(reverse("vm-detail-page", args=[vm.pk])).content.decode()

    assert "compute7" not in text and page("migrate", vm) not in text
    assert not Job.objects.exists()
