"""The life of a VM over REST, in the simulated cloud, or in the cloud of PORTAL_TEST_CLOUD.

    PORTAL_TEST_CLOUD=demo python -m pytest -n 0 -s tests/vms/test_life.py

prints every observed state, and how long it took to reach it.
"""

from __future__ import annotations

import os
import time

import pytest

from cloudaccounts.connect import fill_from_clouds_yaml, open_cloud
from cloudaccounts.models import CloudAccount
from openstack_client import CloudNotFoundError
from tests.factories import grant_everything
from vms.models import VirtualMachine, VMSnapshot
from volumepool.models import Volume

REAL = os.environ.get("PORTAL_TEST_CLOUD")
PATIENCE = 180.0 if REAL else 20.0


@pytest.fixture
def account(cloud, transactional_db):
    """The simulator's account, or a real cloud's."""
    if not REAL:
        return cloud.account()
    account = CloudAccount(name=REAL)
    account.regions = [fill_from_clouds_yaml(account, REAL) or "RegionOne"]
    account.save()
    grant_everything(account)
    return account


class Diary:
    """Runs one request after another on a VM, and records the observations with their times."""

    def __init__(self, client, url):
        self.client, self.url, self.lines = client, url, []

    def do(self, what, answer):
        began = time.monotonic()
        self.client.done(answer, PATIENCE)
        seconds = time.monotonic() - began
        shown = self.client.get(self.url)
        status = shown.json()["status"] if shown.status_code == 200 else "gone"
        self.lines.append(f"{what:28} {status:10} {seconds:6.1f} s")
        return status

    def act(self, action, expected):
        assert self.do(action, self.client.post(f"{self.url}actions/", {"action": action})) == expected


def test_the_whole_life_of_a_vm(admin, system, account, catalogue):
    began = time.monotonic()
    answer = admin.new_vm(system, boot_volume=True)
    url = f"/api/v1/vms/{answer.json()['vm']['id']}/"
    assert answer.json()["vm"]["status"] == "building"
    diary = Diary(admin, url)
    assert diary.do("create with a boot volume", answer) == "running"
    vm = admin.get(url).json()
    assert vm["ip_address"], "it has an address"
    assert vm["flavor_name"] == "2c-4g-40g"

    for action, status in (
        ("stop", "stopped"),
        ("start", "running"),
        ("restart", "running"),
        ("pause", "paused"),
        ("unpause", "running"),
        ("suspend", "suspended"),
        ("resume", "running"),
        ("shelve", "shelved"),
        ("unshelve", "running"),
    ):
        diary.act(action, status)

    diary.do("resize", admin.post(f"{url}resize/", {"cpu_cores": 4, "memory_gb": 8}))
    vm = admin.get(url).json()
    assert (vm["cpu_cores"], vm["resize"]["cpu_cores"]) == (2, 4)
    assert vm["allowed_actions"] == ["confirm_resize", "revert_resize"]
    diary.act("revert_resize", "running")
    diary.do("resize", admin.post(f"{url}resize/", {"cpu_cores": 4, "memory_gb": 8}))
    diary.act("confirm_resize", "running")
    vm = admin.get(url).json()
    assert (vm["cpu_cores"], vm["memory_gb"], vm["disk_gb"], vm["resize"]) == (4, 8, 40, None)

    change = {"name": "shop-2", "metadata": {"owner": "sales"}, "description": "The shop's second."}
    diary.do("rename, metadata", admin.patch(url, change))
    diary.do("console address", admin.post(f"{url}console/", {"reading": "url"}))
    diary.do("console text", admin.post(f"{url}console/", {"reading": "log", "lines": 5}))
    console = admin.get(f"{url}console/").json()
    assert console["url"].startswith("http")
    assert console["log"]

    diary.do("attach a new volume", admin.post(f"{url}volumes/", {"size_gb": 1, "name": "data"}))
    boot, data = admin.get(f"{url}volumes/").json()["results"]
    assert (boot["is_boot"], boot["size_gb"], data["name"], data["status"]) == (True, 40, "data", "in-use")
    diary.do("detach", admin.delete(f"{url}volumes/{data['id']}/"))
    diary.do("attach it again", admin.post(f"{url}volumes/", {"volume": data["id"]}))
    diary.do("detach again", admin.delete(f"{url}volumes/{data['id']}/"))

    diary.do("snapshot", admin.post(f"{url}snapshots/", {"name": "before"}))
    (snapshot,) = admin.get(f"{url}snapshots/").json()["results"]
    answer = admin.new_vm(system, name="copy", os_type=None, image=snapshot["image_id"])
    copy_url = f"/api/v1/vms/{answer.json()['vm']['id']}/"
    diary.do("create from the snapshot", answer)
    assert admin.get(copy_url).json()["image_name"] == "before"
    diary.do("remove that, forced", admin.delete(f"{copy_url}?force=true"))

    assert admin.delete(url).json()["code"] == "wrong_state", "it runs"
    diary.act("stop", "stopped")
    assert admin.delete(url).json()["code"] == "has_snapshots"
    diary.do("remove the snapshot", admin.delete(f"/api/v1/vms/snapshots/{snapshot['id']}/"))
    assert diary.do("remove with volumes", admin.delete(url)) == "gone"
    diary.do("remove the detached volume", admin.delete(f"/api/v1/volumes/{data['id']}/"))
    print("\n".join(["", *diary.lines, f"{'in all':39} {time.monotonic() - began:6.1f} s"]))  # noqa: T201

    operations = [row["operation"] for row in admin.get(f"{url}operations/").json()["results"]]
    assert operations[-1] == "create"
    assert operations[0] == "remove"
    assert not VirtualMachine.objects.exists()
    assert not Volume.objects.exists()
    assert not VMSnapshot.objects.exists()
    compute = open_cloud(account, account.regions[0] if account.regions else "RegionOne").compute
    with pytest.raises(CloudNotFoundError):
        compute.get_server(vm["openstack_id"])
