"""Removing volumes of tenants."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.http import Http404

from portal.api.scoping import Role, Scope
from tasks import engine
from tasks.models import Job

from ..commands import RemoveVolume
from ..models import Volume


def remove_volume(*, scope: Scope, volume_id: UUID) -> tuple[Volume, Job]:
    """Have a volume removed. Raises Http404, and `Refused`: 403 `role_too_low`; 409 `busy`, `in_use`."""
    with transaction.atomic():
        volumes = Volume.objects.within(scope).select_related("information_system__tenant", "account", "vm")
        volume: Volume | None = volumes.select_for_update(of=("self",)).filter(pk=volume_id).first()
        if volume is None:
            raise Http404
        scope.require(Role.ADMIN)
        command = RemoveVolume(str(volume.pk))
        command.volume = volume
        tenant = volume.information_system.tenant
        return volume, engine.submit(command, tenant=tenant, user=scope.user).job
