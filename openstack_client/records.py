"""What a cloud holds, as plain records: only the fields that we use, typed, times aware of UTC.

They are made from the services' raw JSON, because openstacksdk takes some 100 times as long for its own objects.
A word that we do not know, or an optional field that is not there, never raises. An object without an id, or one that is
no object at all, raises `CloudUnavailable`: such an answer must not be taken for the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Literal

from .translation import nonsense

_fromisoformat = datetime.fromisoformat


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a server. `ip` is the cloud's text, unchecked: the reader validates. `version` is 4, 6 or 0."""

    network: str
    ip: str
    version: int
    mac: str | None
    kind: Literal["fixed", "floating"]


@dataclass(frozen=True, slots=True)
class Server:
    """A server as Nova shows it. `status` is Nova's word in upper case; `task_state` what Nova is doing, or None.

    `image_id` is None for a server that boots from a volume. A server in a cell that is down comes with status
    UNKNOWN and little else. `fault` is Nova's reason for ERROR.
    """

    id: str
    name: str
    status: str
    task_state: str | None = None
    vm_state: str | None = None
    power_state: int | None = None
    addresses: tuple[Address, ...] = ()
    flavor_name: str | None = None
    vcpus: int | None = None
    memory_mb: int | None = None
    disk_gb: int | None = None
    image_id: str | None = None
    volume_ids: tuple[str, ...] = ()
    availability_zone: str | None = None
    fault: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    project_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    launched_at: datetime | None = None
    terminated_at: datetime | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Server:
        """From one element of Nova's `servers`, microversion 2.47 or later."""
        server_id = _id_of(raw, "server")
        get = raw.get
        flavor = get("flavor")
        if not isinstance(flavor, dict):
            flavor = {}
        image = get("image")
        fault = get("fault")
        addresses = get("addresses")
        volumes = get("os-extended-volumes:volumes_attached")
        tags = get("tags")
        return cls(
            server_id,
            _text(get("name")) or "",
            (_text(get("status")) or "UNKNOWN").upper(),
            _text(get("OS-EXT-STS:task_state")),
            _text(get("OS-EXT-STS:vm_state")),
            _int(get("OS-EXT-STS:power_state")),
            _addresses(addresses) if addresses else (),
            _text(flavor.get("original_name")) or _text(flavor.get("id")),
            _int(flavor.get("vcpus")),
            _int(flavor.get("ram")),
            _int(flavor.get("disk")),
            _text(image.get("id")) if isinstance(image, dict) else None,
            tuple([v["id"] for v in volumes if isinstance(v, dict) and "id" in v])
            if isinstance(volumes, list)
            else (),
            _text(get("OS-EXT-AZ:availability_zone")),
            _text(fault.get("message")) if isinstance(fault, dict) else None,
            tuple(tags) if isinstance(tags, list) else (),
            _mapping(get("metadata")),
            _text(get("tenant_id")) or _text(get("project_id")),
            _time(get("created")),
            _time(get("updated")),
            _time(get("OS-SRV-USG:launched_at")),
            _time(get("OS-SRV-USG:terminated_at")),
        )


@dataclass(frozen=True, slots=True)
class ServerReading:
    """A server as a listing shows it, not yet made into a record: making 10,000 of those costs more than fetching them.

    `digest` stands for everything that moves by itself: status, task, addresses and fault. Who keeps it knows without
    looking further that nothing has changed. The same text from the same cloud always gives the same digest; Nova may
    write the same facts in another order, so another digest does not mean that something did change.
    """

    id: str
    digest: str
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_json(cls, raw: Any) -> ServerReading:
        """From one element of Nova's `servers`."""
        server_id = _id_of(raw, "server")
        get = raw.get
        text = repr((get("status"), get("OS-EXT-STS:task_state"), get("addresses"), get("fault")))
        return cls(server_id, blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest(), raw)

    def server(self) -> Server:
        """The record."""
        return Server.from_json(self.raw)


@dataclass(frozen=True, slots=True)
class ServerAction:
    """One entry of a server's history in Nova: `action` is Nova's word (create, start, stop, reboot ...).

    Kept also for actions that failed (`message` is then "Error"). `request_id` is the one that the action's answer had.
    """

    action: str
    request_id: str
    started_at: datetime | None
    updated_at: datetime | None
    message: str | None
    user_id: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> ServerAction:
        """From one element of Nova's `instanceActions`."""
        if not isinstance(raw, dict) or not isinstance(raw.get("action"), str):
            raise nonsense("a server's action without a name")
        return cls(
            action=raw["action"],
            request_id=_text(raw.get("request_id")) or "",
            started_at=_time(raw.get("start_time")),
            updated_at=_time(raw.get("updated_at")),
            message=_text(raw.get("message")),
            user_id=_text(raw.get("user_id")),
        )


@dataclass(frozen=True, slots=True)
class Flavor:
    """A size of servers: cores, memory in MB, root disk in GB."""

    id: str
    name: str
    vcpus: int
    memory_mb: int
    disk_gb: int
    is_public: bool = True
    is_disabled: bool = False

    @classmethod
    def from_json(cls, raw: Any) -> Flavor:
        """From one element of Nova's `flavors`."""
        return cls(
            id=_id_of(raw, "flavor"),
            name=_text(raw.get("name")) or "",
            vcpus=_int(raw.get("vcpus")) or 0,
            memory_mb=_int(raw.get("ram")) or 0,
            disk_gb=_int(raw.get("disk")) or 0,
            is_public=raw.get("os-flavor-access:is_public") is not False,
            is_disabled=raw.get("OS-FLV-DISABLED:disabled") is True,
        )


