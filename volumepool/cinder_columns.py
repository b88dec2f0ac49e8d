"""The mapping of Cinder's volumes to columns, for the status sync, the watcher and the commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openstack_client import Volume as CinderVolume  # Clouds are spoken to by commands and syncs alone.


@dataclass(frozen=True, slots=True)
class VolumeColumns:
    """The columns that follow Cinder. `name` is None where the row does not follow Cinder's name."""

    status: str
    size_gb: int
    name: str | None
    server_id: str
    device: str

    def as_json(self) -> dict[str, Any]:
        """Return the columns as JSON values, for a job's data."""
        return {
            "status": self.status,
            "size_gb": self.size_gb,
            "name": self.name,
            "server_id": self.server_id,
            "device": self.device,
        }


def map_volume_columns(found: CinderVolume) -> VolumeColumns:
    """Map a volume of Cinder's to columns. An unknown status is kept as it is.

    The name is taken only from volumes that carry the metadata of a tenant's row: until a claimed spare does, its name in
    Cinder is still the pool's.
    """
    return VolumeColumns(
        status=found.status[:50],
        size_gb=min(10000, max(1, found.size_gb)),
        name=(found.name[:200] or None) if found.metadata.get("portal_volume") else None,
        server_id=found.server_ids[0][:64] if found.server_ids else "",
        device=found.devices[0][:50] if found.devices else "",
    )


def list_attached_volume_ids(raw_server: Mapping[str, Any]) -> list[str]:
    """Return the ids of the volumes that Nova lists on a server."""
    volumes = raw_server.get("os-extended-volumes:volumes_attached")
    if not isinstance(volumes, list):
        return []
    return [
        volume["id"] for volume in volumes if isinstance(volume, dict) and isinstance(volume.get("id"), str)
    ]
