"""Grants over REST: what is granted, to whom, and what is refused."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from cloudaccounts.models import CatalogueGrant
from cloudaccounts.services.catalogue import grant_common_kinds
from tests.factories import CloudAccountFactory, CloudResourceFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff():
    client = APIClient()
    client.force_authenticate(UserFactory(is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def network():
    return CloudResourceFactory(
        account=CloudAccountFactory(grants=False),
        type="network",
        name="internal",
        cloud_id="net-1",
        attributes={"is_external": False},
    )


def grant(staff, network, **fields):
    body = {"tenant": None, "account": network.account_id, "kind": "network", **fields}
    return staff.post("/api/v1/catalogue-grants/", body, format="json")


def test_a_grant_is_given_listed_and_taken_back(staff, network):
    tenant = TenantFactory(name="Acme")
    given = grant(staff, network, tenant=str(tenant.pk), object="net-1", note="Ticket 7").json()

    assert (given["tenant_name"], given["object"], given["object_name"]) == ("Acme", "net-1", "internal")
    assert (given["match"], given["note"], given["by_upgrade"]) == ("", "Ticket 7", False)
    listed = staff.get("/api/v1/catalogue-grants/", {"tenant": str(tenant.pk), "kind": "network"}).json()
    assert listed["results"] == [given]
    assert staff.delete(f"/api/v1/catalogue-grants/{given['id']}/").status_code == 204
    assert staff.delete(f"/api/v1/catalogue-grants/{given['id']}/").status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "object"),
        ({"object": "net-1", "match": "*"}, "object"),
        ({"object": "net-2"}, "object"),
        ({"object": "net-1", "kind": "external_network"}, "object"),
        ({"object": "net-1", "kind": "flavor"}, "object"),
        ({"object": "net-1", "kind": "moon"}, "kind"),
        ({"object": "x" * 256}, "object"),
        ({"match": "x" * 256}, "match"),
        ({"match": "tag:"}, "match"),
        ({"match": "*", "kind": "server_group_policy"}, "object"),
        ({"object": "blood", "kind": "server_group_policy"}, "object"),
        ({"object": "net-1", "tenant": "11111111-1111-1111-1111-111111111111"}, "tenant"),
        ({"object": "net-1", "account": 4711}, "account"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(staff, network, fields, field):
    refused = grant(staff, network, **fields)

    assert refused.status_code == 400, refused.json()
    assert list(refused.json()["errors"]) == [field]
    assert not CatalogueGrant.objects.exists()


def test_an_account_of_a_tenant_needs_no_grants(staff):
    account = CloudAccountFactory(tenant=TenantFactory())
    flavor = CloudResourceFactory(account=account)

    refused = grant(staff, flavor, kind="flavor", object=flavor.cloud_id)

    assert list(refused.json()["errors"]) == ["account"]


def test_the_same_grant_is_given_once(staff, network):
    assert grant(staff, network, object="net-1").status_code == 201
    again = grant(staff, network, object="net-1")
    assert (again.status_code, again.json()["code"]) == (409, "already_granted")


def test_the_common_kinds_hold_no_networks_and_are_granted_once(network):
    account = network.account
    assert grant_common_kinds(account=account, user=None) == 4
    assert grant_common_kinds(account=account, user=None) == 0
    assert not CatalogueGrant.objects.filter(kind__contains="network").exists()


def test_a_list_of_many_grants_takes_a_constant_number_of_queries(
    staff, network, django_assert_max_num_queries
):
    for number in range(40):
        CatalogueGrant.objects.create(account=network.account, kind="flavor", cloud_id=f"flavor-{number}")

    with django_assert_max_num_queries(8):
        assert len(staff.get("/api/v1/catalogue-grants/", {"page_size": 40}).json()["results"]) == 40
