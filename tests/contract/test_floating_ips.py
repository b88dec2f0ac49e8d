"""Floating IPs, made, attached, moved and given back by our calls."""

import time
import uuid

import pytest

from openstack_client import (
    CloudAddressesExhaustedError,
    CloudFloatingIpAttachedError,
    CloudNoRouteError,
    CloudNotFoundError,
    CloudPortHasFloatingIpError,
    CloudQuotaExceededError,
    InvalidCloudRequestError,
    ServerNetwork,
)

from .conftest import set_clock, wait_for, wait_server_status
from .reach import NOBODY


def wait_status(cloud, floating_ip_id, status):
    return wait_for(
        lambda: cloud.network.get_floating_ip(floating_ip_id),
        lambda one: one.status == status,
        f"floating IP {status}",
    )


def test_new_floating_ip_is_unused(cloud, make_floating_ip, external, tag):
    made = make_floating_ip()
    assert (made.status, made.floating_network_id, made.description) == ("DOWN", external.id, tag)
    assert (made.port_id, made.fixed_address, made.router_id, made.device_id) == (None, None, None, None)
    assert made.address and made.created_at is not None
    assert cloud.network.get_floating_ip(made.id) == made


def test_floating_ip_of_a_dead_caller_is_found_by_its_marker(cloud, make_floating_ip):
    marker = f"portal:{uuid.uuid4()}"
    assert cloud.network.find_floating_ips_by_marker(marker) == []
    made = make_floating_ip(description="of the shop", marker=marker)
    assert (made.description, made.marker) == ("of the shop", marker)
    assert cloud.network.find_floating_ips_by_marker(marker) == [made]
    # A part of it is another marker.
    assert cloud.network.find_floating_ips_by_marker(marker[:-1]) == []


def test_attached_and_detached(cloud, make_floating_ip, make_port, own_network):
    port, made = make_port(), make_floating_ip()
    attached = cloud.network.attach_floating_ip(made.id, port.id)
    assert (attached.port_id, attached.router_id) == (port.id, own_network.router_id)
    assert attached.fixed_address == port.fixed_ips[0].ip_address
    active = wait_status(cloud, made.id, "ACTIVE")
    assert active.revision > made.revision
    # Once more changes nothing.
    assert cloud.network.attach_floating_ip(made.id, port.id) == active
    detached = cloud.network.detach_floating_ip(made.id, port_id=port.id)
    assert (detached.port_id, detached.fixed_address, detached.router_id) == (None, None, None)
    down = wait_status(cloud, made.id, "DOWN")
    assert cloud.network.detach_floating_ip(made.id) == down


def test_attached_elsewhere_is_not_moved(cloud, make_floating_ip, make_port):
    here, there, made = make_port(), make_port(), make_floating_ip()
    cloud.network.attach_floating_ip(made.id, here.id)
    for refused in (
        lambda: cloud.network.attach_floating_ip(made.id, there.id),
        lambda: cloud.network.detach_floating_ip(made.id, port_id=there.id),
    ):
        with pytest.raises(CloudFloatingIpAttachedError, match=here.id) as caught:
            refused()
        assert caught.value.code == "floating_ip_attached"
    assert cloud.network.get_floating_ip(made.id).port_id == here.id


def test_fixed_address_has_one_floating_ip(cloud, make_floating_ip, make_port):
    port, first, second = make_port(), make_floating_ip(), make_floating_ip()
    cloud.network.attach_floating_ip(first.id, port.id)
    with pytest.raises(CloudPortHasFloatingIpError) as caught:
        cloud.network.attach_floating_ip(second.id, port.id)
    assert (caught.value.code, caught.value.status_code) == ("port_has_floating_ip", 409)
    ports = [cloud.network.get_floating_ip(one.id).port_id for one in (first, second)]
    assert ports == [port.id, None]


