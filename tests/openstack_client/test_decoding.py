"""Whatever an answer holds, what comes out of it is fit for a database, and the rest of it is read."""

import json
import random

import pytest

from openstack_client import CloudUnavailableError, Server, Unreadable, UnreadableRecordError
from openstack_client.decoding import MAX_DEPTH, clean_text, clean_value, decode_json
from openstack_client.paging import read_records
from openstack_client.records import (
    Flavor,
    FloatingIp,
    Image,
    Keypair,
    Network,
    Port,
    Router,
    SecurityGroup,
    Snapshot,
    Subnet,
    Volume,
    VolumeType,
    Zone,
)
from openstack_client.records.compute import ServerAction, ServerReading, VolumeAttachment
from openstack_client.records.quota import quotas_from_json

GOOD_ID = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (rb'{"a": "x\u0000y"}', {"a": "xy"}),
        (rb'{"a": "x\ud800y"}', {"a": "x?y"}),
        (rb'{"a": "x\uDFFFy"}', {"a": "x?y"}),
        (rb'{"a": "\ud83d\ude00"}', {"a": "\U0001f600"}),
        (rb'{"a": "\u001b[31mred\u009b0m"}', {"a": "[31mred0m"}),
        (rb'{"a\u0000": 1}', {"a": 1}),
        (b'{"a": "x\x00y\x1bz"}', {"a": "xyz"}),
        (b'{"a": "x\x7fy\xc2\x9bz"}', {"a": "xyz"}),
        (b'{"a": "line\\n\\ttab"}', {"a": "line\n\ttab"}),
        (b'{"a": "\xed\xa0\x80"}', {"a": "\ufffd\ufffd\ufffd"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": NaN, "b": [-Infinity, 1]}', {"a": None, "b": [None, 1]}),
        (b'{"a": 1e999, "b": 2}', {"a": None, "b": 2}),
        (b'{"a": ' + b"9" * 5000 + b', "b": 2}', {"a": None, "b": 2}),
        (rb'{"a": "\\u0000 as it is"}', {"a": "\\u0000 as it is"}),
        (rb'{"id": "a\u0000b"}', {"id": "a\ufffdb"}),
    ],
)
def test_what_a_database_would_refuse_is_taken_out(raw, value):
    assert decode_json(raw) == value


def test_one_object_that_is_nested_without_end_keeps_nobody_from_reading_the_others():
    deep = b"[" * 100_000 + b"]" * 100_000
    found = decode_json(b'{"servers": [{"id": "a", "x": ' + deep + b'}, {"id": "b", "s": "]}{["}]}')
    assert [one["id"] for one in found["servers"]] == ["a", "b"]
    assert found["servers"][1]["s"] == "]}{["
    depth, inner = 0, found["servers"][0]["x"]
    while inner:
        depth, inner = depth + 1, inner[0]
    assert depth < MAX_DEPTH
    with pytest.raises(RecursionError):
        decode_json(b"[" * 100_000)


@pytest.mark.parametrize("raw", [b"", b"<html>", b'{"a": ', b"{'a': 1}"])
def test_what_is_no_json_is_none(raw):
    with pytest.raises(ValueError):
        decode_json(raw)


def test_an_answer_with_nothing_odd_is_not_walked_through(monkeypatch):
    def walked(_value, _depth=0):
        raise AssertionError("walked through")

    monkeypatch.setattr("openstack_client.decoding.clean_value", walked)
    assert decode_json('{"name": "\u4e2d\u6587 a\\u4e2d"}'.encode()) == {"name": "\u4e2d\u6587 a\u4e2d"}


def test_texts_are_bounded():
    assert clean_text("a\x00b\udc80\x1b[1m" + "x" * 10, 8) == "ab?[1mxx"


DEEP = "the end"
for _depth in range(60):
    DEEP = {"deeper": [DEEP]}
