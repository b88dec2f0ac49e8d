"""Images made of servers, as only the simulator shows them, and what the wrapper makes of odd ones."""

import pytest

from openstack_client import CloudConflictError, CloudForbiddenError, Image, InvalidCloudRequestError, CloudNotFoundError
from tests.simulator.test_clients import create

from .test_server_actions import look, pass_time


def test_every_step_of_an_image(cloud, control, server_id):
    control("POST", "clock", {"action_seconds": 100})
    image_id = cloud.compute.create_image(server_id, name="x", metadata={"ours": "1"})
    for refused in (
        cloud.compute.stop_server,
        cloud.compute.pause_server,
        lambda i: cloud.compute.create_image(i, name="y", metadata={}),
    ):
        with pytest.raises(CloudConflictError, match="task_state image_snapshot_pending"):
            refused(server_id)
    seen = []
    for _ in range(3):
        seen.append((look(cloud, server_id)[1], cloud.image.get_image(image_id).status))
        with pytest.raises(InvalidCloudRequestError, match="is not active"):
            create(cloud, image_id=image_id)
        pass_time(control, 35)
    assert seen == [
        ("image_snapshot_pending", "queued"),
        ("image_snapshot", "queued"),
        ("image_uploading", "saving"),
    ]
    assert look(cloud, server_id) == ("ACTIVE", None)
    assert [i.id for i in cloud.image.find_images_by_property("ours", "1")] == [image_id]
    assert cloud.image.get_image(image_id).status == "active"
    assert control.actions()["createImage"] == {"accepted": 1, "refused": 1}


def test_image_of_a_server_that_goes_meanwhile(cloud, control, server_id):
    control("POST", "clock", {"action_seconds": 100})
    image_id = cloud.compute.create_image(server_id, name="x", metadata={})
    cloud.compute.delete_server(server_id)
    pass_time(control, 101)
    for gone in (
        lambda: cloud.compute.get_server(server_id),
        lambda: cloud.image.get_image(image_id),
    ):
        with pytest.raises(CloudNotFoundError):
            gone()


def test_image_that_goes_or_breaks_behind_the_back(cloud, control, server_id):
    image_id = cloud.compute.create_image(server_id, name="x", metadata={})
    control("PATCH", f"images/{image_id}", {"status": "killed"})
    with pytest.raises(InvalidCloudRequestError, match="is not active"):
        create(cloud, image_id=image_id)
    control("DELETE", f"images/{image_id}")
    with pytest.raises(InvalidCloudRequestError, match="Can not find requested image"):
        create(cloud, image_id=image_id)
    with pytest.raises(CloudNotFoundError):
        cloud.image.delete_image(image_id)


def test_protected_image(cloud, control, server_id):
    image_id = cloud.compute.create_image(server_id, name="x", metadata={})
    control("PATCH", f"images/{image_id}", {"protected": True})
    with pytest.raises(CloudForbiddenError, match="403"):
        cloud.image.delete_image(image_id)
    control("PATCH", f"images/{image_id}", {"protected": False, "os_hidden": True})
    assert image_id not in {i.id for i in cloud.image.list_images()}
    assert cloud.image.get_image(image_id).is_hidden
    cloud.image.delete_image(image_id)
    assert control.actions()["delete_image"] == {"accepted": 1, "refused": 1}


@pytest.mark.parametrize(
    "mapping", [None, 7, "", "not json", "{}", "[7, null]", '[{"snapshot_id": null}]', "[{}]"]
)
def test_image_survives_what_it_does_not_know(mapping):
    found = Image.from_json({"id": "x", "block_device_mapping": mapping, "count": 7, "odd": "yes"})
    assert found.snapshot_ids == () and not found.is_snapshot
    assert found.properties["odd"] == "yes" and "count" not in found.properties


def test_image_without_the_property_is_left_out_though_the_cloud_gave_it(cloud, monkeypatch):
    page = {"images": [{"id": "a", "ours": "1"}, {"id": "b", "ours": "2"}, {"id": "c"}]}
    pages = iter([page, {"images": []}])
    monkeypatch.setattr(cloud._transport, "request", lambda *_, **__: next(pages))
    assert [i.id for i in cloud.image.find_images_by_property("ours", "1")] == ["a"]
