"""The pages of volumes and of their snapshots: who may see and do what, and what each form refuses."""

from __future__ import annotations

import re
import uuid

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from cloudaccounts.models import CloudResource
from tasks.models import EntityLock, Job
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    InformationSystemFactory,
    MembershipFactory,
    TenantFactory,
    VolumeFactory,
    VolumePoolFactory,
    VolumeSnapshotFactory,
)
from volumepool.models import GONE, Volume, VolumeSnapshot

pytestmark = pytest.mark.django_db(transaction=True)

NEVER = uuid.UUID(int=0)
VOLUMES, SNAPSHOTS = "/volumes/", "/volumes/snapshots/"


def text(answer):
    return answer.content.decode()


@pytest.fixture
def copy(volume):
    """An available snapshot of the volume."""
    return VolumeSnapshotFactory(
        information_system=volume.information_system,
        account=volume.account,
        volume=volume,
        name="before",
        size_gb=5,
        status="available",
        snapshot_id="cinder-snapshot",
    )


# --- Who may see and do what -------------------------------------------------------------------------------

# Each form, what it sends, and the least role that may open and send it.
FORMS = [
    ("/volumes/{volume}/rename/", {"name": "renamed"}, Role.OPERATOR),
    ("/volumes/{volume}/snapshot/", {"name": "now"}, Role.OPERATOR),
    ("/volumes/{volume}/extend/", {"size_gb": "9"}, Role.ADMIN),
    ("/volumes/{free}/remove/", {"confirm_name": "free-1"}, Role.ADMIN),
    ("/volumes/snapshots/{copy}/copy/", {"name": "again"}, Role.ADMIN),
    ("/volumes/snapshots/{copy}/remove/", {"confirm_name": "before"}, Role.OPERATOR),
]


@pytest.fixture
def ids(volume, copy):
    free = VolumeFactory(
        information_system=volume.information_system, account=volume.account, name="free-1", size_gb=1
    )
    return {"volume": volume.pk, "copy": copy.pk, "free": free.pk}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(("address", "form", "needed"), FORMS)
def test_a_form_opens_and_does_what_the_role_allows(as_role, ids, address, form, needed, role):
    client, allowed = as_role(role), role.covers(needed)

    asked = client.get(address.format(**ids))
    sent = client.post(address.format(**ids), form)

    assert (asked.status_code, sent.status_code) == ((200, 302) if allowed else (403, 403))
    assert Job.objects.count() == allowed
    assert ("You need the role" in text(sent)) is not allowed


@pytest.mark.parametrize(("address", "form", "needed"), FORMS)
def test_anothers_things_and_what_never_was_are_not_there(as_role, ids, address, form, needed):
    stranger, never = as_role(Role.ADMIN, of=TenantFactory()), dict.fromkeys(ids, NEVER)

    for place in (address.format(**ids), address.format(**never)):
        assert stranger.get(place).status_code == stranger.post(place, form).status_code == 404
    assert not Job.objects.exists()


