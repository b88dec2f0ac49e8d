"""The lifecycle of an account by the API, on the simulated cloud, or on the one in PORTAL_TEST_CLOUD.

    PORTAL_TEST_CLOUD=demo python -m pytest -n 0 -s tests/cloudaccounts/test_account_lifecycle.py

prints what was found of each type, and how long that took.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
import warnings

import openstack
import pytest
from rest_framework.test import APIClient

from cloudaccounts.connect import fill_from_clouds_yaml
from cloudaccounts.models import CloudAccount, CloudResource, ResourceChange, SyncLog
from cloudaccounts.sync.resources import run_sync
from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.working import work

REAL = os.environ.get("PORTAL_TEST_CLOUD")
# Openstacksdk's own calls, which we compare with, warn of openstacksdk's own plans.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning:openstack")

# How openstacksdk itself lists each type.
LISTED = {
    "flavor": lambda sdk: [one.id for one in sdk.compute.flavors()],
    "zone": lambda sdk: [one.name for one in sdk.compute.availability_zones()],
    "image": lambda sdk: [one.id for one in sdk.image.images()],
    "volume_type": lambda sdk: [one.id for one in sdk.block_storage.types()],
    "network": lambda sdk: [one.id for one in sdk.network.networks()],
    "subnet": lambda sdk: [one.id for one in sdk.network.subnets()],
    "security_group": lambda sdk: [one.id for one in sdk.network.security_groups()],
    "router": lambda sdk: [one.id for one in sdk.network.routers()],
    "port": lambda sdk: [one.id for one in sdk.network.ports()],
    "floating_ip": lambda sdk: [one.id for one in sdk.network.ips()],
    "snapshot": lambda sdk: [one.id for one in sdk.block_storage.snapshots()],
    "volume": lambda sdk: [one.id for one in sdk.block_storage.volumes()],
    "keypair": lambda sdk: [one.name for one in sdk.compute.keypairs()],
    "server": lambda sdk: [one.id for one in sdk.compute.servers()],
    "server_group": lambda sdk: [one.id for one in sdk.compute.server_groups()],
}


@pytest.fixture
def account_data(cloud, transactional_db):
    """Return the data with which an administrator creates the account."""
    if not REAL:
        return {
            "name": "shop",
            "auth_url": cloud.auth_url,
            "credential_kind": "password",
            "access_id": "demo",
            "secret": "demo",
            "project": "demo",
        }
    account = CloudAccount(name=REAL)
    fill_from_clouds_yaml(account, REAL)
    names = ("name", "auth_url", "credential_kind", "access_id", "project", "user_domain", "project_domain")
    return {**{name: getattr(account, name) for name in names}, "secret": account.decrypt_secret()}


@pytest.fixture
def sdk(account_data):
    """Openstacksdk itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        connection = openstack.connection.Connection(
            auth={
                "auth_url": account_data["auth_url"],
                "username": account_data["access_id"],
                "password": account_data["secret"],
                "project_name": account_data["project"],
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            }
        )
    yield connection
    connection.close()


@pytest.fixture
def administrator(transactional_db):
    """A tenant's administrator, as a client of the API."""
    client = APIClient()
    client.force_authenticate(MembershipFactory(role=Role.ADMIN).user)
    return client


class Things:
    """Create one resource of each type that a member may create, by openstacksdk; delete all at the end."""

    def __init__(self, sdk):
        self.sdk, self.name = sdk, f"life-{uuid.uuid4().hex[:8]}"
        network = sdk.network
        self.network = network.create_network(name=self.name)
        self.subnet = network.create_subnet(
            name=self.name, network_id=self.network.id, ip_version=4, cidr="10.77.0.0/24"
        )
        self.port = network.create_port(name=self.name, network_id=self.network.id)
        self.group = network.create_security_group(name=self.name)
        self.router = network.create_router(name=self.name)
        self.volumes = [sdk.block_storage.create_volume(name=f"{self.name}-{n}", size=1) for n in range(3)]
        for volume in self.volumes:
            sdk.block_storage.wait_for_status(volume, "available", interval=0.3, wait=60)

    def remove(self):
        network = self.sdk.network
        for forget, thing in (
            (network.delete_port, self.port),
            (network.delete_subnet, self.subnet),
            (network.delete_network, self.network),
            (network.delete_security_group, self.group),
            (network.delete_router, self.router),
        ):
            with contextlib.suppress(openstack.exceptions.SDKException):
                forget(thing.id, ignore_missing=True)
        for volume in self.volumes:
            self.sdk.block_storage.delete_volume(volume.id, ignore_missing=True)
        for volume in self.volumes:
            with contextlib.suppress(openstack.exceptions.SDKException):
                self.sdk.block_storage.wait_for_delete(volume, interval=0.3, wait=60)


