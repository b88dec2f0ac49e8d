"""What depends on a network, a volume or a zone: resources, VMs, hosts, services, information systems, tenants."""

from __future__ import annotations

import pytest
from django.test import Client
from rest_framework.test import APIClient

from cloudaccounts.models import CloudResource, ResourceLink
from cloudaccounts.registry import list_syncers
from cloudaccounts.services.dependencies import RANKS
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    HostFactory,
    InstanceFactory,
    MembershipFactory,
    ServiceFactory,
    UserFactory,
    VersionFactory,
    VirtualMachineFactory,
)

pytestmark = pytest.mark.django_db
# Codes of types on which nothing depends, and that depend on nothing.
WITHOUT_RANK = {"quota", "bucket"}


@pytest.fixture
def account():
    return CloudAccountFactory(tenant=None)


def a_resource(account, type_code, cloud_id, *targets, **columns):
    """Create a resource that is linked to others, which are named as `type cloud-id`."""
    resource = CloudResource.objects.create(
        account=account,
        region="RegionOne",
        type=type_code,
        cloud_id=cloud_id,
        name=f"the {cloud_id}",
        **columns,
    )
    for target in targets:
        target_type, _space, target_id = target.partition(" ")
        ResourceLink.objects.create(
            source=resource,
            kind=f"{type_code}-{target_type}",
            account=account,
            region="RegionOne",
            target_type=target_type,
            target_cloud_id=target_id,
        )
    return resource


@pytest.fixture
def landscape(account):
    """Two networks; a server on the first, with a volume that names the server, and a floating IP; a service runs on it."""
    resources = {
        "zone": a_resource(account, "zone", "z1"),
        "network": a_resource(account, "network", "n1"),
        "other network": a_resource(account, "network", "n2"),
        "subnet": a_resource(account, "subnet", "s1", "network n1"),
        "group": a_resource(account, "security_group", "g1", "security_group g1", "security_group g2"),
        "other group": a_resource(account, "security_group", "g2", "security_group g1"),
        "port": a_resource(
            account, "port", "p1", "network n1", "subnet s1", "server i1", "security_group g1"
        ),
        "volume": a_resource(account, "volume", "v1", "server i1"),
        "server": a_resource(account, "server", "i1", "volume v1", attributes={"zone": "z1"}),
        "address": a_resource(account, "floating_ip", "f1", "port p1", "network n2"),
        "gone": a_resource(
            account, "port", "p0", "network n1", "server i0", expired_at="2026-01-01T00:00:00Z"
        ),
    }
    vm = VirtualMachineFactory(account=account, openstack_id="i1", name="shop-web")
    host = HostFactory(tenant=vm.information_system.tenant, vm=vm)
    service = ServiceFactory(information_system=vm.information_system, name="checkout")
    InstanceFactory(version=VersionFactory(service=service), host=host)
    VirtualMachineFactory(account=account, openstack_id="i2")
    return resources, vm


def client_of(user):
    client = APIClient()
    client.force_authenticate(user)
    return client


def supports(client, resource, which="supports"):
    answer = client.get(f"/api/v1/cloud-resources/{resource.pk}/{which}/")
    assert answer.status_code == 200, answer.json()
    return answer.json()


def totals(found):
    return {group["kind"]: group["total"] for group in found["groups"]}


@pytest.fixture
def staff():
    return client_of(UserFactory(is_staff=True, is_superuser=True))


UP_TO_THE_SERVICE = {"vm": 1, "information_system": 1, "tenant": 1, "host": 1, "service": 1}


@pytest.mark.parametrize(
    ("root", "counts"),
    [
        ("network", {"floating_ip": 1, "port": 1, "server": 1, "subnet": 1}),
        ("other network", {"floating_ip": 1}),
        ("volume", {"server": 1}),
        ("group", {"floating_ip": 1, "port": 1, "server": 1}),
        ("zone", {"server": 1}),
        ("server", {}),
    ],
)
def test_what_depends_on_it_is_found_up_to_services_and_tenants(staff, landscape, root, counts):
    resources, vm = landscape

    found = supports(staff, resources[root])

    assert found["counts"] == counts
    assert totals(found) == ({} if root == "other network" else UP_TO_THE_SERVICE)
    named = {group["kind"]: [one["name"] for one in group["named"]] for group in found["groups"]}
    if named:
        assert (named["vm"], named["service"]) == (["shop-web"], ["checkout"])
        assert named["tenant"] == [vm.information_system.tenant.name]


def test_what_it_depends_on_is_found(staff, landscape):
    resources, _vm = landscape

    found = supports(staff, resources["server"], "stands-on")

    assert found["counts"] == {"network": 1, "port": 1, "security_group": 1, "subnet": 1, "volume": 1}
    assert found["groups"] == []
    assert supports(staff, resources["network"], "stands-on")["counts"] == {}


def test_a_tenant_is_told_of_its_own_alone(landscape):
    resources, vm = landscape
    stranger = MembershipFactory(role=Role.ADMIN)
    owner = MembershipFactory(tenant=vm.information_system.tenant, role=Role.VIEWER)

    assert totals(supports(client_of(stranger.user), resources["network"])) == {}
    found = supports(client_of(owner.user), resources["network"])
    assert totals(found) == UP_TO_THE_SERVICE
    assert "server" not in found["counts"]


def test_the_page_shows_it(landscape):
    resources, _vm = landscape
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))

    page = client.get(f"/resources/{resources['network'].pk}/used-by/")
    assert page.status_code == 200
    text = page.content.decode()
    assert "shop-web" in text and "checkout" in text
    assert "Nothing depends" in client.get(f"/resources/{resources['address'].pk}/used-by/").content.decode()


def test_circles_of_links_come_to_an_end(staff, account):
    first = a_resource(account, "security_group", "a", "security_group b")
    a_resource(account, "security_group", "b", "security_group a")

    assert supports(staff, first)["counts"] == {}


def test_every_type_has_its_place_among_the_others():
    codes = {syncer.type for provider in ("openstack", "aws") for syncer in list_syncers(provider)}

    assert codes - set(RANKS) == WITHOUT_RANK & codes
