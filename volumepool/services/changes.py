"""Rename, extend and delete volumes of tenants."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from tasks import engine
from tasks.models import Job
from tenants.quotas import Needs, require_quota
from tenants.scoping import Role, Scope, lock_row

from ..commands import ExtendVolumeCommand, RemoveVolumeCommand, RenameVolumeCommand, VolumeCommand
from ..models import Volume


@dataclass(frozen=True, slots=True)
class VolumeChange:
    """A volume and the job that changes it; None when there is nothing to change."""

    volume: Volume
    job: Job | None


def remove_volume(*, scope: Scope, volume_id: UUID) -> VolumeChange:
    """Submit the deletion of a volume. Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `busy`, `in_use`, `has_snapshots`."""
    with transaction.atomic():
        volume = lock_volume(scope, volume_id, Role.ADMIN)
        return _submit(scope, volume, RemoveVolumeCommand(str(volume.pk)))


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


def rename_volume(*, scope: Scope, volume_id: UUID, name: str) -> VolumeChange:
    """Submit the renaming of a volume, in the cloud too. Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `busy`."""
    with transaction.atomic():
        volume = lock_volume(scope, volume_id, Role.OPERATOR)
        if name == volume.name:
            return VolumeChange(volume, None)
        return _submit(scope, volume, RenameVolumeCommand(str(volume.pk), name))


def lock_volume(scope: Scope, volume_id: UUID, needed: Role) -> Volume:
    """Lock a volume of the scope in the caller's transaction. Raises `NotFoundError`, then 403 `role_too_low`."""
    volumes = Volume.objects.select_related("information_system__tenant", "account", "vm")
    volume: Volume = lock_row(volumes, scope, volume_id, needed)
    return volume


def _submit(scope: Scope, volume: Volume, command: VolumeCommand) -> VolumeChange:
    command.volume = volume
    tenant = volume.information_system.tenant
    return VolumeChange(volume, engine.submit(command, tenant=tenant, user=scope.user).job)
