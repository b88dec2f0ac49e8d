"""The form for new volumes: accounts, types, what is wrong at its field, and who may create."""

from __future__ import annotations

import re
import uuid

import pytest

from cloudaccounts.models import CloudResource
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    InformationSystemFactory,
    VolumePoolFactory,
)
from volumepool.models import Volume

pytestmark = pytest.mark.django_db(transaction=True)

NEVER = uuid.UUID(int=0)
VOLUMES, SNAPSHOTS = "/volumes/", "/volumes/snapshots/"


def text(answer):
    return answer.content.decode()


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
