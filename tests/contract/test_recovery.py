"""Rescue, rebuild, passwords, and what a locked server refuses."""

import base64

import pytest

from openstack_client import (
    CloudConflictError,
    CloudNotFoundError,
    CloudServerLockedError,
    InvalidCloudRequestError,
)

from .conftest import wait_for, wait_server_status
from .test_keypairs import keypair_name, make_public_key

__all__ = ["keypair_name"]
NOBODY = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def server_id(cloud, make_server):
    made = make_server()
    wait_server_status(cloud, made.id, "ACTIVE")
    return made.id


@pytest.fixture
def other_image(cloud, server_resources):
    flavor, image, _ = server_resources
    return next(
        i
        for i in cloud.image.list_images()
        if i.id != image.id
        and i.status == "active"
        and not i.name.startswith("contract-")
        and (i.min_disk_gb or 0) <= flavor.disk_gb
        and (i.min_memory_mb or 0) <= flavor.memory_mb
    )


def test_rescue_and_back(cloud, server_id, other_image, slow_cloud, server_resources):
    compute = cloud.compute
    with pytest.raises(InvalidCloudRequestError, match="is not supported"):
        compute.rescue_server(server_id, image_id=NOBODY)
    with slow_cloud():
        compute.rescue_server(server_id, image_id=other_image.id)
        with pytest.raises(CloudConflictError):
            compute.rescue_server(server_id)
    # The clock of a simulated cloud has been set back to fast; what was begun is still slow.
    wait_server_status(cloud, server_id, "RESCUE")
    assert compute.get_server(server_id).image_id == server_resources[1].id
    for refused in (
        compute.rescue_server,
        compute.stop_server,
        lambda i: compute.rebuild_server(i, other_image.id),
        lambda i: compute.replace_metadata(i, {}),
        lambda i: compute.change_password(i, "Long-enough-1"),
    ):
        with pytest.raises(CloudConflictError, match="vm_state rescued"):
            refused(server_id)
    compute.unrescue_server(server_id)
    wait_server_status(cloud, server_id, "ACTIVE")
    with pytest.raises(CloudConflictError, match="vm_state active"):
        compute.unrescue_server(server_id)


def test_rescue_of_a_stopped_server_ends_active(cloud, server_id):
    compute = cloud.compute
    compute.stop_server(server_id)
    wait_server_status(cloud, server_id, "SHUTOFF")
    compute.rescue_server(server_id)
    wait_server_status(cloud, server_id, "RESCUE")
    compute.unrescue_server(server_id)
    wait_server_status(cloud, server_id, "ACTIVE")


def test_volume_booted_server_is_not_rescued_with_any_image(
    cloud, server_resources, make_volume, make_server
):
    image = server_resources[1]
    volume = make_volume(image_id=image.id, size_gb=max(1, image.min_disk_gb))
    wait_for(
        lambda: cloud.block_storage.get_volume(volume.id).status, lambda s: s == "available", "the volume"
    )
    made = make_server(image_id=None, boot_volume_id=volume.id)
    wait_server_status(cloud, made.id, "ACTIVE")
    for is_told in (False, True):
        with pytest.raises(InvalidCloudRequestError, match="cannot be rescued"):
            cloud.compute.rescue_server(made.id, is_volume_booted=is_told)
    # With the volume's own image, a rebuild keeps the volume.
    cloud.compute.rebuild_server(made.id, image.id)
    assert wait_server_status(cloud, made.id, "ACTIVE").volume_ids == (volume.id,)


USER_DATA = "#!/bin/sh\n"


def read_user_data(administrator, server_id):
    """Return a server's user data, which Nova shows to administrators alone."""
    answer = administrator.compute.get(f"/servers/{server_id}", microversion="2.69")
    found = answer.json()["server"]["OS-EXT-SRV-ATTR:user_data"]
    return None if found is None else base64.b64decode(found).decode()


