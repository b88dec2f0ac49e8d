"""One mapper from Cinder's volumes to the columns of rows, for the status sync, the watcher and the commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openstack_client import Volume as CinderVolume  # Clouds are spoken to by commands and syncs alone.


@dataclass(frozen=True, slots=True)
class VolumeColumns:
    """What Cinder says of a volume. `name` is None where Cinder's is not the row's to follow."""

    status: str
    size_gb: int
    name: str | None
    server_id: str
    device: str

    def as_json(self) -> dict[str, Any]:
        """For a job's data."""
        return {
            "status": self.status,
            "size_gb": self.size_gb,
            "name": self.name,
            "server_id": self.server_id,
            "device": self.device,
        }


def to_columns(found: CinderVolume) -> VolumeColumns:
    """Map a volume to columns. A word that we do not know is kept as it is: people see Cinder's own.

    The name is followed on volumes that carry the mark of a tenant's row: until a claimed spare has it, Cinder's name is
    still the pool's.
    """
    return VolumeColumns(
        status=found.status[:50],
        size_gb=min(10000, max(1, found.size_gb)),
        name=(found.name[:200] or None) if found.metadata.get("portal_volume") else None,
        server_id=found.server_ids[0][:64] if found.server_ids else "",
        device=found.devices[0][:50] if found.devices else "",
    )


def list_attached_volume_ids(raw_servers: Mapping[str, Any]) -> list[str]:
    """The ids of the volumes that Nova says one server has."""
    volumes = raw_servers.get("os-extended-volumes:volumes_attached")
    if not isinstance(volumes, list):
        return []
    return [one["id"] for one in volumes if isinstance(one, dict) and isinstance(one.get("id"), str)]
