"""Actions on servers with failures and states that only the simulator can produce on request."""

import pytest

from openstack_client import (
    CloudConflictError,
    CloudNotFoundError,
    CloudQuotaExceededError,
    CloudUnavailableError,
    InvalidCloudRequestError,
    ServerNetwork,
    VolumeAttachment,
    Zone,
)
from tests.listings import read_all_pages
from tests.simulator.test_clients import create


def flavor(cloud, name):
    return next(f for f in cloud.compute.list_flavors() if f.name == name)


@pytest.fixture
def volume_id(control):
    return control("POST", "seed", {"project": "demo", "volumes": 1, "size": 1})["volumes"][0]


def look(cloud, server_id):
    server = cloud.compute.get_server(server_id)
    return server.status, server.task_state


def pass_time(control, seconds):
    control("POST", "clock", {"advance_seconds": seconds})


def test_states_of_a_shelve(cloud, control, server_id):
    control("POST", "clock", {"action_seconds": 100})
    cloud.compute.shelve_server(server_id)
    seen = [look(cloud, server_id)]
    for _ in range(3):
        pass_time(control, 35)
        seen.append(look(cloud, server_id))
    assert seen == [
        ("ACTIVE", "shelving"),
        ("ACTIVE", "shelving_image_uploading"),
        ("SHELVED", "shelving_offloading"),
        ("SHELVED_OFFLOADED", None),
    ]
    with pytest.raises(CloudConflictError, match="not ready"):
        cloud.compute.create_console_url(server_id)
    cloud.compute.unshelve_server(server_id)
    assert look(cloud, server_id) == ("SHELVED_OFFLOADED", "unshelving")
    pass_time(control, 101)
    assert look(cloud, server_id) == ("ACTIVE", None)


def test_states_of_a_resize(cloud, control, server_id):
    control("POST", "clock", {"action_seconds": 100})
    larger = flavor(cloud, "2c-4g-40g")
    cloud.compute.resize_server(server_id, larger.id)
    seen = []
    for _ in range(5):
        server = cloud.compute.get_server(server_id)
        seen.append((server.status, server.task_state, server.vcpus))
        pass_time(control, 24)
    assert seen == [
        ("RESIZE", "resize_prep", 1),
        ("RESIZE", "resize_prep", 1),
        ("RESIZE", "resize_migrating", 1),
        ("RESIZE", "resize_migrated", 1),
        ("RESIZE", "resize_finish", 2),
    ]
    assert look(cloud, server_id) == ("VERIFY_RESIZE", None)
    cloud.compute.confirm_resize(server_id)
    assert look(cloud, server_id) == ("VERIFY_RESIZE", None)
    with pytest.raises(CloudConflictError, match="has not been resized") as caught:
        cloud.compute.confirm_resize(server_id)
    assert caught.value.status_code == 400
    assert control.actions()["confirmResize"] == {"accepted": 1, "refused": 1}
    pass_time(control, 101)
    assert look(cloud, server_id) == ("ACTIVE", None)


@pytest.mark.parametrize(("ends", "status"), [("ERROR", "ERROR"), ("as before", "ACTIVE")])
def test_resize_that_fails(cloud, control, server_id, ends, status):
    larger = flavor(cloud, "2c-4g-40g")
    control("POST", "failing_resizes", {"ends": ends, "fault": "No valid host was found."})
    cloud.compute.resize_server(server_id, larger.id)
    server = cloud.compute.get_server(server_id)
    assert (server.status, server.task_state, server.vcpus) == (status, None, 1)
    assert server.fault == ("No valid host was found." if ends == "ERROR" else None)
    failed = cloud.compute.list_server_actions(server_id)[0]
    assert (failed.action, failed.message) == ("resize", "Error")
    if ends != "ERROR":
        cloud.compute.resize_server(server_id, larger.id)
        assert look(cloud, server_id) == ("VERIFY_RESIZE", None)


