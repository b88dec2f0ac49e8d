"""Information systems are created, read, changed and deleted, and nobody overwrites an unread change."""

from __future__ import annotations

import pytest

from cloudaccounts.models import CloudAccount
from tenants.models import InformationSystem
from tenants.scoping import Role
from tenants.serializers import InformationSystemSerializer
from tests.factories import (
    CloudAccountFactory,
    InformationSystemFactory,
    MembershipFactory,
    TenantFactory,
    UserFactory,
    VirtualMachineFactory,
)

pytestmark = pytest.mark.django_db
URL = "/api/v1/information-systems/"


@pytest.fixture
def system(admin):
    return InformationSystemFactory(tenant=admin.tenant, name="Shop", owner="Ann")


def url_of(system):
    return f"{URL}{system.pk}/"


def fresh(system):
    return InformationSystem.objects.get(pk=system.pk)


def test_a_system_is_made_read_changed_and_deleted(client, admin):
    account = CloudAccountFactory(tenant=admin.tenant)
    network = "0b1c2d3e-0000-4000-8000-000000000001"
    fields = {
        "name": "Payroll",
        "description": "Pays\npeople.",
        "owner": "Bob",
        "default_account": account.pk,
        "default_network": network,
    }

    made = client.post(URL, fields, format="json")
    assert made.status_code == 201
    assert made.json().items() >= {**fields, "tenant": admin.tenant.slug, "version": 1}.items()
    url = f"{URL}{made.json()['id']}/"
    assert client.get(url).json() == made.json()
    changed = client.patch(url, {"owner": "Cid"}, format="json")
    assert (changed.status_code, changed.json()["owner"], changed.json()["version"]) == (200, "Cid", 2)
    assert changed.json()["name"] == "Payroll"
    assert client.delete(url).status_code == 204
    assert client.get(url).status_code == 404
    assert not InformationSystem.objects.filter(tenant=admin.tenant).exists()


def test_staff_must_say_for_which_tenant_a_system_is(client_of):
    tenant, staff = TenantFactory(), client_of(UserFactory(is_staff=True, is_superuser=True))

    nowhere = staff.post(URL, {"name": "Shop"}, format="json")
    there = staff.post(URL, {"name": "Shop"}, format="json", headers={"X-Tenant": tenant.slug})

    assert (nowhere.status_code, nowhere.json()["code"]) == (400, "tenant_required")
    assert (there.status_code, there.json()["tenant"]) == (201, tenant.slug)
    assert InformationSystem.objects.count() == 1


@pytest.mark.parametrize("column", ["id", "tenant", "version", "created_at"])
def test_what_the_portal_writes_is_not_taken(client, system, column):
    answer = client.patch(url_of(system), {column: "1"}, format="json")

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [column]


# --- ETag and If-Match -------------------------------------------------------------------------------------


def test_the_etag_moves_with_every_change(client, system):
    read = client.get(url_of(system))
    changed = client.patch(url_of(system), {"owner": "Bob"}, format="json")

    assert read["ETag"] != changed["ETag"]
    assert client.get(url_of(system))["ETag"] == changed["ETag"]


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_who_has_not_seen_the_last_change_may_not_change_it(client, system, method):
    seen = client.get(url_of(system))["ETag"]
    now = client.patch(url_of(system), {"owner": "Bob"}, format="json")["ETag"]

    answer = getattr(client, method)(
        url_of(system), {"owner": "Cid"}, format="json", headers={"If-Match": seen}
    )

    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    assert answer.json()["etag"] == now
    assert fresh(system).owner == "Bob"


@pytest.mark.parametrize("of", [lambda etag: etag, lambda etag: f'"0", {etag}', lambda etag: "*"])
def test_who_has_seen_it_may(client, system, of):
    tag = of(client.get(url_of(system))["ETag"])

    answer = client.patch(url_of(system), {"owner": "Bob"}, format="json", headers={"If-Match": tag})
    assert answer.status_code == 200
    tag = of(answer["ETag"])
    assert client.delete(url_of(system), headers={"If-Match": tag}).status_code == 204


def test_a_tag_that_a_proxy_has_made_weak_is_still_the_portals_own(client, system):
    """The tag identifies a version, which compression by a proxy does not change."""
    tag = "W/" + client.get(url_of(system))["ETag"]

    assert (
        client.patch(url_of(system), {"owner": "Bob"}, format="json", headers={"If-Match": tag}).status_code
        == 200
    )
    assert client.delete(url_of(system), headers={"If-Match": tag}).status_code == 412


