"""Taking snapshots of volumes, and removing them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from cloudaccounts.connect import open_cloud
from openstack_client import Cloud, NotFound, Snapshot
from tasks.command import Entity, Failed, Failure, Refusal, Result, Wait, minutes, register, step

from ..models import SNAPSHOT_WATCHER, VolumeSnapshot
from ..states import USABLE
from .cinder import CinderCommand, MakingCommand, delete_snapshots
from .seen import note_if_gone, write_seen


class SnapshotCommand(CinderCommand):
    """A command about a snapshot of a tenant's volume."""

    snapshot_id: str  # The row's id; Cinder's is on the row, once there is one.

    watcher: ClassVar[str] = SNAPSHOT_WATCHER

    @cached_property
    def snapshot(self) -> VolumeSnapshot:
        """The snapshot as it was when the command first looked."""
        snapshots = VolumeSnapshot.objects.select_related("account", "volume")
        snapshot: VolumeSnapshot = snapshots.get(pk=self.snapshot_id)
        return snapshot

    def cloud(self) -> Cloud:
        """The cloud that it is in."""
        return open_cloud(self.snapshot.account, self.snapshot.region)

    def look_at(self, cinder_id: str) -> Snapshot:
        """Cinder's snapshot as it is now. Raises `NotFound`."""
        return self.block_storage().get_snapshot(cinder_id)

    def polling_scope(self) -> str:
        """Its account and region."""
        return self.snapshot.polling_scope

    def mark(self) -> dict[str, str]:
        """What Cinder's snapshot carries, to be found by."""
        return {"portal": settings.CLOUD_TAG, "portal_snapshot": self.snapshot_id}

    def made_before(self) -> list[str]:
        """Cinder's ids of all snapshots that were ever made for this row. Raises `CloudError`."""
        return [found.id for found in self.block_storage().find_snapshots_by_metadata(self.mark())]

    def delete_all(self, cinder_ids: Iterable[str]) -> Result:
        """Ask for the end of snapshots until the cloud has none of them."""
        return delete_snapshots(self.block_storage(), cinder_ids)

    def entity(self) -> Entity:
        """The snapshot."""
        return Entity("volume_snapshot", self.snapshot_id, self.snapshot.name)


@register
@dataclass
class SnapshotVolume(MakingCommand, SnapshotCommand):
    """Have Cinder keep what a volume holds now. The volume is busy until it is done."""

    snapshot_id: str

    kind: ClassVar[str] = "volumepool.snapshot_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Take a snapshot of volume")

    def locks(self) -> list[str]:
        """The snapshot and its volume."""
        return [self.snapshot.lock_key, self.snapshot.volume.lock_key]

    def validate(self) -> list[Refusal]:
        """Refuse what Cinder takes no snapshot of."""
        volume = self.snapshot.volume
        if volume.volume_id is not None and volume.status in USABLE:
            return []
        message = gettext_lazy("No snapshot can be taken of a volume that is '%(status)s'.")
        return [Refusal("wrong_state", message % {"status": volume.status})]

    def ask(self) -> str:
        """Ask for it; Cinder's id."""
        # What a running server writes meanwhile may be in it or not: as after a power cut, which file systems survive.
        made = self.block_storage().create_snapshot(
            str(self.snapshot.volume.volume_id),
            name=self.snapshot.name,
            metadata=self.mark(),
            force=True,
        )
        return made.id

    def translate(self, error: Exception) -> Wait | Failed | None:
        """What an error means; of a 404, whether it is the volume that is gone: then its row says so at once."""
        if isinstance(error, NotFound):
            note_if_gone(self.data, self.cloud(), self.snapshot.volume.volume_id)
        return super().translate(error)

    def on_success(self) -> None:
        """Bind the row."""
        VolumeSnapshot.objects.filter(pk=self.snapshot_id).update(
            snapshot_id=self.data["cinder_id"], status="available"
        )

    def on_failure(self, failure: Failure) -> None:
        """The cloud has nothing of it, so the row goes; the volume's says what was seen of it."""
        VolumeSnapshot.objects.filter(pk=self.snapshot_id).delete()
        if "seen" in self.data:
            write_seen(str(self.snapshot.volume_id), self.data)


@register
@dataclass
class RemoveVolumeSnapshot(SnapshotCommand):
    """Remove a snapshot from Cinder, and its row when it is gone there. That it is gone already is success."""

    snapshot_id: str

    kind: ClassVar[str] = "volumepool.remove_snapshot"
    title: ClassVar[str | Promise] = gettext_lazy("Remove volume snapshot")

    def locks(self) -> list[str]:
        """The snapshot, and nothing else."""
        return [f"volume-snapshot:{self.snapshot_id}"]

    @step(title=gettext_lazy("Ask the cloud to remove it"), deadline=minutes(30))
    def remove_it(self) -> Result:
        """Remove whatever was made for it, until the cloud has none of it."""
        ids = set(self.made_before())
        if self.snapshot.snapshot_id is not None:
            ids.add(self.snapshot.snapshot_id)
        return self.delete_all(sorted(ids))

    def on_success(self) -> None:
        """The row goes."""
        VolumeSnapshot.objects.filter(pk=self.snapshot_id).delete()
