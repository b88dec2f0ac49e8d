"""The life of a VM that people log in to and reach, over REST, in the simulated cloud or in the cloud of PORTAL_TEST_CLOUD.

PORTAL_TEST_CLOUD=demo python -m pytest -n 0 tests/networks/test_life.py
"""

from __future__ import annotations

import uuid
import warnings

import openstack
import pytest

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudResource
from networks.models import FloatingIp, SecurityGroup
from openstack_client import CloudNotFoundError
from tests.vms.test_life import PATIENCE, REAL, account
from tests.vms.test_logins import ED25519
from vms.models import VirtualMachine, VmPort

__all__ = ["account"]
CIDR = "192.168.97.0/28"


@pytest.fixture
def second_network(cloud, account, catalogue, sync):
    """A second network for VMs, beside the one that a router connects to the external network."""
    if not REAL:
        cloud.call("POST", "seed", {"project": "demo", "servers": 0, "reachable": True})
        cloud.call("POST", "networks", {"name": "backend", "cidr": CIDR})
        sync("network", "subnet", "port")
        yield CloudResource.objects.get(account=account, type="network", name="backend").cloud_id
        return
    # The SDK warns of what it will remove itself.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sdk = openstack.connect(cloud=REAL)
        network = sdk.network.create_network(name=f"life-{uuid.uuid4().hex[:8]}")
        sdk.network.create_subnet(network_id=network.id, ip_version=4, cidr=CIDR)
    sync("network", "subnet", "port")
    yield network.id
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sdk.network.delete_network(network.id)


def test_a_vm_is_reached_rescued_rebuilt_and_kept(admin, system, account, settings, second_network, external):
    settings.BIN_DAYS = 7
    region = account.regions[0] if account.regions else "RegionOne"

    def do(answer):
        return admin.done(answer, PATIENCE)

    key = admin.post("/api/v1/ssh-keys/", {"name": "laptop", "public_key": ED25519}, format="json").json()
    group = admin.post("/api/v1/security-groups/", {"name": "web", "template": "web"}, format="json")
    do(group)
    group_id = group.json()["security_group"]["id"]
    internal = next(
        network["id"]
        for network in admin.get("/api/v1/vms/options/").json()["networks"]
        if network["name"] == "internal"
    )

    answer = admin.new_vm(
        system,
        ssh_keys=[key["id"]],
        user_data="#!/bin/sh\ntrue\n",
        networks=[{"network": internal}, {"network": second_network, "fixed_ip": "192.168.97.9"}],
        security_groups=[group_id],
        floating_network=external.cloud_id,
    )
    do(answer)
    vm = VirtualMachine.objects.get(pk=answer.json()["vm"]["id"])
    url = f"/api/v1/vms/{vm.pk}/"

    # Neutron's own view: the rules are on both ports, and the floating IP leads to the server.
    network = open_cloud(account, region).network
    ports = network.list_server_ports(str(vm.openstack_id))
    in_cloud = str(SecurityGroup.objects.get(pk=group_id).cloud_id)
    assert len(ports) == 2
    assert {port.security_group_ids for port in ports} == {(in_cloud,)}
    rules = network.list_security_group_rules(in_cloud)
    assert {(rule.port_min, rule.port_max) for rule in rules if rule.direction == "ingress"} >= {(443, 443)}
    address = FloatingIp.objects.get()
    assert network.get_floating_ip(str(address.cloud_id)).port_id in {port.id for port in ports}
    reached = admin.get(f"{url}reachability/?port=443").json()["interfaces"]
    assert any(str(address) in one["summary"] for one in reached)

    do(admin.post(f"{url}rescue/", {}, format="json"))
    assert admin.get(url).json()["status"] == "rescue"
    do(admin.post(f"{url}unrescue/", {}, format="json"))
    do(admin.post(f"{url}rebuild/", {}, format="json"))
    assert admin.get(url).json()["status"] == "running"
    assert len(network.list_server_ports(str(vm.openstack_id))) == 2

    do(admin.delete(url))
    assert admin.get(url).json()["binned_at"]
    do(admin.post(f"{url}restore/", {}, format="json"))
    assert (admin.get(url).json()["status"], admin.get(url).json()["binned_at"]) == ("running", None)

    do(admin.post(f"/api/v1/floating-ips/{address.pk}/detach/", {}, format="json"))
    do(admin.delete(f"/api/v1/floating-ips/{address.pk}/"))
    do(admin.delete(f"{url}?permanent=true&force=true"))
    do(admin.delete(f"/api/v1/security-groups/{group_id}/"))

    left = [VirtualMachine.objects, FloatingIp.objects, SecurityGroup.objects, VmPort.objects]
    assert [rows.count() for rows in left] == [0, 0, 0, 0]
    assert network.list_server_ports(str(vm.openstack_id)) == []
    for read in (
        lambda: network.get_floating_ip(str(address.cloud_id)),
        lambda: network.get_security_group(in_cloud),
    ):
        with pytest.raises(CloudNotFoundError):
            read()
