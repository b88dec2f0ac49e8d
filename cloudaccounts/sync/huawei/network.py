"""Syncers of Virtual Private Cloud: VPCs, subnets, security groups, ports, elastic IPs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from ...registry import ListedResource, register_syncer
from .listings import Listing, Paging
from .provider import PAID_UNTIL, HuaweiSyncer
from .values import build_links, read_number, read_paid_until, read_tags

if TYPE_CHECKING:
    from .connection import HuaweiRegion

_RULES = Listing(
    "vpc",
    "/v3/{project_id}/vpc/security-group-rules",
    "security_group_rules",
    "vpc:securityGroupRules:get",
    Paging.PAGE_INFO,
    2000,
)
# The member of a security group with its rules, which are listed on their own.
_RULES_MEMBER = "security_group_rules"
_ANYWHERE = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}
# Members of an elastic IP; without them, the answer leaves tags out.
_ADDRESS_FIELDS = (
    "id",
    "alias",
    "status",
    "ip_version",
    "public_ip_address",
    "public_ipv6_address",
    "type",
    "description",
    "created_at",
    "vnic",
    "bandwidth",
    "billing_info",
    "lock_status",
    "associate_instance_type",
    "associate_instance_id",
    "tags",
)


@register_syncer
class NetworkSyncer(HuaweiSyncer):
    """VPCs: `cidrs`, `description`, `created_at`, `tags`."""

    type = "network"
    label = _("network")
    order = 20
    listing = Listing("vpc", "/v3/{project_id}/vpc/vpcs", "vpcs", "vpc:vpcs:list", Paging.PAGE_INFO, 2000)
    permissions = ("vpc:vpcs:list",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a VPC."""
        return ListedResource(
            found["id"],
            found.get("name") or "",
            found.get("status") or "",
            {
                "cidrs": sorted(
                    {cidr for cidr in (found.get("cidr"), *(found.get("extend_cidrs") or ())) if cidr}
                ),
                "description": found.get("description") or "",
                "created_at": found.get("created_at") or "",
                "tags": read_tags(found.get("tags")),
            },
        )


