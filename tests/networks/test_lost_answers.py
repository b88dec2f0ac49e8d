"""What a dead worker or a lost answer leaves behind is found again by its marker: nothing is doubled, and nothing is left over."""

from __future__ import annotations

import pytest

from cloudaccounts.models import CatalogueGrant
from networks.models import FloatingIp, SecurityGroup, ServerGroup
from tasks import engine
from tasks.models import Job
from tests.working import work
from vms.models import VmPort

pytestmark = pytest.mark.usefixtures("external")
KINDS = ("security_groups", "floatingips", "server_groups", "ports")


@pytest.fixture
def requests_of(admin, system, catalogue, account):
    """Return a function that sends the request that creates something of a kind."""
    CatalogueGrant.objects.create(account=account, kind="server_group_policy", cloud_id="affinity")
    network = catalogue.get(type="network", attributes__is_external=False)

    def send(kind):
        if kind == "security_groups":
            return admin.post("/api/v1/security-groups/", {"name": "web", "template": "web"}, format="json")
        if kind == "floatingips":
            return admin.post("/api/v1/floating-ips/", {}, format="json")
        if kind == "server_groups":
            body = {"information_system": str(system.pk), "name": "near", "policy": "affinity"}
            return admin.post("/api/v1/server-groups/", body, format="json")
        created = admin.new_vm(system)
        admin.done(created)
        url = f"/api/v1/vms/{created.json()['vm']['id']}/interfaces/"
        return admin.post(url, {"network": network.cloud_id}, format="json")

    return send


PATHS = {
    "security_groups": "security-groups$",
    "floatingips": "floatingips$",
    "server_groups": "os-server-groups$",
    "ports": "ports$",
}


def count(cloud, kind):
    """Return the number of the objects of a kind, without the group that every project has."""
    objects = cloud.call("GET", "objects")[kind]
    return len([one for one in objects if one.get("name") != "default"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_answer_creates_one_and_not_two(admin, cloud, requests_of, kind):
    before = count(cloud, kind) + (1 if kind == "ports" else 0)  # The VM has a port before.
    fault = {"kind": "lose_answer", "method": "POST", "path": PATHS[kind], "times": 1}
    if kind != "ports":
        cloud.faults(fault)
    answer = requests_of(kind)
    if kind == "ports":
        cloud.faults(fault)

    admin.done(answer)

    assert count(cloud, kind) == before + 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_creation_that_is_cancelled_after_a_lost_answer_leaves_nothing(admin, cloud, requests_of, kind):
    before = count(cloud, kind) + (1 if kind == "ports" else 0)
    answer = requests_of(kind)
    cloud.faults({"kind": "lose_answer", "method": "POST", "path": PATHS[kind], "times": 1})
    job = Job.objects.get(pk=answer.json()["job"]["id"])
    engine.advance(job.pk)
    cloud.no_faults()

    engine.cancel(Job.objects.get(pk=job.pk))
    work()

    job.refresh_from_db()
    assert job.status == "cancelled"
    assert count(cloud, kind) == before
    for model in (SecurityGroup, FloatingIp, ServerGroup, VmPort):
        assert not model.objects.exists()
