"""Records of Neutron."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..markers import split_description
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
    texts,
    timestamp,
)


@dataclass(frozen=True, slots=True)
class Network:
    """A network. An external one provides floating IPs; servers are not attached to it.

    Without port security, new ports of it have no security groups, and anything may be sent to and from them.
    """

    id: str
    name: str
    status: str
    is_external: bool = False
    is_shared: bool = False
    is_admin_state_up: bool = True
    is_port_security_enabled: bool = True
    mtu: int | None = None

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
            is_port_security_enabled=raw.get("port_security_enabled") is not False,
            mtu=count(raw.get("mtu")),
        )


@dataclass(frozen=True, slots=True)
class AllocationPool:
    """A range of valid addresses of a subnet, from which ports get theirs; both ends belong to it."""

    start: str
    end: str


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet. `cidr` and `gateway_ip` are valid; `cidr` is "" if the cloud's is not.

    With an `ipv6_address_mode` of "slaac" or "dhcpv6-stateless", Neutron computes the addresses, and no fixed one can be requested.
    """

    id: str
    name: str
    network_id: str
    ip_version: int
    cidr: str
    gateway_ip: str | None = None
    is_dhcp_enabled: bool = True
    allocation_pools: tuple[AllocationPool, ...] = ()
    dns_servers: tuple[str, ...] = ()
    ipv6_address_mode: str | None = None

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
            allocation_pools=_read_pools(raw.get("allocation_pools")),
            dns_servers=tuple(
                [found for one in texts(raw.get("dns_nameservers")) if (found := address(one))]
            ),
            ipv6_address_mode=text(raw.get("ipv6_address_mode")),
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
        )


@dataclass(frozen=True, slots=True)
class FixedIp:
    """A valid address on a port."""

    subnet_id: str
    ip_address: str


@dataclass(frozen=True, slots=True)
class Port:
    """A port. `device_owner` is the type of its user ("compute:nova", "network:router_interface"), "" for an unused one.

    `device_id` is the id of the server, router ... that uses it. `revision` grows with each change of the port. `marker` is
    what the end of its description holds (see `markers.py`), without which `description` is given.
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
    description: str = ""
    marker: str | None = None
    revision: int | None = None
    is_port_security_enabled: bool = True
    created_at: datetime | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Port:
        """Return the record of one element of Neutron's `ports`."""
        description, marker = _read_description(raw)
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
            description,
            marker,
            count(raw.get("revision_number")),
            raw.get("port_security_enabled") is not False,
            timestamp(raw.get("created_at")),
        )


@dataclass(frozen=True, slots=True)
class FloatingIp:
    """A floating IP: an address of an external network that is mapped to a port. Unused while `port_id` is None, whatever its status.

    `address` and `fixed_address` are valid; `address` is "" if the cloud's is not. The status becomes ACTIVE a second or so
    after it was attached, and DOWN as long after it was detached: the network's agent reports it. `device_id` is the id of
    the server that has the port. `revision` grows with each change, those of the status included.
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
    marker: str | None = None
    revision: int | None = None
    device_id: str | None = None
    created_at: datetime | None = None

    @classmethod
    def from_json(cls, raw: Any) -> FloatingIp:
        """Return the record of one element of Neutron's `floatingips`."""
        floating_ip_id = require_id(raw, "floating IP")
        description, marker = _read_description(raw)
        port = raw.get("port_details")
        return cls(
            id=floating_ip_id,
            status=_read_status(raw),
            address=address(raw.get("floating_ip_address")) or "",
            fixed_address=address(raw.get("fixed_ip_address")),
            floating_network_id=reference(raw.get("floating_network_id")),
            port_id=reference(raw.get("port_id")),
            router_id=reference(raw.get("router_id")),
            project_id=get_project_id(raw),
            description=description,
            marker=marker,
            revision=count(raw.get("revision_number")),
            device_id=reference(port.get("device_id")) if isinstance(port, dict) else None,
            created_at=timestamp(raw.get("created_at")),
        )


def _read_status(raw: Any) -> str:
    return (text(raw.get("status")) or "UNKNOWN").upper()


def _read_description(raw: Any) -> tuple[str, str | None]:
    return split_description(long_text(raw.get("description")) or "")


def _read_pools(raw: Any) -> tuple[AllocationPool, ...]:
    if not isinstance(raw, list):
        return ()
    return tuple(
        [
            AllocationPool(start, end)
            for item in raw[:MAX_MEMBERS]
            if isinstance(item, dict)
            and (start := address(item.get("start")))
            and (end := address(item.get("end")))
        ]
    )


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
