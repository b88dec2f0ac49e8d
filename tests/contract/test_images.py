"""Images made of servers, and servers made of images."""

import pytest

from openstack_client import (
    CloudConflictError,
    CloudForbiddenError,
    CloudNotFoundError,
    InvalidCloudRequestError,
)

from .conftest import is_gone, wait_for, wait_server_status, wait_volume_status

NOBODY = "11111111-1111-4111-8111-111111111111"


def test_image_of_a_server(cloud, make_server, made_images, server_resources, tag):
    source = make_server()
    wait_server_status(cloud, source.id, "ACTIVE")
    image_id = cloud.compute.create_image(source.id, name=tag, metadata={"contract": tag, "other": "x"})
    made_images.append(image_id)
    first = cloud.image.get_image(image_id)
    assert first.name == tag and first.status in {"queued", "saving", "active"}
    assert [i.id for i in cloud.image.find_images_by_property("contract", tag)] == [image_id]
    assert cloud.image.find_images_by_property("contract", "nothing") == []
    image = wait_for(lambda: cloud.image.get_image(image_id), lambda i: i.status == "active", "active")
    assert image.properties.items() >= {"contract": tag, "other": "x", "image_type": "snapshot"}.items()
    assert "name" not in image.properties and "id" not in image.properties
    assert image.is_snapshot and image.instance_id == source.id and image.snapshot_ids == ()
    assert image.min_disk_gb == server_resources[0].disk_gb and image.size_bytes > 0
    assert not image.is_hidden
    assert image.visibility == "private"
    wait_server_status(cloud, source.id, "ACTIVE")
    assert cloud.compute.list_server_actions(source.id)[0].action == "createImage"

    server = make_server(image_id=image_id)
    assert wait_server_status(cloud, server.id, "ACTIVE").image_id == image_id
    cloud.image.delete_image(image_id)
    assert is_gone(lambda: cloud.image.get_image(image_id))
    assert is_gone(lambda: cloud.image.delete_image(image_id))
    with pytest.raises(InvalidCloudRequestError, match="Can not find requested image"):
        make_server(image_id=image_id)


def test_image_of_a_server_that_boots_from_a_volume(
    cloud, make_server, make_volume, made_images, server_resources, tag
):
    flavor, source_image, _ = server_resources
    size = max(1, source_image.min_disk_gb, flavor.disk_gb)
    volume = make_volume(image_id=source_image.id, size_gb=size)
    wait_volume_status(cloud, volume.id, "available")
    source = make_server(image_id=None, boot_volume_id=volume.id)
    wait_server_status(cloud, source.id, "ACTIVE")
    image_id = cloud.compute.create_image(source.id, name=tag, metadata={"contract": tag})
    made_images.append(image_id)
    image = cloud.image.get_image(image_id)
    assert image.status == "active" and image.size_bytes == 0
    assert image.is_snapshot and image.instance_id is None and len(image.snapshot_ids) == 1
    assert image.properties["contract"] == tag and image.min_disk_gb == flavor.disk_gb
    snapshot = wait_for(
        lambda: cloud.block_storage.get_snapshot(image.snapshot_ids[0]),
        lambda s: s.status == "available",
        "the snapshot",
    )
    assert (snapshot.volume_id, snapshot.size_gb) == (volume.id, size)
    assert snapshot.name == f"snapshot for {tag}"
    assert cloud.compute.get_server(source.id).task_state is None
    cloud.compute.delete_server(source.id)
    wait_volume_status(cloud, volume.id, "available")
    with pytest.raises(CloudConflictError, match="snapshots"):
        cloud.block_storage.delete_volume(volume.id)

    server = make_server(image_id=image_id)
    server = wait_server_status(cloud, server.id, "ACTIVE")
    # A volume of its own, which carries nothing of ours, and which stays.
    assert server.image_id == image_id and len(server.volume_ids) == 1
    root = cloud.block_storage.get_volume(server.volume_ids[0])
    assert (root.name, root.metadata, root.snapshot_id) == ("", {}, snapshot.id)
    cloud.compute.delete_server(server.id)
    wait_volume_status(cloud, root.id, "available")
    cloud.block_storage.delete_volume(root.id)
    wait_for(lambda: is_gone(lambda: cloud.block_storage.get_volume(root.id)), bool, "the removal")
    cloud.image.delete_image(image_id)
    # Glance knows nothing of Cinder's snapshots.
    assert cloud.block_storage.get_snapshot(snapshot.id).status == "available"
    cloud.block_storage.delete_snapshot(snapshot.id)
    with pytest.raises((CloudConflictError, CloudNotFoundError)):
        cloud.block_storage.delete_snapshot(snapshot.id)
    wait_for(lambda: is_gone(lambda: cloud.block_storage.get_snapshot(snapshot.id)), bool, "the removal")


def test_images_that_cannot_be_booted(cloud, sdk, make_server, made_images, server_resources, tag):
    def image(**more):
        found = sdk.image.create_image(
            tag,
            data=b"x" * 100,
            disk_format="raw",
            container_format="bare",
            visibility="private",
            validate_checksum=False,
            **more,
        )
        made_images.append(found.id)
        return found.id

    queued = sdk.image.create_image(tag, disk_format="raw", container_format="bare", allow_duplicates=True)
    made_images.append(queued.id)
    assert cloud.image.get_image(queued.id).status == "queued"
    flavor = server_resources[0]
    for image_id, words in (
        (queued.id, f"Image {queued.id} is not active"),
        (image(min_disk=flavor.disk_gb + 1, allow_duplicates=True), "Flavor's disk is smaller"),
        (image(min_ram=flavor.memory_mb + 1, allow_duplicates=True), "Flavor's memory is too small"),
    ):
        with pytest.raises(InvalidCloudRequestError, match=words) as caught:
            make_server(image_id=image_id)
        assert caught.value.status_code == 400


def test_removal_of_what_is_not_ours(cloud, server_resources):
    with pytest.raises(CloudForbiddenError) as caught:
        cloud.image.delete_image(server_resources[1].id)
    assert caught.value.status_code == 403
    for image_id in (NOBODY, "no-such-image"):
        with pytest.raises(CloudNotFoundError):
            cloud.image.get_image(image_id)
        with pytest.raises(CloudNotFoundError):
            cloud.image.delete_image(image_id)


def test_bad_metadata_of_an_image(cloud, make_server):
    made = make_server()
    wait_server_status(cloud, made.id, "ACTIVE")
    with pytest.raises(InvalidCloudRequestError) as caught:
        cloud.compute.create_image(made.id, name="x", metadata={"no/slash": "x"})
    assert caught.value.status_code == 400
