"""A volume's life, and what is refused."""

import pytest

from openstack_client import Conflict, InvalidRequest, NotFound

from .conftest import gone, remove_snapshot, wait_for

NOBODY = "11111111-1111-4111-8111-111111111111"


def available(cloud, volume_id):
    return wait_for(
        lambda: cloud.block_storage.get_volume(volume_id), lambda v: v.status == "available", "available"
    )


def test_whole_life(cloud, make_volume, tag):
    storage = cloud.block_storage
    made = make_volume(metadata={"contract": tag, "other": "x"})
    assert made.status == "creating" and made.size_gb == 1
    assert [v.id for v in storage.find_volumes_by_metadata({"contract": tag})] == [made.id]
    assert storage.find_volumes_by_metadata({"contract": tag, "other": "y"}) == []
    volume = available(cloud, made.id)
    assert volume.name == tag and volume.metadata == {"contract": tag, "other": "x"}
    assert not volume.is_bootable and volume.volume_type and volume.project_id == cloud.project_id
    storage.delete_volume(made.id)
    wait_for(lambda: gone(lambda: storage.get_volume(made.id)), bool, "the removal")
    with pytest.raises(NotFound):
        storage.delete_volume(made.id)
    assert storage.find_volumes_by_metadata({"contract": tag}) == []


def test_pages_are_the_sdks_own_list(cloud, sdk, make_volume):
    made = {make_volume().id for _ in range(3)}
    ours = [v.id for v in cloud.block_storage.list_volumes(page_size=2)]
    assert made <= set(ours) and len(set(ours)) == len(ours)
    assert set(ours) == {v.id for v in sdk.block_storage.volumes()}


def test_volume_from_a_snapshot_is_bootable(cloud, sdk, make_volume):
    snapshot = next(s for s in sdk.block_storage.snapshots() if s.name == "igw-base")
    made = make_volume(snapshot_id=snapshot.id, size_gb=snapshot.size)
    volume = available(cloud, made.id)
    assert volume.is_bootable and volume.snapshot_id == snapshot.id


def test_volume_smaller_than_its_snapshot(sdk, make_volume):
    snapshot = next(s for s in sdk.block_storage.snapshots() if s.name == "igw-base")
    with pytest.raises(InvalidRequest, match="smaller than the snapshot size"):
        make_volume(snapshot_id=snapshot.id, size_gb=1)


def test_volume_with_a_snapshot_is_not_removed(cloud, sdk):
    base = next(v for v in cloud.block_storage.list_volumes() if v.name == "igw-base-volume")
    with pytest.raises(Conflict) as caught:
        cloud.block_storage.delete_volume(base.id)
    assert "snapshots" in caught.value.message


def test_nobodys(cloud, make_volume):
    for volume_id in (NOBODY, "no-such-volume"):
        with pytest.raises(NotFound):
            cloud.block_storage.get_volume(volume_id)
        with pytest.raises(NotFound):
            cloud.block_storage.delete_volume(volume_id)
    with pytest.raises(NotFound, match="Snapshot"):
        make_volume(snapshot_id=NOBODY)
    with pytest.raises(NotFound, match="Volume type"):
        make_volume(volume_type="no-such-type")


def test_rename(cloud, make_volume):
    made = make_volume()
    cloud.block_storage.rename_volume(made.id, "another name")
    assert cloud.block_storage.get_volume(made.id).name == "another name"
    with pytest.raises(NotFound):
        cloud.block_storage.rename_volume(NOBODY, "x")
    available(cloud, made.id)


def test_metadata_is_added_beside_what_is_there(cloud, make_volume):
    made = make_volume()
    before = dict(cloud.block_storage.get_volume(made.id).metadata)
    for _twice in range(2):
        cloud.block_storage.add_metadata(made.id, {"portal_volume": "1"})
    assert cloud.block_storage.get_volume(made.id).metadata == {**before, "portal_volume": "1"}
    with pytest.raises(NotFound):
        cloud.block_storage.add_metadata(NOBODY, {"a": "b"})
    available(cloud, made.id)


def test_snapshots(cloud, sdk, make_volume, tag):
    storage = cloud.block_storage
    volume = make_volume()
    available(cloud, volume.id)
    made = sdk.block_storage.create_snapshot(volume_id=volume.id, name=tag, metadata={"contract": tag})
    try:
        snapshot = wait_for(
            lambda: storage.get_snapshot(made.id), lambda s: s.status == "available", "available"
        )
        assert (snapshot.name, snapshot.volume_id, snapshot.size_gb) == (tag, volume.id, 1)
        assert snapshot.metadata == {"contract": tag} and snapshot.created_at is not None
        pages = list(storage.snapshot_pages(page_size=1))
        assert all(len(page) == 1 for page in pages)
        assert {s.id for page in pages for s in page} == {s.id for s in sdk.block_storage.snapshots()}
        with pytest.raises(Conflict, match="snapshots"):
            storage.delete_volume(volume.id)
    finally:
        remove_snapshot(cloud, made.id)
    with pytest.raises(NotFound):
        storage.delete_snapshot(made.id)
    for snapshot_id in (NOBODY, "no-such-snapshot"):
        with pytest.raises(NotFound):
            storage.get_snapshot(snapshot_id)


def test_volume_types_are_the_sdks(cloud, sdk):
    ours = {(t.id, t.name, t.is_public, t.description) for t in cloud.block_storage.list_volume_types()}
    assert ours == {(t.id, t.name, t.is_public, t.description) for t in sdk.block_storage.types()}
    assert ours