@register_syncer
class SubnetSyncer(HuaweiSyncer):
    """Subnets: `cidr`, `ipv6_cidr`, `gateway_ip`, `dns_servers`, `is_dhcp_enabled`, `free_addresses`, `zone`, `description`,
    `created_at`; linked to their VPC.
    """

    type = "subnet"
    label = _("subnet")
    order = 21
    listing = Listing("vpc", "/v1/{project_id}/subnets", "subnets", "vpc:subnets:get", Paging.LAST_ID, 2000)
    permissions = ("vpc:subnets:get",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a subnet."""
        servers = found.get("dnsList") or [found.get("primary_dns"), found.get("secondary_dns")]
        return ListedResource(
            found["id"],
            found.get("name") or "",
            found.get("status") or "",
            {
                "cidr": found.get("cidr") or "",
                "ipv6_cidr": found.get("cidr_v6") or "",
                "gateway_ip": found.get("gateway_ip") or "",
                "dns_servers": [server for server in servers if server],
                "is_dhcp_enabled": bool(found.get("dhcp_enable")),
                "free_addresses": read_number(found.get("available_ip_address_count")),
                "zone": found.get("availability_zone") or "",
                "description": found.get("description") or "",
                "created_at": found.get("created_at") or "",
            },
            links=build_links(("network", found.get("vpc_id"))),
        )


@register_syncer
class SecurityGroupSyncer(HuaweiSyncer):
    """Security groups: `description`, `rules`, their number, `rule_list`, the rules sorted, `created_at`, `tags`.

    A rule is direction, protocol ("-1" for any), first and last port, and the other side: a CIDR, a group or an address group;
    also `action` (allow, deny), `priority` (1 is the highest) and `is_enabled`. A rule for ports that are not in a row is one
    for each of them here.
    """

    type = "security_group"
    label = _("security group")
    order = 30
    listing = Listing(
        "vpc",
        "/v3/{project_id}/vpc/security-groups",
        "security_groups",
        "vpc:securityGroups:get",
        Paging.PAGE_INFO,
        2000,
    )
    permissions = ("vpc:securityGroups:get", "vpc:securityGroupRules:get")

    def list_objects(self, client: HuaweiRegion) -> Iterator[list[dict[str, Any]]]:
        """Yield the groups with their rules, all of which are listed first: a region has at most some thousands."""
        rules: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for page in client.list_pages(_RULES):
            for rule in page:
                if isinstance(rule, dict):
                    rules[str(rule.get("security_group_id") or "")].append(rule)
        for page in client.list_pages(self.listing):
            yield [
                {**group, _RULES_MEMBER: rules.get(str(group.get("id")), [])}
                if isinstance(group, dict)
                else group
                for group in page
            ]

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a security group."""
        rules = [one for rule in found[_RULES_MEMBER] for one in _list_rules(rule)]
        rules.sort(key=lambda rule: tuple(str(value) for value in rule.values()))
        groups = {rule["group"] for rule in rules} - {found["id"], ""}
        return ListedResource(
            found["id"],
            found.get("name") or "",
            "",
            {
                "description": found.get("description") or "",
                "rules": len(rules),
                "rule_list": rules,
                "created_at": found.get("created_at") or "",
                "tags": read_tags(found.get("tags")),
            },
            links=build_links(*(("security_group", group) for group in sorted(groups))),
        )


@register_syncer
class PortSyncer(HuaweiSyncer):
    """Ports: `mac_address`, `device_owner`, `fixed_ips`, `zone`. Links lead to subnet, security groups, and the server."""

    type = "port"
    label = _("port")
    order = 75
    listing = Listing("vpc", "/v1/{project_id}/ports", "ports", "vpc:ports:get", Paging.LAST_ID, 2000)
    permissions = ("vpc:ports:get",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a port."""
        owner = found.get("device_owner") or ""
        fixed = sorted({one["ip_address"] for one in found.get("fixed_ips") or () if one.get("ip_address")})
        return ListedResource(
            found["id"],
            found.get("name") or "",
            found.get("status") or "",
            {
                "mac_address": found.get("mac_address") or "",
                "device_owner": owner,
                "fixed_ips": fixed,
                "zone": found.get("zone_id") or "",
            },
            tuple(fixed),
            build_links(
                # A subnet of a VPC is a network of its own beneath, and has its id.
                ("subnet", found.get("network_id")),
                *sorted(("security_group", one) for one in found.get("security_groups") or ()),
                ("server", found.get("device_id") if owner.startswith("compute:") else ""),
            ),
        )


@register_syncer
class FloatingIpSyncer(HuaweiSyncer):
    """Elastic IPs: `fixed_address`, `kind`, `bandwidth_mbit`, `bandwidth_name`, `used_by` (PORT, NATGW, ELB, VPN), `lock`
    (`locked` for arrears), `is_prepaid`, `paid_until`, `description`, `created_at`, `tags`. Links lead to port, server or load balancer, network.
    """

    type = "floating_ip"
    label = _("floating IP")
    order = 76
    listing = Listing(
        "eip",
        "/v3/{project_id}/eip/publicips",
        "publicips",
        "vpc:publicIps:list",
        Paging.PAGE_INFO,
        1000,
        query=tuple(("fields", name) for name in _ADDRESS_FIELDS),
    )
    permissions = ("vpc:publicIps:list",)

    def is_prepaid(self, found: Mapping[str, Any]) -> bool:
        """Return whether an elastic IP is paid by month or year: only such a one has an order."""
        return bool(found.get("billing_info"))

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an elastic IP."""
        interface, bandwidth = found.get("vnic") or {}, found.get("bandwidth") or {}
        used_by = found.get("associate_instance_type") or ""
        is_six = found.get("ip_version") == 6
        address = str((found.get("public_ipv6_address") if is_six else found.get("public_ip_address")) or "")
        owner = interface.get("device_owner") or ""
        return ListedResource(
            found["id"],
            found.get("alias") or address,
            found.get("status") or "",
            {
                "fixed_address": interface.get("private_ip_address") or "",
                "kind": found.get("type") or "",
                "bandwidth_mbit": read_number(bandwidth.get("size")),
                "bandwidth_name": bandwidth.get("name") or "",
                "used_by": used_by,
                "lock": found.get("lock_status") or "",
                "is_prepaid": self.is_prepaid(found),
                "paid_until": read_paid_until(found.get(PAID_UNTIL)),
                "description": found.get("description") or "",
                "created_at": found.get("created_at") or "",
                "tags": read_tags(found.get("tags")),
            },
            (address,) if address else (),
            build_links(
                ("port", interface.get("port_id")),
                ("server", interface.get("device_id") if owner.startswith("compute:") else ""),
                ("load_balancer", found.get("associate_instance_id") if used_by.startswith("ELB") else ""),
                ("network", interface.get("vpc_id")),
            ),
        )


def _list_rules(rule: dict[str, Any]) -> Iterator[dict[str, Any]]:
    group, address_group = rule.get("remote_group_id") or "", rule.get("remote_address_group_id") or ""
    cidr = rule.get("remote_ip_prefix") or ""
    if not (cidr or group or address_group):
        cidr = _ANYWHERE.get(rule.get("ethertype") or "IPv4", "")
    for first, last in _list_ports(str(rule.get("multiport") or "")):
        yield {
            "direction": rule.get("direction") or "",
            "protocol": str(rule.get("protocol") or "-1"),
            "first_port": first,
            "last_port": last,
            "cidr": cidr,
            "group": group,
            "description": rule.get("description") or "",
            "address_group": address_group,
            "action": rule.get("action") or "",
            "priority": read_number(rule.get("priority")),
            "is_enabled": rule.get("enabled") is not False,
        }


def _list_ports(text: str) -> list[tuple[int | None, int | None]]:
    """Return the first and last ports of "22,80-90"; of "", any port."""
    ranges: list[tuple[int | None, int | None]] = []
    for piece in filter(None, text.split(",")):
        first, _sign, last = piece.partition("-")
        ranges.append((int(first), int(last or first)))
    return ranges or [(None, None)]
