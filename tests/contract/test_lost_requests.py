"""The records of Nova and Cinder about requests in progress, and about those that a dead worker has left."""

import pytest

from openstack_client import CloudConflictError, CloudNotFoundError, last_request_id

from .conftest import is_gone, wait_for, wait_server_status, wait_volume_status

NOBODY = "11111111-1111-4111-8111-111111111111"


def test_a_change_has_an_id_and_nova_tells_what_was_begun_for_it(cloud, make_server):
    compute = cloud.compute
    made = make_server()
    wait_server_status(cloud, made.id, "ACTIVE")

    compute.stop_server(made.id)
    request_id = last_request_id()

    assert request_id.startswith("req-")
    wait_server_status(cloud, made.id, "SHUTOFF")
    assert compute.list_server_actions(made.id)[0].request_id == request_id

    def events():
        return compute.list_action_events(made.id, request_id)

    (event,) = wait_for(events, lambda seen: len(seen) == 1 and seen[0].finished_at is not None, "the event")
    assert "stop" in event.name and event.result == "Success" and event.started_at <= event.finished_at
    with pytest.raises(CloudNotFoundError):
        compute.list_action_events(made.id, f"req-{NOBODY}")


def test_cinder_tells_for_which_server_it_keeps_a_volume(cloud, make_server, make_volume):
    made, volume = make_server(), make_volume()
    wait_volume_status(cloud, volume.id, "available")
    wait_server_status(cloud, made.id, "ACTIVE")
    assert cloud.block_storage.list_reservations(volume.id) == []

    cloud.compute.attach_volume(made.id, volume.id)
    wait_volume_status(cloud, volume.id, "in-use")

    (kept,) = cloud.block_storage.list_reservations(volume.id)
    assert (kept.volume_id, kept.server_id, kept.status) == (volume.id, made.id, "attached")
    with pytest.raises(CloudConflictError):
        cloud.block_storage.delete_reservation(kept.id)
    cloud.compute.detach_volume(made.id, volume.id)
    wait_volume_status(cloud, volume.id, "available")
    with pytest.raises(CloudNotFoundError):
        cloud.block_storage.delete_reservation(kept.id)
    assert cloud.block_storage.list_reservations(NOBODY) == []


def test_a_detachment_that_nobody_works_on_is_taken_back(cloud, make_server, make_volume, set_volume_status):
    made, volume = make_server(), make_volume()
    wait_volume_status(cloud, volume.id, "available")
    wait_server_status(cloud, made.id, "ACTIVE")
    cloud.compute.attach_volume(made.id, volume.id)
    wait_volume_status(cloud, volume.id, "in-use")
    set_volume_status(volume.id, "detaching")
    with pytest.raises(CloudConflictError):
        cloud.compute.detach_volume(made.id, volume.id)

    cloud.block_storage.roll_detaching(volume.id)

    wait_volume_status(cloud, volume.id, "in-use")
    cloud.compute.detach_volume(made.id, volume.id)
    wait_volume_status(cloud, volume.id, "available")
    with pytest.raises(CloudNotFoundError):
        cloud.block_storage.roll_detaching(NOBODY)


def test_a_server_is_ended_for_good(cloud, make_server):
    made = make_server()
    wait_server_status(cloud, made.id, "ACTIVE")

    cloud.compute.force_delete_server(made.id)

    wait_for(lambda: is_gone(lambda: cloud.compute.get_server(made.id)), bool, "the removal")
    with pytest.raises(CloudNotFoundError):
        cloud.compute.force_delete_server(made.id)
