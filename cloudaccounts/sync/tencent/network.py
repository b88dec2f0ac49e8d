"""Syncers of Tencent Cloud's networks (VPC): networks, subnets, security groups, network interfaces, elastic IPs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from openstack_client import CloudNotFoundError

from ...registry import ListedResource, register_syncer
from .provider import TencentSyncer
from .values import make_links, read_paid_until, read_tags, read_time

if TYPE_CHECKING:
    from .connection import TencentRegion

# Under which a security group keeps its rules, which another operation lists.
_RULES = "SecurityGroupPolicySet"


@register_syncer
class NetworkSyncer(TencentSyncer):
    """VPCs: `cidrs`, `is_default`, `dns_servers`, `created_at`, `tags`."""

    type = "network"
    label = _("network")
    order = 20
    service, operation, member = "vpc", "DescribeVpcs", "VpcSet"
    id_member, name_member = "VpcId", "VpcName"
    has_text_offsets = True
    permissions = ("vpc:DescribeVpcs",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a VPC."""
        more = [one.get("CidrBlock") for one in found.get("AssistantCidrSet") or ()]
        cidrs = {cidr for cidr in (found.get("CidrBlock"), found.get("Ipv6CidrBlock"), *more) if cidr}
        return ListedResource(
            found["VpcId"],
            found.get("VpcName") or "",
            "",
            {
                "cidrs": sorted(cidrs),
                "is_default": bool(found.get("IsDefault")),
                "dns_servers": list(found.get("DnsServerSet") or ()),
                "created_at": read_time(found.get("CreatedTime")),
                "tags": read_tags(found, "TagSet"),
            },
        )