def test_port_without_a_route_to_the_external_network(cloud, make_floating_ip, make_port, closed_network):
    port, made = make_port(closed_network.id), make_floating_ip()
    with pytest.raises(CloudNoRouteError, match="not reachable") as caught:
        cloud.network.attach_floating_ip(made.id, port.id)
    assert (caught.value.code, caught.value.status_code) == ("no_route", 404)


def test_what_cannot_be_had(cloud, make_floating_ip, make_port, own_network):
    with pytest.raises(InvalidCloudRequestError, match="not a valid external network"):
        make_floating_ip(own_network.id)
    made, port = make_floating_ip(), make_port()
    for refused in (
        lambda: make_floating_ip(NOBODY),
        lambda: cloud.network.attach_floating_ip(made.id, NOBODY),
        lambda: cloud.network.attach_floating_ip(NOBODY, port.id),
        lambda: cloud.network.detach_floating_ip(NOBODY),
        lambda: cloud.network.get_floating_ip(NOBODY),
    ):
        with pytest.raises(CloudNotFoundError):
            refused()


def test_pool_without_an_address(cloud, make_floating_ip, small_external_network):
    made = make_floating_ip(small_external_network.id)
    assert made.address == "198.51.100.10"
    with pytest.raises(CloudAddressesExhaustedError) as caught:
        make_floating_ip(small_external_network.id)
    assert caught.value.code == "addresses_exhausted"
    cloud.network.delete_floating_ip(made.id)
    cloud.network.delete_floating_ip(made.id)
    assert make_floating_ip(small_external_network.id).address == "198.51.100.10"


def test_quota_of_floating_ips(cloud, make_floating_ip, limit_network):
    def used():
        return next(quota.in_use for quota in cloud.network.list_quotas() if quota.name == "floatingip")

    before = used()
    limit_network(floatingip=1)
    make_floating_ip()
    with pytest.raises(CloudQuotaExceededError, match="floatingip"):
        make_floating_ip()
    assert used() == before + 1


def test_port_that_goes_leaves_its_floating_ip(cloud, make_floating_ip, make_port):
    port, made = make_port(), make_floating_ip()
    cloud.network.attach_floating_ip(made.id, port.id)
    wait_status(cloud, made.id, "ACTIVE")
    cloud.network.delete_port(port.id)
    # Its status may stay ACTIVE for minutes, until the agent looks at the router again: only the port tells what is unused.
    left = cloud.network.get_floating_ip(made.id)
    assert (left.port_id, left.fixed_address, left.address) == (None, None, made.address)


def test_servers_addresses_show_it_later_and_its_time_does_not(
    cloud, simulated, make_server, make_floating_ip, own_network
):
    server = make_server(networks=[ServerNetwork(own_network.id)])
    wait_server_status(cloud, server.id, "ACTIVE")
    (port,) = cloud.network.list_server_ports(server.id)
    made = make_floating_ip()
    # Nova's times are whole seconds.
    if simulated is None:
        time.sleep(1.1)
    else:
        set_clock(simulated, advance_seconds=5)
    before = cloud.compute.get_server(server.id)
    attached = cloud.network.attach_floating_ip(made.id, port.id)
    assert attached.device_id == server.id
    shown = wait_for(
        lambda: cloud.compute.get_server(server.id),
        lambda one: made.address in {address.ip for address in one.addresses},
        "the floating IP among the server's addresses",
    )
    assert shown.updated_at == before.updated_at
    cloud.network.detach_floating_ip(made.id)
    shown = wait_for(
        lambda: cloud.compute.get_server(server.id),
        lambda one: made.address not in {address.ip for address in one.addresses},
        "the floating IP gone from the server's addresses",
    )
    assert shown.updated_at == before.updated_at
    cloud.network.attach_floating_ip(made.id, port.id)
    cloud.compute.delete_server(server.id)
    left = wait_for(
        lambda: cloud.network.get_floating_ip(made.id),
        lambda one: one.port_id is None,
        "the floating IP free",
    )
    assert (left.fixed_address, left.device_id) == (None, None)