@pytest.mark.parametrize("address", [*(address for address, _form, _role in FORMS), "/volumes/new/"])
def test_a_form_is_posted_with_its_token_and_by_who_signed_in(ids, address):
    address = address.format(**ids)
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(MembershipFactory(role=Role.ADMIN).user)

    assert careful.post(address).status_code == 403
    assert Client().get(address)["Location"].startswith("/login/")
    assert Client().post(address)["Location"].startswith("/login/")


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(("page", "name"), [(VOLUMES, "data-1"), (SNAPSHOTS, "before")])
def test_a_list_shows_everybody_what_is_theirs_and_no_script_in_the_page(as_role, copy, page, name, role):
    html, strangers = text(as_role(role).get(page)), text(as_role(role, of=TenantFactory()).get(page))

    assert name in html
    assert name not in strangers
    assert "yet" in strangers
    assert not re.findall(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=", html)


def test_the_menus_have_what_role_and_status_allow(as_role, volume, copy):
    def menu(role, page=VOLUMES):
        return set(
            re.findall(
                r'href="/volumes/(?:snapshots/)?[0-9a-f-]+/(\w+)/" data-dialog', text(as_role(role).get(page))
            )
        )

    assert menu(Role.VIEWER) == menu(Role.VIEWER, SNAPSHOTS) == set()
    assert menu(Role.OPERATOR) == {"rename", "snapshot"}
    assert menu(Role.ADMIN) == {"rename", "snapshot", "extend", "remove"}
    assert menu(Role.OPERATOR, SNAPSHOTS) == {"remove"}
    assert menu(Role.ADMIN, SNAPSHOTS) == {"copy", "remove"}
    Volume.objects.update(status="error_deleting")
    VolumeSnapshot.objects.update(status="error")
    assert menu(Role.ADMIN) == {"rename"}
    assert menu(Role.ADMIN, SNAPSHOTS) == {"remove"}
    assert "/volumes/new/" in text(as_role(Role.ADMIN).get(VOLUMES))
    assert "/volumes/new/" not in text(as_role(Role.OPERATOR).get(VOLUMES))


# --- The lists ---------------------------------------------------------------------------------------------


def test_volumes_are_filtered_and_followed(as_role, vm, volume):
    client = as_role(Role.ADMIN)
    assert "data-1" not in text(client.get("/volumes/?attached=true"))
    assert "data-1" in text(client.get("/volumes/?attached=false&search=DATA&page=9"))
    assert "data-1" in text(client.get("/volumes/?search=cinder-1"))
    assert "data-1" in text(client.get(f"/volumes/?account={vm.account_id}&status=available"))
    assert "No results for these filters" in text(client.get("/volumes/?status=error"))
    assert "data-busy" not in text(client.get(VOLUMES))

    client.post(f"/volumes/{volume.pk}/remove/", {"confirm_name": "data-1"})

    html = text(client.get(VOLUMES))
    assert 'data-panel="volumes" data-busy' in html
    assert ">Deleting<" in html
    assert f"/jobs/{Job.objects.get().pk}/" in html


@pytest.mark.parametrize("page", [VOLUMES, SNAPSHOTS])
@pytest.mark.parametrize(
    "query",
    [
        "status=nonsense",
        "account=x",
        "information_system=" + "9" * 400,
        "attached=maybe",
        "search=%00",
        "page=x",
    ],
)
def test_nonsense_in_the_address_is_told_and_does_no_harm(as_role, copy, page, query):
    answer = as_role(Role.VIEWER).get(f"{page}?{query}")

    assert answer.status_code == 200
    if query.startswith(("status", "account", "info")):
        assert "it is not applied" in text(answer)


@pytest.mark.parametrize(("page", "panel"), [(VOLUMES, "volumes"), (SNAPSHOTS, "snapshots")])
def test_a_panel_is_sent_when_something_has_changed(as_role, copy, page, panel):
    client = as_role(Role.ADMIN)
    first = client.get(page, headers={"X-Panel": panel})

    unchanged = client.get(page, headers={"X-Panel": panel, "If-None-Match": first["ETag"]})
    Volume.objects.update(status="error")
    VolumeSnapshot.objects.update(status="error")
    changed = client.get(page, headers={"X-Panel": panel, "If-None-Match": first["ETag"]})

    assert (unchanged.status_code, changed.status_code) == (304, 200)
    assert ">Error<" in text(changed)


def test_a_status_is_in_the_readers_language_with_the_clouds_own_word(as_role, copy):
    Volume.objects.update(status="in-use")
    client = as_role(Role.VIEWER)

    assert 'title="in-use">In use<' in text(client.get(VOLUMES))
    assert 'title="available">Available<' in text(client.get(SNAPSHOTS))
    with translation.override("zh-hans"):
        label = str(Volume.objects.get().status_label)
    assert f'title="in-use">{label}<' in text(client.get(VOLUMES, headers={"Accept-Language": "zh-CN"}))
    Volume.objects.update(status="something-new")
    assert 'title="something-new">Something-new<' in text(client.get(VOLUMES))


@pytest.mark.parametrize("page", [VOLUMES, SNAPSHOTS, "/volumes/new/"])
def test_many_objects_cost_no_more_queries_than_few(as_role, vm, page):
    client = as_role(Role.ADMIN)

    def grow(count):
        for _number in range(count):
            system = InformationSystemFactory(tenant=vm.information_system.tenant)
            own = VolumeFactory(information_system=system, account=CloudAccountFactory())
            VolumeSnapshotFactory(information_system=system, volume=own, account=own.account)
            VolumePoolFactory(account=own.account)

    def cost():
        with CaptureQueriesContext(connection) as queries:
            assert client.get(page).status_code == 200
        return len(queries)

    grow(2)
    client.get(page)
    few = cost()
    grow(15)
    assert cost() == few
    assert few <= 20


# --- New volumes -------------------------------------------------------------------------------------------


@pytest.fixture
def second(account):
    """A second cloud account that the tenant may use, with two regions."""
    second = CloudAccountFactory(name="two")
    for region in ("East", "West"):
        CloudResource.objects.create(
            account=second, region=region, type="volume_type", cloud_id=region, name="hdd", attributes={}
        )
    return second


def wish(vm, **fields):
    return {"information_system": str(vm.information_system_id), "size_gb": "3", "count": "1", **fields}


def test_with_one_account_nobody_is_asked_for_it(as_role, vm):
    html = text(as_role(Role.ADMIN).get("/volumes/new/"))

    assert 'name="account"' not in html
    assert 'name="region"' not in html
    assert "RegionOne" in html


def test_with_two_accounts_a_volume_is_created_in_the_one_that_was_selected(as_role, vm, second):
    client = as_role(Role.ADMIN)
    html = text(client.get("/volumes/new/"))
    assert re.findall(
        r'<option value="(\d+)"', html.partition('name="account"')[2].partition("</select>")[0]
    ) == [
        str(vm.account_id),
        str(second.pk),
    ]

    regions = text(client.get(f"/volumes/new/?account={second.pk}&name=kept"))
    assert "<option selected>East</option><option>West</option>" in regions
    assert 'value="kept"' in regions
    created = client.post("/volumes/new/", wish(vm, account=str(second.pk), region="West", volume_type="hdd"))

    assert created["Location"] == VOLUMES
    volume = Volume.objects.get()
    assert (volume.account, volume.region, volume.type) == (second, "West", "hdd")


def test_the_default_account_of_the_application_is_preselected(as_role, vm, second):
    type(vm.information_system).objects.update(default_account=second)

    assert f'<option value="{second.pk}" selected>two' in text(as_role(Role.ADMIN).get("/volumes/new/"))


def test_a_type_brings_its_own_account(as_role, vm, second):
    """The browser sends the account that is preselected, too."""
    VolumePoolFactory(account=second, region="East", type="debian", size_gb=2)
    client = as_role(Role.ADMIN)

    fields = {**wish(vm, type="debian", account=str(vm.account_id)), "size_gb": ""}
    assert client.post("/volumes/new/", fields).status_code == 302

    assert Volume.objects.get().account == second


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"information_system": ""}, "new-system"),
        ({"information_system": str(NEVER)}, "new-system"),
        ({"information_system": "x"}, "new-system"),
        ({"size_gb": "", "type": ""}, "new-type"),
        ({"type": "none-such", "size_gb": ""}, "new-type"),
        ({"type": "x" * 51, "size_gb": ""}, "new-type"),
        ({"size_gb": "0"}, "new-size"),
        ({"size_gb": "10001"}, "new-size"),
        ({"size_gb": "many"}, "new-size"),
        ({"size_gb": "3", "type": "debian"}, "new-size"),
        ({"count": "0"}, "new-count"),
        ({"count": "101"}, "new-count"),
        ({"count": ""}, None),
        ({"name": "x" * 191}, "new-name"),
        ({"name": "🦆"}, "new-name"),
        ({"name": "\x00"}, "new-name"),
        ({"account": "4711"}, "new-account"),
        ({"account": "x"}, "new-account"),
        ({"region": "Nowhere"}, "new-region"),
        ({"volume_type": "gold"}, "new-volume-type"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost(as_role, vm, second, changed, field):
    VolumePoolFactory(account=vm.account, type="debian")
    start = wish(vm, account=str(second.pk), region="East", name="typed")

    answer = as_role(Role.ADMIN).post("/volumes/new/", {**start, **changed})

    if field is None:
        assert answer.status_code == 302
        return
    assert answer.status_code == 400
    html = text(answer)
    assert f'id="{field}-error"' in html
    assert f'aria-describedby="{field}-hint {field}-error" aria-invalid="true"' in html or (
        f'aria-describedby="{field}-error" aria-invalid="true"' in html
    )
    assert "name" in changed or 'value="typed"' in html
    assert not Volume.objects.exists()


def test_another_tenants_application_and_account_are_not_there(as_role, vm, second):
    foreign = InformationSystemFactory()
    theirs = CloudAccountFactory(tenant=foreign.tenant, name="theirs")
    client = as_role(Role.ADMIN)

    assert "theirs" not in text(client.get(f"/volumes/new/?account={theirs.pk}"))
    for fields in (wish(vm, account=str(theirs.pk)), {**wish(vm), "information_system": str(foreign.pk)}):
        assert client.post("/volumes/new/", fields).status_code == 400
    assert not Volume.objects.exists()


def test_a_quota_that_is_exceeded_is_told_above_the_form(as_role, vm):
    answer = as_role(Role.ADMIN).post("/volumes/new/", wish(vm, size_gb="9999", name="typed"))

    assert answer.status_code == 409
    assert "Quota of Acme exceeded" in text(answer)
    assert 'value="typed"' in text(answer)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_others_may_not_create_volumes(as_role, vm, role):
    client = as_role(role)

    assert (
        client.get("/volumes/new/").status_code == client.post("/volumes/new/", wish(vm)).status_code == 403
    )


def test_without_an_application_the_form_leads_to_them(as_role, tenant):
    assert 'href="/systems/"' in text(as_role(Role.ADMIN).get("/volumes/new/"))


# --- Changes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "form", "field"),
    [
        ("/volumes/{volume}/rename/", {"name": ""}, "name"),
        ("/volumes/{volume}/rename/", {"name": "x" * 201}, "name"),
        ("/volumes/{volume}/rename/", {"name": "a\u202eb"}, "name"),
        ("/volumes/{volume}/extend/", {"size_gb": ""}, "size"),
        ("/volumes/{volume}/extend/", {"size_gb": "4"}, "size"),
        ("/volumes/{volume}/extend/", {"size_gb": "10001"}, "size"),
        ("/volumes/{volume}/extend/", {"size_gb": "x"}, "size"),
        ("/volumes/{volume}/snapshot/", {"name": ""}, "name"),
        ("/volumes/{volume}/snapshot/", {"name": "\x00"}, "name"),
        ("/volumes/{free}/remove/", {}, "confirm-name"),
        ("/volumes/{free}/remove/", {"confirm_name": "data-1"}, "confirm-name"),
        ("/volumes/snapshots/{copy}/remove/", {"confirm_name": "x"}, "confirm-name"),
        ("/volumes/snapshots/{copy}/copy/", {"size_gb": "4"}, "size"),
        ("/volumes/snapshots/{copy}/copy/", {"name": "x" * 191}, "name"),
    ],
)
def test_a_refused_form_is_shown_again_with_the_error_at_its_field(as_role, ids, address, form, field):
    answer = as_role(Role.ADMIN).post(address.format(**ids), form)

    assert answer.status_code == 400
    assert f'id="{field}-error"' in text(answer)
    assert 'aria-invalid="true"' in text(answer)
    assert not Job.objects.exists()


