"""The pages of volumes and of their snapshots: who may see and do what, and what each form refuses."""

from __future__ import annotations

import re
import uuid

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation

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
    assert menu(Role.OPERATOR) == {"rename", "snapshot", "tags", "protection"}
    assert menu(Role.ADMIN) == {"rename", "snapshot", "extend", "remove", "tags", "protection"}
    assert menu(Role.OPERATOR, SNAPSHOTS) == {"remove"}
    assert menu(Role.ADMIN, SNAPSHOTS) == {"copy", "remove"}
    Volume.objects.update(status="error_deleting")
    VolumeSnapshot.objects.update(status="error")
    assert menu(Role.ADMIN) == {"rename", "tags", "protection"}
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
