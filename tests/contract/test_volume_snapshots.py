"""A volume's snapshot: its life, what is found again, and what is refused."""

import pytest

from openstack_client import (
    CloudConflictError,
    CloudNotFoundError,
    CloudQuotaExceededError,
    InvalidCloudRequestError,
)

from .conftest import is_gone, wait_for, wait_server_status, wait_volume_status

NOBODY = "11111111-1111-4111-8111-111111111111"


def available(cloud, snapshot_id):
    return wait_for(
        lambda: cloud.block_storage.get_snapshot(snapshot_id), lambda s: s.status == "available", "available"
    )


@pytest.fixture
def volume(cloud, make_volume):
    return wait_volume_status(cloud, make_volume().id, "available")


def test_whole_life(cloud, sdk, volume, make_snapshot, tag):
    storage = cloud.block_storage
    made = make_snapshot(volume.id)
    assert (made.name, made.volume_id, made.size_gb, made.status) == (tag, volume.id, 1, "creating")
    assert storage.get_volume(volume.id).status == "available"
    snapshot = available(cloud, made.id)
    assert (snapshot.name, snapshot.volume_id, snapshot.size_gb) == (tag, volume.id, 1)
    assert snapshot.metadata == {"contract": tag}
    assert snapshot.created_at is not None and snapshot.updated_at is not None
    pages = list(storage.snapshot_pages(page_size=1))
    assert all(len(page) == 1 for page in pages)
    assert {s.id for page in pages for s in page} == {s.id for s in sdk.block_storage.snapshots()}
    with pytest.raises(CloudConflictError, match="snapshots"):
        storage.delete_volume(volume.id)
    storage.delete_snapshot(made.id)
    with pytest.raises((CloudConflictError, CloudNotFoundError)):
        storage.delete_snapshot(made.id)
    wait_for(lambda: is_gone(lambda: storage.get_snapshot(made.id)), bool, "the removal")
    with pytest.raises(CloudNotFoundError):
        storage.delete_snapshot(made.id)
    for snapshot_id in (NOBODY, "no-such-snapshot"):
        with pytest.raises(CloudNotFoundError):
            storage.get_snapshot(snapshot_id)


def test_found_by_its_metadata(cloud, volume, make_snapshot, tag):
    storage = cloud.block_storage
    both = make_snapshot(volume.id, metadata={"contract": tag, "other": "x"})
    one = make_snapshot(volume.id, name="another name")
    make_snapshot(volume.id, metadata=None)
    assert {s.id for s in storage.find_snapshots_by_metadata({"contract": tag})} == {both.id, one.id}
    assert [s.id for s in storage.find_snapshots_by_metadata({"contract": tag, "other": "x"})] == [both.id]
    assert storage.find_snapshots_by_metadata({"contract": tag, "other": "y"}) == []
    with pytest.raises(InvalidCloudRequestError):
        storage.find_snapshots_by_metadata({})


def test_filter_that_is_no_metadata_finds_nothing(sdk, make_snapshot, volume):
    make_snapshot(volume.id)
    for kind in ("volumes", "snapshots"):
        for wanted in ("nonsense", '["a"]'):
            answer = sdk.block_storage.get(
                f"/{kind}/detail", params={"metadata": wanted}, microversion="3.50"
            )
            assert (answer.status_code, answer.json()[kind]) == (200, [])


def test_larger_volume_than_its_snapshot(cloud, volume, make_snapshot, make_volume):
    snapshot = available(cloud, make_snapshot(volume.id).id)
    cloud.block_storage.extend_volume(volume.id, 2)
    wait_volume_status(cloud, volume.id, "available")
    assert cloud.block_storage.get_snapshot(snapshot.id).size_gb == 1
    copy = wait_volume_status(cloud, make_volume(snapshot_id=snapshot.id, size_gb=2).id, "available")
    assert copy.size_gb == 2 and copy.snapshot_id == snapshot.id and not copy.is_bootable


def test_volume_of_a_snapshot_that_is_not_there_yet(cloud, volume, make_snapshot, make_volume, slow_cloud):
    with slow_cloud():
        snapshot = make_snapshot(volume.id)
        with pytest.raises(InvalidCloudRequestError, match="Originating snapshot status"):
            make_volume(snapshot_id=snapshot.id)
    available(cloud, snapshot.id)


def test_state_that_does_not_allow_it(cloud, make_volume, make_snapshot, set_volume_status, slow_cloud):
    with slow_cloud():
        made = make_volume()
        with pytest.raises(CloudConflictError, match="Invalid volume"):
            make_snapshot(made.id)
    wait_volume_status(cloud, made.id, "available")
    for status in ("extending", "error", "error_extending", "maintenance"):
        set_volume_status(made.id, status)
        for force in (False, True):
            with pytest.raises(CloudConflictError, match=status):
                make_snapshot(made.id, force=force)
    set_volume_status(made.id, "available")


def test_nobodys(make_snapshot):
    for volume_id in (NOBODY, "no-such-volume"):
        with pytest.raises(CloudNotFoundError):
            make_snapshot(volume_id)


def test_volume_in_use_needs_force(cloud, volume, make_server, make_snapshot):
    server = make_server()
    wait_server_status(cloud, server.id, "ACTIVE")
    cloud.compute.attach_volume(server.id, volume.id)
    wait_volume_status(cloud, volume.id, "in-use")
    with pytest.raises(CloudConflictError, match="in-use"):
        make_snapshot(volume.id)
    made = make_snapshot(volume.id, force=True)
    assert cloud.block_storage.get_volume(volume.id).status == "in-use"
    available(cloud, made.id)


def test_force_from_microversion_3_66_on(cloud, sdk, volume, make_server, made_snapshots):
    """Not what we ask for; what another client of the same cloud, and the simulator, may meet."""
    server = make_server()
    wait_server_status(cloud, server.id, "ACTIVE")
    cloud.compute.attach_volume(server.id, volume.id)
    wait_volume_status(cloud, volume.id, "in-use")

    def ask(**more):
        wanted = {"snapshot": {"volume_id": volume.id, "name": "forced", **more}}
        answer = sdk.block_storage.post("/snapshots", json=wanted, microversion="3.66")
        if answer.status_code == 202:
            made_snapshots.append(answer.json()["snapshot"]["id"])
        return answer

    assert ask().status_code == ask(force=True).status_code == 202
    refused = ask(force=False)
    assert refused.status_code == 400 and "3.66" in refused.json()["badRequest"]["message"]


def test_limits(volume, make_snapshot, limit_storage):
    limit_storage(snapshots=0)
    with pytest.raises(CloudQuotaExceededError, match="Maximum number of snapshots allowed"):
        make_snapshot(volume.id)


def test_limit_of_gigabytes_counts_snapshots(cloud, volume, make_snapshot, limit_storage):
    limit_storage(gigabytes=1)
    available(cloud, make_snapshot(volume.id).id)
    with pytest.raises(CloudQuotaExceededError, match="gigabytes quota"):
        make_snapshot(volume.id)
