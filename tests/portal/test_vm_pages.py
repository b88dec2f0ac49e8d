"""The pages of the VM room: each page and each form, for every role, for another tenant, and with wrong input."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks.models import Job
from tenants.scoping import Role
from tests.factories import (
    InformationSystemFactory,
    MembershipFactory,
    TenantFactory,
    UserFactory,
    VirtualMachineFactory,
)
from vms.models import SyncState, VMOperationLog, VMSnapshot, VMStatus
from volumepool.models import Volume

pytestmark = pytest.mark.django_db

NEVER = uuid.uuid4()


def text(answer):
    return answer.content.decode()


# --- Who may see and do what -------------------------------------------------------------------------------

PAGES = ["/vms/", "/vms/{vm}/", "/vms/{vm}/log/", "/activity/", "/volumes/", "/snapshots/"]
# Each form, what it sends, and the least role that may send it.
FORMS = [
    ("/vms/{vm}/ask/", {"action": "stop"}, Role.OPERATOR),
    ("/vms/{vm}/ask/", {"action": "restart", "hard": "true", "page": "detail"}, Role.OPERATOR),
    ("/vms/{vm}/change/", {"name": "renamed"}, Role.OPERATOR),
    ("/vms/{vm}/console/ask/", {"reading": "url"}, Role.OPERATOR),
    ("/vms/{vm}/console/ask/", {"reading": "log"}, Role.OPERATOR),
    ("/vms/{vm}/resize/", {"flavor": "large"}, Role.ADMIN),
    ("/vms/{vm}/remove/", {"name": "shop-1", "force": "true"}, Role.ADMIN),
    ("/vms/{vm}/snapshots/", {"name": "after"}, Role.OPERATOR),
    ("/vms/{vm}/volumes/", {"volume": "{volume}"}, Role.OPERATOR),
    ("/vms/{vm}/volumes/new/", {"size_gb": "5", "type": "ssd"}, Role.ADMIN),
    ("/snapshots/{snapshot}/remove/", {}, Role.OPERATOR),
]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(("address", "form", "needed"), FORMS)
def test_a_form_does_what_the_role_allows(as_role, vm, volume, snapshot, address, form, needed, role):
    ids = {"vm": vm.pk, "volume": volume.pk, "snapshot": snapshot.pk}
    form = {name: value.format(**ids) for name, value in form.items()}

    answer = as_role(role).post(address.format(**ids), form, follow=True)

    assert Job.objects.count() == role.covers(needed)
    assert ("You need the role" in text(answer)) is not role.covers(needed)


@pytest.mark.parametrize(("address", "form", "needed"), FORMS)
def test_anothers_things_and_what_never_was_are_not_there(
    as_role, vm, volume, snapshot, address, form, needed
):
    stranger = as_role(Role.ADMIN, of=TenantFactory())
    ids = {"vm": vm.pk, "volume": volume.pk, "snapshot": snapshot.pk}
    form = {name: value.format(**ids) for name, value in form.items()}

    theirs = stranger.post(address.format(**ids), form)
    never = stranger.post(address.format(vm=NEVER, volume=NEVER, snapshot=NEVER), form)

    assert (theirs.status_code, never.status_code) == (404, 404)
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "address", [*sorted({address for address, _form, _role in FORMS}), "/vms/ask/", "/vms/sync-now/"]
)
def test_a_form_is_posted_with_its_token_and_by_who_signed_in(as_role, vm, volume, snapshot, address):
    address = address.format(vm=vm.pk, volume=volume.pk, snapshot=snapshot.pk)
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(MembershipFactory(role=Role.ADMIN).user)

    # The console's address answers a GET at another address; all others take none.
    assert as_role(Role.ADMIN).get(address).status_code == 405
    assert careful.post(address).status_code == 403
    assert Client().post(address)["Location"].startswith("/login/")


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_everybody_what_is_theirs(as_role, vm, volume, snapshot, page, role):
    VMOperationLog.objects.create(
        tenant=vm.information_system.tenant, vm_id=vm.pk, vm_name=vm.name, operation="start", success=True
    )
    html = text(as_role(role).get(page.format(vm=vm.pk)))
    strangers = as_role(role, of=TenantFactory()).get(page.format(vm=vm.pk))

    assert any(name in html for name in ("shop-1", "data-1", "before"))
    assert strangers.status_code == (404 if "{vm}" in page else 200)
    assert not any(name in text(strangers) for name in ("shop-1", "data-1", "before"))
    assert not re.findall(r"<script(?![^>]*\bsrc=)", html)
    assert not re.findall(r"\son[a-z]+=", html)


@pytest.mark.parametrize(
    ("role", "shown", "hidden"),
    [
        (
            Role.VIEWER,
            [],
            ["/ask/", "/change/", "/console/", "/snapshots/", "/resize/", "/remove/", "/detach/"],
        ),
        (
            Role.OPERATOR,
            ["/ask/", "/change/", "/console/", "/detach/"],
            ["/resize/", "/vms/new/", "/volumes/new/"],
        ),
        (Role.ADMIN, ["/ask/", "/change/", "/resize/", "/volumes/new/", "/detach/"], []),
    ],
)
def test_the_page_of_a_vm_has_the_forms_of_the_role(as_role, vm, volume, snapshot, role, shown, hidden):
    Volume.objects.filter(pk=volume.pk).update(vm=vm)

    tabs = ("overview", "volumes", "network", "snapshots", "console", "activity", "settings")
    client = as_role(role)
    html = "".join(text(client.get(f"/vms/{vm.pk}/?tab={tab}")).partition("<main ")[2] for tab in tabs)

    assert [path for path in shown if path not in html] == []
    # A viewer's page links to its own log and to nothing that changes anything.
    assert [path for path in hidden if re.search(f'action="[^"]*{path}', html)] == []


# --- The list ----------------------------------------------------------------------------------------------


def test_the_list_filters_by_system_and_exports_the_same(as_role, vm):
    other = VirtualMachineFactory(
        information_system=InformationSystemFactory(tenant=vm.information_system.tenant), name="db-1"
    )

    html = text(as_role(Role.VIEWER).get(f"/vms/?information_system={vm.information_system_id}&status="))

    assert "shop-1" in html
    assert "db-1" not in html
    assert f'/api/v1/vms/export/?information_system={vm.information_system_id}"' in html
    assert f'href="/vms/{vm.pk}/"' in html
    assert "/vms/new/" not in html
    exported = as_role(Role.VIEWER).get(
        f"/api/v1/vms/export/?information_system={other.information_system_id}"
    )
    assert b"db-1" in exported.getvalue()
    assert b"shop-1" not in exported.getvalue()


def test_the_list_says_what_is_used_of_the_quota(as_role, vm):
    html = text(as_role(Role.VIEWER).get("/vms/"))

    assert "<span>vCPUs</span> <strong>2 / 8</strong>" in html
    assert '<rect width="25" height="4"/>' in html


def test_the_list_says_whose_picture_is_old_and_since_when(as_role, vm):
    seen = timezone.now() - timedelta(days=1)
    SyncState.objects.create(account=vm.account, region="RegionOne", listed_at=seen)
    elsewhere = VirtualMachineFactory()
    SyncState.objects.create(account=elsewhere.account, region="RegionOne", listed_at=None)

    html = text(as_role(Role.VIEWER).get("/vms/"))

    assert f"Data for one RegionOne is out of date. Last successful sync: {seen:%Y-%m-%d %H:%M} UTC" in html
    assert elsewhere.account.name not in html


def test_many_are_asked_and_one_is_told_of_the_others(as_role, vm):
    stopped = VirtualMachineFactory(
        information_system=vm.information_system, name="off-1", status=VMStatus.STOPPED
    )
    foreign = VirtualMachineFactory(name="foreign-1", status=VMStatus.RUNNING)
    client = as_role(Role.OPERATOR)
    ids = [str(one.pk) for one in (vm, stopped, foreign)]

    none = text(client.post("/vms/ask/?status=running", {"action": "restart", "ids": ids}, follow=True))

    assert "Nothing was changed: 2 of 3 VMs are in a state" in none
    assert "restart a VM in state &#x27;stopped&#x27;. (off-1)" in none
    assert f"VM not found. ({foreign.pk})" in none
    assert not Job.objects.exists()
    some = client.post("/vms/ask/", {"action": "stop", "ids": ids, "mode": "valid"}, follow=True)
    assert "Stop: requested for 1 of 3 VMs." in text(some)
    assert "1 skipped" in text(some)
    assert Job.objects.get().entity_id == str(vm.pk)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"action": "stop"}, "Select at least one VM."),
        ({"action": "dance", "ids": [str(NEVER)]}, "Unknown action"),
        ({"action": "stop", "ids": [str(NEVER)]}, "VM not found."),
        ({"action": "stop", "ids": ["x"]}, "ids:"),
        ({"action": "stop", "ids": [str(NEVER)], "mode": "x"}, "mode:"),
    ],
)
def test_nonsense_in_the_bulk_form_is_told(as_role, vm, form, told):
    assert told in text(as_role(Role.OPERATOR).post("/vms/ask/", form, follow=True))
    assert "You need the role" in text(as_role(Role.VIEWER).post("/vms/ask/", form, follow=True))


def test_a_sync_is_asked_for(as_role, vm):
    assert "one RegionOne" in text(as_role(Role.OPERATOR).post("/vms/sync-now/", follow=True))
    assert SyncState.objects.get().full_wanted_at is not None
    assert "You need the role" in text(as_role(Role.VIEWER).post("/vms/sync-now/", follow=True))


# --- The lists of volumes and snapshots, and what pages cost ----------------------------------------------


def test_a_removal_of_a_snapshot_leads_back_and_is_followed(as_role, vm, snapshot):
    client = as_role(Role.OPERATOR)

    back = client.post(f"/snapshots/{snapshot.pk}/remove/", {"page": "detail"})

    assert back["Location"] == f"/vms/{vm.pk}/?tab=snapshots"
    for page in ("/snapshots/", back["Location"]):
        assert "Deleting…" in text(client.get(page))
        assert "data-busy" in text(client.get(page))


@pytest.mark.parametrize(
    "page",
    [
        "/overview/",
        "/search/?q=vm",
        "/tasks/",
        "/activity/",
        "/vms/",
        *(f"/vms/{{vm}}/?tab={tab}" for tab in ("overview", "volumes", "snapshots", "activity", "settings")),
        "/volumes/",
        "/snapshots/",
        "/vms/new/",
    ],
)
def test_many_objects_cost_no_more_queries_than_few(as_role, vm, page):
    client = as_role(Role.ADMIN)
    page = page.format(vm=vm.pk)

    def grow(count):
        for number in range(count):
            creator = UserFactory()
            VirtualMachineFactory(
                information_system=InformationSystemFactory(tenant=vm.information_system.tenant),
                account=vm.account,
                created_by=creator,
            )
            shared = {
                "information_system": vm.information_system,
                "account": vm.account,
                "region": "RegionOne",
            }
            Volume.objects.create(**shared, name="v", size_gb=1, vm=vm, volume_id=str(uuid.uuid4()))
            Volume.objects.create(**shared, name="free", size_gb=1, volume_id=str(uuid.uuid4()))
            VMSnapshot.objects.create(**shared, vm_id=vm.pk, vm_name="x", name="s", created_by=creator)
            VMOperationLog.objects.create(
                tenant=vm.information_system.tenant,
                vm_id=vm.pk,
                vm_name="x",
                operation="start",
                success=bool(number),
            )

    def cost():
        with CaptureQueriesContext(connection) as queries:
            assert client.get(page).status_code == 200
        return len(queries)

    grow(2)
    client.get(page)
    few = cost()
    grow(15)
    assert cost() == few
    assert few <= 30
