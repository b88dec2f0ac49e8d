"""Records of Nova."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal

from ..errors import UnreadableRecordError
from .json_values import (
    MAX_MEMBERS,
    MAX_TEXT,
    address,
    count,
    is_id,
    long_text,
    mac_address,
    mapping,
    reference,
    require_id,
    text,
    texts,
    timestamp,
)


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a server. `ip` is valid and has no zone; `version` is 4 or 6."""

    network: str
    ip: str
    version: int
    mac: str | None
    kind: Literal["fixed", "floating"]


@dataclass(frozen=True, slots=True)
class Server:
    """A server of Nova. `status` is in upper case; `task_state` is the task that Nova carries out, or None.

    `image_id` is None for a server that boots from a volume. A server in a cell that is down has the status UNKNOWN and few
    other fields. `fault` is Nova's reason for ERROR. `security_groups` are sorted, unique names; Nova reports none during a
    build. `host` and `hypervisor` are shown to administrators only.
    """

    id: str
    name: str
    status: str
    task_state: str | None = None
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
    created_at: datetime | None = None
    updated_at: datetime | None = None
    launched_at: datetime | None = None
    key_name: str | None = None
    security_groups: tuple[str, ...] = ()
    is_locked: bool = False
    host: str | None = None
    hypervisor: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Server:
        """Return the record of one element of Nova's `servers`, microversion 2.47 or later."""
        server_id = require_id(raw, "server")
        get = raw.get
        flavor = get("flavor")
        if not isinstance(flavor, dict):
            flavor = {}
        image = get("image")
        fault = get("fault")
        addresses = get("addresses")
        groups = get("security_groups")
        return cls(
            server_id,
            text(get("name")) or "",
            (text(get("status")) or "UNKNOWN").upper(),
            text(get("OS-EXT-STS:task_state")),
            _read_addresses(addresses) if addresses else (),
            text(flavor.get("original_name")) or text(flavor.get("id")),
            count(flavor.get("vcpus")),
            count(flavor.get("ram")),
            count(flavor.get("disk")),
            reference(image.get("id")) if isinstance(image, dict) else None,
            _read_volume_ids(get("os-extended-volumes:volumes_attached")),
            text(get("OS-EXT-AZ:availability_zone")),
            long_text(fault.get("message")) if isinstance(fault, dict) else None,
            texts(get("tags")),
            mapping(get("metadata")),
            timestamp(get("created")),
            timestamp(get("updated")),
            timestamp(get("OS-SRV-USG:launched_at")),
            text(get("key_name")),
            _read_names(groups) if groups else (),
            get("locked") is True,
            text(get("OS-EXT-SRV-ATTR:host")),
            text(get("OS-EXT-SRV-ATTR:hypervisor_hostname")),
        )


@dataclass(frozen=True, slots=True)
class ServerReading:
    """A server of a listing, not converted to a record yet: converting 10,000 servers costs more than fetching them.

    `digest` covers the fields that change by themselves: status, task, addresses, fault, and the host where it is shown. An equal digest proves that they
    have not changed. A different one proves nothing, because Nova may write equal values in another order.
    """

    id: str
    digest: str
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_json(cls, raw: Any) -> ServerReading:
        """Return the record of one element of Nova's `servers`."""
        server_id = require_id(raw, "server")
        get = raw.get
        try:
            # The host is the last, and left out where it is not shown, so that the digest of other accounts stays what it was.
            shown = (get("status"), get("OS-EXT-STS:task_state"), get("addresses"), get("fault"))
            host = get("OS-EXT-SRV-ATTR:host")
            fields = repr((*shown, host) if host else shown)
        except RecursionError:
            raise UnreadableRecordError(f"server {server_id} is nested too deeply") from None
        return cls(server_id, blake2b(fields.encode("utf-8", "replace"), digest_size=12).hexdigest(), raw)

    def server(self) -> Server:
        """Return the record."""
        return Server.from_json(self.raw)


