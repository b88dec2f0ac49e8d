"""Create and delete snapshots of volumes."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from tasks import engine
from tasks.models import Job
from tasks.operations import operation
from tenants.quotas import Needs, require_quota
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, lock_row

from ..commands.snapshots import RemoveVolumeSnapshotCommand, SnapshotVolumeCommand
from ..models import Volume, VolumeSnapshot
from .changes import lock_volume


@dataclass(frozen=True, slots=True)
class SnapshotResult:
    """A snapshot and the job that creates or deletes it."""

    snapshot: VolumeSnapshot
    job: Job

    @property
    def volume(self) -> Volume:
        """Return the volume of the snapshot."""
        return self.snapshot.volume


@operation("volumepool.take_snapshot", SnapshotVolumeCommand)
def take_snapshot(*, scope: Scope, volume_id: UUID, name: str) -> SnapshotResult:
    """Submit the creation of a snapshot of a volume.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `busy`, `wrong_state`, `quota_exceeded`, `limit_reached`. A snapshot
    counts as disk, as it does in Cinder.
    """
    with transaction.atomic():
        volume = lock_volume(scope, volume_id, Role.OPERATOR)
        tenant = volume.information_system.tenant
        require_quota(tenant, Needs(disk_gb=volume.size_gb))
        require_row_limit(
            tenant, "volume_snapshots", VolumeSnapshot.objects.filter(information_system__tenant=tenant)
        )
        snapshot = VolumeSnapshot.objects.create(
            information_system=volume.information_system,
            account=volume.account,
            region=volume.region,
            volume=volume,
            name=name,
            size_gb=volume.size_gb,
            created_by=scope.user,
        )
        command = SnapshotVolumeCommand(str(snapshot.pk))
        command.snapshot = snapshot
        return SnapshotResult(snapshot, engine.submit(command, tenant=tenant, user=scope.user).job)


@operation("volumepool.remove_snapshot", RemoveVolumeSnapshotCommand)
def remove_snapshot(*, scope: Scope, snapshot_id: UUID) -> SnapshotResult:
    """Submit the deletion of a snapshot. Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `busy`."""
    with transaction.atomic():
        snapshots = VolumeSnapshot.objects.select_related("information_system__tenant", "account", "volume")
        snapshot: VolumeSnapshot = lock_row(snapshots, scope, snapshot_id, Role.OPERATOR)
        command = RemoveVolumeSnapshotCommand(str(snapshot.pk))
        command.snapshot = snapshot
        tenant = snapshot.information_system.tenant
        return SnapshotResult(snapshot, engine.submit(command, tenant=tenant, user=scope.user).job)
