"""Records of Glance and Cinder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .json_values import (
    MAX_BYTES,
    MAX_LONG_TEXT,
    MAX_MEMBERS,
    MAX_TEXT,
    count,
    is_id,
    mapping,
    reference,
    require_id,
    text,
    timestamp,
)

# The fields of Glance's schema of an image; all others are properties, which users set.
IMAGE_BASE_FIELDS = frozenset(
    {
        "checksum", "container_format", "created_at", "direct_url", "disk_format", "file", "id", "locations", "min_disk",
        "min_ram", "name", "os_hash_algo", "os_hash_value", "os_hidden", "owner", "protected", "schema", "self", "size",
        "status", "stores", "tags", "updated_at", "virtual_size", "visibility",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Image:
    """An image. `status` is Glance's ("active"); `min_disk_gb` and `min_memory_mb` are the requirements for servers.

    `properties` are all its texts that are not fields of Glance, among them those given to `create_image`. A snapshot
    (`is_snapshot`) is the image of the server `instance_id`. For a server that boots from a volume, the image is empty
    (size 0) and has no `instance_id`; its contents are Cinder's snapshots `snapshot_ids`, the root disk's first, which
    outlive the image unless they are deleted, too.
    """

    id: str
    name: str
    status: str
    visibility: str | None = None
    os_distro: str | None = None
    os_version: str | None = None
    os_type: str | None = None
    size_bytes: int | None = None
    min_disk_gb: int = 0
    min_memory_mb: int = 0
    created_at: datetime | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    instance_id: str | None = None
    is_snapshot: bool = False
    snapshot_ids: tuple[str, ...] = ()
    is_hidden: bool = False

    @classmethod
    def from_json(cls, raw: Any) -> Image:
        """Return the record of one element of Glance's `images`."""
        image_id = require_id(raw, "image")
        # On an image of a volume-booted server, Nova writes neither image_type nor instance_uuid.
        snapshot_ids = _read_snapshot_ids(raw.get("block_device_mapping"))
        return cls(
            id=image_id,
            name=text(raw.get("name")) or "",
            status=text(raw.get("status")) or "unknown",
            visibility=text(raw.get("visibility")),
            os_distro=text(raw.get("os_distro")),
            os_version=text(raw.get("os_version")),
            os_type=text(raw.get("os_type")),
            size_bytes=count(raw.get("size"), MAX_BYTES),
            min_disk_gb=count(raw.get("min_disk")) or 0,
            min_memory_mb=count(raw.get("min_ram")) or 0,
            created_at=timestamp(raw.get("created_at")),
            properties=_read_properties(raw),
            instance_id=reference(raw.get("instance_uuid")),
            is_snapshot=raw.get("image_type") == "snapshot" or bool(snapshot_ids),
            snapshot_ids=snapshot_ids,
            is_hidden=raw.get("os_hidden") is True,
        )


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume. `status` is Cinder's, in lower case ("available", "in-use", "error").

    `devices` are the volume's device names in the servers of `server_ids`, in the same order; "" for an unknown one.
    `image_id` is the image from which it was created, also through a snapshot; None until the contents are copied, before
    it is "available".
    """

    id: str
    name: str
    status: str
    size_gb: int
    volume_type: str | None = None
    is_bootable: bool = False
    availability_zone: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    server_ids: tuple[str, ...] = ()
    snapshot_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    devices: tuple[str, ...] = ()
    image_id: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Volume:
        """Return the record of one element of Cinder's `volumes`."""
        volume_id = require_id(raw, "volume")
        found = raw.get("attachments")
        attached = (
            [a for a in found[:MAX_MEMBERS] if isinstance(a, dict) and is_id(a.get("server_id"))]
            if isinstance(found, list)
            else []
        )
        return cls(
            id=volume_id,
            name=text(raw.get("name")) or "",
            status=text(raw.get("status")) or "unknown",
            size_gb=count(raw.get("size")) or 0,
            volume_type=text(raw.get("volume_type")),
            is_bootable=raw.get("bootable") in ("true", True),
            availability_zone=text(raw.get("availability_zone")),
            metadata=mapping(raw.get("metadata")),
            server_ids=tuple([a["server_id"] for a in attached]),
            snapshot_id=reference(raw.get("snapshot_id")),
            created_at=timestamp(raw.get("created_at")),
            updated_at=timestamp(raw.get("updated_at")),
            devices=tuple([text(a.get("device")) or "" for a in attached]),
            image_id=_read_image_id(raw.get("volume_image_metadata")),
        )

    @property
    def is_used(self) -> bool:
        """Return whether a server has the volume, is about to get it, or is about to lose it."""
        return self.status in {"in-use", "reserved", "attaching", "detaching"} or bool(self.server_ids)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot of a volume. `size_gb` is the volume's size at that time, the least size of a volume created from it.

    `status` is Cinder's ("available").
    """

    id: str
    name: str
    status: str
    size_gb: int
    volume_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Snapshot:
        """Return the record of one element of Cinder's `snapshots`."""
        return cls(
            id=require_id(raw, "snapshot"),
            name=text(raw.get("name")) or "",
            status=text(raw.get("status")) or "unknown",
            size_gb=count(raw.get("size")) or 0,
            volume_id=reference(raw.get("volume_id")),
            metadata=mapping(raw.get("metadata")),
            created_at=timestamp(raw.get("created_at")),
            updated_at=timestamp(raw.get("updated_at")),
        )


@dataclass(frozen=True, slots=True)
class VolumeType:
    """A volume type; a volume is requested by its name."""

    id: str
    name: str
    is_public: bool = True

    @classmethod
    def from_json(cls, raw: Any) -> VolumeType:
        """Return the record of one element of Cinder's `volume_types`."""
        return cls(
            id=require_id(raw, "volume type"),
            name=text(raw.get("name")) or "",
            is_public=raw.get("is_public") is not False
            and raw.get("os-volume-type-access:is_public") is not False,
        )


def _read_properties(raw: dict[str, Any]) -> Mapping[str, str]:
    """Return the texts on an image that are not Glance's own fields."""
    found = [
        (key, value[:MAX_LONG_TEXT])
        for key, value in raw.items()
        if isinstance(value, str) and key not in IMAGE_BASE_FIELDS and len(key) <= MAX_TEXT
    ]
    return dict(found[:MAX_MEMBERS])


def _read_image_id(found: Any) -> str | None:
    return reference(found.get("image_id")) if isinstance(found, dict) else None


def _read_snapshot_ids(found: Any) -> tuple[str, ...]:
    """Return the ids of the volume snapshots that Nova writes as JSON text on the image of a volume-booted server."""
    if not isinstance(found, str):
        return ()
    try:
        disks = json.loads(found)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(disks, list):
        return ()
    found = [
        disk for disk in disks[:MAX_MEMBERS] if isinstance(disk, dict) and is_id(disk.get("snapshot_id"))
    ]
    found.sort(key=lambda disk: disk.get("boot_index") != 0)
    return tuple([disk["snapshot_id"] for disk in found])