@dataclass(frozen=True, slots=True)
class ServerAction:
    """An action in a server's history in Nova: create, start, stop, reboot ...

    Failed actions are included (`message` is then "Error"). `request_id` is that of the answer to the action's request.
    `user_id` is the id in Keystone of the user who requested it, "" when Nova does not tell.
    """

    action: str
    request_id: str
    message: str | None
    user_id: str
    started_at: datetime | None

    @classmethod
    def from_json(cls, raw: Any) -> ServerAction:
        """Return the record of one element of Nova's `instanceActions`."""
        if not isinstance(raw, dict) or not isinstance(raw.get("action"), str):
            raise UnreadableRecordError("a server's action without a name")
        return cls(
            action=raw["action"][:MAX_TEXT],
            request_id=text(raw.get("request_id")) or "",
            message=long_text(raw.get("message")),
            user_id=text(raw.get("user_id")) or "",
            started_at=timestamp(raw.get("start_time")),
        )


@dataclass(frozen=True, slots=True)
class Flavor:
    """A flavor: cores, memory in MB, root disk in GB."""

    id: str
    name: str
    vcpus: int
    memory_mb: int
    disk_gb: int
    is_public: bool = True
    is_disabled: bool = False

    @classmethod
    def from_json(cls, raw: Any) -> Flavor:
        """Return the record of one element of Nova's `flavors`."""
        return cls(
            id=require_id(raw, "flavor"),
            name=text(raw.get("name")) or "",
            vcpus=count(raw.get("vcpus")) or 0,
            memory_mb=count(raw.get("ram")) or 0,
            disk_gb=count(raw.get("disk")) or 0,
            is_public=raw.get("os-flavor-access:is_public") is not False,
            is_disabled=raw.get("OS-FLV-DISABLED:disabled") is True,
        )


@dataclass(frozen=True, slots=True)
class VolumeAttachment:
    """A volume on a server. `device` is its name there ("/dev/vdb"), or None while Nova has not assigned one."""

    volume_id: str
    device: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> VolumeAttachment:
        """Return the record of one element of Nova's `volumeAttachments`."""
        volume_id = reference(raw.get("volumeId")) if isinstance(raw, dict) else None
        if volume_id is None:
            raise UnreadableRecordError("an attachment without a volume")
        return cls(
            volume_id=volume_id,
            device=text(raw.get("device")),
        )


@dataclass(frozen=True, slots=True)
class Zone:
    """An availability zone of compute. A server can only be created in an available one."""

    name: str
    is_available: bool

    @classmethod
    def from_json(cls, raw: Any) -> Zone:
        """Return the record of one element of Nova's `availabilityZoneInfo`."""
        name = text(raw.get("zoneName")) if isinstance(raw, dict) else None
        if name is None:
            raise UnreadableRecordError("an availability zone without a name")
        state = raw.get("zoneState")
        return cls(name=name, is_available=isinstance(state, dict) and state.get("available") is True)


def _read_volume_ids(raw: Any) -> tuple[str, ...]:
    """Return the valid ids of the attached volumes."""
    if not isinstance(raw, list):
        return ()
    return tuple([v["id"] for v in raw[:MAX_MEMBERS] if isinstance(v, dict) and is_id(v.get("id"))])


def _read_names(raw: Any) -> tuple[str, ...]:
    """Return the sorted, unique names of a list of objects."""
    if not isinstance(raw, list):
        return ()
    names = {text(item.get("name")) for item in raw[:MAX_MEMBERS] if isinstance(item, dict)}
    return tuple(sorted(name for name in names if name))


def _read_addresses(raw: Any) -> tuple[Address, ...]:
    """Return the valid addresses of a server."""
    if not isinstance(raw, dict):
        return ()
    found = [
        Address(
            network[:MAX_TEXT],
            ip,
            6 if ":" in ip else 4,
            mac_address(entry.get("OS-EXT-IPS-MAC:mac_addr")),
            "floating" if entry.get("OS-EXT-IPS:type") == "floating" else "fixed",
        )
        for network, entries in raw.items()
        if isinstance(entries, list)
        for entry in entries[:MAX_MEMBERS]
        if isinstance(entry, dict) and (ip := address(entry.get("addr"))) is not None
    ]
    return tuple(found[:MAX_MEMBERS])
