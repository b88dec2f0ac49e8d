"""Changing volumes of tenants, and removing them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from tasks import engine
from tasks.models import Job
from tenants.quotas import Needs, require_quota
from tenants.scoping import Role, Scope, locked_row

from ..commands import ExtendVolumeCommand, RemoveVolumeCommand, RenameVolumeCommand, VolumeCommand
from ..models import Volume


@dataclass(frozen=True, slots=True)
class Changed:
    """A volume, and the job that changes it; None when there is nothing to change."""

    volume: Volume
    job: Job | None


def remove_volume(*, scope: Scope, volume_id: UUID) -> Changed:
    """Have a volume removed. Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `busy`, `in_use`, `has_snapshots`."""
    with transaction.atomic():
        volume = lock_volume(scope, volume_id, Role.ADMIN)
        return _submit(scope, volume, RemoveVolumeCommand(str(volume.pk)))


def extend_volume(*, scope: Scope, volume_id: UUID, size_gb: int) -> Changed:
    """Have a volume made larger.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `busy`, `in_use`, `wrong_state`, `quota_exceeded`; 400 when the
    new size is smaller than the present one. The present size itself changes nothing.
    """
    with transaction.atomic():
        volume = lock_volume(scope, volume_id, Role.ADMIN)
        if size_gb == volume.size_gb:
            return Changed(volume, None)
        if size_gb < volume.size_gb:
            message = _("The volume has %(size)s GB; a volume cannot be made smaller.")
            raise InvalidFieldsError({"size_gb": [message % {"size": volume.size_gb}]})
        require_quota(volume.information_system.tenant, Needs(disk_gb=size_gb - volume.size_gb))
        changed = _submit(scope, volume, ExtendVolumeCommand(str(volume.pk), size_gb))
        # It counts from now on, whoever asks next.
        volume.extending_to_gb = size_gb
        volume.save(update_fields=["extending_to_gb", "updated_at"])
        return changed


def rename_volume(*, scope: Scope, volume_id: UUID, name: str) -> Changed:
    """Give a volume another name, in the cloud too. Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `busy`."""
    with transaction.atomic():
        volume = lock_volume(scope, volume_id, Role.OPERATOR)
        if name == volume.name:
            return Changed(volume, None)
        return _submit(scope, volume, RenameVolumeCommand(str(volume.pk), name))


def lock_volume(scope: Scope, volume_id: UUID, needed: Role) -> Volume:
    """A volume of the scope, locked in the caller's transaction. Raises `NotFoundError`, then 403 `role_too_low`."""
    volumes = Volume.objects.select_related("information_system__tenant", "account", "vm")
    volume: Volume = locked_row(volumes, scope, volume_id, needed)
    return volume


def _submit(scope: Scope, volume: Volume, command: VolumeCommand) -> Changed:
    command.volume = volume
    tenant = volume.information_system.tenant
    return Changed(volume, engine.submit(command, tenant=tenant, user=scope.user).job)