@register_syncer
class SubnetSyncer(TencentSyncer):
    """Subnets: `cidr`, `ipv6_cidr`, `zone`, `free_addresses`, `is_default`, `created_at`, `tags`; linked to their network."""

    type = "subnet"
    label = _("subnet")
    order = 21
    service, operation, member = "vpc", "DescribeSubnets", "SubnetSet"
    id_member, name_member = "SubnetId", "SubnetName"
    has_text_offsets = True
    permissions = ("vpc:DescribeSubnets",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a subnet."""
        return ListedResource(
            found["SubnetId"],
            found.get("SubnetName") or "",
            "",
            {
                "cidr": found.get("CidrBlock") or "",
                "ipv6_cidr": found.get("Ipv6CidrBlock") or "",
                "zone": found.get("Zone") or "",
                "free_addresses": found.get("AvailableIpAddressCount"),
                "is_default": bool(found.get("IsDefault")),
                "created_at": read_time(found.get("CreatedTime")),
                "tags": read_tags(found, "TagSet"),
            },
            links=tuple(make_links("network", [found.get("VpcId")])),
        )


@register_syncer
class SecurityGroupSyncer(TencentSyncer):
    """Security groups: `description`, `is_default`, `rules`, their number, `rule_list`, the rules in their order, `created_at`, `tags`.

    A rule is direction, protocol ("all" for any), first and last port, the other side: a CIDR or an address template
    (`cidr`), or a group, and `action` (accept or drop), `priority` (the lowest counts first) and `template` of its ports.
    """

    type = "security_group"
    label = _("security group")
    order = 30
    service, operation, member = "vpc", "DescribeSecurityGroups", "SecurityGroupSet"
    id_member, name_member = "SecurityGroupId", "SecurityGroupName"
    has_text_offsets = True
    permissions = ("vpc:DescribeSecurityGroups", "vpc:DescribeSecurityGroupPolicies")

    def list_objects(self, client: TencentRegion) -> Iterator[list[dict[str, Any]]]:
        """Yield the groups with their rules, which the vendor lists group by group."""
        for page in super().list_objects(client):
            yield [whole for found in page if (whole := self._add_rules(client, found)) is not None]

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a security group."""
        known = found.get(_RULES) or {}
        rules = [
            *_list_rules("ingress", known.get("Ingress") or ()),
            *_list_rules("egress", known.get("Egress") or ()),
        ]
        groups = {rule["group"] for rule in rules} - {found["SecurityGroupId"]}
        return ListedResource(
            found["SecurityGroupId"],
            found.get("SecurityGroupName") or "",
            "",
            {
                "description": found.get("SecurityGroupDesc") or "",
                "is_default": bool(found.get("IsDefault")),
                "rules": len(rules),
                "rule_list": rules,
                "created_at": read_time(found.get("CreatedTime")),
                "tags": read_tags(found, "TagSet"),
            },
            links=tuple(make_links("security_group", groups)),
        )

    def _add_rules(self, client: TencentRegion, found: Any) -> dict[str, Any] | None:
        """Return a group with its rules; None if it was removed since it was listed."""
        group_id = found.get(self.id_member) if isinstance(found, dict) else None
        if not group_id:
            # It is reported as an unreadable object.
            return found  # type: ignore[no-any-return]
        try:
            answer = client.call(self.service, "DescribeSecurityGroupPolicies", SecurityGroupId=group_id)
        except CloudNotFoundError:
            return None
        return {**found, _RULES: answer.get(_RULES)}


@register_syncer
class PortSyncer(TencentSyncer):
    """Network interfaces: `mac_address`, `is_primary`, `description`, `fixed_ips`, `zone`, `created_at`, `tags`.

    Links lead to network, subnet, security groups and server.
    """

    type = "port"
    label = _("port")
    order = 75
    service, operation, member = "vpc", "DescribeNetworkInterfaces", "NetworkInterfaceSet"
    id_member, name_member = "NetworkInterfaceId", "NetworkInterfaceName"
    permissions = ("vpc:DescribeNetworkInterfaces",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a network interface."""
        private = found.get("PrivateIpAddressSet") or ()
        six = [one.get("Address") for one in found.get("Ipv6AddressSet") or ()]
        fixed = sorted({one for one in (*(one.get("PrivateIpAddress") for one in private), *six) if one})
        public = sorted({one["PublicIpAddress"] for one in private if one.get("PublicIpAddress")})
        return ListedResource(
            found["NetworkInterfaceId"],
            found.get("NetworkInterfaceName") or "",
            # The first one also tells whether it is attached.
            found.get("NetworkInterfaceState") or found.get("State") or "",
            {
                "mac_address": found.get("MacAddress") or "",
                "is_primary": bool(found.get("Primary")),
                "description": found.get("NetworkInterfaceDescription") or "",
                "fixed_ips": fixed,
                "zone": found.get("Zone") or "",
                "created_at": read_time(found.get("CreatedTime")),
                "tags": read_tags(found, "TagSet"),
            },
            (*fixed, *public),
            (
                *make_links("security_group", found.get("GroupSet")),
                *make_links("network", [found.get("VpcId")]),
                *make_links("subnet", [found.get("SubnetId")]),
                *make_links("server", [(found.get("Attachment") or {}).get("InstanceId")]),
            ),
        )


@register_syncer
class FloatingIpSyncer(TencentSyncer):
    """Elastic IPs: `fixed_address`, `kind`, `bandwidth_mbps`, `charge_type`, `is_in_arrears`, `is_blocked`, `created_at`,
    `paid_until`, `tags`. Links lead to port, and to server or load balancer.
    """

    type = "floating_ip"
    label = _("floating IP")
    order = 76
    service, operation, member = "vpc", "DescribeAddresses", "AddressSet"
    id_member, name_member = "AddressId", "AddressName"
    permissions = ("cvm:DescribeAddresses",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an elastic IP."""
        address = str(found.get("AddressIp") or "")
        user = str(found.get("InstanceId") or "")
        charge_type = found.get("InternetChargeType") or ""
        return ListedResource(
            found["AddressId"],
            found.get("AddressName") or address,
            found.get("AddressStatus") or "",
            {
                "fixed_address": found.get("PrivateAddressIp") or "",
                "kind": found.get("AddressType") or "",
                "bandwidth_mbps": found.get("Bandwidth"),
                "charge_type": charge_type,
                "is_in_arrears": bool(found.get("IsArrears")),
                "is_blocked": bool(found.get("IsBlocked")),
                "created_at": read_time(found.get("CreatedTime")),
                "paid_until": read_paid_until(
                    found.get("DeadlineDate"), is_prepaid=charge_type == "BANDWIDTH_PREPAID_BY_MONTH"
                ),
                "tags": read_tags(found, "TagSet"),
            },
            (address,) if address else (),
            (
                *make_links("port", [found.get("NetworkInterfaceId")]),
                *make_links("server", [user] if user.startswith("ins-") else ()),
                *make_links("load_balancer", [user] if user.startswith("lb-") else ()),
            ),
        )


def _list_rules(direction: str, policies: Any) -> Iterator[dict[str, Any]]:
    """Yield the rules of a direction by their priority; one for each range of ports."""
    ordered = sorted(policies, key=lambda one: one.get("PolicyIndex") or 0)
    for one in ordered:
        addresses = one.get("AddressTemplate") or {}
        ports = one.get("ServiceTemplate") or {}
        shared = {
            "cidr": one.get("CidrBlock")
            or one.get("Ipv6CidrBlock")
            or addresses.get("AddressGroupId")
            or addresses.get("AddressId")
            or "",
            "group": one.get("SecurityGroupId") or "",
            "description": one.get("PolicyDescription") or "",
            "action": str(one.get("Action") or "").lower(),
            "priority": one.get("PolicyIndex"),
            "template": ports.get("ServiceGroupId") or ports.get("ServiceId") or "",
        }
        for first_port, last_port in _read_ports(str(one.get("Port") or "")):
            yield {
                "direction": direction,
                "protocol": str(one.get("Protocol") or "").lower(),
                "first_port": first_port,
                "last_port": last_port,
                **shared,
            }


def _read_ports(text: str) -> list[tuple[int | None, int | None]]:
    """Return the ranges of "all", "22", "80,443" or "8000-9000"; none as two times None."""
    ranges: list[tuple[int | None, int | None]] = []
    for part in text.split(","):
        first, _dash, last = part.strip().partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            ranges.append((int(first), int(last or first)))
        else:
            ranges.append((None, None))
    return ranges
