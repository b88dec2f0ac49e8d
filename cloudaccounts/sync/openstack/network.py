"""What Neutron has."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from openstack_client import Cloud

from ...registry import Found, Link, register_syncer
from .provider import OpenStackSyncer


@register_syncer
class Networks(OpenStackSyncer):
    """Networks: `is_external`, `is_shared`, and `cidrs`, the address ranges of their subnets."""

    type = "network"
    label = _("network")
    order = 20
    catalogue = True

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """All networks that the project sees: its own, shared and external ones."""
        cidrs: dict[str, list[str]] = {}
        for subnets in client.network.subnet_pages():
            for subnet in subnets:
                cidrs.setdefault(subnet.network_id, []).append(subnet.cidr)
        for page in client.network.network_pages():
            yield [
                Found(
                    network.id,
                    network.name,
                    network.status if network.is_admin_state_up else "DOWN",
                    {
                        "is_external": network.is_external,
                        "is_shared": network.is_shared,
                        "cidrs": sorted(cidrs.get(network.id, [])),
                    },
                )
                for network in page
            ]


@register_syncer
class Subnets(OpenStackSyncer):
    """Ranges of addresses: `cidr`, `gateway_ip`, `ip_version`, `is_dhcp_enabled`."""

    type = "subnet"
    label = _("subnet")
    order = 21

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """All subnets that the project sees."""
        for page in client.network.subnet_pages():
            yield [
                Found(
                    subnet.id,
                    subnet.name,
                    "",
                    {
                        "cidr": subnet.cidr,
                        "gateway_ip": subnet.gateway_ip or "",
                        "ip_version": subnet.ip_version,
                        "is_dhcp_enabled": subnet.is_dhcp_enabled,
                    },
                    (subnet.cidr,) if subnet.cidr else (),
                    (Link("network", subnet.network_id),),
                )
                for subnet in page
            ]


@register_syncer
class SecurityGroups(OpenStackSyncer):
    """Security groups: `description`, `rules`, how many there are."""

    type = "security_group"
    label = _("security group")
    order = 22

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """All security groups of the project."""
        for page in client.network.security_group_pages():
            yield [
                Found(group.id, group.name, "", {"description": group.description, "rules": group.rule_count})
                for group in page
            ]


@register_syncer
class Routers(OpenStackSyncer):
    """Routers: `is_admin_state_up`. Their interfaces are ports."""

    type = "router"
    label = _("router")
    order = 23

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """All routers of the project."""
        for page in client.network.router_pages():
            yield [
                Found(
                    router.id,
                    router.name,
                    router.status,
                    {"is_admin_state_up": router.is_admin_state_up},
                    router.external_addresses,
                    (Link("network", router.external_network_id),) if router.external_network_id else (),
                )
                for router in page
            ]


@register_syncer
class Ports(OpenStackSyncer):
    """Ports: `mac_address`, `device_owner`, `fixed_ips`, `is_admin_state_up`. They join servers and routers to networks."""

    type = "port"
    label = _("port")
    order = 24

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """All ports of the project."""
        for page in client.network.port_pages():
            yield [
                Found(
                    port.id,
                    port.name,
                    port.status,
                    {
                        "mac_address": port.mac_address or "",
                        "device_owner": port.device_owner,
                        "fixed_ips": sorted(fixed.ip_address for fixed in port.fixed_ips),
                        "is_admin_state_up": port.is_admin_state_up,
                    },
                    tuple(sorted(fixed.ip_address for fixed in port.fixed_ips)),
                    (
                        Link("network", port.network_id),
                        *(Link("subnet", fixed.subnet_id) for fixed in port.fixed_ips if fixed.subnet_id),
                        *(Link("security_group", group_id) for group_id in port.security_group_ids),
                        *_device(port.device_owner, port.device_id),
                    ),
                )
                for port in page
            ]


@register_syncer
class FloatingIps(OpenStackSyncer):
    """Floating IPs, named by their address: `fixed_address`, `description`."""

    type = "floating_ip"
    label = _("floating IP")
    order = 25

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """All floating IPs of the project."""
        for page in client.network.floating_ip_pages():
            yield [
                Found(
                    floating.id,
                    floating.address,
                    floating.status,
                    {"fixed_address": floating.fixed_address or "", "description": floating.description},
                    tuple(filter(None, (floating.address, floating.fixed_address))),
                    tuple(
                        Link(kind, cloud_id)
                        for kind, cloud_id in (
                            ("network", floating.floating_network_id),
                            ("port", floating.port_id),
                            ("router", floating.router_id),
                        )
                        if cloud_id
                    ),
                )
                for floating in page
            ]


def _device(owner: str, device_id: str | None) -> list[Link]:
    """What a port belongs to: Neutron says it in the prefix of the owner's name."""
    if not device_id:
        return []
    if owner.startswith("compute:"):
        return [Link("server", device_id)]
    return [Link("router", device_id)] if owner.startswith("network:router_") else []
