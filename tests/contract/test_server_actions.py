"""The actions on a server, except for start and stop."""

from datetime import UTC, datetime, timedelta

import pytest

from openstack_client import CloudConflictError, CloudNotFoundError, InvalidCloudRequestError

from .conftest import is_gone, wait_for, wait_server_status

NOBODY = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def server_id(cloud, make_server):
    made = make_server()
    wait_server_status(cloud, made.id, "ACTIVE")
    return made.id


@pytest.fixture
def larger(cloud, server_resources):
    """A flavor with more of everything than the smallest."""
    small = server_resources[0]
    return min(
        (f for f in cloud.compute.list_flavors() if f.vcpus > small.vcpus and f.disk_gb >= small.disk_gb),
        key=lambda f: (f.vcpus, f.memory_mb),
    )


def test_pause_and_suspend(cloud, server_id):
    compute = cloud.compute
    began = datetime.now(UTC) - timedelta(seconds=2)
    compute.pause_server(server_id)
    wait_server_status(cloud, server_id, "PAUSED")
    for refused in (compute.pause_server, compute.suspend_server, compute.start_server, compute.stop_server):
        with pytest.raises(CloudConflictError, match="vm_state paused"):
            refused(server_id)
    compute.unpause_server(server_id)
    wait_server_status(cloud, server_id, "ACTIVE")
    compute.suspend_server(server_id)
    wait_server_status(cloud, server_id, "SUSPENDED")
    with pytest.raises(CloudConflictError, match="vm_state suspended"):
        compute.pause_server(server_id)
    compute.resume_server(server_id)
    wait_server_status(cloud, server_id, "ACTIVE")
    for refused in (compute.unpause_server, compute.resume_server, compute.unshelve_server):
        with pytest.raises(CloudConflictError, match="vm_state active"):
            refused(server_id)
    assert [a.action for a in compute.list_server_actions(server_id)][:4] == [
        "resume",
        "suspend",
        "unpause",
        "pause",
    ]
    assert server_id in {s.id for s in compute.list_servers(changes_since=began)}


def test_shelve(cloud, server_id):
    compute = cloud.compute
    before = compute.get_server(server_id)
    compute.shelve_server(server_id)
    shelved = wait_server_status(cloud, server_id, "SHELVED_OFFLOADED")
    assert shelved.addresses == before.addresses
    assert shelved.image_id == before.image_id
    # Nova forgets the host a moment after it has said SHELVED_OFFLOADED.
    wait_for(
        lambda: compute.get_server(server_id), lambda s: s.availability_zone is None, "the end of its place"
    )
    kept = [i for i in cloud.image.list_images() if i.instance_id == server_id]
    assert [(i.name, i.status, i.is_snapshot) for i in kept] == [(f"{before.name}-shelved", "active", True)]
    for refused in (compute.shelve_server, compute.start_server, compute.pause_server):
        with pytest.raises(CloudConflictError):
            refused(server_id)
    with pytest.raises(CloudConflictError, match="not ready"):
        compute.create_console_url(server_id)
    with pytest.raises(CloudConflictError, match="not ready"):
        compute.get_console_output(server_id, 3)
    compute.unshelve_server(server_id)
    back = wait_server_status(cloud, server_id, "ACTIVE")
    assert back.availability_zone == before.availability_zone
    assert is_gone(lambda: cloud.image.get_image(kept[0].id))


def test_resize_and_back(cloud, server_id, server_resources, larger):
    compute = cloud.compute
    with pytest.raises(InvalidCloudRequestError, match="must change flavor"):
        compute.resize_server(server_id, server_resources[0].id)
    with pytest.raises(InvalidCloudRequestError, match="Flavor no-such-flavor could not be found"):
        compute.resize_server(server_id, "no-such-flavor")
    compute.resize_server(server_id, larger.id)
    resized = wait_server_status(cloud, server_id, "VERIFY_RESIZE")
    assert resized.vcpus == larger.vcpus
    for refused in (
        compute.stop_server,
        compute.start_server,
        compute.pause_server,
        compute.suspend_server,
        compute.shelve_server,
        lambda i: compute.reboot_server(i, hard=True),
        lambda i: compute.resize_server(i, server_resources[0].id),
        lambda i: compute.create_image(i, name="x", metadata={}),
        lambda i: compute.replace_metadata(i, {"a": "b"}),
    ):
        with pytest.raises(CloudConflictError, match="vm_state resized"):
            refused(server_id)
    compute.revert_resize(server_id)
    with pytest.raises(CloudConflictError):
        compute.revert_resize(server_id)
    back = wait_server_status(cloud, server_id, "ACTIVE")
    assert back.vcpus == server_resources[0].vcpus
    for refused in (compute.revert_resize, compute.confirm_resize):
        with pytest.raises(CloudConflictError, match="vm_state active"):
            refused(server_id)


