"""The control API: missing services, seeding of every kind, raw objects, faults in listings, and changes of resources."""

import pytest

from openstack_client import Cloud, CloudNotFoundError, CloudServiceMissingError, CloudUnavailableError
from tests.listings import read_all_pages

LISTINGS = {
    "volumes": lambda c: c.block_storage.volume_pages,
    "snapshots": lambda c: c.block_storage.snapshot_pages,
    "images": lambda c: c.image.image_pages,
    "networks": lambda c: c.network.network_pages,
    "subnets": lambda c: c.network.subnet_pages,
    "ports": lambda c: c.network.port_pages,
    "routers": lambda c: c.network.router_pages,
    "security_groups": lambda c: c.network.security_group_pages,
    "floating_ips": lambda c: c.network.floating_ip_pages,
}


def records(cloud, kind, **more):
    return {one.id: one for page in LISTINGS[kind](cloud)(**more) for one in page}


def test_region_without_a_service(credentials, control):
    control("POST", "reset", {"regions": ["RegionOne", "RegionTwo"]})
    all_services = ["block-storage", "compute", "identity", "image", "network"]
    with Cloud(credentials) as cloud:
        assert cloud.list_services() == {"RegionOne": all_services, "RegionTwo": all_services}
    assert control("POST", "services", {"region": "RegionTwo", "without": ["volumev3", "image"]}) == {
        "region": "RegionTwo",
        "without": ["block-storage", "image"],
    }
    with Cloud(credentials, region="RegionTwo") as cloud:
        assert cloud.list_services() == {
            "RegionOne": all_services,
            "RegionTwo": ["compute", "identity", "network"],
        }
        assert cloud.list_regions() == ["RegionOne", "RegionTwo"]
        cloud.check()
        for call in (
            cloud.block_storage.list_volume_types,
            cloud.block_storage.list_quotas,
            cloud.image.list_images,
        ):
            with pytest.raises(CloudServiceMissingError, match="in region RegionTwo"):
                call()
        assert read_all_pages(cloud.network.network_pages())
    with Cloud(credentials, region="RegionOne") as cloud:
        assert cloud.image.list_images()
    control("POST", "services", {"region": "RegionTwo", "without": []})
    with Cloud(credentials, region="RegionTwo") as cloud:
        assert cloud.image.list_images()


def test_service_removed_from_the_catalog_is_missing_with_the_next_token(credentials, control):
    control("POST", "reset", {"regions": ["RegionOne", "RegionTwo"]})
    with Cloud(credentials, region="RegionTwo") as cloud:
        cloud.block_storage.list_volume_types()
        control("POST", "services", {"region": "RegionTwo", "without": ["block-storage"]})
        cloud.block_storage.list_volume_types()
        control("DELETE", "tokens")
        cloud.compute.check()
        with pytest.raises(CloudServiceMissingError):
            cloud.block_storage.list_volume_types()
        assert "block-storage" not in cloud.list_services()["RegionTwo"]
    control("POST", "reset", {"regions": ["RegionOne", "RegionTwo"]})
    with Cloud(credentials, region="RegionTwo") as cloud:
        cloud.block_storage.list_volume_types()


@pytest.mark.parametrize("kind", LISTINGS)
def test_seeds_of_every_kind(cloud, control, kind):
    before = set(records(cloud, kind))
    made = control("POST", "seed", {"project": "demo", kind: 5})[kind]
    assert len(set(made)) == 5
    assert set(records(cloud, kind, page_size=2)) - before == set(made)
    assert records(cloud, kind, page_size=3) == records(cloud, kind)


@pytest.mark.story
def test_thousands_are_seeded_and_listed(cloud, control):
    with Cloud(cloud.credentials, read_timeout=30) as patient:
        answer = control.session.post(
            f"{control.server.url}/_control/seed",
            json={"project": "demo", **dict.fromkeys(LISTINGS, 3000), "servers": 3000, "keypairs": 3000},
            timeout=60,
        )
        assert all(len(ids) == 3000 for ids in answer.json().values())
        for kind in LISTINGS:
            assert len(records(patient, kind)) >= 3000
        assert len(patient.compute.list_keypairs()) == 3000


