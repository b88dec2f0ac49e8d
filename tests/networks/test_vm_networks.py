"""Networks of VMs: at creation, attached and detached later, and what is left over: nothing."""

from __future__ import annotations

import uuid

import pytest

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CatalogueGrant
from networks.models import FloatingIp, SecurityGroup
from openstack_client import FixedIp
from tenants.scoping import Role
from tests.factories import CloudResourceFactory, InformationSystemFactory, MembershipFactory
from vms.models import VirtualMachine, VmPort

from .conftest import errors_of

pytestmark = pytest.mark.usefixtures("external")
GROUPS, ADDRESSES = "/api/v1/security-groups/", "/api/v1/floating-ips/"


@pytest.fixture(autouse=True)
def reachable(cloud, catalogue, sync):
    """Connect the demo network to the external one by a router, and sync its subnets."""
    cloud.call("POST", "seed", {"project": "demo", "servers": 0, "reachable": True})
    cloud.call("POST", "networks", {"name": "backend", "cidr": "10.77.0.0/16"})
    sync("network", "subnet", "port")


@pytest.fixture
def networks(catalogue):
    """The internal networks, by name."""
    found = catalogue.filter(type="network", attributes__is_external=False)
    return {network.name: network for network in found}


@pytest.fixture
def group(admin):
    """Create the security group "web" of the tenant."""
    answer = admin.post(GROUPS, {"name": "web", "template": "web"}, format="json")
    admin.done(answer)
    return SecurityGroup.objects.get(pk=answer.json()["security_group"]["id"])


@pytest.fixture
def vm(admin, system, networks):
    """A VM on the internal network."""
    answer = admin.new_vm(system, network=networks["internal"].cloud_id)
    admin.done(answer)
    return VirtualMachine.objects.get(pk=answer.json()["vm"]["id"])


def url(vm, path):
    return f"/api/v1/vms/{vm.pk}/{path}/"


def ports_in(cloud, vm):
    return [port for port in cloud.call("GET", "objects")["ports"] if port["device_id"] == vm.openstack_id]


def test_a_vm_with_everything_at_its_creation(admin, system, cloud, networks, group, external):
    policy = {"account": group.account, "kind": "server_group_policy", "cloud_id": "anti-affinity"}
    CatalogueGrant.objects.create(**policy)
    spread = admin.post(
        "/api/v1/server-groups/",
        {"information_system": str(system.pk), "name": "spread", "policy": "anti-affinity"},
        format="json",
    )
    admin.done(spread)
    answer = admin.new_vm(
        system,
        networks=[
            {"network": networks["internal"].cloud_id},
            {"network": networks["backend"].cloud_id, "fixed_ip": "10.77.0.50"},
        ],
        security_groups=[str(group.pk)],
        server_group=spread.json()["server_group"]["id"],
        floating_network=external.cloud_id,
    )
    admin.done(answer)
    vm = VirtualMachine.objects.get(pk=answer.json()["vm"]["id"])

    shown = admin.get(url(vm, "interfaces")).json()["interfaces"]
    reached = admin.get(url(vm, "reachability") + "?port=443").json()
    hidden = admin.get(url(vm, "reachability") + "?port=22").json()

    assert {one["network_name"] for one in shown} == {"internal", "backend"}
    assert ["10.77.0.50"] in [one["fixed_ips"] for one in shown]
    assert all([one["name"] for one in each["security_groups"]] == ["web"] for each in shown)
    (address,) = FloatingIp.objects.all()
    assert address.vm == vm
    assert sum(len(one["floating_ips"]) for one in shown) == 1
    assert any(str(address) in one["summary"] for one in reached["interfaces"])
    texts = [access["text"] for one in reached["interfaces"] for access in one["accesses"]]
    assert "TCP 443 from every IPv4 address (security group web)." in texts
    assert {one["summary"] for one in hidden["interfaces"]} == {"Nobody can reach port 22."}
    in_cloud = open_cloud(vm.account, vm.region).compute.list_server_groups()
    assert [one.member_ids for one in in_cloud] == [(vm.openstack_id,)]