JUNK = [
    None, True, False, 0, -1, -(2**70), 2**63, 10**30, 1.5, "", " ", "x" * 20_000, "a\x00b\ud800c\x1b", "\u202e",
    "fe80::1%eth0", "999.1.1.1", "2024-99-99T99:99:99Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "2999-01-01T00:00:00Z", [], [None, 1, "x", {}, ["y"]], {}, {"id": []}, {"": None, "\x00": "\ud800", "a": {"b": 1}},
    ["t"] * 2_000, DEEP,
]  # fmt: skip
WHOLE = {
    Server: {"id": GOOD_ID, "name": "n", "status": "ACTIVE", "addresses": {"net": [{"addr": "10.0.0.1", "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01", "OS-EXT-IPS:type": "fixed", "version": 4}]},
             "flavor": {"original_name": "m1", "vcpus": 1, "ram": 2, "disk": 3}, "image": {"id": GOOD_ID}, "fault": {"message": "m"},
             "os-extended-volumes:volumes_attached": [{"id": GOOD_ID}], "security_groups": [{"name": "default"}], "tags": ["t"],
             "metadata": {"a": "b"}, "tenant_id": "p", "created": "2024-01-01T00:00:00Z", "updated": "2024-01-01T00:00:00Z",
             "OS-EXT-STS:task_state": None, "OS-EXT-STS:vm_state": "active", "OS-EXT-STS:power_state": 1, "key_name": "k",
             "OS-EXT-AZ:availability_zone": "nova", "OS-SRV-USG:launched_at": "2024-01-01T00:00:00.000000"},
    Flavor: {"id": "1", "name": "f", "vcpus": 1, "ram": 1, "disk": 1, "os-flavor-access:is_public": True},
    Keypair: {"keypair": {"name": "k", "type": "ssh", "fingerprint": "aa"}},
    Zone: {"zoneName": "nova", "zoneState": {"available": True}},
    ServerAction: {"action": "start", "request_id": "req-1", "start_time": "2024-01-01T00:00:00", "message": None},
    VolumeAttachment: {"volumeId": GOOD_ID, "device": "/dev/vdb", "delete_on_termination": True},
    Network: {"id": GOOD_ID, "name": "n", "status": "ACTIVE", "subnets": [GOOD_ID], "shared": True, "project_id": "p"},
    Subnet: {"id": GOOD_ID, "name": "n", "network_id": GOOD_ID, "ip_version": 4, "cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.1"},
    Router: {"id": GOOD_ID, "name": "n", "status": "ACTIVE", "external_gateway_info": {"network_id": GOOD_ID, "external_fixed_ips": [{"subnet_id": GOOD_ID, "ip_address": "10.0.0.1"}]}},
    Port: {"id": GOOD_ID, "name": "n", "status": "ACTIVE", "network_id": GOOD_ID, "device_id": GOOD_ID, "device_owner": "compute:nova", "mac_address": "fa:16:3e:00:00:01", "fixed_ips": [{"subnet_id": GOOD_ID, "ip_address": "10.0.0.1"}], "security_groups": [GOOD_ID]},
    FloatingIp: {"id": GOOD_ID, "status": "ACTIVE", "floating_ip_address": "10.0.0.1", "fixed_ip_address": "10.0.0.2", "port_id": GOOD_ID, "router_id": GOOD_ID, "floating_network_id": GOOD_ID, "description": "d"},
    SecurityGroup: {"id": GOOD_ID, "name": "n", "description": "d", "security_group_rules": [{}]},
    Image: {"id": GOOD_ID, "name": "n", "status": "active", "size": 1, "min_disk": 1, "min_ram": 1, "tags": ["t"], "created_at": "2024-01-01T00:00:00Z", "block_device_mapping": "[]", "os_distro": "debian", "mine": "p", "owner": "p", "instance_uuid": GOOD_ID},
    Volume: {"id": GOOD_ID, "name": "n", "status": "available", "size": 1, "metadata": {"a": "b"}, "attachments": [{"server_id": GOOD_ID, "device": "/dev/vda"}], "volume_type": "t", "snapshot_id": GOOD_ID, "volume_image_metadata": {"image_id": GOOD_ID}, "created_at": "2024-01-01T00:00:00.000000"},
    Snapshot: {"id": GOOD_ID, "name": "n", "status": "available", "size": 1, "volume_id": GOOD_ID, "metadata": {"a": "b"}},
    VolumeType: {"id": GOOD_ID, "name": "n", "is_public": True, "description": "d"},
}  # fmt: skip


