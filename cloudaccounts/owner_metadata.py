"""The metadata of servers and volumes that names their owner.

The portal reads it only after a restore, when the database has forgotten the row of an object (`vms/services/restores.py`).
It is written with the object, and again with every change of its metadata; a VM that has been moved to another application
since then still names the former one.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from api.uuids import is_uuid

_SYSTEM_KEY = "portal_information_system"


def build_owner_metadata(system_id: UUID) -> dict[str, str]:
    """Return the metadata that names the information system of an object."""
    return {_SYSTEM_KEY: str(system_id)}


def read_owner(metadata: Mapping[str, str]) -> str:
    """Return the id of the information system that an object's metadata names; "" for none."""
    found = metadata.get(_SYSTEM_KEY, "")
    return found if is_uuid(found) else ""
