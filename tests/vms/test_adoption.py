"""Servers and volumes that the portal does not manage are listed by account, and become VMs and volumes of a tenant."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cloudaccounts.models import CloudResource, ReleasedObject
from tenants.quotas import measure_usage
from tenants.scoping import Role
from tests.factories import (
    InformationSystemFactory,
    MembershipFactory,
    SpareVolumeFactory,
    VirtualMachineFactory,
    VolumeFactory,
)
from vms.models import Orphan, SyncState, VirtualMachine, VMOperationLog
from volumepool.models import OrphanVolume, Volume

from .adopting import (
    account,
    adopt,
    client,
    client_of,
    create_inventory,
    found_server,
    found_volume,
    member,
    refusals,
    staff,
    system,
)

__all__ = ["account", "client", "member", "system"]
pytestmark = pytest.mark.django_db


def unmanaged(client, account, **params):
    return client.get(f"/api/v1/cloud-accounts/{account.pk}/unmanaged/", params)


def names(response):
    return [one["name"] for one in response.json()["results"]]


def test_the_list_has_what_no_row_manages_and_no_job_is_creating(client, account, system):
    place = {"information_system": system, "account": account}
    volume = found_volume(account, "free")
    found_server(account, "stranger", volumes=[volume], metadata={"team": "a", "portal_vm": str(uuid4())})
    VirtualMachineFactory(openstack_id=found_server(account, "managed").cloud_id, **place)
    VolumeFactory(volume_id=found_volume(account, "owned").cloud_id, **place)
    SpareVolumeFactory(volume_id=found_volume(account, "spare-x").cloud_id)
    building = VirtualMachineFactory(openstack_id=None, **place)
    found_server(account, "being created", metadata={"portal_vm": str(building.pk)})
    unborn = VolumeFactory(volume_id=None, **place)
    found_volume(account, "being created too", metadata={"portal_volume": str(unborn.pk)})
    found_server(create_inventory(), "of another account")
    lost = found_server(account, "lost")
    CloudResource.objects.filter(pk=lost.pk).update(expired_at="2026-01-01T00:00:00Z")

    response = unmanaged(client, account)

    assert names(response) == ["stranger", "free"]
    server, shown_volume = response.json()["results"]
    assert (server["flavor"], server["vcpus"], server["memory_mb"]) == ("2c-4g-40g", 2, 4096)
    assert (server["addresses"], server["project"], server["metadata"]) == (
        ["10.0.0.5"],
        "demo",
        {"team": "a"},
    )
    assert (shown_volume["size_gb"], shown_volume["server"]) == (10, server["cloud_id"])
    assert names(unmanaged(client, account, type="volume")) == ["free"]
    assert names(unmanaged(client, account, search="strang", ordering="-name")) == ["stranger"]


def test_a_shared_account_is_for_staff_and_an_own_one_for_administrators(client, account, member, system):
    shared = create_inventory()
    server = found_server(shared)
    operator = client_of(MembershipFactory(tenant=member.tenant, role=Role.OPERATOR).user)

    for refused, where, code in ((client, shared, "staff_only"), (operator, account, "role_too_low")):
        assert unmanaged(refused, where).json()["code"] == code
        answer = adopt(refused, where, system, servers=[server.cloud_id])
        assert (answer.status_code, answer.json()["code"]) == (403, code)
    assert unmanaged(client, create_inventory(MembershipFactory().tenant)).status_code == 404
    assert names(unmanaged(staff(), shared)) == ["shop-1"]
    assert adopt(staff(), shared, system, servers=[server.cloud_id]).status_code == 201


def test_a_server_becomes_a_vm_with_its_volumes_and_counts_in_the_quota(client, account, system, member):
    boot = found_volume(account, "root", size_gb=20, status="in-use", is_bootable=True, device="/dev/vda")
    data = found_volume(account, "data", size_gb=7, status="in-use", is_bootable=True, device="/dev/vdb")
    server = found_server(
        account, status="SHUTOFF", volumes=[data, boot], image=False, metadata={"team": "a", "portal_vm": "x"}
    )

    response = adopt(client, account, system, servers=[str(server.pk)])

    assert (response.status_code, response.json()["adopted"]) == (201, 1), response.json()
    vm = VirtualMachine.objects.get(openstack_id=server.cloud_id)
    assert (vm.cpu_cores, vm.memory_gb, vm.disk_gb, vm.flavor_name) == (2, 4, 20, "2c-4g-40g")
    assert (vm.status, vm.desired_state, vm.metadata) == ("stopped", "stopped", {"team": "a"})
    assert vm.observed_at == server.last_seen_at
    assert set(vm.volumes.values_list("name", "is_boot", "size_gb", "server_id")) == {
        ("root", True, 20, server.cloud_id),
        ("data", False, 7, server.cloud_id),
    }
    used = {name: quota["used"] for name, quota in measure_usage(member.tenant).items()}
    assert used == response.json()["needs"] == {"vms": 1, "cpu_cores": 2, "memory_gb": 4, "disk_gb": 27}
    entry = VMOperationLog.objects.get(vm_id=vm.pk)
    assert (entry.operation, entry.operator, entry.success) == ("adopt", member.user.username, True)
    assert names(unmanaged(client, account)) == []


def test_the_image_gives_a_vm_its_system_and_the_next_sync_is_a_full_one(client, account, system):
    server = found_server(account)

    adopt(client, account, system, servers=[server.cloud_id])

    vm = VirtualMachine.objects.get(openstack_id=server.cloud_id)
    assert (vm.image_name, vm.os_type, vm.os_version) == ("Ubuntu 22.04", "ubuntu", "22.04")
    # Its addresses are not known: the inventory does not tell floating ones from fixed ones.
    assert (vm.ip_address, vm.addresses, vm.sync_state) == (None, [], None)
    assert SyncState.objects.get(account=account, region="RegionOne").full_wanted_at is not None


def test_a_dry_run_answers_as_the_request_would_and_changes_nothing(client, account, system):
    server = found_server(account)

    planned = adopt(client, account, system, servers=[server.cloud_id], dry_run=True)

    assert planned.status_code == 200
    assert (planned.json()["adopted"], planned.json()["dry_run"]) == (1, True)
    assert planned.json()["results"][0]["vm"] is None
    assert not VirtualMachine.objects.exists() and not VMOperationLog.objects.exists()


def test_what_is_in_one_region_and_expired_in_another_is_adopted_from_the_one(client, account, system):
    server = found_server(account)
    # Two regions of a cloud may show one server, and its id decides which of them is read last.
    CloudResource.objects.create(
        pk=UUID(int=2**128 - 1),
        account=account,
        region="RegionTwo",
        type="server",
        cloud_id=server.cloud_id,
        name=server.name,
        attributes=server.attributes,
        expired_at="2026-01-01T00:00:00Z",
    )

    response = adopt(client, account, system, servers=[server.cloud_id])

    assert (response.status_code, refusals(response)) == (201, {}), response.json()
    assert VirtualMachine.objects.get().region == "RegionOne"


def test_a_rule_selects_by_name_project_and_metadata(client, account, system):
    for name, team in (("web-1", "a"), ("web_2", "b"), ("WEB-3", "a"), ("db-1", "a"), ("web.+", "a")):
        found_server(account, name, metadata={"team": team})

    def selected(**rule):
        planned = adopt(client, account, system, rule=rule, dry_run=True)
        assert planned.status_code == 200, planned.json()
        return names(planned)

    assert selected(name="web*") == ["web-1", "web.+", "web_2"]
    assert selected(name="web.+") == ["web.+"], "nothing but * is special"
    assert selected(name="*-1", metadata={"team": "a"}) == ["db-1", "web-1"]
    assert selected(name="web_?") == selected(project="another") == selected(name="eb*") == []
    assert len(selected(project="demo")) == 5


def test_two_hundred_servers_by_a_rule_take_as_many_statements_as_two(client, account, system):
    def statements():
        with CaptureQueriesContext(connection) as queries:
            response = adopt(client, account, system, rule={"name": "fleet-*"})
        assert response.status_code == 201, response.json()
        return len(queries), response.json()["adopted"]

    for number in range(2):
        volume = found_volume(account, f"few-{number}", status="in-use")
        found_server(account, f"fleet-few-{number}", volumes=[volume])
    few, _count = statements()
    for number in range(200):
        volume = found_volume(account, f"data-{number}", status="in-use")
        found_server(account, f"fleet-{number:03}", volumes=[volume])

    assert statements() == (few, 200)
    assert VirtualMachine.objects.count() == Volume.objects.filter(vm__isnull=False).count() == 202


def test_the_quota_refuses_all_or_lets_those_through_that_fit(client, account, system, member):
    member.tenant.quota_vms, member.tenant.quota_cpu_cores = 2, 100
    member.tenant.save()
    servers = [found_server(account, f"s{number}").cloud_id for number in range(3)]

    refused = adopt(client, account, system, servers=servers)

    assert (refused.status_code, refused.json()["code"]) == (409, "quota_exceeded")
    assert refused.json()["quota"] == {"vms": {"needed": 3, "left": 2, "total": 2}}
    assert not VirtualMachine.objects.exists()
    planned = adopt(client, account, system, servers=servers, dry_run=True)
    partly = adopt(client, account, system, servers=servers, mode="valid")
    assert refusals(planned) == refusals(partly) == {"s2": "quota_exceeded"}
    assert VirtualMachine.objects.count() == 2


def test_a_volume_that_the_tenant_has_already_is_linked_and_not_counted_twice(
    client, account, system, member
):
    volume = found_volume(account, "root", size_gb=30, status="in-use", is_bootable=True)
    row = VolumeFactory(
        volume_id=volume.cloud_id, information_system=system, account=account, size_gb=30, status="in-use"
    )
    server = found_server(account, volumes=[volume], image=False)

    response = adopt(client, account, system, servers=[server.cloud_id])

    row.refresh_from_db()
    assert (str(row.vm_id), row.is_boot) == (response.json()["results"][0]["vm"], True)
    assert response.json()["needs"]["disk_gb"] == 0
    assert measure_usage(member.tenant)["disk_gb"]["used"] == 30


def test_a_volume_alone_and_a_volume_that_goes_with_its_server(client, account, system, member):
    alone = found_volume(account, "alone")
    with_server = found_volume(account, "with its server", status="in-use")
    server = found_server(account, volumes=[with_server])

    response = adopt(
        client, account, system, servers=[server.cloud_id], volumes=[with_server.cloud_id, alone.cloud_id]
    )

    assert (response.status_code, response.json()["adopted"]) == (201, 3), response.json()
    assert set(Volume.objects.values_list("name", "vm__name")) == {
        ("alone", None),
        ("with its server", "shop-1"),
    }


def test_a_pools_volume_that_somebody_has_taken_can_be_adopted(client, account, system):
    volume = found_volume(account, metadata={"portal_pool": settings.CLOUD_TAG})
    OrphanVolume.record_used_volume(account, "RegionOne", volume.cloud_id, "x", "available")

    assert adopt(client, account, system, volumes=[volume.cloud_id]).status_code == 201


def test_an_adopted_orphan_is_none_any_more(client, account, system):
    server = found_server(account)
    Orphan.objects.create(account=account, region="RegionOne", kind="server", cloud_id=server.cloud_id)

    assert adopt(client, account, system, servers=[server.cloud_id]).status_code == 201
    assert not Orphan.objects.exists()


def test_what_was_released_gets_its_old_row_back_from_the_same_tenant_alone(client, account, system, member):
    former = uuid4()
    server = found_server(account)
    ReleasedObject.objects.create(
        account=account, kind="server", cloud_id=server.cloud_id, row_id=former, tenant=member.tenant
    )
    other = found_server(account, "others")
    ReleasedObject.objects.create(
        account=account,
        kind="server",
        cloud_id=other.cloud_id,
        row_id=uuid4(),
        tenant=InformationSystemFactory().tenant,
    )

    adopt(client, account, system, servers=[server.cloud_id, other.cloud_id])

    assert VirtualMachine.objects.get(openstack_id=server.cloud_id).pk == former
    assert not ReleasedObject.objects.exists()


def test_the_same_key_adopts_once(client, account, system):
    server = found_server(account)
    body = {"information_system": str(system.pk), "servers": [server.cloud_id]}
    path = f"/api/v1/cloud-accounts/{account.pk}/adopt/"

    answers = [client.post(path, body, format="json", headers={"Idempotency-Key": "one"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert VirtualMachine.objects.count() == 1


def test_a_disabled_account_gives_nothing(client, member, system):
    account = create_inventory(member.tenant, active=False)
    server = found_server(account)

    assert adopt(client, account, system, servers=[server.cloud_id]).json()["code"] == "account_disabled"