def sync(client, url, types=None):
    """Sync by hand over REST, with this process as the worker; the logs by type."""
    answer = client.post(f"{url}sync/", {"types": types} if types else {}, format="json")
    assert answer.status_code == 202, answer.json()
    for log in answer.json()["logs"]:
        run_sync(log["id"])
    ids = ",".join(str(log["id"]) for log in answer.json()["logs"])
    logs = client.get("/api/v1/sync-logs/?page_size=200").json()["results"]
    return {log["type"]: log for log in logs if str(log["id"]) in ids.split(",")}


def changes_of(client, cloud_id):
    (row,) = client.get(f"/api/v1/cloud-resources/?cloud_id={cloud_id}").json()["results"]
    return row, [
        change["fields"]
        for change in client.get(f"/api/v1/cloud-resources/{row['id']}/changes/").json()["results"]
    ]


def test_account_lifecycle(administrator, account_data, sdk):
    entered = administrator.post("/api/v1/cloud-accounts/", account_data, format="json")
    assert entered.status_code == 202, entered.json()
    url = f"/api/v1/cloud-accounts/{entered.json()['account']['id']}/"
    work()
    account = administrator.get(url).json()
    assert account["last_verified_at"], account["last_error"]
    assert account["schedule"]["enabled"]
    assert "compute" in account["facts"]["regions"]["RegionOne"]

    # Verified, so its first sync is under way.
    for log in SyncLog.objects.running().order_by("pk"):
        began = time.monotonic()
        done = run_sync(log.pk)
        assert done.state == "success", (log.type, done.message)
        print(f"{log.type:16} {done.created:6} found {1000 * (time.monotonic() - began):8.0f} ms")  # noqa: T201 - what it is run for.
    for type_code, listed in LISTED.items():
        found = CloudResource.objects.present().filter(type=type_code).values_list("cloud_id", flat=True)
        assert sorted(found) == sorted(listed(sdk)), type_code
    assert CloudResource.objects.filter(type="quota").count() > 10

    made = Things(sdk)
    try:
        life_of_things(administrator, url, sdk, made)
    finally:
        made.remove()

    removed = administrator.delete(url)
    assert removed.status_code == 202, removed.json()
    work()
    assert administrator.get(url).status_code == 404
    assert not CloudResource.objects.exists()


def life_of_things(administrator, url, sdk, made):
    """Create, rename and delete resources in the cloud, and check that syncs record it."""
    types = ["network", "subnet", "security_group", "router", "port", "volume"]
    logs = sync(administrator, url, types)
    assert {name: log["state"] for name, log in logs.items()} == dict.fromkeys(types, "success")
    # A network may bring a port of its own, for DHCP.
    expected = {**dict.fromkeys(types, 1), "port": logs["port"]["created"], "volume": 3}
    assert {name: log["created"] for name, log in logs.items()} == expected
    port, _changes = changes_of(administrator, made.port.id)
    around = administrator.get(f"/api/v1/cloud-resources/{port['id']}/topology/?depth=1").json()
    assert {made.network.id, made.subnet.id} <= {node["cloud_id"] for node in around["nodes"]}

    sdk.network.update_network(made.network.id, name=f"{made.name}-renamed")
    sdk.block_storage.update_volume(made.volumes[0].id, name=f"{made.name}-renamed")
    logs = sync(administrator, url, ["network", "volume"])
    assert (logs["network"]["updated"], logs["volume"]["updated"]) == (1, 1)
    assert changes_of(administrator, made.network.id)[1] == [{"name": [made.name, f"{made.name}-renamed"]}]
    assert "name" in changes_of(administrator, made.volumes[0].id)[1][-1]

    sdk.block_storage.delete_volume(made.volumes[1].id)
    sdk.block_storage.wait_for_delete(made.volumes[1], interval=0.3, wait=60)
    first, second = (sync(administrator, url, ["volume"])["volume"] for _ in range(2))
    assert (first["expired"], first["missing"], second["expired"], second["missing"]) == (0, 1, 1, 0)
    gone, changes = changes_of(administrator, made.volumes[1].id)
    assert gone["expired_at"]
    assert changes[-1] == {"expired": [False, True]}
    again = sync(administrator, url, ["volume"])["volume"]
    assert (again["state"], again["expired"], again["missing"]) == ("success", 0, 0)


def test_wrong_credentials_are_reported_and_can_be_corrected(administrator, account_data):
    entered = administrator.post(
        "/api/v1/cloud-accounts/", {**account_data, "secret": "wrong"}, format="json"
    )
    url = f"/api/v1/cloud-accounts/{entered.json()['account']['id']}/"
    work()
    account = administrator.get(url).json()
    assert "credentials" in account["last_error"]
    assert account["last_verified_at"] is None
    assert not SyncLog.objects.exists(), "nothing is listed before the credentials are good"

    administrator.patch(url, {"secret": account_data["secret"]}, format="json")
    work()
    account = administrator.get(url).json()
    assert (account["last_error"], bool(account["last_verified_at"])) == ("", True)
    assert SyncLog.objects.running().exists()
    assert not ResourceChange.objects.exists()
