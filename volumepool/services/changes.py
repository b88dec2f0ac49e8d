"""Rename, extend and delete volumes of tenants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidFieldsError
from tasks import engine
from tasks.models import Job
from tasks.operations import operation
from tenants.quotas import Needs, require_quota
from tenants.scoping import Role, Scope, lock_row

from ..commands import ExtendVolumeCommand, RemoveVolumeCommand, RenameVolumeCommand, VolumeCommand
from ..models import Volume
from .volume_bin import build_in_bin_error, goes_to_bin, move_to_bin

# The jobs that delete a volume, or its VM.
REMOVING_KINDS = frozenset(
    {"volumepool.remove_volume", "volumepool.provide_volumes", "vms.remove", "vms.move_to_bin"}
)


@dataclass(frozen=True, slots=True)
class VolumeChange:
    """A volume and the job that changes it; None when there is nothing to change."""

    volume: Volume
    job: Job | None


@operation("volumepool.remove_volume", RemoveVolumeCommand)
def remove_volume(*, scope: Scope, volume_id: UUID, permanent: bool = False) -> VolumeChange:
    """Delete a volume: into the bin if there is one, which needs no job, else from the cloud.

    `permanent` deletes from the cloud at once, also a volume that is in the bin. Raises `NotFoundError`, and other domain
    errors: 403 `role_too_low`; 409 `busy`, `protected`, `in_bin`, `in_use`, `has_snapshots`.
    """
    with transaction.atomic():
        volume = lock_volume(scope, volume_id, Role.ADMIN, may_be_in_bin=True)
        command = RemoveVolumeCommand(str(volume.pk))
        if volume.is_in_bin and not permanent:
            raise build_in_bin_error(volume)
        if permanent or not goes_to_bin(volume):
            return _submit(scope, volume, command)
        move_to_bin(volume, command)
        return VolumeChange(volume, None)


@operation("volumepool.extend_volume", ExtendVolumeCommand)
def extend_volume(*, scope: Scope, volume_id: UUID, size_gb: int) -> VolumeChange:
    """Submit the extension of a volume.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `busy`, `in_use`, `wrong_state`, `quota_exceeded`; 400 when the
    new size is smaller than the present one. The present size changes nothing.
    """
    with transaction.atomic():
        volume = lock_volume(scope, volume_id, Role.ADMIN)
        if size_gb == volume.size_gb:
            return VolumeChange(volume, None)
        if size_gb < volume.size_gb:
            message = _("The volume has %(size)s GB. A volume can't be shrunk.")
            raise InvalidFieldsError({"size_gb": [message % {"size": volume.size_gb}]})
        require_quota(volume.information_system.tenant, Needs(disk_gb=size_gb - volume.size_gb))
        changed = _submit(scope, volume, ExtendVolumeCommand(str(volume.pk), size_gb))
        # The new size counts against the quota from now on.
        volume.extending_to_gb = size_gb
        volume.save(update_fields=["extending_to_gb", "updated_at"])
        return changed


@operation("volumepool.rename_volume", RenameVolumeCommand)
def rename_volume(*, scope: Scope, volume_id: UUID, name: str) -> VolumeChange:
    """Submit the renaming of a volume, in the cloud too. Raises as `change_volume`."""
    return change_volume(scope=scope, volume_id=volume_id, fields={"name": name})


@operation("volumepool.change_volume", RenameVolumeCommand)
def change_volume(*, scope: Scope, volume_id: UUID, fields: Mapping[str, Any]) -> VolumeChange:
    """Change a volume's name (by a job, in the cloud too), its tags and its protection; everything or nothing.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low` (turning protection off needs an administrator); 409 `busy`,
    `in_bin`.
    """
    with transaction.atomic():
        volume = lock_volume(scope, volume_id, Role.OPERATOR)
        is_on = fields.get("deletion_protection", volume.deletion_protection)
        if is_on != volume.deletion_protection:
            scope.require(Role.OPERATOR if is_on else Role.ADMIN, Volume)
            if is_on:
                _refuse_during_removal(volume)
        columns = {
            name: fields[name]
            for name in ("tags", "deletion_protection")
            if name in fields and fields[name] != getattr(volume, name)
        }
        if columns:
            for name, value in columns.items():
                setattr(volume, name, value)
            volume.save(update_fields=[*columns, "updated_at"])
        if fields.get("name", volume.name) == volume.name:
            return VolumeChange(volume, None)
        return _submit(scope, volume, RenameVolumeCommand(str(volume.pk), fields["name"]))


def _refuse_during_removal(volume: Volume) -> None:
    """Raise 409 `busy` when a job deletes the volume, or its VM: protection that is turned on now would protect nothing."""
    keys = [volume.lock_key, *([f"vm:{volume.vm_id}"] if volume.vm_id else [])]
    for holder in engine.lock_holders(keys).values():
        if holder.kind in REMOVING_KINDS:
            raise engine.BusyError(holder)


def lock_volume(scope: Scope, volume_id: UUID, needed: Role, *, may_be_in_bin: bool = False) -> Volume:
    """Lock a volume of the scope in the caller's transaction.

    Raises `NotFoundError`, then 403 `role_too_low`, then 409 `in_bin`, because a volume in the bin can only be restored or deleted.
    """
    volumes = Volume.objects.select_related("information_system__tenant", "account", "vm")
    volume: Volume = lock_row(volumes, scope, volume_id, needed)
    if volume.is_in_bin and not may_be_in_bin:
        raise ConflictError("in_bin", _("The volume is in the bin. Restore it first."))
    return volume


def _submit(scope: Scope, volume: Volume, command: VolumeCommand) -> VolumeChange:
    command.volume = volume
    tenant = volume.information_system.tenant
    return VolumeChange(volume, engine.submit(command, tenant=tenant, user=scope.user).job)