def test_unshelving_without_the_image(cloud, control, server_id):
    cloud.compute.shelve_server(server_id)
    (kept,) = [i for i in cloud.image.list_images() if i.instance_id == server_id]
    cloud.image.delete_image(kept.id)
    cloud.compute.unshelve_server(server_id)
    server = cloud.compute.get_server(server_id)
    assert (server.status, server.task_state) == ("ERROR", "unshelving")
    assert server.fault == f"Unshelve attempted but the image {kept.id} cannot be found."


def test_volume_booted_server_needs_no_image_to_be_shelved(cloud):
    base = next(v for v in read_all_pages(cloud.block_storage.volume_pages()) if v.is_bootable)
    made = create(cloud, image_id=None, boot_volume_id=base.id)
    images = len(cloud.image.list_images())
    cloud.compute.shelve_server(made.id)
    assert look(cloud, made.id) == ("SHELVED_OFFLOADED", None)
    assert cloud.block_storage.get_volume(base.id).status == "reserved"
    assert len(cloud.image.list_images()) == images
    cloud.compute.unshelve_server(made.id)
    assert look(cloud, made.id) == ("ACTIVE", None)
    assert cloud.block_storage.get_volume(base.id).status == "in-use"


def test_quota_of_servers(cloud, control, server_id):
    small, larger = flavor(cloud, "1c-1g-10g"), flavor(cloud, "2c-4g-40g")
    for limit, words in (
        ({"instances": 1}, "instances: Requested 1, but already used 1 of 1 instances"),
        ({"cores": 1}, "cores: Requested 1, but already used 1 of 1 cores"),
        ({"ram": 1500}, "ram: Requested 1024, but already used 1024 of 1500 ram"),
    ):
        control("POST", "quotas", {"instances": -1, "cores": -1, "ram": -1, **limit})
        with pytest.raises(CloudQuotaExceededError, match=words):
            create(cloud, flavor_id=small.id)
    for limit, words in (
        ({"cores": 1}, "cores: Requested 1, but already used 1 of 1 cores"),
        ({"ram": 1500}, "ram: Requested 3072, but already used 1024 of 1500 ram"),
    ):
        control("POST", "quotas", {"instances": -1, "cores": -1, "ram": -1, **limit})
        with pytest.raises(CloudQuotaExceededError, match=words):
            cloud.compute.resize_server(server_id, larger.id)
    # One server more or less is not what a resize asks for.
    control("POST", "quotas", {"instances": 0, "cores": -1, "ram": -1})
    cloud.compute.resize_server(server_id, larger.id)
    assert control.actions()["resize"] == {"accepted": 1, "refused": 2}


def test_quota_of_metadata(cloud, control, server_id):
    control("POST", "quotas", {"metadata_items": 1})
    for refused in (
        lambda: cloud.compute.replace_metadata(server_id, {"a": "1", "b": "2"}),
        lambda: cloud.compute.create_image(server_id, name="x", metadata={"a": "1", "b": "2"}),
        lambda: create(cloud, metadata={"a": "1", "b": "2"}),
    ):
        with pytest.raises(CloudQuotaExceededError, match="Maximum number of metadata items exceeds 1"):
            refused()


def test_quota_of_volumes(cloud, control):
    # The standard content is a volume and a snapshot of 10 GB each, and both count.
    control("POST", "quotas", {"gigabytes": 21})
    with pytest.raises(CloudQuotaExceededError, match="Requested 2G, quota is 21G and 20G has been consumed"):
        cloud.block_storage.create_volume(name="x", size_gb=2)
    cloud.block_storage.create_volume(name="x", size_gb=1)
    control("POST", "quotas", {"volumes": 2, "gigabytes": -1})
    with pytest.raises(CloudQuotaExceededError, match=r"Maximum number of volumes allowed \(2\) exceeded"):
        cloud.block_storage.create_volume(name="x", size_gb=1)


