"""Interfaces of a server: attached, listed, detached."""

import pytest

from openstack_client import CloudConflictError, CloudNotFoundError

from .conftest import is_gone, wait_for, wait_server_status
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


def test_port_on_and_off_again(cloud, sdk, server_id, own_port):
    compute = cloud.compute
    before = compute.get_server(server_id)
    (first,) = compute.list_interfaces(server_id)
    (address,) = cloud.network.get_port(own_port).fixed_ips
    compute.attach_port(server_id, own_port)
    assert list_port_ids(cloud, server_id) == {first.port_id, own_port}
    after = wait_for(
        lambda: compute.get_server(server_id),
        lambda s: address.ip_address in {a.ip for a in s.addresses},
        "the address",
    )
    # A listing with changes-since does not show the server.
    assert after.updated_at == before.updated_at
    for _twice in range(2):
        compute.detach_interface(server_id, own_port)
    wait_for(lambda: list_port_ids(cloud, server_id), lambda ids: ids == {first.port_id}, "the detachment")
    # Detaching what is not there is no error.
    compute.detach_interface(server_id, own_port)
    compute.detach_interface(server_id, NOBODY)
    assert [a.action for a in compute.list_server_actions(server_id)][-2:] == ["attach_interface", "create"]


def test_port_that_nova_made_is_deleted_with_its_detachment(cloud, server_id):
    (port_id,) = list_port_ids(cloud, server_id)
    cloud.compute.detach_interface(server_id, port_id)
    wait_for(lambda: is_gone(lambda: cloud.network.get_port(port_id)), bool, "the port's removal")
    assert list_port_ids(cloud, server_id) == set()


def test_existing_port_is_attached_once_and_stays(cloud, sdk, server_id, own_port, make_server):
    compute = cloud.compute
    for _twice in range(2):
        compute.attach_port(server_id, own_port)
    other = make_server()
    wait_server_status(cloud, other.id, "ACTIVE")
    with pytest.raises(CloudConflictError, match="still in use"):
        compute.attach_port(other.id, own_port)
    compute.detach_interface(server_id, own_port)
    wait_for(lambda: list_port_ids(cloud, server_id), lambda ids: own_port not in ids, "the detachment")
    assert sdk.network.get_port(own_port).device_id == ""


def test_what_cannot_be_attached(cloud, server_id):
    compute = cloud.compute
    with pytest.raises(CloudNotFoundError, match=f"Port id {NOBODY}"):
        compute.attach_port(server_id, NOBODY)
    assert len(compute.list_interfaces(server_id)) == 1


def test_state_that_does_not_allow_it(cloud, server_id, own_port):
    compute = cloud.compute
    compute.suspend_server(server_id)
    wait_server_status(cloud, server_id, "SUSPENDED")
    with pytest.raises(CloudConflictError, match="vm_state suspended"):
        compute.attach_port(server_id, own_port)
    with pytest.raises(CloudConflictError, match="vm_state suspended"):
        compute.detach_interface(server_id, NOBODY)
