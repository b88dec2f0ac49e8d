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
    integer,
    is_id,
    long_text,
    mac_address,
    mapping,
    project_id_of,
    reference,
    require_id,
    text,
    texts,
    timestamp,
)


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a server. `ip` is a valid one, without a zone; `version` is 4 or 6, as the address is."""

    network: str
    ip: str
    version: int
    mac: str | None
    kind: Literal["fixed", "floating"]


@dataclass(frozen=True, slots=True)
class Server:
    """A server as Nova shows it. `status` is Nova's word in upper case; `task_state` what Nova is doing, or None.

    `image_id` is None for a server that boots from a volume. A server in a cell that is down comes with status
    UNKNOWN and little else. `fault` is Nova's reason for ERROR. `security_groups` are names, sorted, each once; Nova says
    none while it builds.
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
    key_name: str | None = None
    security_groups: tuple[str, ...] = ()

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
        volumes = get("os-extended-volumes:volumes_attached")
        groups = get("security_groups")
        return cls(
            server_id,
            text(get("name")) or "",
            (text(get("status")) or "UNKNOWN").upper(),
            text(get("OS-EXT-STS:task_state")),
            text(get("OS-EXT-STS:vm_state")),
            integer(get("OS-EXT-STS:power_state")),
            _addresses(addresses) if addresses else (),
            text(flavor.get("original_name")) or text(flavor.get("id")),
            count(flavor.get("vcpus")),
            count(flavor.get("ram")),
            count(flavor.get("disk")),
            reference(image.get("id")) if isinstance(image, dict) else None,
            tuple([v["id"] for v in volumes[:MAX_MEMBERS] if isinstance(v, dict) and is_id(v.get("id"))])
            if isinstance(volumes, list)
            else (),
            text(get("OS-EXT-AZ:availability_zone")),
            long_text(fault.get("message")) if isinstance(fault, dict) else None,
            texts(get("tags")),
            mapping(get("metadata")),
            project_id_of(raw),
            timestamp(get("created")),
            timestamp(get("updated")),
            timestamp(get("OS-SRV-USG:launched_at")),
            timestamp(get("OS-SRV-USG:terminated_at")),
            text(get("key_name")),
            _names(groups) if groups else (),
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
        """Return the record of one element of Nova's `servers`."""
        server_id = require_id(raw, "server")
        get = raw.get
        try:
            said = repr((get("status"), get("OS-EXT-STS:task_state"), get("addresses"), get("fault")))
        except RecursionError:
            raise UnreadableRecordError(f"server {server_id} is nested too deeply") from None
        return cls(server_id, blake2b(said.encode("utf-8", "replace"), digest_size=12).hexdigest(), raw)

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
        """Return the record of one element of Nova's `instanceActions`."""
        if not isinstance(raw, dict) or not isinstance(raw.get("action"), str):
            raise UnreadableRecordError("a server's action without a name")
        return cls(
            action=raw["action"][:MAX_TEXT],
            request_id=text(raw.get("request_id")) or "",
            started_at=timestamp(raw.get("start_time")),
            updated_at=timestamp(raw.get("updated_at")),
            message=long_text(raw.get("message")),
            user_id=text(raw.get("user_id")),
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
class Keypair:
    """A user's key pair; the cloud keeps its public half. It has no id: its name is unique for its user."""

    name: str
    type: str
    fingerprint: str

    @classmethod
    def from_json(cls, raw: Any) -> Keypair:
        """Return the record of one element of Nova's `keypairs`, which wraps each in an object of its own."""
        name = keypair_name(raw)
        if name is None:
            raise UnreadableRecordError("a key pair without a name")
        found = raw["keypair"]
        # Nova has said the type since microversion 2.2; before that all were of this one.
        return cls(name, text(found.get("type")) or "ssh", text(found.get("fingerprint")) or "")


@dataclass(frozen=True, slots=True)
class VolumeAttachment:
    """A volume on a server. `device` is what Nova calls it ("/dev/vdb"), or None while it does not know yet.

    A server that is removed takes along the volumes with `delete_on_termination`.
    """

    volume_id: str
    device: str | None = None
    delete_on_termination: bool = False

    @classmethod
    def from_json(cls, raw: Any) -> VolumeAttachment:
        """Return the record of one element of Nova's `volumeAttachments`, microversion 2.79 or later."""
        volume_id = reference(raw.get("volumeId")) if isinstance(raw, dict) else None
        if volume_id is None:
            raise UnreadableRecordError("an attachment without a volume")
        return cls(
            volume_id=volume_id,
            device=text(raw.get("device")),
            delete_on_termination=raw.get("delete_on_termination") is True,
        )


@dataclass(frozen=True, slots=True)
class Zone:
    """An availability zone of compute. A server cannot be put into one that is not available."""

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


def keypair_name(raw: Any) -> str | None:
    """Return the name of one element of Nova's `keypairs`, or None."""
    found = raw.get("keypair") if isinstance(raw, dict) else None
    return text(found.get("name")) if isinstance(found, dict) else None


def _names(raw: Any) -> tuple[str, ...]:
    """Return the names of objects."""
    if not isinstance(raw, list):
        return ()
    names = {text(one.get("name")) for one in raw[:MAX_MEMBERS] if isinstance(one, dict)}
    return tuple(sorted(name for name in names if name))


def _addresses(raw: Any) -> tuple[Address, ...]:
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
