"""Ports of our own making, the addresses that they ask for, and networks as a form needs them."""

import uuid

import pytest

from openstack_client import (
    AllocationPool,
    CloudAddressesExhaustedError,
    CloudAddressInUseError,
    CloudAddressIsGatewayError,
    CloudAddressOutsideSubnetError,
    CloudInUseError,
    CloudNotFoundError,
    CloudQuotaExceededError,
    FixedIp,
    InvalidCloudRequestError,
)
from tests.listings import read_all_pages

from .conftest import is_gone, wait_for, wait_server_status
from .reach import CIDR, NOBODY


def test_port_has_the_address_and_the_groups_that_were_asked_for(
    cloud, make_port, make_group, own_network, tag
):
    group = make_group()
    made = make_port(
        fixed_ips=[FixedIp(own_network.subnet_id, "192.168.83.9")],
        security_group_ids=[group.id],
        marker="portal:port-1",
    )
    assert made.fixed_ips == (FixedIp(own_network.subnet_id, "192.168.83.9"),)
    assert (made.network_id, made.name) == (own_network.id, tag)
    assert (made.device_id, made.device_owner, made.status) == ("", "", "DOWN")
    assert made.security_group_ids == (group.id,) and made.is_port_security_enabled
    assert (made.description, made.marker) == ("", "portal:port-1")
    assert cloud.network.get_port(made.id) == made


def test_port_of_a_dead_caller_is_found_by_its_marker(cloud, make_port):
    marker = f"portal:{uuid.uuid4()}"
    assert cloud.network.find_ports_by_marker(marker) == []
    made = make_port(marker=marker)
    assert cloud.network.find_ports_by_marker(marker) == [made]
    assert len(made.fixed_ips) == 1


def test_address_without_its_subnet_and_subnet_without_an_address(make_port, own_network):
    assert make_port(fixed_ips=[FixedIp("", "192.168.83.10")]).fixed_ips == (
        FixedIp(own_network.subnet_id, "192.168.83.10"),
    )
    made = make_port(fixed_ips=[FixedIp(own_network.subnet_id, "")])
    assert [fixed.subnet_id for fixed in made.fixed_ips] == [own_network.subnet_id]


@pytest.mark.parametrize("with_subnet", [True, False])
def test_addresses_that_a_port_cannot_have(make_port, own_network, with_subnet):
    subnet_id = own_network.subnet_id if with_subnet else ""
    make_port(fixed_ips=[FixedIp("", "192.168.83.11")])
    for address, kind, code in (
        ("192.168.83.11", CloudAddressInUseError, "address_in_use"),
        ("192.168.83.1", CloudAddressIsGatewayError, "address_is_gateway"),
        ("192.0.2.1", CloudAddressOutsideSubnetError, "address_outside_subnet"),
        ("2001:db8::1", CloudAddressOutsideSubnetError, "address_outside_subnet"),
        # The first and the last address of the range are nobody's.
        ("192.168.83.0", CloudAddressOutsideSubnetError, "address_outside_subnet"),
        ("192.168.83.15", CloudAddressOutsideSubnetError, "address_outside_subnet"),
        ("192.168.83", InvalidCloudRequestError, "invalid_request"),
    ):
        with pytest.raises(kind) as caught:
            make_port(fixed_ips=[FixedIp(subnet_id, address)])
        assert caught.value.code == code, address


def test_gateway_that_no_router_has_is_refused_too(make_port, closed_network):
    with pytest.raises(CloudAddressIsGatewayError, match=r"192\.168\.84\.1 is the gateway of subnet closed"):
        make_port(closed_network.id, fixed_ips=[FixedIp("", "192.168.84.1")])


def test_what_is_missing_is_not_found(cloud, make_port, own_network, closed_network):
    for given in (
        {"network_id": NOBODY},
        {"security_group_ids": [NOBODY]},
        {"fixed_ips": [FixedIp(NOBODY, "")]},
    ):
        with pytest.raises(CloudNotFoundError):
            make_port(**given)
    with pytest.raises(InvalidCloudRequestError, match="invalid subnet"):
        make_port(fixed_ips=[FixedIp(closed_network.subnet_id, "")])
    with pytest.raises(CloudNotFoundError):
        cloud.network.get_port(NOBODY)
    assert cloud.network.list_server_ports(NOBODY) == []


