"""Attach volumes to VMs, and detach them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidFieldsError, NotFoundError
from cloudaccounts.placements import Placement
from tasks import engine
from tasks.models import Job
from tasks.operations import operation
from tenants.quotas import Needs, require_quota
from tenants.scoping import Role, Scope, lock_row
from volumepool.models import Volume
from volumepool.services import explain_unknown_volume_type

from ..commands.attachments import AttachVolumeCommand, DetachVolumeCommand
from ..models import VirtualMachine
from .locked_vms import lock_vm, update_locked_vm


@dataclass(frozen=True, slots=True)
class AttachmentResult:
    """A volume, and the job that attaches or detaches it."""

    volume: Volume
    job: Job


@operation("vms.attach_volume", AttachVolumeCommand)
def attach_volume(
    *,
    scope: Scope,
    vm_id: UUID,
    volume_id: UUID | None = None,
    size_gb: int | None = None,
    name: str = "",
    volume_type: str = "",
) -> AttachmentResult:
    """Attach a volume of the tenant's to a VM, or a new one of `size_gb`.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low` (a new one needs an administrator); 400 `invalid`, by field;
    409 `busy`, `wrong_state`, `quota_exceeded`.
    """
    if (volume_id is None) == (size_gb is None):
        message = _("Enter either the volume to attach or the size of a new one.")
        _require_visible_vm(scope, vm_id)
        raise InvalidFieldsError({"volume": [message]})
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.ADMIN if volume_id is None else Role.OPERATOR)
        if volume_id is not None:
            volume = _lock_free_volume(scope, vm, volume_id)
        else:
            assert size_gb is not None
            volume = _create_volume(vm, size_gb, name, volume_type)
        return _submit(scope, vm, volume, AttachVolumeCommand(str(vm.pk), str(volume.pk)))


def _require_visible_vm(scope: Scope, vm_id: UUID) -> None:
    """Raise 404 and 403, which come before the 400 of an invalid body."""
    with transaction.atomic():
        lock_vm(scope, vm_id, Role.OPERATOR)


@operation("vms.detach_volume", DetachVolumeCommand)
def detach_volume(*, scope: Scope, vm_id: UUID, volume_id: UUID) -> AttachmentResult:
    """Detach a volume from a VM; the tenant keeps it. Raises `NotFoundError`, and other domain errors: 403, 409."""
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.OPERATOR)
        volume: Volume = lock_row(Volume.objects.filter(vm=vm), scope, volume_id, Role.OPERATOR)
        return _submit(scope, vm, volume, DetachVolumeCommand(str(vm.pk), str(volume.pk)))


@operation("vms.attach_by_volume", AttachVolumeCommand)
def attach_by_volume(*, scope: Scope, volume_id: UUID, vm: UUID) -> AttachmentResult:
    """Attach a volume, requested by the volume's id: 404 when it is not visible, 400 when the VM is not."""
    _get_visible_volume(scope, volume_id)
    if not VirtualMachine.objects.within(scope).filter(pk=vm).exists():
        raise InvalidFieldsError({"vm": [_("VM not found: %(id)s.") % {"id": vm}]})
    return attach_volume(scope=scope, vm_id=vm, volume_id=volume_id)


@operation("vms.detach_by_volume", DetachVolumeCommand)
def detach_by_volume(*, scope: Scope, volume_id: UUID) -> AttachmentResult:
    """Detach a volume from its VM. Raises `NotFoundError`, and other domain errors: 403; 409 `busy`, `not_attached`."""
    volume = _get_visible_volume(scope, volume_id)
    if volume.vm_id is None:
        raise ConflictError("not_attached", _("The volume is not attached to a VM."))
    return detach_volume(scope=scope, vm_id=volume.vm_id, volume_id=volume_id)


def _get_visible_volume(scope: Scope, volume_id: UUID) -> Volume:
    volume: Volume | None = Volume.objects.within(scope).filter(pk=volume_id).first()
    if volume is None:
        raise NotFoundError
    scope.require(Role.OPERATOR, VirtualMachine)
    return volume


def _lock_free_volume(scope: Scope, vm: VirtualMachine, volume_id: UUID) -> Volume:
    volume: Volume | None = (
        Volume.objects.within(scope).select_for_update(of=("self",)).filter(pk=volume_id).first()
    )
    tenant_id = vm.information_system.tenant_id
    if volume is None or volume.information_system.tenant_id != tenant_id:
        raise InvalidFieldsError({"volume": [_("Volume not found: %(id)s.") % {"id": volume_id}]})
    if (volume.account_id, volume.region) != (vm.account_id, vm.region):
        raise InvalidFieldsError(
            {"volume": [_("The volume is in another cloud account or region than the VM.")]}
        )
    if volume.is_in_bin:
        raise InvalidFieldsError({"volume": [_("The volume is in the bin. Restore it first.")]})
    if volume.vm_id is not None:
        raise InvalidFieldsError({"volume": [_("The volume is attached to a VM; detach it there first.")]})
    return volume


def _create_volume(vm: VirtualMachine, size_gb: int, name: str, volume_type: str) -> Volume:
    place = Placement(vm.account, vm.region)
    if wrong := explain_unknown_volume_type(vm.information_system.tenant, place, volume_type):
        raise InvalidFieldsError({"type": [wrong]})
    require_quota(vm.information_system.tenant, Needs(disk_gb=size_gb))
    count = Volume.objects.filter(vm=vm).count()
    return Volume.objects.create(
        information_system=vm.information_system,
        account=vm.account,
        region=vm.region,
        name=name or f"{vm.name}-{count + 1}"[:200],
        size_gb=size_gb,
        type=volume_type,
    )


def _submit(
    scope: Scope, vm: VirtualMachine, volume: Volume, command: AttachVolumeCommand | DetachVolumeCommand
) -> AttachmentResult:
    command.vm = vm
    submitted = engine.submit(command, tenant=vm.information_system.tenant, user=scope.user)
    if not submitted.joined:
        update_locked_vm(vm)
    return AttachmentResult(volume, submitted.job)