def test_a_floating_ip_of_a_failed_creation_is_given_back(admin, system, cloud, networks, external):
    before = len(cloud.call("GET", "objects")["floatingips"])
    cloud.faults(
        {"kind": "status", "service": "compute", "method": "POST", "path": "/servers$", "status": 400}
    )

    job = admin.ended(
        admin.new_vm(system, network=networks["internal"].cloud_id, floating_network=external.cloud_id)
    )

    assert job["status"] == "failed"
    assert len(cloud.call("GET", "objects")["floatingips"]) == before
    assert not FloatingIp.objects.exists()
    assert not VirtualMachine.objects.exists()


def test_a_bad_fixed_address_is_refused_with_its_reason(admin, system, vm, networks):
    for address, word in {
        "10.99.0.5": "outside",
        "fe80::1": "not an address",
        "10.77.0.1": "gateway",
        "10.77.0.0": "first or last",
        "10.77.255.255": "first or last",
        "ten": "no IP address",
        "fe80::1%eth0": "the zone 'eth0'",
    }.items():
        wish = {"network": networks["backend"].cloud_id, "fixed_ip": address}

        at_creation = admin.new_vm(system, name="shop-2", networks=[wish])
        later = admin.post(url(vm, "interfaces"), wish, format="json")

        assert word in str(errors_of(at_creation)["networks"])
        assert word in errors_of(later)["fixed_ip"][0]


def test_one_ipv6_address_in_two_spellings_is_one_address(admin, system, account):
    network = CloudResourceFactory(
        account=account,
        type="network",
        status="ACTIVE",
        attributes={"is_external": False, "cidrs": ["2001:db8:77::/64"]},
    ).cloud_id
    spellings = ["2001:DB8:77:0::5", "2001:db8:77::5"]

    answer = admin.new_vm(
        system, networks=[{"network": network, "fixed_ip": address} for address in spellings]
    )

    assert errors_of(answer)["networks"] == ["The address 2001:db8:77::5 is entered twice."]


def test_a_taken_fixed_address_is_refused_and_by_the_cloud_when_nobody_has_seen_it(
    admin, vm, networks, sync, cloud
):
    wish = {"network": networks["backend"].cloud_id, "fixed_ip": "10.77.0.50"}
    network = open_cloud(vm.account, vm.region).network
    port = network.create_port(networks["backend"].cloud_id, fixed_ips=[FixedIp("", "10.77.0.50")])

    unseen = admin.ended(admin.post(url(vm, "interfaces"), wish, format="json"))
    sync("port")
    seen = admin.post(url(vm, "interfaces"), wish, format="json")

    assert unseen["status"] == "failed"
    assert "already in use" in unseen["outcome"]["message"]
    assert "already in use" in errors_of(seen)["fixed_ip"][0]
    assert not VmPort.objects.exists()
    network.delete_port(port.id)
    assert len(ports_in(cloud, vm)) == 1, "no port is left over"


def test_an_interface_is_attached_and_detached_and_its_port_goes_with_it(admin, vm, networks, cloud, group):
    wish = {"network": networks["backend"].cloud_id, "security_groups": [str(group.pk)]}
    admin.done(admin.post(url(vm, "interfaces"), wish, format="json"))
    shown = admin.get(url(vm, "interfaces")).json()["interfaces"]
    backend = next(one for one in shown if one["network_name"] == "backend")
    assert [one["name"] for one in backend["security_groups"]] == ["web"]
    assert len(ports_in(cloud, vm)) == 2

    admin.done(admin.delete(url(vm, f"interfaces/{backend['id']}")))

    assert len(admin.get(url(vm, "interfaces")).json()["interfaces"]) == 1
    assert [port["id"] for port in cloud.call("GET", "objects")["ports"] if port["id"] == backend["id"]] == []
    assert not VmPort.objects.exists()


