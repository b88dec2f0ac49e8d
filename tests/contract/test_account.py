"""Logging in, regions, and the catalog's lists."""

import dataclasses

import pytest

from openstack_client import AuthenticationFailed, Cloud, CloudCredentials, CloudError, InvalidRequest


def test_check_succeeds_and_the_project_is_known(cloud):
    cloud.check()
    assert len(cloud.project_id) == 32


def test_regions(cloud):
    assert "RegionOne" in cloud.regions()


def test_wrong_password(credentials):
    wrong = dataclasses.replace(credentials, password="not-the-password")
    with Cloud(wrong) as cloud, pytest.raises(AuthenticationFailed) as caught:
        cloud.check()
    assert caught.value.status_code == 401
    assert "not-the-password" not in repr(caught.value)


def test_project_that_does_not_exist(credentials):
    wrong = dataclasses.replace(credentials, project_name="no-such-project")
    with Cloud(wrong) as cloud, pytest.raises(AuthenticationFailed):
        cloud.check()


def test_region_that_does_not_exist(credentials):
    with Cloud(credentials, region="Nowhere") as cloud, pytest.raises(InvalidRequest):
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
            pytest.raises(AuthenticationFailed),
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
    ours = {(n.id, n.name, n.status, n.is_external) for n in cloud.network.list_networks()}
    assert ours == {(n.id, n.name, n.status, n.is_router_external) for n in sdk.network.networks()}
    assert {external for *_, external in ours} == {True, False}