def test_network_that_runs_out_of_addresses(cloud, control, sdk_network):
    network_id = sdk_network("192.168.9.0/29", first="192.168.9.2", last="192.168.9.3")
    made = [create(cloud, networks=[ServerNetwork(network_id)]) for _ in range(3)]
    assert [cloud.compute.get_server(s.id).status for s in made] == ["ACTIVE", "ACTIVE", "ERROR"]
    assert "No fixed IP addresses available" in cloud.compute.get_server(made[2].id).fault
    cloud.compute.delete_server(made[0].id)
    again = create(cloud, networks=[ServerNetwork(network_id)])
    assert cloud.compute.get_server(again.id).addresses[0].ip == "192.168.9.2"
    assert "192.168.9.0/29" in {s.cidr for s in read_all_pages(cloud.network.subnet_pages())}


@pytest.fixture
def sdk_network(cloud):
    """Makes a network with a subnet of that pool, as a user would."""

    def make(cidr, *, first, last):
        def post(path, kind, **wanted):
            body = cloud._transport.request("network", "POST", path, doing="make it", json={kind: wanted})
            return body[kind]["id"]

        network_id = post("/networks", "network", name="small")
        pools = [{"start": first, "end": last}]
        post("/subnets", "subnet", network_id=network_id, cidr=cidr, ip_version=4, allocation_pools=pools)
        return network_id

    return make


def test_zones(cloud, control):
    control("POST", "reset", {"zones": ["north", "south"]})
    control("POST", "clock", {"build_seconds": 0})
    assert cloud.compute.list_zones() == [Zone("north", True), Zone("south", True)]
    made = create(cloud, availability_zone="south")
    assert cloud.compute.get_server(made.id).availability_zone == "south"
    control("POST", "zones", {"zones": {"north": True, "south": False}})
    assert cloud.compute.list_zones() == [Zone("north", True), Zone("south", False)]
    for zone in ("south", "nova"):
        with pytest.raises(InvalidCloudRequestError, match="availability zone is not available"):
            create(cloud, availability_zone=zone)


def test_detachment_continues_during_other_actions(cloud, control, server_id, volume_id):
    compute = cloud.compute
    assert compute.attach_volume(server_id, volume_id) == "/dev/vdb"
    control("POST", "clock", {"action_seconds": 100})
    compute.detach_volume(server_id, volume_id)
    with pytest.raises(CloudConflictError, match="must be 'in-use'"):
        compute.detach_volume(server_id, volume_id)
    pass_time(control, 50)
    compute.stop_server(server_id)
    assert compute.list_volume_attachments(server_id) == [VolumeAttachment(volume_id, "/dev/vdb")]
    with pytest.raises(CloudConflictError, match="task_state powering-off"):
        compute.attach_volume(server_id, volume_id)
    pass_time(control, 51)
    assert cloud.block_storage.get_volume(volume_id).status == "available"
    assert look(cloud, server_id) == ("ACTIVE", "powering-off")
    pass_time(control, 51)
    assert look(cloud, server_id) == ("SHUTOFF", None)
    assert control.actions()["detach_volume"] == {"accepted": 1, "refused": 1}


def test_volumes_with_delete_on_termination_are_deleted(cloud, control, server_id):
    taken, kept = control("POST", "seed", {"project": "demo", "volumes": 2})["volumes"]
    path = f"/servers/{server_id}/os-volume_attachments"
    for volume_id, goes in ((taken, True), (kept, False)):
        wanted = {"volumeAttachment": {"volumeId": volume_id, "delete_on_termination": goes}}
        cloud._transport.request("compute", "POST", path, doing="attach", json=wanted, microversion="2.79")
    cloud.compute.delete_server(server_id)
    with pytest.raises(CloudNotFoundError):
        cloud.block_storage.get_volume(taken)
    assert cloud.block_storage.get_volume(kept).status == "available"