def test_ports_of_the_portal_are_removed_with_the_vm_and_floating_ips_are_kept(
    admin, vm, networks, cloud, external
):
    admin.done(admin.post(url(vm, "interfaces"), {"network": networks["backend"].cloud_id}, format="json"))
    taken = admin.post(ADDRESSES, {"network": external.cloud_id}, format="json")
    admin.done(taken)
    address = f"{ADDRESSES}{taken.json()['floating_ip']['id']}/"
    admin.done(admin.post(f"{address}attach/", {"vm": str(vm.pk)}, format="json"))
    server_ports = [port["id"] for port in ports_in(cloud, vm)]

    admin.done(admin.delete(f"/api/v1/vms/{vm.pk}/?permanent=true&force=true"))

    left = {port["id"] for port in cloud.call("GET", "objects")["ports"]}
    assert not left & set(server_ports)
    shown = admin.get(address).json()
    assert (shown["vm"], shown["is_attached"]) == (None, False)
    assert shown["unattached_since"]


def test_a_failed_attachment_leaves_no_port(admin, vm, networks, cloud):
    ports = len(cloud.call("GET", "objects")["ports"])
    cloud.faults(
        {"kind": "status", "service": "compute", "method": "POST", "path": "os-interface", "status": 409}
    )

    job = admin.ended(
        admin.post(url(vm, "interfaces"), {"network": networks["backend"].cloud_id}, format="json")
    )

    assert job["status"] == "failed"
    assert len(cloud.call("GET", "objects")["ports"]) == ports
    assert not VmPort.objects.exists()


def test_security_groups_of_a_vm_are_replaced(admin, vm, group):
    admin.done(admin.put(url(vm, "security-groups"), {"security_groups": [str(group.pk)]}, format="json"))
    (interface,) = admin.get(url(vm, "interfaces")).json()["interfaces"]
    assert [one["id"] for one in interface["security_groups"]] == [str(group.pk)]
    refused = admin.ended(admin.delete(f"{GROUPS}{group.pk}/"))
    assert "in use by a VM" in refused["outcome"]["message"]

    body = {"security_groups": [], "port": interface["id"]}
    admin.done(admin.put(url(vm, "security-groups"), body, format="json"))

    shown = admin.get(url(vm, "reachability")).json()
    assert "Nobody can reach" in shown["interfaces"][0]["summary"]


def test_groups_ports_and_networks_of_others_are_as_unknown_as_those_that_never_were(
    admin, system, vm, networks, group
):
    CatalogueGrant.objects.filter(kind="network").delete()
    other = SecurityGroup.objects.create(
        tenant=type(admin.member.tenant).objects.create(name="other", slug="other"),
        account=group.account, region=group.region, name="theirs", cloud_id=str(uuid.uuid4()), status="active",
    )  # fmt: skip
    for pk in (str(other.pk), str(uuid.uuid4())):
        answer = admin.put(url(vm, "security-groups"), {"security_groups": [pk]}, format="json")
        assert errors_of(answer)["security_groups"][0].endswith(f"{pk}.")
    theirs = admin.post(url(vm, "interfaces"), {"network": networks["backend"].cloud_id}, format="json")
    assert "not found" in errors_of(theirs)["network"][0]
    body = {"security_groups": [str(group.pk)], "port": str(uuid.uuid4())}
    assert "port" in errors_of(admin.put(url(vm, "security-groups"), body, format="json"))
    assert admin.delete(url(vm, f"interfaces/{uuid.uuid4()}")).status_code == 404


def test_a_floating_ip_moves_from_vm_to_vm_by_hand(admin, vm, external, cloud):
    taken = admin.post(ADDRESSES, {}, format="json")
    admin.done(taken)
    address = f"{ADDRESSES}{taken.json()['floating_ip']['id']}/"
    admin.done(admin.post(f"{address}attach/", {"vm": str(vm.pk)}, format="json"))
    shown = admin.get(address).json()
    again = admin.post(f"{address}attach/", {"vm": str(vm.pk)}, format="json")
    given_back = admin.delete(address)

    assert (shown["vm"], shown["is_attached"]) == (str(vm.pk), True)
    assert (again.status_code, again.json()["code"]) == (409, "attached")
    assert (given_back.status_code, given_back.json()["code"]) == (409, "attached")
    admin.done(admin.post(f"{address}detach/", {}, format="json"))
    assert admin.get(address).json()["vm"] is None
    assert admin.post(f"{address}detach/", {}, format="json").status_code == 200, "nothing to do"


