"""Records of Nova's hosts, for administrators of the cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import UnreadableRecordError
from .json_values import count, long_text, reference, require_id, text, texts


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """A hypervisor. `host` is the name that migrations and services use; `name` may be another.

    `is_up` is whether its service has reported lately, `is_enabled` whether new servers may be placed there. Figures are
    None in clouds that do not report them any more.
    """

    id: str
    name: str
    host: str
    type: str
    is_up: bool
    is_enabled: bool
    disabled_reason: str | None = None
    server_count: int | None = None
    vcpus: int | None = None
    vcpus_used: int | None = None
    memory_mb: int | None = None
    memory_mb_used: int | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Hypervisor:
        """Return the record of one element of Nova's `hypervisors` in detail, microversion 2.53 to 2.87."""
        hypervisor_id = require_id(raw, "hypervisor")
        service = raw.get("service")
        if not isinstance(service, dict):
            service = {}
        return cls(
            id=hypervisor_id,
            name=text(raw.get("hypervisor_hostname")) or "",
            host=text(service.get("host")) or "",
            type=text(raw.get("hypervisor_type")) or "",
            is_up=raw.get("state") == "up",
            is_enabled=raw.get("status") == "enabled",
            disabled_reason=long_text(service.get("disabled_reason")),
            server_count=count(raw.get("running_vms")),
            vcpus=count(raw.get("vcpus")),
            vcpus_used=count(raw.get("vcpus_used")),
            memory_mb=count(raw.get("memory_mb")),
            memory_mb_used=count(raw.get("memory_mb_used")),
        )


@dataclass(frozen=True, slots=True)
class ComputeService:
    """A service of Nova on a host: `binary` is "nova-compute", "nova-conductor", "nova-scheduler" ...

    The state of a service in a cell that is down is unknown: `is_up` is then False.
    """

    binary: str
    host: str
    zone: str
    is_up: bool
    is_enabled: bool
    disabled_reason: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> ComputeService:
        """Return the record of one element of Nova's `services`, microversion 2.69 or later."""
        host = text(raw.get("host")) if isinstance(raw, dict) else None
        if host is None:
            raise UnreadableRecordError("a service of Nova without a host")
        return cls(
            binary=text(raw.get("binary")) or "",
            host=host,
            zone=text(raw.get("zone")) or "",
            is_up=raw.get("state") == "up",
            is_enabled=raw.get("status") == "enabled",
            disabled_reason=long_text(raw.get("disabled_reason")),
        )


@dataclass(frozen=True, slots=True)
class HostAggregate:
    """A host aggregate: hosts with something in common, for example an availability zone."""

    id: str
    name: str
    hosts: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, raw: Any) -> HostAggregate:
        """Return the record of one element of Nova's `aggregates`, microversion 2.41 or later."""
        aggregate_id = reference(raw.get("uuid")) if isinstance(raw, dict) else None
        if aggregate_id is None:
            raise UnreadableRecordError("a host aggregate without an id")
        return cls(
            id=aggregate_id,
            name=text(raw.get("name")) or "",
            hosts=texts(raw.get("hosts")),
        )
