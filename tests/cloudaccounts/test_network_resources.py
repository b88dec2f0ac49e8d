"""What pages and services show of groups, rules, ports, floating IPs and server groups comes from the rows of a sync."""

import pytest

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudResource, ResourceChange, ResourceLink
from cloudaccounts.sync.resources import sync_resource
from openstack_client import FixedIp, ServerNetwork
from tests.listings import read_all_pages


@pytest.fixture
def opened(account):
    return open_cloud(account, "RegionOne")


def sync(account, type_code):
    log = sync_resource(account.pk, type_code)
    assert log.state == "success", log.message
    return log


def row(type_code, cloud_id):
    return CloudResource.objects.get(type=type_code, cloud_id=cloud_id)


def links(resource):
    found = ResourceLink.objects.filter(source=resource)
    return set(found.values_list("target_type", "target_cloud_id"))


def test_group_is_kept_with_its_rules(account, opened):
    web = opened.network.create_security_group(name="web", description="Web servers", marker="portal:7")
    office = opened.network.create_security_group(name="office")
    for port, remote in ((443, {"remote_ip_prefix": "192.0.2.7/24"}), (22, {"remote_group_id": office.id})):
        opened.network.create_security_group_rule(
            web.id, direction="ingress", protocol="tcp", port_min=port, description="why", **remote
        )
    ping = opened.network.create_security_group_rule(
        web.id, direction="ingress", protocol="icmp", icmp_type=8, icmp_code=0
    )
    sync(account, "security_group")
    found = row("security_group", web.id)
    assert found.attributes["description"] == "Web servers" and found.attributes["marker"] == "portal:7"
    rules = {rule["port_min"] or rule["icmp_type"]: rule for rule in found.attributes["rule_list"]}
    assert len(found.attributes["rule_list"]) == found.attributes["rules"] == 5
    assert (rules[443]["remote_cidr"], rules[443]["remote_group"]) == ("192.0.2.0/24", None)
    assert (rules[22]["remote_cidr"], rules[22]["remote_group"]) == (None, office.id)
    assert rules[22]["port_max"] == 22 and rules[22]["description"] == "why"
    assert rules[8] == {
        "id": ping.id, "direction": "ingress", "ethertype": "IPv4", "protocol": "icmp", "port_min": None, "port_max": None,
        "icmp_type": 8, "icmp_code": 0, "remote_cidr": None, "remote_group": None, "description": "",
    }  # fmt: skip

    assert sync(account, "security_group").updated == 0
    opened.network.delete_security_group_rule(ping.id)
    assert sync(account, "security_group").updated == 1
    change = ResourceChange.objects.get(resource=found)
    assert change.fields["attributes.rules"] == [5, 4]
    assert links(found) == {("security_group", office.id)}


def test_floating_ip_leads_to_its_port_and_server(cloud, account, opened):
    # The demo's own floating IP is on the first server.
    seeded = cloud.call("POST", "seed", {"project": "demo", "servers": 2, "reachable": True})
    (port,) = opened.network.list_server_ports(seeded["servers"][1])
    external = next(n for n in read_all_pages(opened.network.network_pages()) if n.is_external)
    floating = opened.network.create_floating_ip(external.id, marker="portal:ip", description="of the shop")
    opened.network.attach_floating_ip(floating.id, port.id)
    for type_code in ("network", "subnet", "security_group", "router", "server", "port", "floating_ip"):
        sync(account, type_code)
    found = row("floating_ip", floating.id)
    assert found.name == floating.address
    assert (found.attributes["marker"], found.attributes["description"]) == ("portal:ip", "of the shop")
    assert found.attributes["created_at"] == floating.created_at.isoformat()
    assert found.attributes["fixed_address"] == port.fixed_ips[0].ip_address
    assert {("port", port.id), ("server", port.device_id), ("network", external.id)} < links(found)


def test_subnet_network_and_port_have_what_a_form_needs(account, opened):
    network = next(n for n in read_all_pages(opened.network.network_pages()) if not n.is_external)
    made = opened.network.create_port(network.id, marker="portal:p", fixed_ips=[FixedIp("", "10.20.7.7")])
    for type_code in ("network", "subnet", "security_group", "port"):
        sync(account, type_code)
    subnets = read_all_pages(opened.network.subnet_pages())
    subnet = row("subnet", next(one.id for one in subnets if one.network_id == network.id))
    assert subnet.attributes["allocation_pools"] == [["10.20.0.2", "10.20.255.254"]]
    assert subnet.attributes["gateway_ip"] == "10.20.0.1"
    assert row("network", network.id).attributes["is_port_security_enabled"] is True
    port = row("port", made.id)
    assert (port.attributes["marker"], port.attributes["is_port_security_enabled"]) == ("portal:p", True)
    assert ("security_group", made.security_group_ids[0]) in links(port)


def test_server_group_leads_to_its_members(account, opened):
    group = opened.compute.create_server_group("spread", "anti-affinity")
    flavor, image = opened.compute.list_flavors()[0], opened.image.list_images()[0]
    network = next(n for n in read_all_pages(opened.network.network_pages()) if not n.is_external)
    server = opened.compute.create_server(
        name="a",
        flavor_id=flavor.id,
        image_id=image.id,
        networks=[ServerNetwork(network.id)],
        tags=["t"],
        server_group_id=group.id,
    )
    sync(account, "server")
    sync(account, "server_group")
    found = row("server_group", group.id)
    assert (found.name, found.attributes["policy"]) == ("spread", "anti-affinity")
    assert links(found) == {("server", server.id)}
