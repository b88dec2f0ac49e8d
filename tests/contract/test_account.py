"""Logging in, regions, and the catalog's lists."""

import dataclasses

import pytest

from openstack_client import (
    Cloud,
    CloudAuthenticationError,
    CloudConflictError,
    CloudCredentials,
    CloudError,
    InvalidCloudRequestError,
    ServerNetwork,
)
from tests.listings import read_all_pages

from .conftest import is_gone, wait_for, wait_server_status


def test_check_succeeds_and_the_project_is_known(cloud):
    cloud.check()
    assert len(cloud.project_id) == 32


def test_regions(cloud):
    assert "RegionOne" in cloud.list_regions()


def test_wrong_password(credentials):
    wrong = dataclasses.replace(credentials, password="not-the-password")
    with Cloud(wrong) as cloud, pytest.raises(CloudAuthenticationError) as caught:
        cloud.check()
    assert caught.value.status_code == 401
    assert "not-the-password" not in repr(caught.value)


def test_project_that_does_not_exist(credentials):
    wrong = dataclasses.replace(credentials, project_name="no-such-project")
    with Cloud(wrong) as cloud, pytest.raises(CloudAuthenticationError):
        cloud.check()


def test_region_that_does_not_exist(credentials):
    with Cloud(credentials, region="Nowhere") as cloud, pytest.raises(InvalidCloudRequestError):
        cloud.check()


def test_application_credential(cloud, credentials, sdk, tag):
    user_id = sdk.current_user_id
    made = sdk.identity.create_application_credential(user_id, tag)
    try:
        with Cloud(
            CloudCredentials(
                auth_url=credentials.auth_url,
                application_credential_id=made.id,
                application_credential_secret=made.secret,
            )
        ) as other:
            other.check()
            assert other.project_id == cloud.project_id
        with (
            Cloud(
                CloudCredentials(
                    auth_url=credentials.auth_url,
                    application_credential_id=made.id,
                    application_credential_secret="wrong",
                )
            ) as other,
            pytest.raises(CloudAuthenticationError),
        ):
            other.check()
    finally:
        sdk.identity.delete_application_credential(user_id, made.id)


def test_wrong_path_of_the_authentication_address(credentials):
    wrong = dataclasses.replace(credentials, auth_url=credentials.auth_url + "/nothing/here")
    with Cloud(wrong) as cloud, pytest.raises(CloudError) as caught:
        cloud.check()
    assert caught.value.code in {"invalid_request", "cloud_unavailable"}


def test_flavors_are_the_sdks(cloud, sdk):
    ours = {(f.id, f.name, f.vcpus, f.memory_mb, f.disk_gb) for f in cloud.compute.list_flavors()}
    assert ours == {(f.id, f.name, f.vcpus, f.ram, f.disk) for f in sdk.compute.flavors()}
    assert ours


def test_images_are_the_sdks(cloud, sdk):
    ours = {(i.id, i.name, i.status, i.os_distro, i.min_disk_gb) for i in cloud.image.list_images()}
    assert ours == {(i.id, i.name, i.status, i.os_distro, i.min_disk) for i in sdk.image.images()}
    assert "cirros" in {distro for _, _, _, distro, _ in ours}


def test_networks_are_the_sdks(cloud, sdk):
    ours = {(n.id, n.name, n.status, n.is_external) for n in read_all_pages(cloud.network.network_pages())}
    assert ours == {(n.id, n.name, n.status, n.is_router_external) for n in sdk.network.networks()}
    assert {external for *_, external in ours} == {True, False}


def test_subnets_are_the_sdks(cloud, sdk):
    ours = {
        (s.id, s.name, s.network_id, s.ip_version, s.cidr, s.gateway_ip, s.is_dhcp_enabled)
        for s in read_all_pages(cloud.network.subnet_pages())
    }
    assert ours == {
        (s.id, s.name, s.network_id, s.ip_version, s.cidr, s.gateway_ip, s.is_dhcp_enabled)
        for s in sdk.network.subnets()
    }
    assert ours


def test_network_without_a_subnet_and_one_without_a_free_address(cloud, sdk, make_server, tag):
    empty, small = sdk.network.create_network(name=tag), sdk.network.create_network(name=tag)
    made = []
    try:
        sdk.network.create_subnet(
            network_id=small.id,
            ip_version=4,
            cidr="192.168.77.0/29",
            allocation_pools=[{"start": "192.168.77.2", "end": "192.168.77.2"}],
        )
        assert tag in {n.name for n in read_all_pages(cloud.network.network_pages())}
        with pytest.raises(InvalidCloudRequestError, match=f"Network {empty.id} requires a subnet"):
            make_server(networks=[ServerNetwork(empty.id)])
        made = [make_server(networks=[ServerNetwork(small.id)])]
        assert wait_server_status(cloud, made[0].id, "ACTIVE").addresses[0].ip == "192.168.77.2"
        # Accepted, and in ERROR a little later.
        made.append(make_server(networks=[ServerNetwork(small.id)]))
        failed = wait_server_status(cloud, made[1].id, "ERROR")
        assert failed.addresses == ()
        assert f"No fixed IP addresses available for network: {small.id}" in failed.fault
        for refused in (
            cloud.compute.stop_server,
            cloud.compute.create_console_url,
            cloud.compute.shelve_server,
        ):
            with pytest.raises(CloudConflictError):
                refused(failed.id)
    finally:
        for server in made:
            cloud.compute.delete_server(server.id)
        for server in made:
            wait_for(
                lambda server=server: is_gone(lambda: cloud.compute.get_server(server.id)),
                bool,
                "the removal",
            )
        sdk.network.delete_network(empty.id)
        sdk.network.delete_network(small.id)
