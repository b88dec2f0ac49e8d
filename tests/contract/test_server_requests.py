"""What a new server can be given: interfaces, a key, user data, groups, passwords."""

import base64
import contextlib
import secrets

import pytest

from openstack_client import (
    CloudNotFoundError,
    InvalidCloudRequestError,
    ServerNetwork,
)
from openstack_client.validation import MAX_USER_DATA_BYTES
from tests.listings import read_all_pages

from .conftest import is_gone, wait_for, wait_server_status
from .test_keypairs import keypair_name, make_public_key

__all__ = ["keypair_name"]
NOBODY = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def own_network(sdk, tag):
    """A network with one subnet, 192.168.79.0/24."""
    network = sdk.network.create_network(name=tag)
    sdk.network.create_subnet(network_id=network.id, ip_version=4, cidr="192.168.79.0/24")
    yield network.id

    def remove():
        # Ports of servers go a moment after the servers.
        try:
            for port in sdk.network.ports(network_id=network.id):
                sdk.network.delete_port(port.id)
            sdk.network.delete_network(network.id)
        except Exception:  # noqa: BLE001 - tried again until the time is over.
            return False
        return True

    wait_for(remove, bool, "the network's removal")


@pytest.fixture
def own_port(sdk, tag, own_network):
    return sdk.network.create_port(network_id=own_network, name=tag).id


def show_as_administrator(administrator, server_id):
    answer = administrator.compute.get(f"/servers/{server_id}", microversion="2.69")
    assert answer.status_code == 200, answer.text
    return answer.json()["server"]


def test_two_networks_with_an_address_of_choice(cloud, make_server, own_network, server_resources):
    networks = [
        ServerNetwork(own_network, "192.168.79.77"),
        ServerNetwork(server_resources[2].id),
        ServerNetwork(own_network),
    ]
    made = make_server(networks=networks)
    server = wait_server_status(cloud, made.id, "ACTIVE")
    ports = cloud.network.list_server_ports(made.id)
    assert {port.id for port in ports} == {one.port_id for one in cloud.compute.list_interfaces(made.id)}
    expected = [own_network, own_network, server_resources[2].id]
    assert sorted(port.network_id for port in ports) == sorted(expected)
    addresses = {fixed.ip_address for port in ports for fixed in port.fixed_ips}
    assert "192.168.79.77" in addresses and addresses == {a.ip for a in server.addresses}
    with pytest.raises(InvalidCloudRequestError, match="already in use") as caught:
        make_server(networks=[ServerNetwork(own_network, "192.168.79.77")])
    assert caught.value.status_code == 400


def test_address_outside_of_the_network_is_found_by_the_host(cloud, make_server, own_network):
    made = make_server(networks=[ServerNetwork(own_network, "198.51.100.7")])
    failed = wait_for(lambda: cloud.compute.get_server(made.id), lambda s: s.status == "ERROR", "ERROR")
    assert "198.51.100.7 is not a valid ip address for network" in failed.fault


def test_external_network_is_found_by_the_host(cloud, make_server):
    external = next(n for n in read_all_pages(cloud.network.network_pages()) if n.is_external)
    made = make_server(networks=[ServerNetwork(external.id)])
    failed = wait_for(lambda: cloud.compute.get_server(made.id), lambda s: s.status == "ERROR", "ERROR")
    assert "Failed to allocate the network(s)" in failed.fault


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"security_groups": [NOBODY]}, f"Unable to find security_group with name or id '{NOBODY}'"),
        ({"server_group_id": NOBODY}, f"Instance group {NOBODY} could not be found"),
    ],
)
def test_refusals_in_novas_words(make_server, wrong, words):
    with pytest.raises(InvalidCloudRequestError, match=words) as caught:
        make_server(**wrong)
    assert caught.value.status_code == 400


def test_key_user_data_and_config_drive(cloud, administrator, make_server, keypair_name):
    cloud.compute.create_keypair(keypair_name, make_public_key())
    # The most that Nova takes.
    user_data = "#!/bin/sh\n" + "x" * (MAX_USER_DATA_BYTES - 10)
    made = make_server(key_name=keypair_name, user_data=user_data, config_drive=True)
    server = wait_server_status(cloud, made.id, "ACTIVE")
    assert server.key_name == keypair_name and not server.is_locked
    shown = show_as_administrator(administrator, made.id)
    assert shown["config_drive"] == "True"
    assert base64.b64decode(shown["OS-EXT-SRV-ATTR:user_data"]).decode() == user_data
    # Its owner sees neither user data nor host.
    assert (server.host, server.hypervisor) == (None, None)


def test_administrator_sees_the_host(cloud, administrator, make_server):
    made = make_server()
    wait_server_status(cloud, made.id, "ACTIVE")
    shown = show_as_administrator(administrator, made.id)
    assert shown["OS-EXT-SRV-ATTR:host"] and shown["OS-EXT-SRV-ATTR:root_device_name"].startswith("/dev/")


def test_too_long_user_data_is_refused_and_repeated_nowhere(cloud, make_server, tag):
    with pytest.raises(InvalidCloudRequestError, match="49,150 bytes") as caught:
        make_server(user_data="x" * (MAX_USER_DATA_BYTES + 1))
    assert caught.value.status_code is None
    secret = base64.b64encode(secrets.token_bytes(MAX_USER_DATA_BYTES + 3)).decode()
    flavor_and_more = {"name": tag, "flavorRef": "x", "networks": "none", "user_data": secret}
    with pytest.raises(InvalidCloudRequestError, match="user_data") as caught:
        cloud._transport.request(
            "compute", "POST", "/servers", doing="try", json={"server": flavor_and_more}, microversion="2.69", secrets=(secret,),
        )  # fmt: skip
    assert caught.value.status_code == 400 and secret[:20] not in repr(caught.value)


def test_security_groups_of_new_ports(cloud, sdk, make_server, own_network, tag):
    group = sdk.network.create_security_group(name=tag)
    made = make_server(networks=[ServerNetwork(own_network)], security_groups=[group.id, group.id])
    server = wait_server_status(cloud, made.id, "ACTIVE")
    assert server.security_groups == (tag,)
    cloud.compute.delete_server(made.id)
    wait_for(lambda: is_gone(lambda: cloud.compute.get_server(made.id)), bool, "the removal")

    def remove():
        with contextlib.suppress(Exception):
            sdk.network.delete_security_group(group.id, ignore_missing=False)
            return True
        return False

    wait_for(remove, bool, "the group's removal")


def test_nobodys_interfaces(cloud):
    for call in (
        lambda: cloud.compute.list_interfaces(NOBODY),
        lambda: cloud.compute.attach_port(NOBODY, NOBODY),
        lambda: cloud.compute.detach_interface(NOBODY, NOBODY),
    ):
        with pytest.raises(CloudNotFoundError):
            call()
