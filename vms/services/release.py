"""Release a VM from the portal: its rows go, and the cloud keeps it as it is."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from api.domain_errors import ConflictError
from api.messages import message as _
from cloudaccounts.models import ReleasedObject
from tenants.scoping import Role, Scope
from volumepool.models import GONE, Volume, VolumeSnapshot

from ..models import VirtualMachine, VMOperationLog, VmPort
from .belongings import Belongings, find_unsettled, find_used, lock_belongings
from .locked_vms import lock_vm


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """A VM that was released, with the volumes that went with it. Their rows are gone."""

    vm: VirtualMachine
    volumes: list[Volume]


def release_vm(*, scope: Scope, vm_id: UUID, dry_run: bool = False) -> ReleaseResult:
    """Forget a VM and its volumes, and leave them in the cloud as they are; they can be adopted again.

    The operation log stays, and so do snapshots that are images. `ReleasedObject` keeps the sweep for orphans from them.

    Raises `NotFoundError`, 403; 409 `busy`, `not_bound`, `resize_pending`, `has_instances`, `has_snapshots`.
    Safe beside other requests, as `moves.move_vm`.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.ADMIN)
        found = lock_belongings([vm])
        for refusals in (find_unsettled(found), find_used([vm.pk])):
            if vm.pk in refusals:
                raise refusals[vm.pk]
        belongings = found[vm.pk]
        # Without its row, nobody would know why Cinder refuses to delete a volume: it has snapshots.
        if count := sum(snapshot.status != GONE for snapshot in belongings.volume_snapshots):
            message = _("Its volumes have %(count)s snapshots. Delete them first.")
            raise ConflictError("has_snapshots", message % {"count": count})
        if not dry_run:
            _forget(scope, belongings)
        return ReleaseResult(vm, belongings.volumes)


def _forget(scope: Scope, belongings: Belongings) -> None:
    """Record the release, and delete the rows."""
    vm = belongings.vm
    operator, tenant_id = scope.user.get_username(), vm.information_system.tenant_id
    bound = [volume for volume in belongings.volumes if volume.volume_id]
    kinds = ReleasedObject.Kind
    released = [(kinds.SERVER, str(vm.openstack_id), vm.name, vm.pk)]
    released += [(kinds.VOLUME, str(volume.volume_id), volume.name, volume.pk) for volume in bound]
    ports = VmPort.objects.filter(vm=vm, cloud_id__isnull=False)
    released += [(kinds.PORT, str(port.cloud_id), vm.name, port.pk) for port in ports]
    ReleasedObject.objects.bulk_create(
        [
            ReleasedObject(
                account_id=vm.account_id,
                region=vm.region,
                kind=kind,
                cloud_id=cloud_id,
                name=name,
                row_id=row_id,
                tenant_id=tenant_id,
                released_by=operator,
            )
            for kind, cloud_id, name, row_id in released
        ],
        update_conflicts=True,
        unique_fields=["cloud_id"],
        update_fields=["account", "region", "kind", "name", "row_id", "tenant", "released_by", "released_at"],
    )
    VMOperationLog.of(
        vm,
        VMOperationLog.Operation.RELEASE,
        user=scope.user,
        detail=_("Server %(server)s of cloud account %(account)s, released with %(count)s volumes.")
        % {"server": vm.openstack_id, "account": vm.account.name, "count": len(bound)},
    ).save()
    VolumeSnapshot.objects.filter(pk__in=[snapshot.pk for snapshot in belongings.volume_snapshots]).delete()
    Volume.objects.filter(pk__in=[volume.pk for volume in belongings.volumes]).delete()
    VirtualMachine.objects.filter(pk=vm.pk).delete()