@pytest.mark.django_db(transaction=True)
def test_of_many_who_change_what_they_all_have_seen_one_succeeds(client_of, at_once):
    member = MembershipFactory(role=Role.ADMIN)
    system = InformationSystemFactory(tenant=member.tenant)
    seen = client_of(member.user).get(url_of(system))["ETag"]

    def change(owner):
        return client_of(member.user).patch(
            url_of(system), {"owner": owner}, format="json", headers={"If-Match": seen}
        )

    answers = at_once(*(lambda owner=owner: change(owner) for owner in "ABCDEFGH"))

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [412] * 7
    (winner,) = (answer.json()["owner"] for answer in answers if answer.status_code == 200)
    assert (fresh(system).owner, fresh(system).version) == (winner, 2)


# --- Names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Shop", "shop", "SHOP", "  Shop "])
def test_a_name_is_there_once_in_a_tenant_whatever_its_case(client, system, name):
    other = InformationSystemFactory(tenant=system.tenant, name="Depot")

    made = client.post(URL, {"name": name}, format="json")
    renamed = client.patch(url_of(other), {"name": name}, format="json")

    for answer in (made, renamed):
        assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
        assert list(answer.json()["errors"]) == ["name"]
    assert (InformationSystem.objects.count(), fresh(other).name) == (2, "Depot")


def test_the_same_name_may_be_there_in_another_tenant_and_change_its_own_case(client, system):
    InformationSystemFactory(name="Depot")

    assert client.post(URL, {"name": "Depot"}, format="json").status_code == 201
    assert client.patch(url_of(system), {"name": "SHOP"}, format="json").status_code == 200


# --- What belongs to it, and what it belongs to ------------------------------------------------------------


def test_a_system_with_vms_is_not_deleted(client, system):
    VirtualMachineFactory.create_batch(2, information_system=system)

    answer = client.delete(url_of(system))

    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
    assert "2" in answer.json()["detail"]
    assert fresh(system).vms.count() == 2


def test_another_tenants_account_is_as_unknown_as_one_that_does_not_exist(client, system):
    theirs = CloudAccountFactory(tenant=TenantFactory())
    never = theirs.pk + 1000

    answers = {
        pk: [
            client.patch(url_of(system), {"default_account": pk}, format="json"),
            client.post(URL, {"name": "Depot", "default_account": pk}, format="json"),
        ]
        for pk in (theirs.pk, never)
    }

    for foreign, unknown in zip(answers[theirs.pk], answers[never], strict=True):
        assert foreign.status_code == unknown.status_code == 400
        assert list(foreign.json()["errors"]) == ["default_account"]
        errors = [str(answer.json()["errors"]) for answer in (foreign, unknown)]
        assert errors[0].replace(str(theirs.pk), "?") == errors[1].replace(str(never), "?")
        others = [
            {name: value for name, value in answer.json().items() if name not in {"errors", "request_id"}}
            for answer in (foreign, unknown)
        ]
        assert others[0] == others[1]
    assert fresh(system).default_account is None


@pytest.mark.parametrize("whose", ["own", "shared"])
def test_an_account_of_ones_own_and_a_shared_one_may_be_chosen(client, system, whose):
    account = CloudAccountFactory(tenant=system.tenant if whose == "own" else None)

    answer = client.patch(url_of(system), {"default_account": account.pk}, format="json")

    assert (answer.status_code, answer.json()["default_account"]) == (200, account.pk)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["patch", "post"])
def test_an_account_that_is_deleted_while_it_is_being_chosen_is_not_a_taken_name(
    client_of, monkeypatch, method
):
    """The row of the account is deleted between the validation of the body and the write."""
    member, account = MembershipFactory(role=Role.ADMIN), CloudAccountFactory()
    system = InformationSystemFactory(tenant=member.tenant)

    def check_and_lose(_self, chosen):
        CloudAccount.objects.filter(pk=chosen.pk).delete()
        return chosen

    monkeypatch.setattr(InformationSystemSerializer, "validate_default_account", check_and_lose)
    url, body = (URL, {"name": "New"}) if method == "post" else (url_of(system), {})

    answer = getattr(client_of(member.user), method)(
        url, {**body, "default_account": account.pk}, format="json"
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