def spoilt(whole):
    """The object with each piece of junk in each place of it, however deep, one at a time."""
    if isinstance(whole, dict):
        for key, value in whole.items():
            for junk in [*JUNK, *spoilt(value)]:
                yield {**whole, key: junk}
    elif isinstance(whole, list):
        for place, value in enumerate(whole):
            for junk in [*JUNK, *spoilt(value)]:
                yield [*whole[:place], junk, *whole[place + 1 :]]


def check(value, path=""):
    """What must hold of every value in a record."""
    if isinstance(value, str):
        assert len(value) <= 10_000, path
        value.encode()
    elif isinstance(value, bool) or value is None:
        pass
    elif isinstance(value, int):
        assert -(2**63) < value < 2**63, path
    elif isinstance(value, dict):
        assert len(value) <= 1000, path
        for key, member in value.items():
            check(key, path)
            check(member, path)
    elif isinstance(value, tuple):
        assert len(value) <= 1000, path
        for member in value:
            check(member, path)
    elif hasattr(value, "tzinfo"):
        assert value.tzinfo is not None and 1970 <= value.year <= 2200
        value.timestamp()
    else:
        for name in value.__slots__:
            check(getattr(value, name), f"{path}.{name}")


@pytest.mark.parametrize("kind", WHOLE, ids=lambda kind: kind.__name__)
def test_junk_in_any_place_of_an_object_spoils_no_other_object(kind):
    # What `decode_json` leaves of junk that JSON can hold.
    everything = [json.loads(json.dumps(one)) for one in _sample(spoilt(WHOLE[kind]))]
    everything += [
        None,
        1,
        "x",
        [],
        {},
        {"id": None},
        {"id": 7},
        {"id": "../etc"},
        {"id": "x" * 300},
        {"id": "a/b"},
    ]
    read = read_records([*[clean_value(one) for one in everything], WHOLE[kind]], kind.from_json)
    assert read[-1] == kind.from_json(WHOLE[kind])
    assert len(read) + len(read.unreadable) == len(everything) + 1
    for record in read:
        check(record)
    for one in read.unreadable:
        assert isinstance(one, Unreadable) and one.reason and len(str(one)) < 500, one


def _sample(objects):
    """Some of many, the same each time: that is enough, and cheap."""
    chance = random.Random(3)
    return [one for one in objects if chance.random() < 0.3]


def test_a_name_of_ten_megabytes_is_cut():
    assert len(Volume.from_json({"id": GOOD_ID, "name": "x" * 10_000_000}).name) == 255


def test_addresses_of_a_server_are_addresses():
    raw = {
        "id": GOOD_ID,
        "addresses": {
            "net": [
                {"addr": "fe80::1%eth0", "OS-EXT-IPS-MAC:mac_addr": "not a mac"},
                {"addr": "10.0.0.1", "version": "six"},
                {"addr": "10.0.0.256"},
                {"addr": "10.0.0.1/24"},
                {"addr": ["10.0.0.2"]},
            ]
        },
    }
    found = [(one.ip, one.version, one.mac) for one in Server.from_json(raw).addresses]
    assert found == [("fe80::1", 6, None), ("10.0.0.1", 4, None)]


def test_what_cannot_be_read_says_what_it_is():
    page = read_records([{"id": 7, "name": "seven"}, {"id": GOOD_ID}, "x"], Server.from_json)
    assert [one.id for one in page] == [GOOD_ID]
    assert [(one.id, one.name) for one in page.unreadable] == [("", "seven"), ("", "")]
    deep = []
    for _ in range(100_000):
        deep = [deep]
    page = read_records([{"id": GOOD_ID, "addresses": deep}, {"id": "b"}], ServerReading.from_json)
    assert [one.id for one in page] == ["b"] and page.unreadable[0].id == GOOD_ID
    while deep:
        deep = deep[0]
    with pytest.raises(UnreadableRecordError) as caught:
        Server.from_json({"name": "x"})
    assert isinstance(caught.value, CloudUnavailableError)


def test_quotas_that_are_none_are_left_out():
    raw = {"cores": {"limit": 2**70}, "ram": {"limit": 5, "in_use": "x"}, "x": None, "k" * 300: 1, "n": -1}
    assert [(one.name, one.limit, one.in_use) for one in quotas_from_json("compute", raw)] == [
        ("n", -1, None),
        ("ram", 5, None),
    ]
