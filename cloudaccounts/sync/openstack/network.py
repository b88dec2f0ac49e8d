"""Syncers of Neutron: networks, subnets, security groups, routers, ports, floating IPs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from django.utils.translation import gettext_lazy as _

from openstack_client import (
    Cloud,
    FloatingIp,
    Network,
    Port,
    RecordPage,
    Router,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
)

from ...registry import Link, ListedResource, register_syncer
from .provider import OpenStackSyncer, convert_page


@register_syncer
class NetworkSyncer(OpenStackSyncer):
    """Networks: `is_external`, `is_shared`, `is_port_security_enabled`, `mtu`, and `cidrs`, the address ranges of their subnets."""

    type = "network"
    label = _("network")
    order = 20
    catalogue = True

    def list_pages(self, client: Cloud) -> Iterator[list[ListedResource]]:
        """Yield the networks that the project sees, with the address ranges of their subnets."""
        cidrs: dict[str, list[str]] = {}
        for subnets in client.network.subnet_pages():
            for subnet in subnets:
                cidrs.setdefault(subnet.network_id, []).append(subnet.cidr)
        for page in self.list_records(client):
            yield convert_page(page, lambda network: self.convert(network, cidrs))

    def list_records(self, client: Cloud) -> Iterator[RecordPage[Network]]:
        """Yield the networks that the project sees: its own, shared and external ones."""
        return client.network.network_pages()

    def convert(
        self, record: Network, cidrs: Mapping[str, list[str]] = MappingProxyType({})
    ) -> ListedResource:
        """Convert a network."""
        return ListedResource(
            record.id,
            record.name,
            record.status if record.is_admin_state_up else "DOWN",
            {
                "is_external": record.is_external,
                "is_shared": record.is_shared,
                "is_port_security_enabled": record.is_port_security_enabled,
                "mtu": record.mtu,
                "cidrs": sorted(filter(None, cidrs.get(record.id, ()))),
            },
        )


@register_syncer
class SubnetSyncer(OpenStackSyncer):
    """Subnets: `cidr`, `gateway_ip`, `ip_version`, `is_dhcp_enabled`, `dns_servers`, `ipv6_address_mode`.

    `allocation_pools` are the ranges from which ports get their addresses, as pairs of first and last.
    """

    type = "subnet"
    label = _("subnet")
    order = 21

    def list_records(self, client: Cloud) -> Iterator[RecordPage[Subnet]]:
        """Yield the subnets that the project sees."""
        return client.network.subnet_pages()

    def convert(self, record: Subnet) -> ListedResource:
        """Convert a subnet."""
        return ListedResource(
            record.id,
            record.name,
            "",
            {
                "cidr": record.cidr,
                "gateway_ip": record.gateway_ip or "",
                "ip_version": record.ip_version,
                "is_dhcp_enabled": record.is_dhcp_enabled,
                "allocation_pools": [[pool.start, pool.end] for pool in record.allocation_pools],
                "dns_servers": list(record.dns_servers),
                "ipv6_address_mode": record.ipv6_address_mode or "",
            },
            (record.cidr,) if record.cidr else (),
            (Link("network", record.network_id),) if record.network_id else (),
        )


@register_syncer
class SecurityGroupSyncer(OpenStackSyncer):
    """Security groups: `description`, `marker`, `is_stateful`, `tags`, `rules`, their number, and `rule_list`, the rules sorted by id.

    A rule has `id`, `direction`, `ethertype`, `protocol`, `port_min`, `port_max`, `icmp_type`, `icmp_code`, `remote_cidr`,
    `remote_group` and `description`; what it does not limit is null. The group is also linked to those that its rules name.
    """

    type = "security_group"
    label = _("security group")
    order = 22

    def list_records(self, client: Cloud) -> Iterator[RecordPage[SecurityGroup]]:
        """Yield the security groups of the project."""
        return client.network.security_group_pages()

    def convert(self, record: SecurityGroup) -> ListedResource:
        """Convert a security group."""
        named = {rule.remote_group_id for rule in record.rules if rule.remote_group_id}
        return ListedResource(
            record.id,
            record.name,
            "",
            {
                "description": record.description,
                "marker": record.marker or "",
                "is_stateful": record.is_stateful,
                "tags": sorted(record.tags),
                "rules": record.rule_count,
                "rule_list": [_describe_rule(rule) for rule in record.rules],
            },
            links=tuple(Link("security_group", group_id) for group_id in sorted(named - {record.id})),
        )


@register_syncer
class RouterSyncer(OpenStackSyncer):
    """Routers: `is_admin_state_up`. Their interfaces are ports."""

    type = "router"
    label = _("router")
    order = 23

    def list_records(self, client: Cloud) -> Iterator[RecordPage[Router]]:
        """Yield the routers of the project."""
        return client.network.router_pages()

    def convert(self, record: Router) -> ListedResource:
        """Convert a router."""
        return ListedResource(
            record.id,
            record.name,
            record.status,
            {"is_admin_state_up": record.is_admin_state_up},
            record.external_addresses,
            (Link("network", record.external_network_id),) if record.external_network_id else (),
        )


@register_syncer
class PortSyncer(OpenStackSyncer):
    """Ports: `mac_address`, `device_owner`, `fixed_ips`, `is_admin_state_up`, `is_port_security_enabled`, `description`, `marker`.

    They join servers and routers to networks. Links lead to their security groups, too.
    """

    type = "port"
    label = _("port")
    order = 24

    def list_records(self, client: Cloud) -> Iterator[RecordPage[Port]]:
        """Yield the ports of the project."""
        return client.network.port_pages()

    def convert(self, record: Port) -> ListedResource:
        """Convert a port."""
        return ListedResource(
            record.id,
            record.name,
            record.status,
            {
                "mac_address": record.mac_address or "",
                "device_owner": record.device_owner,
                "fixed_ips": sorted(fixed.ip_address for fixed in record.fixed_ips),
                "is_admin_state_up": record.is_admin_state_up,
                "is_port_security_enabled": record.is_port_security_enabled,
                "description": record.description,
                "marker": record.marker or "",
            },
            tuple(sorted(fixed.ip_address for fixed in record.fixed_ips)),
            (
                *([Link("network", record.network_id)] if record.network_id else []),
                *(Link("subnet", fixed.subnet_id) for fixed in record.fixed_ips if fixed.subnet_id),
                *(Link("security_group", group_id) for group_id in record.security_group_ids),
                *_link_device(record.device_owner, record.device_id),
            ),
        )


@register_syncer
class FloatingIpSyncer(OpenStackSyncer):
    """Floating IPs, named by their address: `fixed_address`, `description`, `marker`, `created_at`; linked to port and server, if attached."""

    type = "floating_ip"
    label = _("floating IP")
    order = 25

    def list_records(self, client: Cloud) -> Iterator[RecordPage[FloatingIp]]:
        """Yield the floating IPs of the project."""
        return client.network.floating_ip_pages()

    def convert(self, record: FloatingIp) -> ListedResource:
        """Convert a floating IP."""
        return ListedResource(
            record.id,
            record.address,
            record.status,
            {
                "fixed_address": record.fixed_address or "",
                "description": record.description,
                "marker": record.marker or "",
                "created_at": record.created_at.isoformat() if record.created_at else "",
            },
            tuple(filter(None, (record.address, record.fixed_address))),
            tuple(
                Link(kind, cloud_id)
                for kind, cloud_id in (
                    ("network", record.floating_network_id),
                    ("port", record.port_id),
                    ("router", record.router_id),
                    ("server", record.device_id),
                )
                if cloud_id
            ),
        )


def _describe_rule(rule: SecurityGroupRule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "direction": rule.direction,
        "ethertype": rule.ethertype,
        "protocol": rule.protocol,
        "port_min": rule.port_min,
        "port_max": rule.port_max,
        "icmp_type": rule.icmp_type,
        "icmp_code": rule.icmp_code,
        "remote_cidr": rule.remote_ip_prefix,
        "remote_group": rule.remote_group_id,
        "description": rule.description,
    }


def _link_device(owner: str, device_id: str | None) -> list[Link]:
    """Return the link to a port's server or router, whose type Neutron tells by the prefix of `device_owner`; [] for others."""
    if not device_id:
        return []
    if owner.startswith("compute:"):
        return [Link("server", device_id)]
    return [Link("router", device_id)] if owner.startswith("network:router_") else []
