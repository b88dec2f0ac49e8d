"""A server's life, step by step, and what is refused."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from openstack_client import CloudConflictError, CloudNotFoundError, InvalidCloudRequestError, ServerNetwork

from .conftest import is_gone, wait_for, wait_server_status

NOBODY = "11111111-1111-4111-8111-111111111111"


def test_whole_life(cloud, make_server, tag):
    compute = cloud.compute
    began = datetime.now(UTC) - timedelta(seconds=5)
    made = make_server(metadata={"purpose": "contract"})
    assert made.status == "BUILD"
    assert [s.id for s in compute.find_servers_by_tag(tag)] == [made.id]

    server = wait_server_status(cloud, made.id, "ACTIVE")
    assert server.name == tag
    assert server.tags == (tag,)
    assert server.metadata == {"purpose": "contract"}
    assert server.vcpus >= 1 and server.memory_mb > 0 and server.flavor_name
    assert server.image_id and server.launched_at >= began
    assert server.availability_zone == "nova"
    address = server.addresses[0]
    assert ip_address(address.ip).version == address.version == 4
    assert address.kind == "fixed" and len(address.mac.split(":")) == 6

    with pytest.raises(CloudConflictError) as caught:
        compute.start_server(made.id)
    assert caught.value.status_code == 409 and "vm_state active" in caught.value.message
    assert caught.value.request_id.startswith("req-")

    compute.stop_server(made.id)
    stopped = wait_server_status(cloud, made.id, "SHUTOFF")
    assert stopped.addresses == server.addresses
    with pytest.raises(CloudConflictError, match="vm_state stopped"):
        compute.stop_server(made.id)
    with pytest.raises(CloudConflictError, match="vm_state stopped"):
        compute.reboot_server(made.id, hard=False)
    compute.start_server(made.id)
    wait_server_status(cloud, made.id, "ACTIVE")
    for hard in (False, True):
        compute.reboot_server(made.id, hard=hard)
        wait_server_status(cloud, made.id, "ACTIVE")

    actions = compute.list_server_actions(made.id)
    # Newest first, and what was refused is not there.
    assert [a.action for a in actions] == ["reboot", "reboot", "start", "stop", "create"]
    assert all(a.request_id.startswith("req-") for a in actions)
    assert {a.message for a in actions} == {None}
    # One user has made them all, at times that the cloud's clock tells.
    assert len({a.user_id for a in actions}) == 1 and actions[0].user_id
    started = [a.started_at for a in actions]
    assert None not in started and started == sorted(started, reverse=True)

    seen = {s.id: s.status for s in compute.list_servers(changes_since=began)}
    assert seen[made.id] == "ACTIVE"
    assert made.id not in {
        s.id for s in compute.list_servers(changes_since=datetime.now(UTC) + timedelta(minutes=5))
    }

    compute.delete_server(made.id)
    wait_for(lambda: is_gone(lambda: compute.get_server(made.id)), bool, "the removal")
    with pytest.raises(CloudNotFoundError):
        compute.delete_server(made.id)
    with pytest.raises(CloudNotFoundError):
        compute.stop_server(made.id)
    assert compute.find_servers_by_tag(tag) == []
    assert made.id not in {s.id for s in compute.list_servers()}
    deleted = {s.id: s for s in compute.list_servers(changes_since=began)}[made.id]
    assert deleted.status == "DELETED"
    # Its history outlives it.
    assert compute.list_server_actions(made.id)[0].action == "delete"


def test_refused_action_over_another(cloud, make_server):
    made = make_server()
    wait_server_status(cloud, made.id, "ACTIVE")
    cloud.compute.stop_server(made.id)
    with pytest.raises(CloudConflictError):
        cloud.compute.stop_server(made.id)
    wait_server_status(cloud, made.id, "SHUTOFF")


def test_removal_while_it_is_building(cloud, make_server):
    made = make_server()
    cloud.compute.delete_server(made.id)
    wait_for(lambda: is_gone(lambda: cloud.compute.get_server(made.id)), bool, "the removal")


def test_pages_are_the_sdks_own_list(cloud, sdk, make_server, tag):
    made = {make_server().id for _ in range(3)}
    for server_id in made:
        # Nova lists servers that are being built before all others.
        wait_server_status(cloud, server_id, "ACTIVE")
    pages = list(cloud.compute.server_pages(page_size=2))
    assert all(len(page) <= 2 for page in pages)
    ours = [s.id for page in pages for s in page]
    assert made <= set(ours) and len(set(ours)) == len(ours)
    # Another process may create and delete servers of the same project meanwhile, beside these three.
    theirs = [s.id for s in sdk.compute.servers()]
    whole = [s.id for s in cloud.compute.list_servers()]
    assert [one for one in theirs if one in made] == [one for one in ours if one in made]
    assert [one for one in whole if one in made] == [one for one in ours if one in made]
    assert {s.id for page in cloud.compute.server_pages(tag=tag, page_size=1) for s in page} == made


def test_server_from_a_volume(cloud, server_resources, tag, make_server, make_volume):
    volume = make_volume(image_id=server_resources[1].id, size_gb=max(1, server_resources[1].min_disk_gb))
    wait_for(
        lambda: cloud.block_storage.get_volume(volume.id).status, lambda s: s == "available", "the volume"
    )
    made = make_server(image_id=None, boot_volume_id=volume.id)
    server = wait_server_status(cloud, made.id, "ACTIVE")
    assert server.image_id is None and server.volume_ids == (volume.id,)
    in_use = cloud.block_storage.get_volume(volume.id)
    assert in_use.status == "in-use" and in_use.server_ids == (made.id,)
    with pytest.raises(CloudConflictError):
        cloud.block_storage.delete_volume(volume.id)
    cloud.compute.delete_server(made.id)
    wait_for(
        lambda: cloud.block_storage.get_volume(volume.id).status,
        lambda s: s == "available",
        "the volume's return",
    )


@pytest.mark.parametrize("server_id", [NOBODY, "no-such-server"])
def test_nobodys_server(cloud, server_id):
    for call in (
        cloud.compute.get_server,
        cloud.compute.start_server,
        cloud.compute.stop_server,
        cloud.compute.delete_server,
        cloud.compute.list_server_actions,
    ):
        with pytest.raises(CloudNotFoundError) as caught:
            call(server_id)
        assert caught.value.status_code == 404 and server_id in caught.value.message


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"flavor_id": "no-such-flavor"}, "Flavor no-such-flavor could not be found"),
        ({"image_id": NOBODY}, "Can not find requested image"),
        ({"networks": [ServerNetwork(NOBODY)]}, f"Network {NOBODY} could not be found"),
        ({"availability_zone": "no-such-zone"}, "availability zone is not available"),
        ({"key_name": "no-such-key"}, "key_name"),
    ],
)
def test_create_is_refused_in_novas_words(make_server, wrong, words):
    with pytest.raises(InvalidCloudRequestError, match=words) as caught:
        make_server(**wrong)
    assert caught.value.status_code == 400


def test_unknown_marker_is_refused(cloud):
    with pytest.raises(InvalidCloudRequestError, match="marker"):
        cloud._transport.request(
            "compute", "GET", "/servers/detail", doing="look", params={"marker": NOBODY}, microversion="2.69"
        )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"nope": None}, "There is no such action: nope"),
        ({"reboot": {"type": "X"}}, "Invalid input for field/attribute type"),
        ({}, "Malformed request body"),
    ],
)
def test_malformed_actions(cloud, body, words):
    with pytest.raises(InvalidCloudRequestError, match=words):
        cloud._transport.request(
            "compute", "POST", f"/servers/{NOBODY}/action", doing="act", json=body, microversion="2.69"
        )


def test_version_that_does_not_exist(cloud):
    with pytest.raises(InvalidCloudRequestError) as caught:
        cloud._transport.request("compute", "GET", "/servers", doing="look", microversion="2.999")
    assert caught.value.status_code == 406