def test_a_floating_ip_that_others_change_at_the_same_moment_is_tried_again(
    admin, system, vm, networks, external, cloud
):
    changed = {"service": "network", "method": "PUT", "path": "floatingips", "kind": "status", "status": 412}
    taken = admin.post(ADDRESSES, {}, format="json")
    admin.done(taken)
    address = f"{ADDRESSES}{taken.json()['floating_ip']['id']}/"

    cloud.faults({**changed, "times": 2})
    admin.done(admin.post(f"{address}attach/", {"vm": str(vm.pk)}, format="json"))
    cloud.faults({**changed, "times": 2})
    admin.done(admin.post(f"{address}detach/", {}, format="json"))
    cloud.faults({**changed, "times": 2})
    created = admin.new_vm(
        system, name="shop-2", network=networks["internal"].cloud_id, floating_network=external.cloud_id
    )
    admin.done(created)

    assert FloatingIp.objects.get(vm=created.json()["vm"]["id"]).is_attached


def test_a_floating_ip_that_was_attached_elsewhere_meanwhile_is_said_so(
    admin, system, vm, networks, cloud, sync
):
    taken = admin.post(ADDRESSES, {}, format="json")
    admin.done(taken)
    row = FloatingIp.objects.get()
    other = admin.new_vm(system, name="other", network=networks["internal"].cloud_id)
    admin.done(other)
    server = VirtualMachine.objects.get(pk=other.json()["vm"]["id"])
    network = open_cloud(vm.account, vm.region).network
    (port,) = network.list_server_ports(server.openstack_id)
    network.attach_floating_ip(row.cloud_id, port.id)

    job = admin.ended(admin.post(f"{ADDRESSES}{row.pk}/attach/", {"vm": str(vm.pk)}, format="json"))

    assert job["status"] == "failed"
    assert "attached elsewhere meanwhile" in job["outcome"]["message"]
    row.refresh_from_db()
    assert row.port_id == port.id, "the portal knows now"
    FloatingIp.objects.update(written_at="2020-01-01T00:00Z", vm=None)
    sync("floating_ip")
    row.refresh_from_db()
    assert row.vm == server
    server.information_system = InformationSystemFactory()
    server.save()
    FloatingIp.objects.update(written_at="2020-01-01T00:00Z")
    sync("floating_ip")
    row.refresh_from_db()
    assert (row.vm, row.port_id) == (None, port.id), "a VM of another tenant is not named"


def test_a_vm_with_groups_of_its_tenant_does_not_leave_it_and_takes_its_addresses_along(
    admin, vm, group, external
):
    target = InformationSystemFactory()
    taken = admin.post(ADDRESSES, {}, format="json")
    admin.done(taken)
    row = FloatingIp.objects.get()
    admin.done(admin.post(f"{ADDRESSES}{row.pk}/attach/", {"vm": str(vm.pk)}, format="json"))
    body = {"security_groups": [str(group.pk)]}
    admin.done(admin.put(url(vm, "security-groups"), body, format="json"))

    refused = move(admin, vm, target)
    admin.done(admin.put(url(vm, "security-groups"), {"security_groups": []}, format="json"))
    moved = move(admin, vm, target)

    assert (refused.status_code, refused.json()["code"]) == (409, "has_security_groups")
    assert moved.status_code == 200, moved.json()
    row.refresh_from_db()
    assert row.tenant == target.tenant


def move(admin, vm, target):
    """Ask for the move of a VM to another tenant's system, as an administrator of both, and return the answer."""
    other = MembershipFactory(user=admin.member.user, tenant=target.tenant, role=Role.ADMIN)
    headers = {"X-Tenant": admin.member.tenant.slug}
    answer = admin.post(
        url(vm, "move"), {"information_system": str(target.pk)}, format="json", headers=headers
    )
    other.delete()
    return answer
