"""An account whose last verification failed takes no new resources; existing ones are not affected."""

from __future__ import annotations

import re

import pytest
from django.forms import modelform_factory
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from cloudaccounts.models import CloudAccount
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import (
    InformationSystemFactory,
    MembershipFactory,
    ScheduledAccountFactory,
    SpareVolumeFactory,
    UserFactory,
    VirtualMachineFactory,
    VolumePoolFactory,
    VolumeSnapshotFactory,
    create_catalogue,
)
from volumepool.forms import VolumePoolForm
from volumepool.models import VolumePool

pytestmark = pytest.mark.django_db

FAILED = "No such user."
TOLD = "The cloud account 'broken' takes no new resources: its last verification failed."


@pytest.fixture
def admin():
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def system(admin):
    return InformationSystemFactory(tenant=admin.tenant, name="Shop")


@pytest.fixture
def client(admin):
    client = APIClient()
    client.force_authenticate(admin.user)
    return client


@pytest.fixture
def broken():
    account = ScheduledAccountFactory(name="broken", last_error=FAILED)
    create_catalogue(account)
    return account


@pytest.fixture
def good():
    account = ScheduledAccountFactory(name="good", last_verified_at=timezone.now())
    create_catalogue(account)
    return account


def build_vm_data(system, **fields):
    return {
        "information_system": str(system.pk),
        "name": "new",
        "cpu_cores": 1,
        "memory_gb": 1,
        "disk_gb": 10,
        "os_type": "ubuntu",
        **fields,
    }


def ask(client, path, body):
    answer = client.post(f"/api/v1/{path}/", body, format="json")
    return answer.status_code, answer.json().get("errors")


def test_only_usable_account_is_chosen_by_default(client, system, broken, good):
    options = client.get("/api/v1/vms/options/").json()

    assert options["accounts"] == [{"id": good.pk, "name": "good", "verification": "verified"}]
    assert options["account"] == good.pk
    status, errors = ask(client, "volumes", {"information_system": str(system.pk), "size_gb": 1})
    assert (status, errors) == (202, None)


def test_named_unusable_account_is_refused(client, system, broken, good):
    for path, body in [
        ("vms", build_vm_data(system, account=broken.pk)),
        ("volumes", {"information_system": str(system.pk), "size_gb": 1, "account": broken.pk}),
    ]:
        status, errors = ask(client, path, body)

        assert status == 400
        assert errors["account"][0].startswith(TOLD)
        assert "test the connection" in errors["account"][0]
        # What the cloud said is its owner's business.
        assert FAILED not in str(errors)
    answer = client.get(f"/api/v1/vms/options/?account={broken.pk}")
    assert answer.status_code == 400
    assert not Job.objects.exists()


@pytest.mark.parametrize("by", ["default", "only"])
def test_unusable_default_or_only_account_is_refused(client, system, broken, by):
    if by == "default":
        type(system).objects.update(default_account=broken)

    status, errors = ask(client, "vms", build_vm_data(system))

    assert (status, errors["account"][0][: len(TOLD)]) == (400, TOLD)
    assert client.get("/api/v1/vms/options/").json()["missing"]["account"][0].startswith(TOLD)


def test_pools_of_an_unusable_account_are_not_offered(client, system, broken):
    pool = VolumePoolFactory(account=broken, type="fast")
    SpareVolumeFactory(pool=pool, status="available", available_at=timezone.now())

    assert client.get("/api/v1/volumes/options/").json() == []
    status, errors = ask(
        client, "volumes", {"information_system": str(system.pk), "type": "fast", "count": 1}
    )
    assert (status, errors["type"][0][: len(TOLD)]) == (400, TOLD)


def test_snapshots_of_an_unusable_account_are_not_cloned(client, system, broken):
    snapshot = VolumeSnapshotFactory(information_system=system, account=broken)

    status, errors = ask(
        client, "volumes", {"information_system": str(system.pk), "snapshot": str(snapshot.pk)}
    )

    assert (status, errors["snapshot"][0][: len(TOLD)]) == (400, TOLD)


def test_unusable_account_takes_no_new_pool_but_existing_ones_can_be_edited(broken, good):
    fields = {"type": "x", "account": broken.pk, "region": "RegionOne", "size_gb": 1, "desired": 1}
    fields |= {"max_in_flight": 1, "max_age_days": 0}
    form = modelform_factory(VolumePool, form=VolumePoolForm, fields=list(fields))
    assert form(fields).errors["account"][0].startswith(TOLD)
    assert "account" not in form({**fields, "account": good.pk}).errors
    pool = VolumePoolFactory(account=broken)

    assert "account" not in form({**fields, "desired": 0}, instance=pool).errors


def test_existing_resources_of_an_unusable_account_are_not_affected(client, system, broken):
    vm = VirtualMachineFactory(information_system=system, account=broken, status="running")

    answer = client.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json")

    assert answer.status_code == 202


def test_vm_of_an_unusable_account_is_offered_its_flavors(admin, system, broken):
    vm = VirtualMachineFactory(
        information_system=system, account=broken, status="running", openstack_id="server-1", disk_gb=10
    )
    browser = Client()
    browser.force_login(admin.user)
    html = browser.get(f"/vms/{vm.pk}/?tab=settings").content.decode()

    assert "vCPU" in html[html.index('id="resize-flavor"') :].partition("</select>")[0]


def test_unverified_account_is_refused_with_the_reason(client, system):
    ScheduledAccountFactory(name="young")

    status, errors = ask(client, "vms", build_vm_data(system))

    assert status == 400
    assert errors["account"] == [
        "The cloud account 'young' is not verified yet. Wait for the verification, or test the connection."
    ]


@pytest.mark.parametrize(
    ("columns", "badge"),
    [
        ({"last_error": FAILED}, ("failed", "Connection failed")),
        (
            {"last_error": FAILED, "last_verified_at": timezone.now()},
            ("failed", "Connection failed"),
        ),
        (
            {"last_verified_at": timezone.now(), "sign_in_failed_at": timezone.now()},
            ("failed", "Sign-in failed"),
        ),
        ({}, ("unverified", "Not tested yet")),
        ({"last_verified_at": timezone.now()}, ("active", "Connected")),
        (
            {"last_verified_at": timezone.now(), "active": False},
            ("off", "Disabled"),
        ),
    ],
)
def test_the_badge_shows_the_verification(columns, badge):
    account = ScheduledAccountFactory(name="one", **columns)
    staff = Client()
    staff.force_login(UserFactory(is_staff=True, is_superuser=True))

    for page in ("/accounts/", f"/accounts/{account.pk}/"):
        html = staff.get(page).content.decode()
        assert re.search(rf'<span class="badge \w+ {badge[0]}"[^>]*>{badge[1]}</span>', html)
    assert CloudAccount.objects.usable().exists() == account.is_usable
