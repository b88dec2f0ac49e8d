"""A volume's life, and what is refused."""

import pytest

from openstack_client import (
    CloudConflictError,
    CloudNotFoundError,
    CloudQuotaExceededError,
    InvalidCloudRequestError,
)
from tests.listings import read_all_pages

from .conftest import is_gone, wait_for, wait_server_status, wait_volume_status

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
    assert not volume.is_bootable and volume.volume_type
    storage.delete_volume(made.id)
    wait_for(lambda: is_gone(lambda: storage.get_volume(made.id)), bool, "the removal")
    with pytest.raises(CloudNotFoundError):
        storage.delete_volume(made.id)
    assert storage.find_volumes_by_metadata({"contract": tag}) == []


def test_pages_are_the_sdks_own_list(cloud, sdk, make_volume):
    made = {make_volume().id for _ in range(3)}
    ours = [v.id for v in read_all_pages(cloud.block_storage.volume_pages(page_size=2))]
    assert made <= set(ours) and len(set(ours)) == len(ours)
    assert set(ours) == {v.id for v in sdk.block_storage.volumes()}


def test_volume_from_a_snapshot_is_bootable(cloud, sdk, make_volume):
    snapshot = next(s for s in sdk.block_storage.snapshots() if s.name == "igw-base")
    made = make_volume(snapshot_id=snapshot.id, size_gb=snapshot.size)
    volume = available(cloud, made.id)
    assert volume.is_bootable and volume.snapshot_id == snapshot.id and volume.image_id is None


def test_volume_smaller_than_its_snapshot(sdk, make_volume):
    snapshot = next(s for s in sdk.block_storage.snapshots() if s.name == "igw-base")
    with pytest.raises(InvalidCloudRequestError, match="smaller than the snapshot size"):
        make_volume(snapshot_id=snapshot.id, size_gb=1)


def test_volume_with_a_snapshot_is_not_removed(cloud, sdk):
    base = next(v for v in read_all_pages(cloud.block_storage.volume_pages()) if v.name == "igw-base-volume")
    with pytest.raises(CloudConflictError) as caught:
        cloud.block_storage.delete_volume(base.id)
    assert "snapshots" in caught.value.message


def test_nobodys(cloud, make_volume):
    for volume_id in (NOBODY, "no-such-volume"):
        with pytest.raises(CloudNotFoundError):
            cloud.block_storage.get_volume(volume_id)
        with pytest.raises(CloudNotFoundError):
            cloud.block_storage.delete_volume(volume_id)
        with pytest.raises(CloudNotFoundError):
            cloud.block_storage.extend_volume(volume_id, 2)
    with pytest.raises(CloudNotFoundError, match="Snapshot"):
        make_volume(snapshot_id=NOBODY)
    with pytest.raises(CloudNotFoundError, match="Volume type"):
        make_volume(volume_type="no-such-type")


def test_extension(cloud, make_volume, slow_cloud):
    storage = cloud.block_storage
    made = make_volume()
    available(cloud, made.id)
    for size in (1, 2**31):
        with pytest.raises(InvalidCloudRequestError):
            storage.extend_volume(made.id, size)
    with slow_cloud():
        storage.extend_volume(made.id, 3)
        seen = storage.get_volume(made.id)
    assert (seen.status, seen.size_gb) == ("extending", 1)
    assert available(cloud, made.id).size_gb == 3
    with pytest.raises(InvalidCloudRequestError, match="greater than current size"):
        storage.extend_volume(made.id, 3)


def test_extension_in_a_state_that_does_not_allow_it(cloud, make_volume, set_volume_status, slow_cloud):
    with slow_cloud():
        made = make_volume()
        with pytest.raises(CloudConflictError, match="creating"):
            cloud.block_storage.extend_volume(made.id, 2)
    available(cloud, made.id)
    for status in ("extending", "error_extending", "error", "maintenance"):
        set_volume_status(made.id, status)
        with pytest.raises(CloudConflictError, match=status):
            cloud.block_storage.extend_volume(made.id, 2)
        # Cinder looks at the size before it looks at the state.
        with pytest.raises(InvalidCloudRequestError, match="greater than current size"):
            cloud.block_storage.extend_volume(made.id, 1)
    set_volume_status(made.id, "available")


