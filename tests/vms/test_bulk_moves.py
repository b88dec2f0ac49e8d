"""Many VMs move to another application in one request, with what belongs to them, all of them or those that can."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cloudaccounts.models import CatalogueGrant
from deploys.models import Host
from networks.models import SecurityGroup
from tasks import engine
from tenants.quotas import measure_usage
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    CloudResourceFactory,
    HostFactory,
    InformationSystemFactory,
    InstanceFactory,
    MembershipFactory,
    ServiceFactory,
    VersionFactory,
    VirtualMachineFactory,
    VMSnapshotFactory,
    VolumeFactory,
    VolumeSnapshotFactory,
)
from vms.commands.power import POWER_COMMANDS
from vms.models import ConsoleReading, Resize, VirtualMachine, VMOperationLog, VMSnapshot
from volumepool.models import Volume, VolumeSnapshot

from .adopting import client_of, link, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def member():
    """An administrator of a tenant."""
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def client(member):
    return client_of(member.user, member.tenant)


@pytest.fixture
def operator(member):
    return client_of(MembershipFactory(tenant=member.tenant, role=Role.OPERATOR).user)


@pytest.fixture
def account():
    """An account that all tenants share."""
    return CloudAccountFactory()


@pytest.fixture
def vms_of(member, account):
    """Return a function that creates VMs of one application, each with a data volume of 10 GiB, a snapshot of it and an image."""
    system = InformationSystemFactory(tenant=member.tenant, name="Old shop")

    def create(count, **columns):
        place = {"information_system": system, "account": account}
        vms = VirtualMachineFactory.create_batch(
            count, disk_gb=40, created_by=member.user, **place, **columns
        )
        for vm in vms:
            volume = VolumeFactory(vm=vm, status="in-use", **place)
            VolumeSnapshotFactory(volume=volume, information_system=system, size_gb=5)
            VMSnapshotFactory(vm_id=vm.pk, created_by=member.user, **place)
        return vms

    return create


@pytest.fixture
def own_target(member):
    return InformationSystemFactory(tenant=member.tenant, name="New shop")


@pytest.fixture
def neighbour(member):
    """Another tenant that the administrator administers, too."""
    return MembershipFactory(user=member.user, role=Role.ADMIN).tenant


@pytest.fixture
def foreign_target(neighbour):
    return InformationSystemFactory(tenant=neighbour, name="Their shop")


def move(client, vms, system, **body):
    ids = [str(getattr(vm, "pk", vm)) for vm in vms]
    return client.post(
        "/api/v1/vms/actions/",
        {"ids": ids, "action": "move", "information_system": str(system.pk), **body},
        format="json",
    )


def codes(response):
    return [one["refusal"] and one["refusal"]["code"] for one in response.json()["results"]]


def systems_of(model):
    return set(model.objects.values_list("information_system__name", flat=True))


def hold(vm):
    with transaction.atomic():
        engine.submit(POWER_COMMANDS["start"](str(vm.pk)), tenant=None, user=None)


def test_within_their_tenant_an_operator_moves_vms_with_all_that_belongs_to_them(
    operator, vms_of, own_target, member
):
    vms = vms_of(3)

    response = move(operator, vms, own_target)

    assert (response.status_code, response.json()["changed"]) == (200, 3), response.json()
    assert [one["changed"] for one in response.json()["results"]] == [True] * 3
    for model in (VirtualMachine, Volume, VolumeSnapshot, VMSnapshot):
        assert systems_of(model) == {"New shop"}, model
    assert {entry.detail for entry in VMOperationLog.objects.all()} == {"Old shop -> New shop"}
    assert VMOperationLog.objects.count() == 3
    assert VMSnapshot.objects.filter(created_by=member.user).count() == 3
    again = move(operator, vms, own_target)
    assert (again.status_code, again.json()["changed"], again.json()["refused"]) == (200, 0, 0)
    assert VMOperationLog.objects.count() == 3


def test_one_that_cant_stops_all_or_is_left_out(client, vms_of, own_target):
    fine, busy, resizing, binned = vms_of(4)
    hold(busy)
    Resize.objects.create(vm=resizing, flavor_id="x", flavor_name="x", cpu_cores=4, memory_gb=8, disk_gb=40)
    now = timezone.now()
    VirtualMachine.objects.filter(pk=binned.pk).update(binned_at=now, bin_until=now + timedelta(days=7))
    (unbound,) = vms_of(1, openstack_id=None)
    vms = [fine, busy, resizing, binned, unbound, VirtualMachineFactory()]
    expected = [None, "busy", "resize_pending", "in_bin", "not_bound", "not_found"]

    stopped = move(client, vms, own_target)

    assert (stopped.status_code, stopped.json()["code"]) == (409, "not_all_valid")
    assert codes(stopped) == expected
    assert systems_of(Volume) == {"Old shop"} and not VMOperationLog.objects.exists()
    moved = move(client, vms, own_target, mode="valid")
    assert (moved.status_code, moved.json()["changed"], moved.json()["refused"]) == (200, 1, 5)
    assert codes(moved) == expected
    assert [one.pk for one in VirtualMachine.objects.filter(information_system=own_target)] == [fine.pk]


def test_a_dry_run_tells_what_would_move_and_moves_nothing(client, vms_of, own_target):
    fine, busy = vms_of(2)
    hold(busy)

    planned = move(client, [fine, busy], own_target, dry_run=True)

    assert (planned.status_code, codes(planned)) == (200, [None, "busy"])
    assert [one["changed"] for one in planned.json()["results"]] == [True, False]
    assert systems_of(VirtualMachine) == {"Old shop"} and not VMOperationLog.objects.exists()


def test_to_another_tenant_it_takes_administrators_of_both_or_staff(
    operator, client, vms_of, member, neighbour, foreign_target
):
    vms = vms_of(2)
    half = MembershipFactory(tenant=member.tenant, role=Role.ADMIN).user
    MembershipFactory(user=half, tenant=neighbour, role=Role.OPERATOR)

    unknown = move(operator, vms, foreign_target)
    refused = move(client_of(half, member.tenant), vms, foreign_target, mode="valid")

    assert (unknown.status_code, list(unknown.json()["errors"])) == (400, ["information_system"])
    assert (refused.status_code, refused.json()["code"]) == (403, "role_too_low")
    assert systems_of(VirtualMachine) == {"Old shop"}
    assert move(client, vms, foreign_target).json()["changed"] == 2
    assert move(staff(), vms, vms[0].information_system).json()["changed"] == 2


def test_another_tenant_gets_vms_without_people_secrets_and_hosts(
    client, vms_of, member, neighbour, foreign_target
):
    vms = vms_of(2)
    ConsoleReading.objects.create(vm=vms[0], user=member.user, kind="log")
    for vm in vms:
        HostFactory(tenant=member.tenant, vm=vm)

    move(client, vms, foreign_target)

    assert not ConsoleReading.objects.exists()
    assert not Host.objects.exclude(vm=None).exists()
    for model in (VirtualMachine, VMSnapshot):
        assert not model.objects.exclude(created_by=None).exists()
    details = VMOperationLog.objects.values_list("tenant", "detail").distinct()
    assert set(details) == {
        (member.tenant.pk, "From Old shop to another tenant."),
        (neighbour.pk, "From another tenant to Their shop."),
    }


def test_the_quota_of_the_other_tenant_counts_all_that_move(client, vms_of, neighbour, foreign_target):
    vms = vms_of(3)
    neighbour.quota_disk_gb = 3 * 55 - 1
    neighbour.save()

    for mode in ("all", "valid"):
        refused = move(client, vms, foreign_target, mode=mode)
        assert (refused.status_code, refused.json()["code"]) == (409, "quota_exceeded")
        assert refused.json()["quota"]["disk_gb"] == {"needed": 165, "left": 164, "total": 164}
    assert systems_of(VirtualMachine) == {"Old shop"}
    assert move(client, vms[:2], foreign_target).json()["changed"] == 2
    assert measure_usage(neighbour)["disk_gb"]["used"] == 2 * 55


def test_each_vm_has_its_own_reason_not_to_leave_its_tenant(
    client, vms_of, member, account, foreign_target, own_target
):
    fine, used, connected, grouped, elsewhere = vms_of(5)
    version = VersionFactory(service=ServiceFactory(information_system=used.information_system))
    InstanceFactory(version=version, host=HostFactory(tenant=member.tenant, vm=used))
    CatalogueGrant.objects.filter(kind="network").delete()
    CloudResourceFactory(account=account, type="network", cloud_id="net-1", name="private")
    CatalogueGrant.objects.create(tenant=member.tenant, account=account, kind="network", cloud_id="net-1")
    addresses = [{"network": "private", "ip": "10.0.0.7", "mac": "", "kind": "fixed"}]
    VirtualMachine.objects.filter(pk=connected.pk).update(addresses=addresses)
    SecurityGroup.objects.create(
        tenant=member.tenant, account=account, region="RegionOne", cloud_id="group-1", name="web"
    )
    port = CloudResourceFactory(account=account, type="port", cloud_id="port-1")
    link(port, "server", str(grouped.openstack_id))
    link(port, "security_group", "group-1")
    own_account = CloudAccountFactory(tenant=member.tenant)
    VirtualMachine.objects.filter(pk=elsewhere.pk).update(account=own_account)
    vms = [fine, used, connected, grouped, elsewhere]

    response = move(client, vms, foreign_target, mode="valid")

    expected = [None, "has_instances", "network_not_granted", "has_security_groups", "invalid"]
    assert codes(response) == expected
    details = [one["refusal"]["detail"] for one in response.json()["results"][2:]]
    assert "private" in details[0] and "web" in details[1] and own_account.name in details[2]
    # Within the tenant, none of these matters.
    assert move(client, vms[1:], own_target).json()["changed"] == 4


def test_a_move_needs_its_application_and_no_other_action_takes_one(client, vms_of, own_target):
    vms = vms_of(1)
    send = {"ids": [str(vms[0].pk)]}

    missing = client.post("/api/v1/vms/actions/", {**send, "action": "move"}, format="json")
    foreign = move(client, vms, own_target, action="protect")
    unknown = move(client, vms, InformationSystemFactory.build(pk=uuid4()))

    for answer in (missing, foreign, unknown):
        assert (answer.status_code, list(answer.json()["errors"])) == (400, ["information_system"])


def test_thirty_cost_as_many_statements_as_two(client, vms_of, own_target, foreign_target):
    def statements(vms, target):
        with CaptureQueriesContext(connection) as queries:
            assert move(client, vms, target).json()["changed"] == len(vms)
        return len(queries)

    few, many = vms_of(2), vms_of(30)

    assert statements(few, own_target) == statements(many, own_target)
    assert statements(few, foreign_target) == statements(many, foreign_target)
