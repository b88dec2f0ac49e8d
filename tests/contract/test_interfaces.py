"""Interfaces of a server: attached, listed, detached."""

import pytest

from openstack_client import (
    CloudConflictError,
    CloudForbiddenError,
    CloudNotFoundError,
    InvalidCloudRequestError,
)
from tests.listings import read_all_pages

from .conftest import wait_for, wait_server_status
from .test_server_requests import own_network, own_port

__all__ = ["own_network", "own_port"]
NOBODY = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def server_id(cloud, make_server):
    made = make_server()
    wait_server_status(cloud, made.id, "ACTIVE")
    return made.id


def list_port_ids(cloud, server_id):
    return {interface.port_id for interface in cloud.compute.list_interfaces(server_id)}


def test_network_with_an_address_of_choice_and_off_again(cloud, sdk, server_id, own_network):
    compute = cloud.compute
    before = compute.get_server(server_id)
    (first,) = compute.list_interfaces(server_id)
    made = compute.attach_network(server_id, own_network, fixed_ip="192.168.79.8")
    assert made.network_id == own_network and [f.ip_address for f in made.fixed_ips] == ["192.168.79.8"]
    assert len(made.mac_address.split(":")) == 6
    assert list_port_ids(cloud, server_id) == {first.port_id, made.port_id}
    after = wait_for(
        lambda: compute.get_server(server_id),
        lambda s: "192.168.79.8" in {a.ip for a in s.addresses},
        "the address",
    )
    # A listing with changes-since does not show the server.
    assert after.updated_at == before.updated_at
    with pytest.raises(CloudConflictError, match="already in use"):
        compute.attach_network(server_id, own_network, fixed_ip="192.168.79.8")
    for _twice in range(2):
        compute.detach_interface(server_id, made.port_id)
    wait_for(lambda: list_port_ids(cloud, server_id), lambda ids: ids == {first.port_id}, "the detachment")
    # Detaching what is not there is no error.
    compute.detach_interface(server_id, made.port_id)
    compute.detach_interface(server_id, NOBODY)
    assert list(sdk.network.ports(network_id=own_network, device_id=server_id)) == []
    assert [a.action for a in compute.list_server_actions(server_id)][-2:] == ["attach_interface", "create"]


def test_existing_port_is_attached_once_and_stays(cloud, sdk, server_id, own_port, make_server):
    compute = cloud.compute
    made = compute.attach_port(server_id, own_port)
    assert made.port_id == own_port
    assert compute.attach_port(server_id, own_port).port_id == own_port
    other = make_server()
    wait_server_status(cloud, other.id, "ACTIVE")
    with pytest.raises(CloudConflictError, match="still in use"):
        compute.attach_port(other.id, own_port)
    compute.detach_interface(server_id, own_port)
    wait_for(lambda: list_port_ids(cloud, server_id), lambda ids: own_port not in ids, "the detachment")
    assert sdk.network.get_port(own_port).device_id == ""


def test_what_cannot_be_attached(cloud, server_id, own_network):
    compute = cloud.compute
    external = next(n for n in read_all_pages(cloud.network.network_pages()) if n.is_external)
    with pytest.raises(InvalidCloudRequestError, match="in none of the network's subnets"):
        compute.attach_network(server_id, own_network, fixed_ip="198.51.100.7")
    with pytest.raises(CloudForbiddenError, match="external network"):
        compute.attach_network(server_id, external.id)
    with pytest.raises(CloudNotFoundError, match=f"Port id {NOBODY}"):
        compute.attach_port(server_id, NOBODY)
    assert len(compute.list_interfaces(server_id)) == 1


def test_state_that_does_not_allow_it(cloud, server_id, own_network):
    compute = cloud.compute
    compute.suspend_server(server_id)
    wait_server_status(cloud, server_id, "SUSPENDED")
    with pytest.raises(CloudConflictError, match="vm_state suspended"):
        compute.attach_network(server_id, own_network)
    with pytest.raises(CloudConflictError, match="vm_state suspended"):
        compute.detach_interface(server_id, NOBODY)
