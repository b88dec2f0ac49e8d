"""The bin of volumes: a volume in it is hidden and can't be attached; the cloud keeps it until the bin is emptied."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError
from tasks import engine
from tasks.engine import Spec
from tenants.scoping import Role, Scope, lock_row

from ..commands import RemoveVolumeCommand
from ..models import GONE, Volume

BATCH_SIZE = 500


def goes_to_bin(volume: Volume) -> bool:
    """Return whether a deletion moves the volume to the bin: there is a bin, and a volume in the cloud to keep in it."""
    return settings.BIN_DAYS > 0 and volume.volume_id is not None and volume.status != GONE


def move_to_bin(volume: Volume, command: RemoveVolumeCommand) -> None:
    """Move a locked volume to the bin if its deletion would be allowed now. No job is needed: nothing changes in the cloud.

    Raises 409 `busy`, and the refusals of `command`, the deletion.
    """
    if (holder := engine.lock_holder(volume.lock_key)) is not None:
        raise engine.BusyError(holder)
    command.volume = volume
    if refusals := command.validate():
        raise engine.NotValidError(refusals)
    volume.binned_at = timezone.now()
    volume.bin_until = volume.binned_at + timedelta(days=settings.BIN_DAYS)
    volume.save(update_fields=["binned_at", "bin_until", "updated_at"])


def build_in_bin_error(volume: Volume) -> ConflictError:
    """Return the refusal to delete a volume that is in the bin already."""
    message = _("Volume '%(name)s' is in the bin until %(date)s. Restore it, or delete it permanently.")
    assert volume.bin_until is not None  # A constraint of the table.
    values = {"name": volume.name, "date": f"{volume.bin_until:%Y-%m-%d %H:%M} UTC"}
    return ConflictError("in_bin", message % values, bin_until=volume.bin_until.isoformat())


def restore_volume(*, scope: Scope, volume_id: UUID) -> Volume:
    """Take a volume out of the bin. Raises `NotFoundError`; 403 `role_too_low`; 409 `busy`, `not_in_bin`, `gone`."""
    with transaction.atomic():
        volumes = Volume.objects.select_related("information_system__tenant", "account", "vm")
        volume: Volume = lock_row(volumes, scope, volume_id, Role.ADMIN)
        if not volume.is_in_bin:
            raise ConflictError("not_in_bin", _("The volume is not in the bin."))
        if (holder := engine.lock_holder(volume.lock_key)) is not None:
            raise engine.BusyError(holder)
        if volume.status == GONE:
            message = _(
                "The cloud no longer has volume '%(name)s', so it can't be restored. Delete it permanently."
            )
            raise ConflictError("gone", message % {"name": volume.name})
        volume.binned_at = volume.bin_until = None
        volume.save(update_fields=["binned_at", "bin_until", "updated_at"])
        return volume


def empty_volume_bin() -> int:
    """Submit the deletion of volumes whose time in the bin is over; return how many.

    A volume that a job holds, or whose row is locked, waits for the next run, and so does one whose deletion has failed.
    """
    with transaction.atomic():
        over = Volume.objects.select_related("information_system__tenant", "account").filter(
            bin_until__lt=timezone.now(), account__active=True
        )
        volumes = list(over.order_by("pk").select_for_update(of=("self",), skip_locked=True)[:BATCH_SIZE])
        commands = [RemoveVolumeCommand(str(volume.pk)) for volume in volumes]
        for command, volume in zip(commands, volumes, strict=True):
            command.volume = volume
        specs = [
            Spec(command, volume.information_system.tenant)
            for command, volume in zip(commands, volumes, strict=True)
        ]
        results = engine.submit_many(specs, mode="valid") if specs else []
        return sum(result.job is not None and not result.joined for result in results)