def test_extension_of_a_volume_in_use(cloud, make_server, make_volume, slow_cloud):
    storage = cloud.block_storage
    volume, server = make_volume(), make_server()
    available(cloud, volume.id)
    wait_server_status(cloud, server.id, "ACTIVE")
    cloud.compute.attach_volume(server.id, volume.id)
    wait_volume_status(cloud, volume.id, "in-use")
    with pytest.raises(InvalidCloudRequestError, match="greater than current size"):
        storage.extend_volume(volume.id, 1)
    with slow_cloud():
        storage.extend_volume(volume.id, 2)
        assert storage.get_volume(volume.id).status == "extending"
    seen = wait_volume_status(cloud, volume.id, "in-use")
    assert seen.size_gb == 2 and seen.server_ids == (server.id,)


def test_limits(cloud, make_volume, limit_storage):
    volume = make_volume()
    available(cloud, volume.id)
    limit_storage(gigabytes=1)
    with pytest.raises(CloudQuotaExceededError, match="gigabytes quota"):
        cloud.block_storage.extend_volume(volume.id, 3)
    assert cloud.block_storage.get_volume(volume.id).status == "available"
    with pytest.raises(CloudQuotaExceededError, match="gigabytes quota"):
        make_volume(size_gb=2)
    cloud.block_storage.extend_volume(volume.id, 2)
    assert available(cloud, volume.id).size_gb == 2


def test_limits_of_a_type(cloud, make_volume, limit_storage):
    volume = available(cloud, make_volume().id)
    limit_storage(**{f"gigabytes_{volume.volume_type}": 1})
    with pytest.raises(CloudQuotaExceededError):
        cloud.block_storage.extend_volume(volume.id, 3)
    with pytest.raises(CloudQuotaExceededError, match=f"gigabytes_{volume.volume_type} quota"):
        make_volume(size_gb=2)


def test_volume_of_an_image_says_so_once_it_is_there(cloud, server_resources, make_volume, make_snapshot):
    image = server_resources[1]
    made = make_volume(image_id=image.id, size_gb=max(1, image.min_disk_gb))
    assert made.image_id is None
    volume = available(cloud, made.id)
    assert volume.image_id == image.id and volume.is_bootable
    snapshot = make_snapshot(volume.id)
    wait_for(
        lambda: cloud.block_storage.get_snapshot(snapshot.id), lambda s: s.status == "available", "available"
    )
    copy = available(cloud, make_volume(snapshot_id=snapshot.id, size_gb=volume.size_gb).id)
    assert copy.image_id == image.id and copy.snapshot_id == snapshot.id and copy.is_bootable
    listed = {v.id: v for v in read_all_pages(cloud.block_storage.volume_pages())}
    assert listed[volume.id].image_id == listed[copy.id].image_id == image.id


def test_rename(cloud, make_volume):
    made = make_volume()
    cloud.block_storage.rename_volume(made.id, "another name")
    assert cloud.block_storage.get_volume(made.id).name == "another name"
    with pytest.raises(CloudNotFoundError):
        cloud.block_storage.rename_volume(NOBODY, "x")
    available(cloud, made.id)


def test_metadata_is_added_beside_what_is_there(cloud, make_volume):
    made = make_volume()
    before = dict(cloud.block_storage.get_volume(made.id).metadata)
    for _twice in range(2):
        cloud.block_storage.add_metadata(made.id, {"portal_volume": "1"})
    assert cloud.block_storage.get_volume(made.id).metadata == {**before, "portal_volume": "1"}
    with pytest.raises(CloudNotFoundError):
        cloud.block_storage.add_metadata(NOBODY, {"a": "b"})
    available(cloud, made.id)


def test_volume_types_are_the_sdks(cloud, sdk):
    ours = {(t.id, t.name, t.is_public) for t in cloud.block_storage.list_volume_types()}
    assert ours == {(t.id, t.name, t.is_public) for t in sdk.block_storage.types()}
    assert ours
