"""Fixtures of Huawei Cloud: its server, a region with one of each thing, and the account in it."""

from __future__ import annotations

import json

import pytest

from cloudaccounts.models import CloudAccount
from cloudaccounts.sync.huawei import connection
from simulator.huawei import shapes
from simulator.huawei.cloud import AccessKey, HuaweiCloud
from simulator.huawei.server import HuaweiServer

ACCESS_KEY, SECRET_KEY = "PORTALTESTS000000001", "a-secret-of-tests-that-nobody-may-see-00"
REGIONS = ["ap-southeast-1", "cn-north-4"]
# Kinds of the simulated cloud, which are also the codes of types, besides the rules of groups.
TYPES = [
    "zone",
    "network",
    "subnet",
    "security_group",
    "snapshot",
    "volume",
    "keypair",
    "image",
    "server",
    "port",
    "floating_ip",
    "load_balancer",
    "cache",
    "database",
]


def a_cloud():
    """Return a cloud with two regions that are empty but for their zones."""
    cloud = HuaweiCloud(keys={ACCESS_KEY: AccessKey(SECRET_KEY)})
    for region in REGIONS:
        cloud.add_project(region)
        for letter in "ab":
            cloud.add(region, "zone", shapes.zone(f"{region}{letter}"))
    return cloud


def an_account(server, **columns):
    """An account that was verified before."""
    account = CloudAccount(
        **{
            "name": "huawei",
            "provider": "huawei",
            "access_id": ACCESS_KEY,
            "auth_url": server.url,
            "regions": ["cn-north-4"],
            **columns,
        }
    )
    account.set_secret(json.dumps({"secret_access_key": SECRET_KEY}))
    account.save()
    return account


def fill(cloud, region="cn-north-4"):
    """Create one of each thing, and return the ids of two servers."""

    def add(kind, found):
        return cloud.add(region, kind, found)

    add("keypair", shapes.keypair("deploy"))
    network = add("network", shapes.network("vpc-网站", extend_cidrs=["10.1.0.0/16"]))
    subnet = add("subnet", shapes.subnet("front", network))
    group, other = (add("security_group", shapes.security_group(name)) for name in ("web", "admins"))
    add("rule", shapes.rule(group, protocol="tcp", multiport="22,8000-8010", remote_ip_prefix="10.0.0.0/8"))
    add("rule", shapes.rule(group, remote_group_id=other, action="deny", priority=2))
    add("rule", shapes.rule(group, direction="egress", ethertype="IPv6"))
    image = add("image", shapes.image("golden", tags=["env=prod"]))
    # A public image is not the account's.
    add("image", shapes.image("ubuntu", kind="gold"))
    volume = add(
        "volume", shapes.volume("data", 100, metadata={"orderID": "CS1"}, tags={"env": "prod", "空": ""})
    )
    snapshot = add("snapshot", shapes.snapshot("nightly", volume, 100))
    tags = ["env=prod", "Env=PROD", "__type_virtual", *(f"team-{number}={'x' * 43}" for number in range(48))]
    ids = []
    for number in (10, 11):
        server = shapes.server(
            "网站 😀", network_id=network, key_name="deploy", image={"id": image}, tags=tags
        )
        port = add("port", shapes.port(subnet, f"192.168.0.{number}", server["id"], security_groups=[group]))
        private = {"addr": f"192.168.0.{number}", "OS-EXT-IPS:port_id": port, "OS-EXT-IPS:type": "fixed"}
        server["addresses"] = {network: [private]}
        server["security_groups"] = [{"name": "web", "id": group}]
        ids.append(add("server", server))
    public = shapes.floating_ip(
        "203.0.113.7",
        status="ACTIVE",
        alias="front door",
        tags=["env*prod"],
        associate_instance_type="PORT",
        associate_instance_id=port,
        vnic={
            "port_id": port,
            "device_id": ids[0],
            "device_owner": "compute:cn-north-4a",
            "private_ip_address": "192.168.0.10",
            "vpc_id": network,
        },
    )
    address = add("floating_ip", public)
    add("floating_ip", shapes.floating_ip("203.0.113.8"))
    first = cloud.projects[region].objects["server"][ids[0]]
    # One server and the volume are paid for; the other server for ever.
    for server_id, end in zip(ids, ("2026-12-31T15:59:59Z", "2099-12-31T15:59:59Z"), strict=True):
        cloud.projects[region].objects["server"][server_id]["metadata"]["charging_mode"] = "1"
        cloud.paid_until[server_id] = end
    cloud.paid_until[volume] = "2027-01-31T15:59:59Z"
    floating = {"addr": "203.0.113.7", "OS-EXT-IPS:port_id": port, "OS-EXT-IPS:type": "floating"}
    first["addresses"][network].append(floating)
    first["os-extended-volumes:volumes_attached"] = [{"id": volume, "device": "/dev/vda", "bootIndex": "0"}]
    attached = cloud.projects[region].objects["volume"][volume]
    attached |= {
        "status": "in-use",
        "attachments": [{"server_id": ids[0], "device": "/dev/vda"}],
        "snapshot_id": snapshot,
    }
    add(
        "load_balancer",
        shapes.load_balancer(
            "front",
            network,
            elb_virsubnet_ids=[subnet],
            publicips=[{"publicip_id": address, "publicip_address": "203.0.113.7", "ip_version": 4}],
            tags=[{"key": "env", "value": "prod"}],
        ),
    )
    add(
        "cache",
        shapes.cache(
            "sessions",
            network,
            subnet_id=subnet,
            security_group_id=group,
            ip="192.168.0.30,192.168.0.31",
            capacity=0,
            capacity_minor="0.25",
        ),
    )
    add(
        "database",
        shapes.database(
            "orders",
            network,
            subnet_id=subnet,
            security_group_id=group,
            charge_info={"charge_mode": "prePaid"},
            expiration_time="2027-03-01T23:59:59+0800",
            tags=[{"key": "env", "value": "prod"}],
        ),
    )
    return ids


def entered(api, huawei, credentials=None, **fields):
    account = {
        "name": "web shop",
        "provider": "huawei",
        "credentials": {
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
            **(credentials or {}),
        },
        "endpoint": huawei.url,
        "sync_interval_minutes": 5,
        **fields,
    }
    return api.post("/api/v1/cloud-accounts/", account, format="json")


@pytest.fixture(scope="module")
def huawei_server():
    server = HuaweiServer()
    yield server
    server.close()


@pytest.fixture
def huawei(huawei_server, settings, monkeypatch):
    """The server with a new cloud; one attempt for a throttled request, so that tests do not wait."""
    settings.ALLOW_LOCAL_CLOUDS = True
    monkeypatch.setattr(connection, "THROTTLE_WAITS", ())
    connection.opened_regions.clear()
    huawei_server.cloud = a_cloud()
    yield huawei_server
    connection.opened_regions.clear()


@pytest.fixture
def huawei_cloud(huawei):
    """What the server shows."""
    return huawei.cloud
