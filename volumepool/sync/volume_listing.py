"""Compare the volumes and snapshots of one account and region with a listing of Cinder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import connection

from cloudaccounts.sync.listed_statuses import SyncCounts, record_missing, write_statuses
from openstack_client import Cloud, CloudNotFoundError
from openstack_client import Volume as CinderVolume

from ..cinder_columns import VolumeColumns, map_volume_columns
from ..models import GONE, Volume, VolumeSnapshot, VolumeSyncState
from ..queries import WRITE_VOLUMES

# In these statuses Cinder's listing does not name the server that a volume is reserved for. Its attachments are fetched
# one by one, at most this many in each run.
_RESERVED_STATUSES = frozenset({"reserved", "attaching", "detaching"})
_MAX_RESERVATION_REQUESTS = 20
_LOCK_PREFIXES: dict[type[Volume | VolumeSnapshot], str] = {
    Volume: "volume:",
    VolumeSnapshot: "volume-snapshot:",
}
# All of Cinder's statuses (cinder/objects/fields.py, `VolumeStatus`). Others are kept as they are, and counted.
KNOWN_STATUSES = frozenset(
    {
        "creating", "available", "reserved", "attaching", "detaching", "in-use", "maintenance", "deleting", "downloading",
        "uploading", "retyping", "extending", "awaiting-transfer", "backing-up", "restoring-backup", "managing", "error",
        "error_deleting", "error_extending", "error_restoring", "error_backing-up", "error_managing", "error_managing_deleting",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _KnownVolume:
    """The columns of a row that follow Cinder."""

    pk: UUID
    status: str
    size_gb: int
    name: str
    server_id: str
    device: str
    vm_id: UUID | None
    missing_count: int
    tenant_id: Any

    def differs(self, columns: VolumeColumns, vm_id: UUID | None) -> bool:
        """Return whether Cinder reports something else. A device is kept while Cinder does not know it."""
        reported = (columns.status, columns.size_gb, columns.name or self.name, columns.server_id, vm_id)
        stored = (self.status, self.size_gb, self.name, self.server_id, self.vm_id)
        return (
            reported != stored
            or self.missing_count > 0
            or (bool(columns.device) and columns.device != self.device)
        )


class VolumeComparison:
    """The bound volumes of one account and region, compared with the pages of a listing."""

    def __init__(self, state: VolumeSyncState, began: datetime, counts: SyncCounts) -> None:
        self.state, self.began, self.counts = state, began, counts
        bound = Volume.objects.filter(account=state.account, region=state.region, volume_id__isnull=False)
        self.reservation_requests = 0
        # The volumes that the listing has not shown yet.
        self.unseen: dict[str, _KnownVolume] = {
            volume_id: _KnownVolume(pk, *rest)
            for pk, volume_id, *rest in bound.values_list(
                "pk", "volume_id", "status", "size_gb", "name", "server_id", "device", "vm_id", "missing_count",
                "information_system__tenant_id",
            )
        }  # fmt: skip

    def compare_page(self, cloud: Cloud, page: Iterable[CinderVolume]) -> None:
        """Compare a page, and write the volumes that differ."""
        found: list[tuple[_KnownVolume, VolumeColumns]] = []
        for volume in page:
            known = self.unseen.pop(volume.id, None)
            if known is None:
                continue  # Not ours.
            self.counts.synced += 1
            found.append((known, self._read_columns(cloud, volume)))
            if volume.status not in KNOWN_STATUSES:
                self.counts.count_unknown_word(volume.status)
        vms = _find_vms({columns.server_id for _known, columns in found if columns.server_id})
        changed = [
            (known, columns, vms.get((columns.server_id, known.tenant_id)))
            for known, columns in found
            if known.differs(columns, vms.get((columns.server_id, known.tenant_id)))
        ]
        if changed:
            written = _write_volumes(changed, self.began)
            self.counts.updated += written
            self.counts.skipped += len(changed) - written

    def _read_columns(self, cloud: Cloud, volume: CinderVolume) -> VolumeColumns:
        """Return the columns of a volume, with the server that it is reserved for, which only its attachments name."""
        columns = map_volume_columns(volume)
        if (
            columns.server_id
            or volume.status not in _RESERVED_STATUSES
            or self.reservation_requests >= _MAX_RESERVATION_REQUESTS
        ):
            return columns
        self.reservation_requests += 1
        try:
            reservations = cloud.block_storage.list_reservations(volume.id)
        except CloudNotFoundError:
            return columns
        server_id = next((reservation.server_id for reservation in reservations if reservation.server_id), "")
        return VolumeColumns(**{**columns.as_json(), "server_id": server_id[:64]})

    def record_missing(self, model: type[Volume | VolumeSnapshot], unseen: dict[str, Any], key: str) -> None:
        """Record the rows that a complete listing did not show: a row that is missing twice is gone. Raises `MassLossError`."""
        if not unseen:
            return
        lost = model.objects.filter(**{f"{key}__in": list(unseen)}).exclude(status=GONE)
        missing = list(lost.values_list("pk", "missing_count"))
        record_missing(
            model, missing, model.objects.filter(account=self.state.account, region=self.state.region).count(),
            began=self.began, losses_accepted=self.state.losses_accepted, counts=self.counts, lock_prefix=_LOCK_PREFIXES[model],
        )  # fmt: skip


def _find_vms(server_ids: set[str]) -> dict[tuple[str, Any], UUID]:
    """Return the VMs by server and tenant: a volume is never shown on another tenant's VM."""
    vms = apps.get_model("vms", "VirtualMachine").objects
    found = vms.filter(openstack_id__in=server_ids) if server_ids else vms.none()
    rows = found.values_list("openstack_id", "information_system__tenant_id", "pk")
    return {(server_id, tenant_id): pk for server_id, tenant_id, pk in rows}


