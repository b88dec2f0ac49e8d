"""In a shared account a tenant sees and uses what it was granted, and nothing that was granted to another tenant alone."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from cloudaccounts.models import CatalogueGrant, CloudResource
from cloudaccounts.services.catalogue import grant_common_kinds
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    CloudResourceFactory,
    InformationSystemFactory,
    MembershipFactory,
    VMSnapshotFactory,
    create_catalogue,
)

pytestmark = pytest.mark.django_db

SIZE = {"cpu_cores": 2, "memory_gb": 4, "disk_gb": 40}


@pytest.fixture
def account():
    """A shared account with two networks, in which only flavors, images, volume types and zones are granted."""
    account = CloudAccountFactory(grants=False)
    create_catalogue(account)
    network = {"is_external": False, "cidrs": ["10.30.0.0/16"], "tags": ["blue"]}
    CloudResourceFactory(
        account=account, type="network", name="theirs", cloud_id="theirs", status="ACTIVE", attributes=network
    )
    CloudResource.objects.filter(type="network", name="internal").update(cloud_id="ours")
    grant_common_kinds(account=account, user=None)
    return account


@pytest.fixture
def member():
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def stranger():
    return MembershipFactory(role=Role.ADMIN)


def client_of(member):
    client = APIClient()
    client.force_authenticate(member.user)
    return client


def networks_of(member, account):
    """Return the ids of the networks that a tenant is offered, and check that its inventory shows the same."""
    InformationSystemFactory(tenant=member.tenant, default_account=account)
    client = client_of(member)
    offered = {network["id"] for network in client.get("/api/v1/vms/options/").json()["networks"]}
    shown = client.get("/api/v1/cloud-resources/", {"type": "network"}).json()["results"]
    assert {network["cloud_id"] for network in shown} == offered
    return offered


def create_vm(member, account, **fields):
    system = InformationSystemFactory(tenant=member.tenant, default_account=account)
    body = {"information_system": str(system.pk), "name": "shop-1", "os_type": "ubuntu", **SIZE, **fields}
    return client_of(member).post("/api/v1/vms/", body, format="json")


def test_without_a_grant_a_network_is_nobodys(account, member):
    assert networks_of(member, account) == set()
    refused = create_vm(member, account)
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["network"])


def test_another_tenants_network_is_as_unknown_as_one_that_never_was(account, member, stranger):
    CatalogueGrant.objects.create(tenant=member.tenant, account=account, kind="network", cloud_id="ours")
    CatalogueGrant.objects.create(tenant=stranger.tenant, account=account, kind="network", cloud_id="theirs")

    assert networks_of(member, account) == {"ours"}
    assert networks_of(stranger, account) == {"theirs"}
    other = create_vm(member, account, network="theirs").json()["errors"]
    never = create_vm(member, account, network="never").json()["errors"]
    assert str(other).replace("theirs", "never") == str(never)
    assert create_vm(member, account, network="ours").status_code == 202


@pytest.mark.parametrize("names_default", ["tenant", "system"])
def test_a_default_network_opens_nothing(account, member, names_default):
    member.tenant.default_network = "theirs"
    member.tenant.save()

    refused = create_vm(member, account)

    assert list(refused.json()["errors"]) == ["network"]


@pytest.mark.parametrize(
    ("match", "granted"),
    [
        ("their*", {"theirs"}),
        ("*e*", {"ours", "theirs"}),
        ("theirs", {"theirs"}),
        ("their", set()),
        ("Theirs", set()),
        ("th.irs", set()),
        ("(theirs|.*)", set()),
        ("tag:blue", {"theirs"}),
        ("tag:red", set()),
        ("*", {"ours", "theirs"}),
    ],
)
def test_a_match_grants_names_or_tags(account, member, match, granted):
    CatalogueGrant.objects.create(tenant=None, account=account, kind="network", match=match)

    assert networks_of(member, account) == granted


def test_an_external_network_is_granted_on_its_own(account, member):
    CatalogueGrant.objects.create(account=account, kind="network", match="*")
    client = client_of(member)

    def names():
        shown = client.get("/api/v1/cloud-resources/", {"type": "network"}).json()["results"]
        return {network["name"] for network in shown}

    assert names() == {"internal", "theirs"}
    CatalogueGrant.objects.create(account=account, kind="external_network", match="*")
    assert names() == {"internal", "theirs", "external"}


def test_flavors_images_and_volume_types_need_grants_too(account, member):
    CatalogueGrant.objects.exclude(kind="zone").delete()
    CatalogueGrant.objects.create(account=account, kind="network", cloud_id="ours")
    system = InformationSystemFactory(tenant=member.tenant, default_account=account)
    client = client_of(member)

    options = client.get("/api/v1/vms/options/").json()

    assert [options[name] for name in ("flavors", "images", "volume_types")] == [[], [], []]
    assert sorted(create_vm(member, account).json()["errors"]) == ["cpu_cores", "os_type"]
    volume = {"information_system": str(system.pk), "size_gb": 10, "volume_type": "fast"}
    assert list(client.post("/api/v1/volumes/", volume, format="json").json()["errors"]) == ["volume_type"]


def test_a_tenants_own_snapshot_needs_no_grant(account, member, stranger):
    CatalogueGrant.objects.filter(kind="image").delete()
    system = InformationSystemFactory(tenant=member.tenant)
    snapshot = VMSnapshotFactory(information_system=system, account=account)
    CloudResourceFactory(
        account=account,
        type="image",
        cloud_id=snapshot.image_id,
        attributes={
            "is_snapshot": True,
            "portal_tenant": str(member.tenant.pk),
            "min_disk_gb": 5,
            "min_memory_mb": 512,
        },
    )
    for one in (member, stranger):
        InformationSystemFactory(tenant=one.tenant, default_account=account, name="A")

    def images(one):
        return [image["id"] for image in client_of(one).get("/api/v1/vms/options/").json()["images"]]

    assert images(member) == [snapshot.image_id]
    assert images(stranger) == []


def test_in_an_account_of_its_own_a_tenant_uses_everything(member):
    account = CloudAccountFactory(tenant=member.tenant)
    create_catalogue(account)
    InformationSystemFactory(tenant=member.tenant)

    offered = client_of(member).get(f"/api/v1/vms/options/?account={account.pk}").json()
    assert [network["name"] for network in offered["networks"]] == ["internal"]
    assert create_vm(member, account).status_code == 202


def test_a_grant_that_is_taken_back_changes_nothing_that_exists(account, member):
    CatalogueGrant.objects.create(account=account, kind="network", cloud_id="ours")
    vm = create_vm(member, account).json()["vm"]

    CatalogueGrant.objects.all().delete()

    assert client_of(member).get(f"/api/v1/vms/{vm['id']}/").json()["status"] == "building"
    assert create_vm(member, account).status_code == 400