@dataclass(frozen=True, slots=True)
class Image:
    """An image. `status` is Glance's word ("active"); `min_disk_gb` and `min_memory_mb` what a server needs at least."""

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
    project_id: str | None = None
    tags: tuple[str, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Image:
        """From one element of Glance's `images`."""
        tags = raw.get("tags") if isinstance(raw, dict) else None
        return cls(
            id=_id_of(raw, "image"),
            name=_text(raw.get("name")) or "",
            status=_text(raw.get("status")) or "unknown",
            visibility=_text(raw.get("visibility")),
            os_distro=_text(raw.get("os_distro")),
            os_version=_text(raw.get("os_version")),
            os_type=_text(raw.get("os_type")),
            size_bytes=_int(raw.get("size")),
            min_disk_gb=_int(raw.get("min_disk")) or 0,
            min_memory_mb=_int(raw.get("min_ram")) or 0,
            project_id=_text(raw.get("owner")),
            tags=tuple(tags) if isinstance(tags, list) else (),
            created_at=_time(raw.get("created_at")),
            updated_at=_time(raw.get("updated_at")),
        )


@dataclass(frozen=True, slots=True)
class Network:
    """A network. `is_external` ones carry floating addresses; servers are not put on them."""

    id: str
    name: str
    status: str
    is_external: bool = False
    is_shared: bool = False
    is_admin_state_up: bool = True
    subnet_ids: tuple[str, ...] = ()
    project_id: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Network:
        """From one element of Neutron's `networks`."""
        subnets = raw.get("subnets") if isinstance(raw, dict) else None
        return cls(
            id=_id_of(raw, "network"),
            name=_text(raw.get("name")) or "",
            status=(_text(raw.get("status")) or "UNKNOWN").upper(),
            is_external=raw.get("router:external") is True,
            is_shared=raw.get("shared") is True,
            is_admin_state_up=raw.get("admin_state_up") is not False,
            subnet_ids=tuple(subnets) if isinstance(subnets, list) else (),
            project_id=_text(raw.get("project_id")) or _text(raw.get("tenant_id")),
        )


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume. `status` is Cinder's word, lower case as Cinder has it ("available", "in-use", "error")."""

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
    project_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Volume:
        """From one element of Cinder's `volumes`."""
        volume_id = _id_of(raw, "volume")
        attached = raw.get("attachments")
        return cls(
            id=volume_id,
            name=_text(raw.get("name")) or "",
            status=_text(raw.get("status")) or "unknown",
            size_gb=_int(raw.get("size")) or 0,
            volume_type=_text(raw.get("volume_type")),
            is_bootable=raw.get("bootable") in ("true", True),
            availability_zone=_text(raw.get("availability_zone")),
            metadata=_mapping(raw.get("metadata")),
            server_ids=tuple(a["server_id"] for a in attached if isinstance(a, dict) and a.get("server_id"))
            if isinstance(attached, list)
            else (),
            snapshot_id=_text(raw.get("snapshot_id")),
            project_id=_text(raw.get("os-vol-tenant-attr:tenant_id")),
            created_at=_time(raw.get("created_at")),
            updated_at=_time(raw.get("updated_at")),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot of a volume."""

    id: str
    name: str
    status: str
    size_gb: int
    volume_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Snapshot:
        """From one element of Cinder's `snapshots`."""
        return cls(
            id=_id_of(raw, "snapshot"),
            name=_text(raw.get("name")) or "",
            status=_text(raw.get("status")) or "unknown",
            size_gb=_int(raw.get("size")) or 0,
            volume_id=_text(raw.get("volume_id")),
            metadata=_mapping(raw.get("metadata")),
            created_at=_time(raw.get("created_at")),
        )


def _id_of(raw: Any, what: str) -> str:
    if not isinstance(raw, dict):
        raise nonsense(f"a {what} that is no object")
    found = raw.get("id")
    if not isinstance(found, str) or not found:
        raise nonsense(f"a {what} without an id")
    return found


def _addresses(raw: Any) -> tuple[Address, ...]:
    if not isinstance(raw, dict):
        return ()
    return tuple(
        [
            Address(
                network,
                entry["addr"],
                _int(entry.get("version")) or 0,
                _text(entry.get("OS-EXT-IPS-MAC:mac_addr")),
                "floating" if entry.get("OS-EXT-IPS:type") == "floating" else "fixed",
            )
            for network, entries in raw.items()
            if isinstance(entries, list)
            for entry in entries
            if isinstance(entry, dict) and isinstance(entry.get("addr"), str)
        ]
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _mapping(value: Any) -> Mapping[str, str]:
    return value if isinstance(value, dict) else {}


def _time(value: Any) -> datetime | None:
    """OpenStack writes UTC, sometimes without saying so."""
    if not isinstance(value, str):
        return None
    try:
        moment = _fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
