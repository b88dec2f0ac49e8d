"""Volumes on a server that exists."""

import time

import pytest

from openstack_client import CloudConflictError, CloudNotFoundError

from .conftest import wait_server_status, wait_volume_status

NOBODY = "11111111-1111-4111-8111-111111111111"


def test_attach_and_detach(cloud, make_server, make_volume):
    compute = cloud.compute
    made = make_server()
    volume = make_volume()
    wait_volume_status(cloud, volume.id, "available")
    wait_server_status(cloud, made.id, "ACTIVE")
    device = compute.attach_volume(made.id, volume.id)
    # At once on the server; in use a little later.
    assert compute.get_server(made.id).volume_ids == (volume.id,)
    with pytest.raises(CloudConflictError) as caught:
        compute.attach_volume(made.id, volume.id)
    assert caught.value.status_code == 400
    in_use = wait_volume_status(cloud, volume.id, "in-use")
    assert in_use.server_ids == (made.id,) and in_use.devices == (device,)
    (found,) = compute.list_volume_attachments(made.id)
    assert (found.volume_id, found.device) == (volume.id, device)
    with pytest.raises(CloudConflictError):
        cloud.block_storage.delete_volume(volume.id)

    compute.detach_volume(made.id, volume.id)
    back = wait_volume_status(cloud, volume.id, "available")
    assert back.server_ids == () and back.devices == ()
    assert compute.list_volume_attachments(made.id) == []
    with pytest.raises(CloudNotFoundError):
        compute.detach_volume(made.id, volume.id)
    actions = [a.action for a in compute.list_server_actions(made.id)]
    assert actions[:2] == ["detach_volume", "attach_volume"]
    with pytest.raises(CloudNotFoundError):
        compute.attach_volume(made.id, NOBODY)
    with pytest.raises(CloudNotFoundError):
        compute.detach_volume(made.id, NOBODY)

    # The end of the server sets it free.
    compute.attach_volume(made.id, volume.id)
    wait_volume_status(cloud, volume.id, "in-use")
    compute.delete_server(made.id)
    wait_volume_status(cloud, volume.id, "available")


def test_what_changes_since_does_not_show(cloud, make_server, make_volume):
    """Whoever follows servers by `changes_since` alone does not see volumes come and go."""
    compute = cloud.compute
    made, volume = make_server(), make_volume()
    wait_volume_status(cloud, volume.id, "available")
    before = wait_server_status(cloud, made.id, "ACTIVE").updated_at
    # Nova keeps whole seconds.
    time.sleep(1.1)
    compute.attach_volume(made.id, volume.id)
    wait_volume_status(cloud, volume.id, "in-use")
    assert compute.get_server(made.id).updated_at == before
    compute.detach_volume(made.id, volume.id)
    wait_volume_status(cloud, volume.id, "available")
    assert compute.get_server(made.id).updated_at == before
    compute.rename_server(made.id, "another name")
    after = compute.get_server(made.id).updated_at
    assert after > before
    time.sleep(1.1)
    compute.replace_metadata(made.id, {"a": "b"})
    assert compute.get_server(made.id).updated_at > after


def test_states_that_do_not_allow_it(cloud, make_server, make_volume, slow_cloud):
    compute, volume = cloud.compute, make_volume()
    wait_volume_status(cloud, volume.id, "available")
    with slow_cloud():
        made = make_server()
        with pytest.raises((CloudConflictError, CloudNotFoundError)):
            compute.attach_volume(made.id, volume.id)
    wait_server_status(cloud, made.id, "ACTIVE")
    compute.suspend_server(made.id)
    wait_server_status(cloud, made.id, "SUSPENDED")
    with pytest.raises(CloudConflictError, match="vm_state suspended"):
        compute.attach_volume(made.id, volume.id)
    compute.resume_server(made.id)
    wait_server_status(cloud, made.id, "ACTIVE")
    compute.stop_server(made.id)
    wait_server_status(cloud, made.id, "SHUTOFF")
    compute.attach_volume(made.id, volume.id)
    wait_volume_status(cloud, volume.id, "in-use")
    compute.shelve_server(made.id)
    wait_server_status(cloud, made.id, "SHELVED_OFFLOADED")
    assert cloud.block_storage.get_volume(volume.id).status == "reserved"
    # Off its host, an attachment is a note: in use at once, by a device that nobody knows yet.
    second = make_volume()
    wait_volume_status(cloud, second.id, "available")
    compute.attach_volume(made.id, second.id)
    noted = cloud.block_storage.get_volume(second.id)
    assert (noted.status, noted.server_ids, noted.devices) == ("in-use", (made.id,), ("",))
    compute.detach_volume(made.id, second.id)
    wait_volume_status(cloud, second.id, "available")
    compute.unshelve_server(made.id)
    wait_server_status(cloud, made.id, "ACTIVE")
    wait_volume_status(cloud, volume.id, "in-use")
    compute.detach_volume(made.id, volume.id)
    wait_volume_status(cloud, volume.id, "available")


def test_root_volume_stays(cloud, server_resources, make_server, make_volume):
    compute = cloud.compute
    root = make_volume(image_id=server_resources[1].id, size_gb=max(1, server_resources[1].min_disk_gb))
    data = make_volume()
    for volume in (root, data):
        wait_volume_status(cloud, volume.id, "available")
    made = make_server(image_id=None, boot_volume_id=root.id)
    wait_server_status(cloud, made.id, "ACTIVE")
    compute.attach_volume(made.id, data.id)
    wait_volume_status(cloud, data.id, "in-use")
    assert {a.volume_id for a in compute.list_volume_attachments(made.id)} == {root.id, data.id}
    with pytest.raises(CloudConflictError, match="Cannot detach a root device volume"):
        compute.detach_volume(made.id, root.id)
    larger = max(cloud.compute.list_flavors(), key=lambda f: f.vcpus)
    compute.resize_server(made.id, larger.id)
    wait_server_status(cloud, made.id, "VERIFY_RESIZE")
    compute.detach_volume(made.id, data.id)
    wait_volume_status(cloud, data.id, "available")
    compute.confirm_resize(made.id)
    wait_server_status(cloud, made.id, "ACTIVE")
    # A disk of its own kind: the flavor's matters not.
    compute.resize_server(made.id, server_resources[0].id)
    wait_server_status(cloud, made.id, "VERIFY_RESIZE")
