"""Create and delete snapshots of VMs."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from tasks import engine
from tasks.models import Job
from tasks.operations import operation
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, lock_row
from volumepool.models import Volume

from ..commands.snapshots import RemoveSnapshotCommand, SnapshotVmCommand
from ..models import VMSnapshot
from .locked_vms import lock_vm, update_locked_vm


@dataclass(frozen=True, slots=True)
class SnapshotResult:
    """A snapshot, and the job that creates or deletes it."""

    snapshot: VMSnapshot
    job: Job


@operation("vms.take_snapshot", SnapshotVmCommand)
def take_snapshot(*, scope: Scope, vm_id: UUID, name: str) -> SnapshotResult:
    """Submit the creation of a snapshot of a VM. Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `busy`, `wrong_state`, `limit_reached`."""
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.OPERATOR)
        tenant = vm.information_system.tenant
        require_row_limit(
            tenant, "vm_snapshots", VMSnapshot.objects.filter(information_system__tenant=tenant)
        )
        boots_from_volume = Volume.objects.filter(vm=vm, is_boot=True).exists()
        snapshot = VMSnapshot.objects.create(
            min_disk_gb=vm.disk_gb if boots_from_volume else 0,
            information_system=vm.information_system,
            account=vm.account,
            region=vm.region,
            vm_id=vm.pk,
            vm_name=vm.name,
            name=name,
            created_by=scope.user,
        )
        command = SnapshotVmCommand(str(vm.pk), str(snapshot.pk))
        command.vm = vm
        job = engine.submit(command, tenant=vm.information_system.tenant, user=scope.user).job
        update_locked_vm(vm)
        return SnapshotResult(snapshot, job)


@operation("vms.remove_snapshot", RemoveSnapshotCommand)
def remove_snapshot(*, scope: Scope, snapshot_id: UUID) -> SnapshotResult:
    """Submit the deletion of a snapshot. Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `busy`."""
    with transaction.atomic():
        snapshots = VMSnapshot.objects.select_related("account", "information_system__tenant")
        snapshot: VMSnapshot = lock_row(snapshots, scope, snapshot_id, Role.OPERATOR)
        command = RemoveSnapshotCommand(str(snapshot.pk))
        command.snapshot = snapshot
        tenant = snapshot.information_system.tenant
        return SnapshotResult(snapshot, engine.submit(command, tenant=tenant, user=scope.user).job)