@pytest.mark.parametrize("address", ["/volumes/{volume}/rename/", "/volumes/snapshots/{copy}/copy/"])
def test_a_form_opens_in_a_dialog_or_as_a_page(as_role, ids, address):
    client = as_role(Role.ADMIN)

    page = text(client.get(address.format(**ids)))
    dialog = text(client.get(address.format(**ids), headers={"X-Dialog": "true", "HX-Request": "true"}))

    assert "<html" in page
    assert "<html" not in dialog
    form = re.search(r'<form method="post" action="([^"]*)"', dialog)
    assert form[1] == address.format(**ids)
    assert form[0] in page
    assert 'id="dialog-title"' in dialog


def test_a_deletion_names_the_volume_and_what_becomes_of_the_data(as_role, ids):
    html = text(as_role(Role.ADMIN).get(f"/volumes/{ids['free']}/remove/"))

    assert "Delete volume free-1" in html
    assert "all data on it are deleted" in html
    assert "Type “free-1” to confirm" in html


def test_a_volume_that_cannot_be_deleted_says_why_and_has_no_button(as_role, vm, volume, copy):
    client, page = as_role(Role.ADMIN), f"/volumes/{volume.pk}/remove/"

    html = text(client.get(page))
    assert "has 1 snapshot. Delete the snapshot first." in html
    assert 'class="danger"' not in html
    Volume.objects.update(vm=vm, status="in-use")
    assert "is attached to VM shop-1. Detach the volume first." in text(client.get(page))
    assert client.post(page, {"confirm_name": "data-1"}).status_code == 409
    assert not Job.objects.exists()


