"""Commands that create and delete snapshots of volumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from cloudaccounts.connect import open_cloud
from openstack_client import Cloud, CloudNotFoundError, Snapshot
from tasks.command import Entity, Failed, Failure, Refusal, Result, Wait, minutes, register, step

from ..models import SNAPSHOT_WATCHER, VolumeSnapshot
from ..volume_states import USABLE_STATUSES
from .cinder import CinderCommand, CreateObjectCommand, delete_snapshots
from .observations import record_if_gone, write_observed_volume


class SnapshotCommand(CinderCommand):
    """A command about a snapshot of a tenant's volume."""

    snapshot_id: str  # The row's id; Cinder's is on the row, once there is one.

    watcher: ClassVar[str] = SNAPSHOT_WATCHER

    @cached_property
    def snapshot(self) -> VolumeSnapshot:
        """The snapshot's row as it was when the command first read it."""
        snapshots = VolumeSnapshot.objects.select_related("account", "volume")
        snapshot: VolumeSnapshot = snapshots.get(pk=self.snapshot_id)
        return snapshot

    def cloud(self) -> Cloud:
        """Open the cloud that holds the snapshot."""
        return open_cloud(self.snapshot.account, self.snapshot.region)

    def fetch_object(self, cinder_id: str) -> Snapshot:
        """Fetch the snapshot as Cinder has it now. Raises `CloudNotFoundError`."""
        return self.block_storage().get_snapshot(cinder_id)

    def polling_scope(self) -> str:
        """Return the snapshot's account and region."""
        return self.snapshot.polling_scope

    def ownership_metadata(self) -> dict[str, str]:
        """Return the metadata by which the snapshot is found again in Cinder."""
        return {"portal": settings.CLOUD_TAG, "portal_snapshot": self.snapshot_id}

    def find_created(self) -> list[str]:
        """Return Cinder's ids of every snapshot that was created for this row. Raises `CloudError`."""
        return [
            found.id for found in self.block_storage().find_snapshots_by_metadata(self.ownership_metadata())
        ]

    def delete_objects(self, cinder_ids: Iterable[str]) -> Result:
        """Delete snapshots until Cinder has none of them."""
        return delete_snapshots(self.block_storage(), cinder_ids)

    def entity(self) -> Entity:
        """Return the snapshot as the entity of the job."""
        return Entity("volume_snapshot", self.snapshot_id, self.snapshot.name)


@register
@dataclass
class SnapshotVolumeCommand(CreateObjectCommand, SnapshotCommand):
    """Create a snapshot of a volume. The volume is locked until the snapshot is available."""

    snapshot_id: str

    kind: ClassVar[str] = "volumepool.snapshot_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Create snapshot of volume")

    def new_row_params(self) -> frozenset[str]:
        """Return the snapshot."""
        return frozenset({"snapshot_id"})

    def describe_change(self) -> dict[str, Any]:
        """Return the volume, and the size of the snapshot."""
        return {"volume": self.snapshot.volume.name, "disk_gb": self.snapshot.size_gb}

    def locks(self) -> list[str]:
        """Lock the snapshot and its volume."""
        return [self.snapshot.lock_key, self.snapshot.volume.lock_key]

    def validate(self) -> list[Refusal]:
        """Refuse a volume in a state of which Cinder takes no snapshot."""
        volume = self.snapshot.volume
        if volume.volume_id is not None and volume.status in USABLE_STATUSES:
            return []
        message = _("Can't create a snapshot: the volume is '%(status)s'. It has to be available or in use.")
        return [Refusal("wrong_state", message % {"status": volume.status})]

    def create_object(self) -> str:
        """Send the creation request; return Cinder's id."""
        # Writes of a running server may be in the snapshot or not, as after a power cut: file systems survive that.
        created = self.block_storage().create_snapshot(
            str(self.snapshot.volume.volume_id),
            name=self.snapshot.name,
            metadata=self.ownership_metadata(),
            force=True,
        )
        return created.id

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error; on a 404, record it when it is the volume that is gone."""
        if isinstance(error, CloudNotFoundError):
            record_if_gone(self.data, self.cloud(), self.snapshot.volume.volume_id)
        return super().translate(error)

    def on_success(self) -> None:
        """Bind the row to Cinder's snapshot."""
        VolumeSnapshot.objects.filter(pk=self.snapshot_id).update(
            snapshot_id=self.data["cinder_id"], status="available"
        )

    def on_failure(self, failure: Failure) -> None:
        """Delete the row, as Cinder has no snapshot; write what was observed of the volume to its row."""
        VolumeSnapshot.objects.filter(pk=self.snapshot_id).delete()
        if "seen" in self.data:
            write_observed_volume(str(self.snapshot.volume_id), self.data)


@register
@dataclass
class RemoveVolumeSnapshotCommand(SnapshotCommand):
    """Delete a snapshot in Cinder, then its row. A snapshot that is gone already is a success."""

    snapshot_id: str

    kind: ClassVar[str] = "volumepool.remove_snapshot"
    title: ClassVar[str | Promise] = gettext_lazy("Delete volume snapshot")
    renamed_steps: ClassVar[Mapping[str, str]] = {"remove_it": "delete_snapshot"}

    def locks(self) -> list[str]:
        """Lock the snapshot alone."""
        return [f"volume-snapshot:{self.snapshot_id}"]

    @step(title=gettext_lazy("Send delete request to cloud"), deadline=minutes(30))
    def delete_snapshot(self) -> Result:
        """Delete every snapshot that was created for the row, until Cinder has none of them."""
        ids = set(self.find_created())
        if self.snapshot.snapshot_id is not None:
            ids.add(self.snapshot.snapshot_id)
        return self.delete_objects(sorted(ids))

    def on_success(self) -> None:
        """Delete the row."""
        VolumeSnapshot.objects.filter(pk=self.snapshot_id).delete()
