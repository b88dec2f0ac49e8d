"""Orphans among spare volumes: volumes that carry the pools' metadata and belong to no spare and to no tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet

from cloudaccounts.sync.orphans import OrphanTable

from ..models import OrphanVolume, SpareVolume, Volume
from .spares import ListedVolume


class SpareOrphanTable(OrphanTable[ListedVolume]):
    """Volumes of the pools without a row. A volume that somebody has used stays marked as used, whatever is listed later."""

    model: ClassVar[Any] = OrphanVolume
    id_column = "volume_id"

    def get_id(self, found: ListedVolume) -> str:
        """Return Cinder's id."""
        return found.id

    def select_unowned(self, page: Sequence[ListedVolume]) -> list[ListedVolume]:
        """Return the volumes that no row is bound to. One that is being created may get its row yet."""
        ids = [volume.id for volume in page]
        bound = set(SpareVolume.objects.filter(volume_id__in=ids).values_list("volume_id", flat=True))
        bound |= set(Volume.objects.filter(volume_id__in=ids).values_list("volume_id", flat=True))
        # A spare that is not bound yet belongs to a creation in flight.
        spare_ids = {volume.spare_id for volume in page if volume.spare_id}
        known_spare_ids = set(SpareVolume.objects.filter(pk__in=spare_ids).values_list("pk", flat=True))
        return [
            volume
            for volume in page
            if volume.id not in bound
            and volume.spare_id not in known_spare_ids
            and volume.status not in {"creating", "deleting"}
        ]

    def describe(self, found: ListedVolume) -> dict[str, Any]:
        """Return name, status and whether somebody uses the volume."""
        return {"name": found.name[:255], "status": found.status[:50], "is_taken": is_used(found)}

    def refresh(self, known: QuerySet[Any], found: Mapping[str, ListedVolume]) -> None:
        """Write the present status, and that somebody uses the volume; that is never taken back."""
        by_status: dict[str, list[str]] = {}
        for volume in found.values():
            by_status.setdefault(volume.status[:50], []).append(volume.id)
        for status, ids in by_status.items():
            known.filter(volume_id__in=ids).exclude(status=status).update(status=status)
        used = [volume.id for volume in found.values() if is_used(volume)]
        known.filter(volume_id__in=used, is_taken=False).update(is_taken=True)


def is_used(volume: ListedVolume) -> bool:
    """Return whether somebody uses a volume of a pool without the portal: it is attached, or was renamed."""
    return volume.is_attached or not volume.name.startswith("spare-")