def test_a_volume_that_a_job_holds_is_refused_and_nothing_typed_is_lost(as_role, volume):
    client = as_role(Role.ADMIN)
    client.post(f"/volumes/{volume.pk}/rename/", {"name": "first"})

    answer = client.post(f"/volumes/{volume.pk}/rename/", {"name": "second"})

    assert answer.status_code == 409
    assert 'role="alert"' in text(answer)
    assert 'value="second"' in text(answer)
    assert Job.objects.count() == 1


def test_a_form_that_is_sent_twice_does_it_once(as_role, volume):
    client, page = as_role(Role.ADMIN), f"/volumes/{volume.pk}/snapshot/"
    key = re.search(r'name="form_key" value="(\w+)"', text(client.get(page)))[1]

    client.post(page, {"name": "s", "form_key": key})
    EntityLock.objects.all().delete()
    again = client.post(page, {"name": "s", "form_key": key}, follow=True)

    assert VolumeSnapshot.objects.count() == 1
    assert "Nothing was done twice" in text(again)


def test_a_row_that_is_gone_from_the_cloud_can_be_cleared_away(as_role, volume):
    Volume.objects.update(status=GONE)

    html = text(as_role(Role.ADMIN).get(VOLUMES))

    assert "Deleted in cloud" in html
    assert f"/volumes/{volume.pk}/remove/" in html
    assert f"/volumes/{volume.pk}/extend/" not in html
