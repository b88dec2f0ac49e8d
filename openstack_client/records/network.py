"""Records of Neutron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .json_values import (
    MAX_MEMBERS,
    address,
    address_range,
    count,
    get_project_id,
    long_text,
    mac_address,
    reference,
    references,
    require_id,
    text,
)


@dataclass(frozen=True, slots=True)
class Network:
    """A network. An external one provides floating IPs; servers are not attached to it."""

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
        """Return the record of one element of Neutron's `networks`."""
        return cls(
            id=require_id(raw, "network"),
            name=text(raw.get("name")) or "",
            status=_read_status(raw),
            is_external=raw.get("router:external") is True,
            is_shared=raw.get("shared") is True,
            is_admin_state_up=raw.get("admin_state_up") is not False,
            subnet_ids=references(raw.get("subnets")),
            project_id=get_project_id(raw),
        )


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet. `cidr` and `gateway_ip` are valid; `cidr` is "" if the cloud's is not."""

    id: str
    name: str
    network_id: str
    ip_version: int
    cidr: str
    gateway_ip: str | None = None
    is_dhcp_enabled: bool = True
    project_id: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Subnet:
        """Return the record of one element of Neutron's `subnets`. `ip_version` is 4, 6 or 0."""
        return cls(
            id=require_id(raw, "subnet"),
            name=text(raw.get("name")) or "",
            network_id=reference(raw.get("network_id")) or "",
            ip_version=count(raw.get("ip_version"), 6) or 0,
            cidr=address_range(raw.get("cidr")) or "",
            gateway_ip=address(raw.get("gateway_ip")),
            is_dhcp_enabled=raw.get("enable_dhcp") is not False,
            project_id=get_project_id(raw),
        )


@dataclass(frozen=True, slots=True)
class Router:
    """A router. `external_addresses` are its addresses on `external_network_id`, the network of its gateway.

    Its ports, those with its id as their `device_id`, show the networks that it joins.
    """

    id: str
    name: str
    status: str
    is_admin_state_up: bool = True
    external_network_id: str | None = None
    external_addresses: tuple[str, ...] = ()
    project_id: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Router:
        """Return the record of one element of Neutron's `routers`."""
        router_id = require_id(raw, "router")
        gateway = raw.get("external_gateway_info")
        if not isinstance(gateway, dict):
            gateway = {}
        return cls(
            id=router_id,
            name=text(raw.get("name")) or "",
            status=_read_status(raw),
            is_admin_state_up=raw.get("admin_state_up") is not False,
            external_network_id=reference(gateway.get("network_id")),
            external_addresses=tuple(
                [fixed.ip_address for fixed in _read_fixed_ips(gateway.get("external_fixed_ips"))]
            ),
            project_id=get_project_id(raw),
        )


@dataclass(frozen=True, slots=True)
class FixedIp:
    """A valid address on a port."""

    subnet_id: str
    ip_address: str


@dataclass(frozen=True, slots=True)
class Port:
    """A port. `device_owner` is the type of its user ("compute:nova", "network:router_interface"), "" for an unused one.

    `device_id` is the id of the server, router ... that uses it.
    """

    id: str
    name: str
    status: str
    network_id: str
    device_id: str = ""
    device_owner: str = ""
    mac_address: str = ""
    fixed_ips: tuple[FixedIp, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    is_admin_state_up: bool = True
    project_id: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Port:
        """Return the record of one element of Neutron's `ports`."""
        return cls(
            require_id(raw, "port"),
            text(raw.get("name")) or "",
            _read_status(raw),
            reference(raw.get("network_id")) or "",
            reference(raw.get("device_id")) or "",
            text(raw.get("device_owner")) or "",
            mac_address(raw.get("mac_address")) or "",
            _read_fixed_ips(raw.get("fixed_ips")),
            references(raw.get("security_groups")),
            raw.get("admin_state_up") is not False,
            get_project_id(raw),
        )


@dataclass(frozen=True, slots=True)
class FloatingIp:
    """A floating IP: an address of an external network that is mapped to a port. Unused while `port_id` is None.

    `address` and `fixed_address` are valid; `address` is "" if the cloud's is not.
    """

    id: str
    status: str
    address: str
    fixed_address: str | None = None
    floating_network_id: str | None = None
    port_id: str | None = None
    router_id: str | None = None
    project_id: str | None = None
    description: str = ""

    @classmethod
    def from_json(cls, raw: Any) -> FloatingIp:
        """Return the record of one element of Neutron's `floatingips`."""
        return cls(
            id=require_id(raw, "floating IP"),
            status=_read_status(raw),
            address=address(raw.get("floating_ip_address")) or "",
            fixed_address=address(raw.get("fixed_ip_address")),
            floating_network_id=reference(raw.get("floating_network_id")),
            port_id=reference(raw.get("port_id")),
            router_id=reference(raw.get("router_id")),
            project_id=get_project_id(raw),
            description=long_text(raw.get("description")) or "",
        )


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A security group. Only the number of its rules is kept."""

    id: str
    name: str
    description: str = ""
    rule_count: int = 0
    project_id: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> SecurityGroup:
        """Return the record of one element of Neutron's `security_groups`."""
        group_id = require_id(raw, "security group")
        rules = raw.get("security_group_rules")
        return cls(
            id=group_id,
            name=text(raw.get("name")) or "",
            description=long_text(raw.get("description")) or "",
            rule_count=len(rules) if isinstance(rules, list) else 0,
            project_id=get_project_id(raw),
        )


def _read_status(raw: Any) -> str:
    return (text(raw.get("status")) or "UNKNOWN").upper()


def _read_fixed_ips(raw: Any) -> tuple[FixedIp, ...]:
    if not isinstance(raw, list):
        return ()
    return tuple(
        [
            FixedIp(reference(item.get("subnet_id")) or "", ip)
            for item in raw[:MAX_MEMBERS]
            if isinstance(item, dict) and (ip := address(item.get("ip_address"))) is not None
        ]
    )