def _write_volumes(changed: list[tuple[_KnownVolume, VolumeColumns, UUID | None]], began: datetime) -> int:
    """Write the rows that no job holds and that are not newer than the listing; return their number. One statement.

    Safe beside a user's action: the action locks the volume's row, then takes its entity lock. This statement either waits
    for the row and finds that lock, or has written before the action read the row.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            WRITE_VOLUMES,
            {
                "pk": [known.pk for known, _columns, _vm in changed],
                "status": [columns.status for _known, columns, _vm in changed],
                "size": [columns.size_gb for _known, columns, _vm in changed],
                "name": [columns.name for _known, columns, _vm in changed],
                "server": [columns.server_id for _known, columns, _vm in changed],
                "device": [columns.device for _known, columns, _vm in changed],
                "vm": [vm for _known, _columns, vm in changed],
                "began": began,
            },
        )
        (written,) = cursor.fetchone()
    return int(written)


def compare_snapshots(
    cloud: Cloud, state: VolumeSyncState, comparison: VolumeComparison, counts: SyncCounts
) -> None:
    """Compare the snapshots of one account and region with a listing, and write those that differ. Raises `CloudError`, `MassLossError`."""
    bound = VolumeSnapshot.objects.filter(
        account=state.account, region=state.region, snapshot_id__isnull=False
    )
    unseen = {
        snapshot_id: (pk, status, missing)
        for pk, snapshot_id, status, missing in bound.values_list(
            "pk", "snapshot_id", "status", "missing_count"
        )
    }
    if not unseen:
        return
    by_status: dict[str, list[UUID]] = {}
    for page in cloud.block_storage.snapshot_pages():
        for snapshot in page:
            known = unseen.pop(snapshot.id, None)
            if known is None:
                continue
            counts.synced += 1
            if known[1] != snapshot.status or known[2]:
                by_status.setdefault(snapshot.status[:50], []).append(known[0])
    write_statuses(
        VolumeSnapshot,
        by_status,
        began=comparison.began,
        counts=counts,
        lock_prefix=_LOCK_PREFIXES[VolumeSnapshot],
    )
    comparison.record_missing(VolumeSnapshot, unseen, "snapshot_id")
