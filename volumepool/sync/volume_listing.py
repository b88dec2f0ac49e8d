"""The volumes of one account and region, compared with a listing of Cinder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import connection

from openstack_client import Cloud, CloudNotFoundError
from openstack_client import Volume as CinderVolume

from ..cinder_columns import VolumeColumns, to_columns
from ..models import GONE, Volume, VolumeSnapshot, VolumeSyncState
from ..queries import WRITE_VOLUMES
from .listed_statuses import SyncFigures, record_missing, write_statuses

# Words under which Cinder does not say which server a volume is kept for: asked by name, a few in each run.
_ON_THE_WAY = frozenset({"reserved", "attaching", "detaching"})
_ASKED_BY_NAME = 20
_LOCK_OF: dict[type[Volume | VolumeSnapshot], str] = {Volume: "volume:", VolumeSnapshot: "volume-snapshot:"}
# All of Cinder's words (cinder/objects/fields.py, `VolumeStatus`); others are shown as they are, and counted.
KNOWN_WORDS = frozenset(
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
        said = (columns.status, columns.size_gb, columns.name or self.name, columns.server_id, vm_id)
        kept = (self.status, self.size_gb, self.name, self.server_id, self.vm_id)
        return (
            said != kept or self.missing_count > 0 or (bool(columns.device) and columns.device != self.device)
        )


class VolumeComparison:
    """The bound volumes of one account and region, compared with the pages of a listing."""

    def __init__(self, state: VolumeSyncState, began: datetime, figures: SyncFigures) -> None:
        self.state, self.began, self.figures = state, began, figures
        bound = Volume.objects.filter(account=state.account, region=state.region, volume_id__isnull=False)
        self.asked = 0
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
            self.figures.synced += 1
            found.append((known, self._read_columns(cloud, volume)))
            if volume.status not in KNOWN_WORDS:
                words = self.figures.unknown_words
                words[volume.status[:50]] = words.get(volume.status[:50], 0) + 1
        vms = _find_vms({columns.server_id for _known, columns in found if columns.server_id})
        changed = [
            (known, columns, vms.get((columns.server_id, known.tenant_id)))
            for known, columns in found
            if known.differs(columns, vms.get((columns.server_id, known.tenant_id)))
        ]
        if changed:
            kept = _write_volumes(changed, self.began)
            self.figures.updated += kept
            self.figures.skipped += len(changed) - kept

    def _read_columns(self, cloud: Cloud, volume: CinderVolume) -> VolumeColumns:
        """Return the columns of a volume, with the server that it is reserved for, which only its attachments name."""
        columns = to_columns(volume)
        if columns.server_id or volume.status not in _ON_THE_WAY or self.asked >= _ASKED_BY_NAME:
            return columns
        self.asked += 1
        try:
            reserved_for = [one.server_id for one in cloud.block_storage.list_reservations(volume.id)]
        except CloudNotFoundError:
            return columns
        server_id = next((one for one in reserved_for if one), "")
        return VolumeColumns(**{**columns.as_json(), "server_id": server_id[:64]})

    def record_missing(self, model: type[Volume | VolumeSnapshot], unseen: dict[str, Any], key: str) -> None:
        """Record the rows that a complete listing did not show: missing twice is gone. Raises `MassLossError`."""
        if not unseen:
            return
        lost = model.objects.filter(**{f"{key}__in": list(unseen)}).exclude(status=GONE)
        missing = list(lost.values_list("pk", "missing_count"))
        record_missing(
            model, missing, model.objects.filter(account=self.state.account, region=self.state.region).count(),
            began=self.began, is_believed=self.state.losses_accepted, figures=self.figures, lock=_LOCK_OF[model],
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
    cloud: Cloud, state: VolumeSyncState, comparison: VolumeComparison, figures: SyncFigures
) -> None:
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
            figures.synced += 1
            if known[1] != snapshot.status or known[2]:
                by_status.setdefault(snapshot.status[:50], []).append(known[0])
    write_statuses(
        VolumeSnapshot, by_status, began=comparison.began, figures=figures, lock="volume-snapshot:"
    )
    comparison.record_missing(VolumeSnapshot, unseen, "snapshot_id")
