"""A VM moves to another system or tenant with what belongs to it, or is released from the portal and stays in the cloud."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import transaction

from cloudaccounts.models import CatalogueGrant, ReleasedObject
from deploys.models import Host
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
from volumepool.models import GONE, Volume, VolumeSnapshot

from .adopting import adopt, client_of, found_server, found_volume, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def member():
    """An administrator of a tenant."""
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def client(member):
    return client_of(member.user, member.tenant)


@pytest.fixture
def vm(member):
    """A VM in a shared account, with a boot volume and a data volume."""
    vm = VirtualMachineFactory(information_system__tenant=member.tenant, created_by=member.user)
    place = {"information_system": vm.information_system, "account": vm.account, "vm": vm}
    VolumeFactory(name="root", is_boot=True, size_gb=40, status="in-use", **place)
    VolumeFactory(name="data", size_gb=10, status="in-use", **place)
    return vm


@pytest.fixture
def neighbour(member):
    """Another tenant that the administrator administers, too."""
    return MembershipFactory(user=member.user, role=Role.ADMIN).tenant


def move(client, vm, system, **body):
    return client.post(
        f"/api/v1/vms/{vm.pk}/move/", {"information_system": str(system.pk), **body}, format="json"
    )


def release(client, vm, **body):
    return client.post(f"/api/v1/vms/{vm.pk}/release/", body, format="json")


def history(client, vm):
    return client.get(f"/api/v1/vms/{vm.pk}/operations/").json()["results"]


def hold(vm):
    with transaction.atomic():
        return engine.submit(POWER_COMMANDS["start"](str(vm.pk)), tenant=None, user=None).job


def test_within_its_tenant_an_operator_moves_a_vm_with_all_that_belongs_to_it(vm, member):
    operator = MembershipFactory(tenant=member.tenant, role=Role.OPERATOR)
    target = InformationSystemFactory(tenant=member.tenant)
    volume = vm.volumes.get(name="data")
    snapshot = VolumeSnapshotFactory(volume=volume, information_system=vm.information_system)
    image = VMSnapshotFactory(
        vm_id=vm.pk, account=vm.account, information_system=vm.information_system, created_by=member.user
    )

    response = move(client_of(operator.user), vm, target)

    assert (response.status_code, response.json()["changed"]) == (200, True), response.json()
    assert response.json()["vm"]["information_system"] == str(target.pk)
    assert {row.information_system_id for row in (*Volume.objects.all(), *VolumeSnapshot.objects.all())} == {
        target.pk
    }
    image.refresh_from_db()
    snapshot.refresh_from_db()
    assert (image.information_system_id, image.created_by) == (target.pk, member.user)
    entry = VMOperationLog.objects.get(operation="move")
    assert (entry.operator, entry.detail) == (
        operator.user.username,
        f"{vm.information_system.name} -> {target.name}",
    )
    again = move(client_of(operator.user), vm, target)
    assert (again.status_code, again.json()["changed"]) == (200, False)
    assert VMOperationLog.objects.count() == 1


def test_to_another_tenant_it_takes_administrators_of_both_or_staff(vm, member, client, neighbour):
    target = InformationSystemFactory(tenant=neighbour)
    operator = MembershipFactory(tenant=member.tenant, role=Role.OPERATOR)
    MembershipFactory(user=operator.user, tenant=neighbour, role=Role.ADMIN)
    admin_here = MembershipFactory(tenant=member.tenant, role=Role.ADMIN)
    MembershipFactory(user=admin_here.user, tenant=neighbour, role=Role.OPERATOR)

    for user in (operator.user, admin_here.user):
        refused = move(client_of(user, member.tenant), vm, target)
        assert (refused.status_code, refused.json()["code"]) == (403, "role_too_low")
    stranger = move(client, vm, InformationSystemFactory())
    unknown = move(client, vm, InformationSystemFactory.build())
    assert (stranger.status_code, unknown.status_code) == (400, 400)
    assert list(stranger.json()["errors"]) == list(unknown.json()["errors"]) == ["information_system"]
    assert move(client, vm, target).status_code == 200
    assert move(staff(), vm, vm.information_system).json()["changed"] is True


def test_the_new_tenant_reads_the_history_without_people_details_and_tasks(vm, member, client, neighbour):
    VMOperationLog.objects.create(
        tenant=member.tenant,
        vm_id=vm.pk,
        vm_name=vm.name,
        operation="stop",
        operator="secret-person",
        detail="secret-detail",
        success=False,
        job_id=uuid4(),
    )
    ConsoleReading.objects.create(vm=vm, user=member.user, kind="log")
    image = VMSnapshotFactory(
        vm_id=vm.pk, account=vm.account, information_system=vm.information_system, created_by=member.user
    )

    response = move(client, vm, InformationSystemFactory(tenant=neighbour, name="their-system"))

    reader = client_of(MembershipFactory(tenant=neighbour, role=Role.VIEWER).user)
    moved, stopped = history(reader, vm)
    assert (stopped["operation"], stopped["success"], stopped["of_former_tenant"]) == ("stop", False, True)
    assert (stopped["operator"], stopped["detail"], stopped["job_id"]) == ("", "", None)
    assert moved["detail"] == "From another tenant to their-system."
    assert response.json()["vm"]["created_by"] is None
    image.refresh_from_db()
    assert image.created_by is None
    assert not ConsoleReading.objects.exists()
    # The former tenant keeps what happened in it, and learns nothing of the other one.
    former = client_of(MembershipFactory(tenant=member.tenant, role=Role.VIEWER).user)
    assert [entry["operator"] for entry in history(former, vm)] == [member.user.username, "secret-person"]
    assert "their-system" not in str(history(former, vm))
    assert former.get(f"/api/v1/vms/{vm.pk}/").status_code == 404


def test_the_quota_of_the_other_tenant_counts_everything_exactly(vm, client, neighbour):
    target = InformationSystemFactory(tenant=neighbour)
    VolumeSnapshotFactory(
        volume=vm.volumes.get(name="data"), information_system=vm.information_system, size_gb=5
    )
    neighbour.quota_disk_gb = 54
    neighbour.save()

    refused = move(client, vm, target)

    assert (refused.status_code, refused.json()["code"]) == (409, "quota_exceeded")
    assert refused.json()["quota"] == {"disk_gb": {"needed": 55, "left": 54, "total": 54}}
    neighbour.quota_disk_gb = 55
    neighbour.save()
    assert move(client, vm, target).status_code == 200
    assert measure_usage(neighbour)["disk_gb"]["used"] == 55
    assert measure_usage(MembershipFactory().tenant)["disk_gb"]["used"] == 0


def test_the_other_tenant_has_to_be_able_to_use_the_account(member, client, neighbour):
    vm = VirtualMachineFactory(
        information_system__tenant=member.tenant, account=CloudAccountFactory(tenant=member.tenant)
    )

    for mover in (client, staff()):
        refused = move(mover, vm, InformationSystemFactory(tenant=neighbour))
        assert (refused.status_code, list(refused.json()["errors"])) == (400, ["information_system"])


def test_a_vm_leads_no_tenant_into_a_network_that_it_was_not_granted(vm, member, client, neighbour):
    account = vm.account
    CatalogueGrant.objects.filter(kind="network").delete()
    CloudResourceFactory(account=account, type="network", cloud_id="net-1", name="private", status="ACTIVE")
    CatalogueGrant.objects.create(tenant=member.tenant, account=account, kind="network", cloud_id="net-1")
    addresses = [{"network": "private", "ip": "10.0.0.7", "mac": "", "kind": "fixed"}]
    VirtualMachine.objects.filter(pk=vm.pk).update(addresses=addresses)

    target = InformationSystemFactory(tenant=neighbour)
    refused = move(client, vm, target)
    assert (refused.status_code, refused.json()["code"]) == (409, "network_not_granted")
    assert "private" in refused.json()["detail"]

    CatalogueGrant.objects.create(tenant=neighbour, account=account, kind="network", cloud_id="net-1")
    assert move(client, vm, target).status_code == 200


def test_hosts_of_the_former_tenant_let_the_vm_go_and_services_on_it_keep_it(vm, client, neighbour, member):
    target = InformationSystemFactory(tenant=neighbour)
    host = HostFactory(tenant=member.tenant, vm=vm)
    version = VersionFactory(service=ServiceFactory(information_system=vm.information_system))
    instance = InstanceFactory(version=version, host=host)

    assert move(client, vm, target).json()["code"] == "has_instances"
    assert release(client, vm).json()["code"] == "has_instances"
    # Within the tenant, services go on running on it.
    assert move(client, vm, InformationSystemFactory(tenant=member.tenant)).json()["changed"] is True
    assert Host.objects.get().vm == vm
    instance.delete()
    assert move(client, vm, target).status_code == 200
    assert Host.objects.get().vm is None


@pytest.mark.parametrize("action", [move, release])
def test_it_is_refused_while_something_is_going_on(vm, member, client, action):
    arguments = (InformationSystemFactory(tenant=member.tenant),) if action is move else ()
    Resize.objects.create(vm=vm, flavor_id="x", flavor_name="x", cpu_cores=4, memory_gb=8, disk_gb=40)
    assert action(client, vm, *arguments).json()["code"] == "resize_pending"
    Resize.objects.all().delete()
    job = hold(vm)
    busy = action(client, vm, *arguments)
    assert (busy.status_code, busy.json()["code"], busy.json()["job"]["id"]) == (409, "busy", str(job.pk))
    unbound = VirtualMachineFactory(information_system=vm.information_system, openstack_id=None)
    assert action(client, unbound, *arguments).json()["code"] == "not_bound"
    assert VirtualMachine.objects.count() == 2


def test_a_volume_with_a_job_in_flight_holds_its_vm(vm, member, client):
    from volumepool.commands import ExtendVolumeCommand

    volume = vm.volumes.get(name="data")
    volume.vm = None
    volume.status = "available"
    volume.save()
    with transaction.atomic():
        engine.submit(ExtendVolumeCommand(str(volume.pk), 20), tenant=member.tenant, user=None)
    Volume.objects.filter(pk=volume.pk).update(vm=vm)

    assert move(client, vm, InformationSystemFactory(tenant=member.tenant)).json()["code"] == "busy"
    assert release(client, vm).json()["code"] == "busy"


@pytest.mark.parametrize("action", [move, release])
def test_a_dry_run_changes_nothing(vm, member, client, action):
    arguments = (InformationSystemFactory(tenant=member.tenant),) if action is move else ()

    answer = action(client, vm, *arguments, dry_run=True)

    assert answer.status_code == 200
    assert VirtualMachine.objects.get().information_system == vm.information_system
    assert not VMOperationLog.objects.exists() and not ReleasedObject.objects.exists()


def test_an_operator_may_not_release(vm, member):
    operator = MembershipFactory(tenant=member.tenant, role=Role.OPERATOR)

    assert release(client_of(operator.user), vm).json()["code"] == "role_too_low"


def test_snapshots_of_its_volumes_are_deleted_first_and_images_stay(vm, client):
    snapshot = VolumeSnapshotFactory(
        volume=vm.volumes.get(name="data"), information_system=vm.information_system
    )
    VMSnapshotFactory(vm_id=vm.pk, account=vm.account, information_system=vm.information_system)

    assert release(client, vm).json()["code"] == "has_snapshots"
    VolumeSnapshot.objects.filter(pk=snapshot.pk).update(status=GONE)
    assert release(client, vm).status_code == 200
    assert VMSnapshot.objects.count() == 1


def test_a_released_vm_is_forgotten_and_can_be_adopted_with_its_history(vm, member, client):
    account = vm.account
    account.tenant = member.tenant
    account.save()
    flavor = {"vcpus": 2, "memory_mb": 4096, "disk_gb": 40}
    from tests.factories import CloudResourceFactory

    CloudResourceFactory(account=account, name="2c-4g-40g", attributes=flavor)
    volumes = [
        found_volume(account, row.name, size_gb=row.size_gb, status="in-use", device=device)
        for row, device in (
            (vm.volumes.get(name="root"), "/dev/vda"),
            (vm.volumes.get(name="data"), "/dev/vdb"),
        )
    ]
    for found in volumes:
        Volume.objects.filter(name=found.name).update(volume_id=found.cloud_id)
    server = found_server(account, vm.name, volumes=volumes, image=False)
    VirtualMachine.objects.filter(pk=vm.pk).update(openstack_id=server.cloud_id)
    before = set(Volume.objects.values_list("pk", "volume_id", "is_boot", "size_gb"))
    path = f"/api/v1/cloud-accounts/{account.pk}/unmanaged/"
    assert client.get(path).json()["count"] == 0

    response = release(client, vm)

    assert (response.status_code, response.json()["openstack_id"]) == (200, server.cloud_id)
    assert set(response.json()["volumes"]) == {found.cloud_id for found in volumes}
    assert not VirtualMachine.objects.exists() and not Volume.objects.exists()
    assert measure_usage(member.tenant)["disk_gb"]["used"] == 0
    assert release(client, vm).status_code == 404
    assert ReleasedObject.objects.count() == 3
    assert client.get(path).json()["count"] == 3
    assert adopt(client, account, vm.information_system, servers=[server.cloud_id]).status_code == 201
    assert VirtualMachine.objects.get().pk == vm.pk
    assert set(Volume.objects.values_list("pk", "volume_id", "is_boot", "size_gb")) == before
    assert [entry["operation"] for entry in history(client, vm)] == ["adopt", "release"]
    assert not ReleasedObject.objects.exists()