def test_boot_volume_of_a_failed_build_stays_reserved_until_the_deletion(cloud, control):
    base = next(v for v in read_all_pages(cloud.block_storage.volume_pages()) if v.is_bootable)
    control("POST", "failing_builds")
    made = create(cloud, image_id=None, boot_volume_id=base.id)
    assert look(cloud, made.id) == ("ERROR", None)
    assert cloud.block_storage.get_volume(base.id).status == "reserved"
    for refused in (
        cloud.compute.start_server,
        cloud.compute.stop_server,
        cloud.compute.create_console_url,
        lambda i: cloud.compute.reboot_server(i, hard=True),
    ):
        with pytest.raises(CloudConflictError, match="not ready"):
            refused(made.id)
    cloud.compute.delete_server(made.id)
    assert cloud.block_storage.get_volume(base.id).status == "available"


def test_console(cloud, server_id):
    lines = cloud.compute.get_console_output(server_id, 1000).split("\n")
    assert len(lines) == 30 and "seeded-00000" in lines[-1]
    assert cloud.compute.get_console_output(server_id, 4).split("\n") == lines[-4:]
    assert cloud.compute.create_console_url(server_id) != cloud.compute.create_console_url(server_id)


def test_limits_of_tags(cloud, control):
    def request(tags):
        (flavor, *_), (image, *_) = cloud.compute.list_flavors(), cloud.image.list_images()
        wanted = {"name": "x", "flavorRef": flavor.id, "imageRef": image.id, "networks": "none", "tags": tags}
        return cloud._transport.request(
            "compute", "POST", "/servers", doing="try", json={"server": wanted}, microversion="2.69"
        )

    made = request([str(number) for number in range(50)])["server"]["id"]
    for tags in ([str(number) for number in range(51)], ["x" * 61], ["a,b"], ["a/b"], [""], [7], "x"):
        with pytest.raises(InvalidCloudRequestError) as caught:
            request(tags)
        assert caught.value.status_code == 400
    assert len(cloud.compute.get_server(made).tags) == 50


def test_arguments_are_checked_before_anything_is_sent(cloud, control):
    control("DELETE", "requests")
    compute, storage, image = cloud.compute, cloud.block_storage, cloud.image
    for call in (
        lambda: compute.pause_server("a/b"),
        lambda: compute.resize_server("a", ""),
        lambda: compute.rename_server("a", " "),
        lambda: compute.replace_metadata("a", {"": "x"}),
        lambda: compute.create_image("a", name="", metadata={}),
        lambda: compute.create_image("a", name="x", metadata={"a": 1}),
        lambda: compute.create_image("a", name="x", metadata={"image_type": "snapshot"}),
        lambda: compute.create_image("a", name="x", metadata={"name": "y"}),
        lambda: compute.get_console_output("a", 0),
        lambda: compute.get_console_output("a", True),
        lambda: compute.create_console_url("a/b"),
        lambda: compute.attach_volume("a", ".."),
        lambda: compute.detach_volume("a", "b/c"),
        lambda: storage.delete_snapshot(""),
        lambda: storage.get_snapshot("a/b"),
        lambda: storage.rename_volume("a", ""),
        lambda: list(storage.snapshot_pages(page_size=0)),
        lambda: image.get_image("../x"),
        lambda: image.delete_image(""),
        lambda: image.find_images_by_property("limit", "1"),
        lambda: image.find_images_by_property("status", "active"),
        lambda: image.find_images_by_property("a&b", "c"),
        lambda: image.find_images_by_property("a", ""),
    ):
        with pytest.raises(InvalidCloudRequestError) as caught:
            call()
        assert caught.value.status_code is None
    assert control("GET", "requests")["requests"] == []


@pytest.mark.parametrize("record", [VolumeAttachment, Zone])
def test_malformed_record_is_an_error_of_the_cloud(record):
    for malformed_answer in ({}, None, [], {"volumeId": 7, "zoneName": ""}):
        with pytest.raises(CloudUnavailableError):
            record.from_json(malformed_answer)