def test_rebuild_keeps_key_and_user_data_unless_told_otherwise(
    cloud, administrator, make_server, keypair_name, other_image, server_resources
):
    compute = cloud.compute
    compute.create_keypair(keypair_name, make_public_key())
    made = make_server(key_name=keypair_name, user_data=USER_DATA, metadata={"a": "1"})
    before = wait_server_status(cloud, made.id, "ACTIVE")
    with pytest.raises(InvalidCloudRequestError, match="Cannot find image for rebuild"):
        compute.rebuild_server(made.id, NOBODY)
    compute.rebuild_server(made.id, other_image.id)
    # The new image is shown at once.
    assert compute.get_server(made.id).image_id == other_image.id
    after = wait_server_status(cloud, made.id, "ACTIVE")
    assert (after.key_name, after.tags, after.metadata) == (before.key_name, before.tags, before.metadata)
    assert after.addresses == before.addresses and after.launched_at >= before.launched_at
    assert read_user_data(administrator, made.id) == USER_DATA
    compute.rebuild_server(made.id, server_resources[1].id, keep_key=False, keep_user_data=False)
    assert wait_server_status(cloud, made.id, "ACTIVE").key_name is None
    assert read_user_data(administrator, made.id) is None
    assert [a.action for a in compute.list_server_actions(made.id)] == ["rebuild", "rebuild", "create"]


def test_states_of_a_rebuild(cloud, server_id, other_image, slow_cloud):
    with slow_cloud():
        cloud.compute.rebuild_server(server_id, other_image.id)
        seen = cloud.compute.get_server(server_id)
        assert seen.status == "REBUILD"
        with pytest.raises(CloudConflictError, match="task_state rebuild"):
            cloud.compute.rebuild_server(server_id, other_image.id)
    wait_server_status(cloud, server_id, "ACTIVE")


def test_rebuild_of_a_stopped_server_leaves_it_stopped(cloud, server_id, other_image):
    cloud.compute.stop_server(server_id)
    wait_server_status(cloud, server_id, "SHUTOFF")
    cloud.compute.rebuild_server(server_id, other_image.id)
    assert wait_server_status(cloud, server_id, "SHUTOFF").image_id == other_image.id


def test_password(cloud, server_id):
    compute = cloud.compute
    for _twice in range(2):
        compute.change_password(server_id, "Long-enough-1")
        wait_server_status(cloud, server_id, "ACTIVE")
    compute.stop_server(server_id)
    wait_server_status(cloud, server_id, "SHUTOFF")
    with pytest.raises(CloudConflictError, match="vm_state stopped") as caught:
        compute.change_password(server_id, "Long-enough-1")
    assert caught.value.code == "conflict" and "Long-enough-1" not in repr(caught.value)
    # No Windows server has reported one.
    assert compute.get_encrypted_password(server_id) is None
    for _twice in range(2):
        compute.clear_encrypted_password(server_id)


def set_lock(connection, server_id, action):
    """Lock or unlock a server, as another client of the cloud does."""
    answer = connection.compute.post(f"/servers/{server_id}/action", json={action: None}, microversion="2.69")
    assert answer.status_code == 202, answer.text


def test_locked_server_refuses_its_changes(cloud, sdk, server_id, server_resources):
    compute = cloud.compute
    set_lock(sdk, server_id, "lock")
    assert compute.get_server(server_id).is_locked
    for refused in (
        compute.stop_server,
        compute.delete_server,
        compute.force_delete_server,
        compute.rescue_server,
        lambda i: compute.rebuild_server(i, server_resources[1].id),
        lambda i: compute.change_password(i, "Long-enough-1"),
        lambda i: compute.attach_port(i, NOBODY),
        lambda i: compute.detach_interface(i, NOBODY),
        lambda i: compute.replace_metadata(i, {"a": "b"}),
    ):
        with pytest.raises(CloudServerLockedError, match="must be unlocked") as caught:
            refused(server_id)
        assert (caught.value.status_code, caught.value.code) == (409, "server_locked")
    # The name is not protected.
    compute.rename_server(server_id, "renamed")
    set_lock(sdk, server_id, "unlock")
    assert not compute.get_server(server_id).is_locked


def test_administrators_lock_binds_the_owner(cloud, server_id, administrator):
    set_lock(administrator, server_id, "lock")
    with pytest.raises(CloudServerLockedError):
        cloud.compute.stop_server(server_id)
    set_lock(administrator, server_id, "unlock")
    cloud.compute.stop_server(server_id)
    wait_server_status(cloud, server_id, "SHUTOFF")


def test_nobodys(cloud, server_resources):
    compute = cloud.compute
    for call in (
        compute.rescue_server,
        compute.unrescue_server,
        lambda i: compute.rebuild_server(i, server_resources[1].id),
        lambda i: compute.change_password(i, "Long-enough-1"),
        compute.get_encrypted_password,
        compute.clear_encrypted_password,
    ):
        with pytest.raises(CloudNotFoundError):
            call(NOBODY)