def test_resize_of_a_stopped_server_and_confirm(cloud, server_id, server_resources, larger):
    compute = cloud.compute
    compute.stop_server(server_id)
    wait_server_status(cloud, server_id, "SHUTOFF")
    compute.resize_server(server_id, larger.id)
    wait_server_status(cloud, server_id, "VERIFY_RESIZE")
    compute.confirm_resize(server_id)
    # Nova still shows VERIFY_RESIZE without a task, and refuses all the same.
    with pytest.raises(CloudConflictError) as caught:
        compute.confirm_resize(server_id)
    assert caught.value.status_code in {400, 409}
    confirmed = wait_server_status(cloud, server_id, "SHUTOFF")
    assert (confirmed.vcpus, confirmed.memory_mb) == (larger.vcpus, larger.memory_mb)
    # Down again is no matter: the server was built with the smaller disk.
    compute.resize_server(server_id, server_resources[0].id)
    wait_server_status(cloud, server_id, "VERIFY_RESIZE")
    compute.delete_server(server_id)
    wait_for(lambda: is_gone(lambda: compute.get_server(server_id)), bool, "the removal")


def test_resize_to_a_smaller_disk_than_it_was_built_with(cloud, make_server, server_resources):
    small = server_resources[0]
    found = [f for f in cloud.compute.list_flavors() if f.disk_gb > small.disk_gb]
    made = make_server(flavor_id=min(found, key=lambda f: f.disk_gb).id)
    wait_server_status(cloud, made.id, "ACTIVE")
    with pytest.raises(InvalidCloudRequestError, match="Flavor's disk is smaller than the minimum size"):
        cloud.compute.resize_server(made.id, small.id)


def test_rename_and_metadata(cloud, server_id):
    compute = cloud.compute
    compute.rename_server(server_id, "another name")
    compute.replace_metadata(server_id, {"a": "1", "b": "2"})
    assert compute.get_server(server_id).metadata == {"a": "1", "b": "2"}
    compute.replace_metadata(server_id, {"b": "3"})
    server = compute.get_server(server_id)
    assert (server.name, server.metadata) == ("another name", {"b": "3"})
    with pytest.raises(InvalidCloudRequestError) as caught:
        compute.replace_metadata(server_id, {"no/slash": "x"})
    assert caught.value.status_code == 400
    compute.replace_metadata(server_id, {})
    assert compute.get_server(server_id).metadata == {}


def test_console(cloud, server_id):
    compute = cloud.compute
    assert compute.create_console_url(server_id).startswith("http")
    whole = compute.get_console_output(server_id, 1000)
    assert whole
    assert compute.get_console_output(server_id, 2) == "\n".join(whole.split("\n")[-2:])


def test_what_cannot_be_done_while_it_is_built(cloud, make_server, slow_cloud):
    with slow_cloud():
        made = make_server()
        for refused in (
            cloud.compute.create_console_url,
            lambda i: cloud.compute.get_console_output(i, 3),
            cloud.compute.pause_server,
            cloud.compute.shelve_server,
            lambda i: cloud.compute.create_image(i, name="x", metadata={}),
        ):
            # Until a cell has it, Nova does not find it for an action.
            with pytest.raises((CloudConflictError, CloudNotFoundError)):
                refused(made.id)
    wait_server_status(cloud, made.id, "ACTIVE")


def test_several_tags(cloud, make_server, tag):
    made = make_server(tags=[tag, "second one"])
    assert [s.id for s in cloud.compute.find_servers_by_tag(tag)] == [made.id]
    assert made.id in {s.id for s in cloud.compute.find_servers_by_tag("second one")}
    assert set(wait_server_status(cloud, made.id, "ACTIVE").tags) == {tag, "second one"}


def test_nobodys(cloud, server_resources):
    compute = cloud.compute
    for call in (
        compute.pause_server,
        compute.unpause_server,
        compute.suspend_server,
        compute.resume_server,
        compute.shelve_server,
        compute.unshelve_server,
        compute.confirm_resize,
        compute.revert_resize,
        compute.create_console_url,
        compute.list_volume_attachments,
        lambda i: compute.resize_server(i, server_resources[0].id),
        lambda i: compute.rename_server(i, "x"),
        lambda i: compute.replace_metadata(i, {}),
        lambda i: compute.create_image(i, name="x", metadata={}),
        lambda i: compute.get_console_output(i, 1),
        lambda i: compute.attach_volume(i, NOBODY),
        lambda i: compute.detach_volume(i, NOBODY),
    ):
        with pytest.raises(CloudNotFoundError):
            call(NOBODY)


def test_zones(cloud):
    assert ("nova", True) in {(zone.name, zone.is_available) for zone in cloud.compute.list_zones()}