def test_network_without_a_free_address(make_port, closed_network):
    found = {make_port(closed_network.id).fixed_ips[0].ip_address for _ in range(3)}
    assert found == {"192.168.84.2", "192.168.84.3", "192.168.84.4"}
    with pytest.raises(CloudAddressesExhaustedError) as caught:
        make_port(closed_network.id)
    assert (caught.value.code, caught.value.status_code) == ("addresses_exhausted", 409)
    # An address outside of the pools can be had nevertheless, by its name.
    made = make_port(closed_network.id, fixed_ips=[FixedIp("", "192.168.84.9")])
    assert made.fixed_ips[0].ip_address == "192.168.84.9"


def test_port_is_deleted_once_or_twice(cloud, make_port):
    made = make_port()
    for _twice in range(2):
        cloud.network.delete_port(made.id)
    with pytest.raises(CloudNotFoundError):
        cloud.network.get_port(made.id)


def test_port_of_a_router_stays(cloud, own_network):
    ports = read_all_pages(cloud.network.port_pages())
    interface = next(port for port in ports if port.device_id == own_network.router_id)
    with pytest.raises(CloudInUseError, match="network:router_interface"):
        cloud.network.delete_port(interface.id)


def test_port_that_nova_made_goes_with_its_server(cloud, make_server):
    server = make_server()
    wait_server_status(cloud, server.id, "ACTIVE")
    (port,) = cloud.network.list_server_ports(server.id)
    assert port.device_id == server.id and port.device_owner.startswith("compute:")
    cloud.compute.delete_server(server.id)
    wait_for(lambda: is_gone(lambda: cloud.network.get_port(port.id)), bool, "the port's removal")
    assert cloud.network.list_server_ports(server.id) == []


def test_quota_of_ports(cloud, make_port, limit_network):
    limit_network(port=0)
    with pytest.raises(CloudQuotaExceededError, match="port"):
        make_port()


def test_network_and_subnet_as_a_form_needs_them(cloud, sdk, own_network, external):
    networks = {network.id: network for network in read_all_pages(cloud.network.network_pages())}
    network = networks[own_network.id]
    assert (network.name, network.is_external, network.is_shared) == (own_network.name, False, False)
    assert network.is_port_security_enabled
    assert network.mtu == sdk.network.get_network(network.id).mtu > 0
    assert networks[external.id].is_external
    subnet = find_subnet(cloud, own_network.subnet_id)
    assert (subnet.network_id, subnet.ip_version) == (network.id, 4)
    assert (subnet.cidr, subnet.gateway_ip) == (CIDR, "192.168.83.1")
    assert subnet.allocation_pools == (AllocationPool("192.168.83.2", "192.168.83.14"),)
    assert subnet.is_dhcp_enabled and subnet.ipv6_address_mode is None


def find_subnet(cloud, subnet_id):
    return next(one for one in read_all_pages(cloud.network.subnet_pages()) if one.id == subnet_id)


def test_subnets_of_external_networks_are_not_shown(cloud, external):
    assert all(subnet.network_id != external.id for page in cloud.network.subnet_pages() for subnet in page)


def test_dual_stack_port_has_an_address_of_each_version(cloud, sdk, make_port, closed_network):
    added = sdk.network.create_subnet(
        network_id=closed_network.id, ip_version=6, cidr="2001:db8:84::/64", name="v6"
    )
    made = make_port(closed_network.id)
    assert {fixed.subnet_id for fixed in made.fixed_ips} == {closed_network.subnet_id, added.id}
    assert find_subnet(cloud, added.id).ip_version == 6
    # Outside the pools: Neutron may have given the first port any address in them.
    wanted = [FixedIp("", "2001:0db8:0084::0099"), FixedIp("", "192.168.84.9")]
    fixed = make_port(closed_network.id, fixed_ips=wanted).fixed_ips
    assert {one.ip_address for one in fixed} == {"2001:db8:84::99", "192.168.84.9"}
