"""What Neutron holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .raw import id_of, integer, text


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
            id=id_of(raw, "network"),
            name=text(raw.get("name")) or "",
            status=(text(raw.get("status")) or "UNKNOWN").upper(),
            is_external=raw.get("router:external") is True,
            is_shared=raw.get("shared") is True,
            is_admin_state_up=raw.get("admin_state_up") is not False,
            subnet_ids=tuple(subnets) if isinstance(subnets, list) else (),
            project_id=text(raw.get("project_id")) or text(raw.get("tenant_id")),
        )


@dataclass(frozen=True, slots=True)
class Subnet:
    """A range of addresses on a network. `cidr` and `gateway_ip` are the cloud's text, unchecked: the reader validates."""

    id: str
    name: str
    network_id: str
    ip_version: int
    cidr: str
    gateway_ip: str | None = None
    is_dhcp_enabled: bool = True

    @classmethod
    def from_json(cls, raw: Any) -> Subnet:
        """From one element of Neutron's `subnets`. `ip_version` is 4, 6 or 0."""
        return cls(
            id=id_of(raw, "subnet"),
            name=text(raw.get("name")) or "",
            network_id=text(raw.get("network_id")) or "",
            ip_version=integer(raw.get("ip_version")) or 0,
            cidr=text(raw.get("cidr")) or "",
            gateway_ip=text(raw.get("gateway_ip")),
            is_dhcp_enabled=raw.get("enable_dhcp") is not False,
        )
