"""The form for a new VM: what it offers, what it says of wrong input, and what it would make."""

from __future__ import annotations

import re
import uuid

import pytest
from django.test import Client

from cloudaccounts.models import CloudResource
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    InformationSystemFactory,
    TenantFactory,
    UserFactory,
)
from vms.models import VirtualMachine, VMSnapshot

pytestmark = pytest.mark.django_db

NEVER = uuid.uuid4()
HTMX = {"HX-Request": "true"}


def text(answer):
    return answer.content.decode()


def wish(vm, **fields):
    return {
        "information_system": str(vm.information_system_id),
        "name": "new-1",
        "cpu_cores": "2",
        "memory_gb": "4",
        "disk_gb": "40",
        "boot": "os:ubuntu|22.04",
        **fields,
    }


def test_the_form_offers_what_was_found(as_role, vm):
    html = text(as_role(Role.ADMIN).get("/vms/new/"))

    for offered in (
        "Shop",
        "internal (10.0.0.0/24)",
        "ubuntu 22.04 (Ubuntu 22.04)",
        "2 vCPU, 4 GiB memory",
        "nova",
    ):
        assert offered in html
    # Asking for its figures would give another: the one is too small for a VM, the other comes second.
    assert "tiny" not in html
    assert "small-too" not in html
    for role in (Role.VIEWER, Role.OPERATOR):
        assert "You need the role" in text(as_role(role).get("/vms/new/", follow=True))
        as_role(role).post("/vms/new/", wish(vm))
    assert not Job.objects.exists()


def test_a_vm_is_made_and_followed(as_role, vm):
    answer = as_role(Role.ADMIN).post("/vms/new/", wish(vm, flavor="large", boot_volume="true", disk_gb="20"))

    new = VirtualMachine.objects.get(name="new-1")
    assert answer["Location"] == f"/vms/{new.pk}/"
    assert (new.flavor_name, new.cpu_cores, new.disk_gb) == ("large", 4, 20)
    shown = text(as_role(Role.VIEWER).get(f"/vms/{new.pk}/"))
    assert f"/jobs/{Job.objects.get().pk}/" in shown
    assert "data-busy" in shown


def test_all_that_is_wrong_is_said_at_once_and_the_input_is_kept(as_role, vm):
    wrong = wish(
        vm,
        name="",
        cpu_cores="99",
        memory_gb="",
        boot="",
        network="nowhere",
        description="keep <this>",
        runtime_start="2030-02-01",
        runtime_end="2030-01-01",
    )

    answer = as_role(Role.ADMIN).post("/vms/new/", wrong)

    html = text(answer)
    assert answer.status_code == 400
    for told in (
        "This field is required.",
        "Ensure this value is less than or equal to 64.",
        "Select an image or snapshot.",
        "Network &#x27;nowhere&#x27; not found",
        "The end date is before the start date.",
    ):
        assert re.search(f'<span class="field-error" role="alert"[^>]*>{told}', html), told
    assert html.count("This field is required.") == 2
    assert 'value="99"' in html
    assert "keep &lt;this&gt;" in html
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"information_system": "x"},
        {"information_system": str(NEVER)},
        {"account": "77", "region": "nowhere"},
        {"account": "9" * 30},
        {"boot": "nonsense"},
        {"boot": "os:plan9|4"},
        {"boot": "image:nothing"},
        {"flavor": "nothing"},
        {"cpu_cores": "4.5"},
        {"runtime_end": "tomorrow"},
        {"boot_volume": "perhaps"},
        {"availability_zone": "moon"},
    ],
)
def test_nonsense_in_the_form_is_told_beside_its_field(as_role, vm, fields):
    answer = as_role(Role.ADMIN).post("/vms/new/", wish(vm, **fields))

    assert answer.status_code == 400
    assert 'class="field-error"' in text(answer)
    assert not Job.objects.exists()


def test_the_quota_is_told_with_its_figures(as_role, vm):
    answer = as_role(Role.ADMIN).post("/vms/new/", wish(vm, cpu_cores="4", memory_gb="8"))
    assert answer.status_code == 302
    answer = as_role(Role.ADMIN).post("/vms/new/", wish(vm, name="new-2", flavor="large"))

    assert answer.status_code == 409
    assert "4 CPU cores needed, 2 of 8 left" in text(answer)
    assert 'value="new-2"' in text(answer)


def test_a_check_says_what_would_be_made_and_makes_nothing(as_role, vm):
    answer = as_role(Role.ADMIN).post("/vms/new/", wish(vm, dry_run="1"))

    html = text(answer)
    assert "Ready to create" in html
    assert "<dd>small</dd>" in html
    assert "<dd>2 vCPU, 4 GiB memory, 40 GiB disk</dd>" in html
    assert "<dd>internal</dd>" in html
    assert "<span>vCPUs</span> <strong>4 / 8</strong>" in html
    assert VirtualMachine.objects.count() == 1
    assert not Job.objects.exists()


def test_another_system_brings_its_choices_and_keeps_the_input(as_role, vm, tenant):
    own = CloudAccountFactory(name="own", tenant=tenant)
    system = InformationSystemFactory(tenant=tenant, name="Other", default_account=own)
    fields = wish(vm, information_system=str(system.pk), account=str(vm.account_id), reload="1")

    html = text(as_role(Role.ADMIN).post("/vms/new/", fields, headers=HTMX))

    assert "<html" not in html
    assert 'value="new-1"' in html
    assert f'value="{system.pk}" selected>Other' in html
    assert not Job.objects.exists()


def test_a_snapshot_is_offered_to_its_tenant_alone(as_role, vm, snapshot):
    attributes = {
        "is_snapshot": True,
        "visibility": "private",
        "portal_tenant": str(vm.information_system.tenant_id),
    }
    CloudResource.objects.create(
        account=vm.account,
        region="RegionOne",
        type="image",
        cloud_id="snap-1",
        name="before",
        status="active",
        attributes=attributes | {"min_disk_gb": 0, "min_memory_mb": 0},
    )
    chosen = 'value="image:snap-1" selected'
    stranger = TenantFactory()
    InformationSystemFactory(tenant=stranger)

    assert chosen in text(as_role(Role.ADMIN).get("/vms/new/?image=snap-1"))
    assert "image=snap-1" in text(as_role(Role.ADMIN).get("/snapshots/"))
    assert "image=snap-1" not in text(as_role(Role.OPERATOR).get("/snapshots/"))
    assert "snap-1" not in text(as_role(Role.ADMIN, of=stranger).get("/vms/new/"))


def test_what_is_made_from_a_snapshot_of_a_volume_boots_from_one(as_role, vm, snapshot):
    VMSnapshot.objects.filter(pk=snapshot.pk).update(volume_snapshots=["cinder-snap"], min_disk_gb=77)

    html = text(as_role(Role.ADMIN).get("/vms/new/?image=snap-1"))

    assert 'name="boot_volume" value="true" checked' in html
    assert 'max="10000" value="77"' in html


def test_who_has_no_system_is_told(as_role):
    told = "No information system yet"
    assert told in text(as_role(Role.ADMIN, of=TenantFactory()).get("/vms/new/", follow=True))


def test_staff_see_all_tenants(vm):
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))

    assert "Acme / Shop" in text(client.get("/vms/new/"))
    assert "Acme / Shop" in text(client.get("/vms/"))
