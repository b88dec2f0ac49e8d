"""Invalid objects in listings: each is counted and named in the log, and all other objects are synced."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from django.utils import timezone

from cloudaccounts.models import CloudResource
from cloudaccounts.registry import Link, ListedResource
from cloudaccounts.sync.resource_writer import write_page
from cloudaccounts.sync.resources import sync_resource
from openstack_client import Volume
from tests.stories import select_evenly

from .faulty_cloud import faulty_cloud, rewrite_volume_pages
from .resource_checks import (
    OWNERS,
    REGION,
    check_rows,
    get_stored_objects,
    list_cloud_names,
    list_row_names,
    read_log_texts,
    save_columns,
)

NESTED = "the end"
for _depth in range(40):
    NESTED = {"deeper": [NESTED]}
INVALID_VALUES = [
    None,
    True,
    -(2**70),
    1.5e300,
    "",
    "a\x00b\ud800c\udfff \U0001f600",
    "n" * 65_536,
    "2024-99-99T99:99:99Z",
    [],
    [None, 1, "x", {}, ["y"]],
    {"": None, "\x00": "\ud800", "a": {"b": 1}},
    {f"key {number}": "v" * 1000 for number in range(100)},
    NESTED,
]
RAW = {
    "server": "servers",
    "image": "images",
    "network": "networks",
    "subnet": "subnets",
    "security_group": "security_groups",
    "router": "routers",
    "port": "ports",
    "floating_ip": "floating_ips",
    "snapshot": "snapshots",
    "volume": "volumes",
}
# Fields without which an object does not belong to the project, or is hidden, and so is rightly not listed.
DECIDING = {"id", "tenant_id", "os_hidden", *OWNERS, "visibility", "shared", "router:external"}


def list_fields(simulator, cloud, type_code):
    """Return the fields of an object of a type as the cloud lists it."""
    if type_code == "server":
        return SERVER_FIELDS
    return [
        name for name in next(iter(get_stored_objects(simulator, type_code).values())) if name not in DECIDING
    ]


SERVER_FIELDS = (
    *("name", "status", "flavor", "image", "addresses", "metadata", "tags", "key_name", "created", "updated"),
    *("security_groups", "fault", "OS-EXT-AZ:availability_zone", "OS-EXT-STS:task_state"),
    *("os-extended-volumes:volumes_attached", "OS-EXT-STS:vm_state", "OS-EXT-STS:power_state", "links"),
)


# Unreadable objects, and their descriptions in the log.
UNREADABLE = [
    ("a volume", "not a JSON object"),
    (None, "not a JSON object"),
    ({"name": "no id"}, '"no id": volume without an id'),
    ({"id": None, "name": "null"}, '"null": volume without an id'),
    ({"id": 7}, "without an id"),
    ({"id": {"a": 1}}, "without an id"),
]


@pytest.mark.parametrize(("invalid", "description"), UNREADABLE)
def test_objects_without_an_id_are_named_and_the_others_are_synced(
    simulator, cloud, synced_account, invalid, description
):
    with faulty_cloud(simulator) as proxy:
        save_columns(synced_account, {"auth_url": proxy.auth_url})
        lost, *_others = list_cloud_names(simulator, "volume")

        def change(page):
            page["volumes"] = [volume for volume in page["volumes"] if volume["id"] != lost]
            if page["volumes"]:
                page["volumes"].insert(0, invalid)
                page["volumes"][-1]["name"] = "new name"

        proxy.rewrite_answer = rewrite_volume_pages(change)
        for _ in range(3):
            log = sync_resource(synced_account.pk, "volume")
            assert (log.state, log.unreadable, log.missing, log.expired) == ("success", 1, 0, 0)
            assert description in log.message and description in read_log_texts(log), read_log_texts(log)
            assert "no resource counts as missing" in read_log_texts(log)
        assert synced_account.resources.filter(name="new name").exists()
        assert lost in list_row_names(type="volume"), "it may be the object without an id"


def test_unreadable_object_with_an_id_is_kept_and_missing_ones_expire(
    simulator, cloud, synced_account, monkeypatch
):
    unreadable, lost, *_others = list_cloud_names(simulator, "volume")
    real = Volume.from_json.__func__

    def from_json(cls, raw):
        if raw["id"] == unreadable:
            raise ArithmeticError("seven")
        return real(cls, raw)

    with faulty_cloud(simulator) as proxy:
        save_columns(synced_account, {"auth_url": proxy.auth_url})

        def change(page):
            page["volumes"] = [volume for volume in page["volumes"] if volume["id"] != lost]

        proxy.rewrite_answer = rewrite_volume_pages(change)
        monkeypatch.setattr(Volume, "from_json", classmethod(from_json))
        for _ in range(3):
            log = sync_resource(synced_account.pk, "volume")
            assert (log.state, log.unreadable) == ("success", 1)
            assert unreadable in log.message and "ArithmeticError" in log.message
    assert unreadable in list_row_names(type="volume") and lost not in list_row_names(type="volume")


def test_invalid_ids_are_named_and_the_others_are_synced(simulator, cloud, account):
    cloud.call(
        "POST", "seed", {"project": "demo", "raw": {"volumes": [{"id": invalid} for invalid in INVALID_IDS]}}
    )
    log = sync_resource(account.pk, "volume")
    assert (log.state, log.unreadable) == ("success", len(INVALID_IDS))
    assert list_row_names(type="volume") == {
        key: name for key, name in list_cloud_names(simulator, "volume").items() if key not in INVALID_IDS
    }
    assert "../../etc/passwd" in read_log_texts(log)


@pytest.mark.django_db
def test_only_the_objects_that_the_database_or_python_refuses_are_left_out(account):
    page = [ListedResource(f"volume-{number}", "name") for number in range(20)]
    page[3] = replace(page[3], links=(Link("t" * 300, "x"),))
    page[7] = replace(page[7], attributes={"x": object()})
    page[8] = replace(page[8], attributes={"x": 10**5000})
    target = (account.pk, REGION, "volume")

    written, refused = write_page(target, page, timezone.now())

    assert (written.created, [one.cloud_id for one in refused]) == (17, ["volume-3", "volume-7", "volume-8"])
    assert all(one.reason for one in refused)
    assert set(list_row_names()) == {one.cloud_id for one in page} - {one.cloud_id for one in refused}


INVALID_IDS = ["x" * 300, "../../etc/passwd", "a\x00b\ud800", "ü" * 255, "%00"]


def test_invalid_value_in_any_field_affects_no_other_object(simulator, cloud, account):
    cloud.call("POST", "seed", {"project": "demo", "volumes": 1, **dict.fromkeys(RAW.values(), 2)})
    for type_code, kind in RAW.items():
        valid = list_cloud_names(simulator, type_code)
        raw = [
            {field: value}
            for field in list_fields(simulator, cloud, type_code)
            for value in select_evenly(INVALID_VALUES, 7)
        ]
        if type_code == "volume":
            raw.append({"metadata": {f"key {number}": "v" * 1000 for number in range(1000)}})
        cloud.call("POST", "seed", {"project": "demo", "raw": {kind: raw}})

        log = sync_resource(account.pk, type_code)

        assert (log.state, log.message) == ("success", ""), read_log_texts(log)
        assert log.created == len(valid) + len(raw), type_code
        found = list_row_names(type=type_code)
        assert {key: found[key] for key in valid} == valid
        again = sync_resource(account.pk, type_code)
        assert (again.state, again.updated, again.unchanged) == ("success", 0, len(found)), (
            "the second sync changes rows"
        )
    kept = CloudResource.objects.all()
    assert max(len(json.dumps(resource.attributes)) for resource in kept) <= 70_000
    large = kept.filter(type="volume", attributes__left_out=["metadata"])
    assert {one.attributes["size_gb"] for one in large} == {10}, "attributes that fit are missing, too"
    assert kept.filter(type="volume", status="n" * 50).exists(), "an unknown status is not shown unchanged"
    check_rows()