ODD = {
    "volumes": {"name": "x" * 65536, "status": "on-fire", "size": "big", "attachments": [7, {"server_id": 1}],
                "metadata": {"a": {"b": [1]}, "c": "d"}, "created_at": 5},
    "images": {"name": None, "status": "melting", "tags": "none", "min_disk": -1, "os_distro": {"a": 1}},
    "networks": {"name": 7, "status": None, "subnets": [None, "s", {}], "router:external": "maybe"},
    "subnets": {"cidr": "not a range", "gateway_ip": 1, "ip_version": "six"},
    "ports": {"fixed_ips": [{"ip_address": "not-an-ip"}, 3, {"subnet_id": 4, "ip_address": 5}], "mac_address": None,
              "device_owner": "x" * 300, "security_groups": {"a": 1}, "status": "Weird"},
    "routers": {"external_gateway_info": [1], "admin_state_up": "perhaps", "name": ""},
    "security_groups": {"security_group_rules": "many", "description": None},
    "floating_ips": {"floating_ip_address": None, "port_id": 9, "router_id": [], "description": 3},
    "snapshots": {"volume_id": None, "size": [], "metadata": "x"},
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTINGS)
def test_raw_objects_are_listed(cloud, control, kind):
    wanted_id = "11111111-1111-4111-8111-111111111111"
    made = control("POST", "seed", {"project": "demo", "raw": {kind: [{**ODD[kind], "id": wanted_id}, {}]}})[
        kind
    ]
    assert made[0] == wanted_id and len(made) == 2
    found = records(cloud, kind)
    assert set(made) <= set(found)
    odd = found[wanted_id]
    # Every field is of the kind that the record promises, whatever the cloud said.
    assert (
        hash(odd)
        if kind not in {"volumes", "snapshots", "images"}
        else odd == records(cloud, kind)[wanted_id]
    )
    if kind == "volumes":
        assert (len(odd.name), odd.status, odd.size_gb, odd.server_ids) == (255, "on-fire", 0, ())
        assert odd.metadata == {"c": "d"} and odd.created_at is None
    elif kind == "ports":
        assert odd.fixed_ips == () and odd.status == "WEIRD"
    elif kind == "networks":
        assert (odd.name, odd.status, odd.is_external) == ("", "UNKNOWN", False)
    # The simulator itself goes on.
    cloud.block_storage.list_quotas()
    cloud.network.list_quotas()
    control("GET", "objects")
    control("DELETE", f"{kind}/{wanted_id}")
    assert wanted_id not in records(cloud, kind)


def test_raw_server(cloud, control):
    odd = {
        "security_groups": [{"name": "b"}, {"name": "a"}, {"name": "b"}, 5, {"name": 6}],
        "key_name": ["k"],
    }
    odd |= {
        "tags": [{}, "t"],
        "metadata": {"a": [1], "b": "c"},
        "os-extended-volumes:volumes_attached": [{"id": 3}],
    }
    server_id = control("POST", "seed", {"project": "demo", "raw": {"servers": [odd]}})["servers"][0]
    found = cloud.compute.get_server(server_id)
    assert (found.security_groups, found.key_name, found.tags) == (("a", "b"), None, ("t",))
    assert found.metadata == {"b": "c"} and found.volume_ids == ()
    control("PATCH", f"servers/{server_id}", {"raw": {"flavor": 5, "security_groups": "x"}})
    assert cloud.compute.get_server(server_id).security_groups == ()


def test_fault_repeat(cloud, control):
    control("POST", "seed", {"project": "demo", "ports": 4})
    control("POST", "faults", [{"kind": "repeat", "path": "/ports", "method": "GET", "times": 1}])
    pages = [[port.id for port in page] for page in cloud.network.port_pages(page_size=2)]
    assert [len(page) for page in pages] == [2, 2]
    assert len({one for page in pages for one in page}) == 4


def test_fault_cut(cloud, control):
    control("POST", "seed", {"project": "demo", "volumes": 4})
    control("POST", "faults", [{"kind": "cut", "path": "volumes/detail", "times": 1}])
    # Read once more, as whenever a connection broke.
    assert len(records(cloud, "volumes")) == 5
    control("POST", "faults", [{"kind": "cut", "path": "volumes/detail"}])
    with pytest.raises(CloudUnavailableError, match="broke off"):
        records(cloud, "volumes")


@pytest.mark.parametrize("kind", LISTINGS)
def test_changes_of_every_kind_by_the_control_api(cloud, control, kind):
    thing_id = control("POST", "seed", {"project": "demo", kind: 1})[kind][0]
    name = "description" if kind == "floating_ips" else "name"
    control("PATCH", f"{kind}/{thing_id}", {name: "another"})
    assert getattr(records(cloud, kind)[thing_id], name) == "another"
    control("PATCH", f"{kind}/{thing_id}", {"raw": {name: 7}})
    assert getattr(records(cloud, kind)[thing_id], name) == ""
    control("PATCH", f"{kind}/{thing_id}", {name: "again"})
    assert getattr(records(cloud, kind)[thing_id], name) == "again"
    control("DELETE", f"{kind}/{thing_id}")
    assert thing_id not in records(cloud, kind)


def test_dependent_resources_are_deleted(cloud, control, server_id):
    (port,) = [p for p in records(cloud, "ports").values() if p.device_id == server_id]
    control("DELETE", f"ports/{port.id}")
    assert cloud.compute.get_server(server_id).addresses == ()
    control("POST", "seed", {"project": "demo", "ports": 1, "keypairs": 1})
    control("DELETE", f"networks/{port.network_id}")
    assert port.network_id not in records(cloud, "networks")
    assert records(cloud, "subnets") == {} and records(cloud, "ports") == {}
    (pair,) = cloud.compute.list_keypairs()
    control("DELETE", f"keypairs/{pair.name}")
    assert cloud.compute.list_keypairs() == []
    cloud.compute.delete_server(server_id)
    with pytest.raises(CloudNotFoundError):
        cloud.compute.get_server(server_id)
