"""The whole life of a VM over REST, on the simulated cloud."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from cloudaccounts.sync.resources import sync_resource
from cloudaccounts.sync.syncers import known_types
from portal.api.scoping import Role
from tests.factories import InformationSystemFactory, MembershipFactory
from tests.working import work
from vms.models import VirtualMachine, VMOperationLog
from volumepool.models import Volume


@pytest.fixture
def member(transactional_db):
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def client(member):
    client = APIClient()
    client.force_authenticate(member.user)
    return client


@pytest.fixture
def system(member, account):
    for type_code in known_types():
        log = sync_resource(account.pk, type_code)
        assert log.state == "success", log.message
    return InformationSystemFactory(tenant=member.tenant)


def new(client, system, **fields):
    wish = {
        "information_system": str(system.pk),
        "name": "shop-1",
        "cpu_cores": 2,
        "memory_gb": 4,
        "disk_gb": 40,
    }
    return client.post("/api/v1/vms/", {**wish, "os_type": "ubuntu", **fields}, format="json")


def done(client, answer):
    assert answer.status_code == 202, str(answer.json())
    work()
    job = client.get(f"/api/v1/jobs/{answer.json()['job']['id']}/").json()
    assert job["status"] == "succeeded", job
    return job


def test_life(client, system, cloud):
    answer = new(client, system, boot_volume=True)
    done(client, answer)
    vm_id = answer.json()["vm"]["id"]
    vm = client.get(f"/api/v1/vms/{vm_id}/").json()
    assert vm["status"] == "running"
    url = f"/api/v1/vms/{vm_id}/"
    for action, status in [
        ("pause", "paused"),
        ("unpause", "running"),
        ("suspend", "suspended"),
        ("resume", "running"),
        ("shelve", "shelved"),
        ("unshelve", "running"),
        ("stop", "stopped"),
        ("start", "running"),
    ]:
        done(client, client.post(f"{url}actions/", {"action": action}, format="json"))
        assert client.get(url).json()["status"] == status
    done(client, client.post(f"{url}resize/", {"cpu_cores": 4, "memory_gb": 8}, format="json"))
    vm = client.get(url).json()
    assert (
        vm["allowed_actions"] == ["confirm_resize", "revert_resize"]
        and vm["resize"]["cpu_cores"] == 4
        and vm["cpu_cores"] == 2
    )
    done(client, client.post(f"{url}actions/", {"action": "confirm_resize"}, format="json"))
    vm = client.get(url).json()
    assert vm["cpu_cores"] == 4 and vm["resize"] is None and vm["disk_gb"] == 40
    done(client, client.post(f"{url}console/", {"reading": "log"}, format="json"))
    done(client, client.post(f"{url}console/", {"reading": "url"}, format="json"))
    console = client.get(f"{url}console/").json()
    assert console["url"] and console["log"]
    done(
        client,
        client.patch(url, {"name": "shop-2", "metadata": {"a": "b"}, "description": "x"}, format="json"),
    )
    vm = client.get(url).json()
    assert (vm["name"], vm["metadata"], vm["description"]) == ("shop-2", {"a": "b"}, "x")
    done(client, client.post(f"{url}volumes/", {"size_gb": 5}, format="json"))
    volumes = client.get(f"{url}volumes/").json()["results"]
    assert len(volumes) == 2
    data = next(v for v in volumes if not v["is_boot"])
    done(client, client.delete(f"{url}volumes/{data['id']}/"))
    assert client.get("/api/v1/volumes/?attached=false").json()["count"] == 1
    done(client, client.post(f"{url}volumes/", {"volume": data["id"]}, format="json"))
    done(client, client.post(f"{url}snapshots/", {"name": "before"}, format="json"))
    snapshot = client.get(f"{url}snapshots/").json()["results"][0]
    assert snapshot["status"] == "active"
    other = new(client, system, name="copy", os_type="linux", image=snapshot["image_id"], disk_gb=40)
    assert other.status_code == 202, other.json()
    work()
    print(client.get(f"/api/v1/jobs/{other.json()['job']['id']}/").json())
    refused = client.delete(url)
    assert refused.status_code == 409
    refused = client.delete(f"{url}?force=true")
    assert refused.status_code == 409 and refused.json()["code"] == "has_snapshots"
    done(client, client.delete(f"/api/v1/vms/snapshots/{snapshot['id']}/"))
    done(client, client.delete(f"{url}?force=true"))
    print(cloud.call("GET", "objects").keys())
    print(client.get(f"{url}operations/").json())
    print(client.get("/api/v1/vms/export/").getvalue().decode())
    print(client.get("/api/v1/vms/options/").json().keys())
