"""Syncers of the networks: VPCs, VSwitches, security groups, network interfaces, elastic IPs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from openstack_client import CloudNotFoundError

from ...registry import Link, ListedResource, register_syncer
from .listings import list_by_token, read_number
from .provider import AlibabaSyncer, read_list, read_paid_until, read_tags

if TYPE_CHECKING:
    from .connection import AlibabaRegion

# The member with the rules of a group, which is added to what DescribeSecurityGroups says.
_RULES = "Permissions"
# The most rules that the vendor documents for a page.
_RULES_PAGE_SIZE = 1000
# The members of a rule that name the other side, by direction: CIDRs and prefix lists, and groups.
_OTHER_SIDES = {
    "ingress": (("SourceCidrIp", "Ipv6SourceCidrIp", "SourcePrefixListId"), "SourceGroupId"),
    "egress": (("DestCidrIp", "Ipv6DestCidrIp", "DestPrefixListId"), "DestGroupId"),
}
_TYPES_OF_EIP_USERS = {"EcsInstance": "server", "NetworkInterface": "port", "SlbInstance": "load_balancer"}


@register_syncer
class NetworkSyncer(AlibabaSyncer):
    """VPCs: `cidrs`, `is_default`, `description`, `created_at`, `tags`."""

    type = "network"
    label = _("network")
    order = 20
    product, action, path, id_member = "Vpc", "DescribeVpcs", ("Vpcs", "Vpc"), "VpcId"
    name_member = "VpcName"
    permissions = ("vpc:DescribeVpcs",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a VPC."""
        more = read_list(found, "SecondaryCidrBlocks", "SecondaryCidrBlock")
        six = [one.get("Ipv6CidrBlock") for one in read_list(found, "Ipv6CidrBlocks", "Ipv6CidrBlock")]
        cidrs = {found.get("CidrBlock"), found.get("Ipv6CidrBlock"), *more, *six}
        return ListedResource(
            found["VpcId"],
            self.read_name(found),
            found.get("Status", ""),
            {
                "cidrs": sorted(cidr for cidr in cidrs if cidr),
                "is_default": bool(found.get("IsDefault")),
                "description": found.get("Description", ""),
                "created_at": found.get("CreationTime", ""),
                "tags": read_tags(found),
            },
        )


@register_syncer
class SubnetSyncer(AlibabaSyncer):
    """VSwitches: `cidr`, `ipv6_cidr`, `zone`, `free_addresses`, `is_default`, `created_at`, `tags`; linked to their VPC."""

    type = "subnet"
    label = _("subnet")
    order = 21
    product, action, path, id_member = "Vpc", "DescribeVSwitches", ("VSwitches", "VSwitch"), "VSwitchId"
    name_member = "VSwitchName"
    permissions = ("vpc:DescribeVSwitches",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a VSwitch."""
        return ListedResource(
            found["VSwitchId"],
            self.read_name(found),
            found.get("Status", ""),
            {
                "cidr": found.get("CidrBlock", ""),
                "ipv6_cidr": found.get("Ipv6CidrBlock", ""),
                "zone": found.get("ZoneId", ""),
                "free_addresses": read_number(found.get("AvailableIpAddressCount")),
                "is_default": bool(found.get("IsDefault")),
                "created_at": found.get("CreationTime", ""),
                "tags": read_tags(found),
            },
            links=(Link("network", found["VpcId"]),) if found.get("VpcId") else (),
        )


@register_syncer
class SecurityGroupSyncer(AlibabaSyncer):
    """Security groups: `description`, `kind`, `rules`, their number, `rule_list`, the rules sorted, `created_at`, `tags`.

    A rule is direction, protocol ("-1" for any), first and last port, the other side (a CIDR, a prefix list or a group), and as
    the vendor has it `policy`, accept or drop, and `priority`, of which 1 is the first.
    """

    type = "security_group"
    label = _("security group")
    order = 30
    product, action, path, id_member = (
        "Ecs",
        "DescribeSecurityGroups",
        ("SecurityGroups", "SecurityGroup"),
        "SecurityGroupId",
    )
    paging = "token"
    page_size = 100
    name_member = "SecurityGroupName"
    permissions = ("ecs:DescribeSecurityGroups", "ecs:DescribeSecurityGroupAttribute")

    def list_objects(self, client: AlibabaRegion) -> Iterator[list[Any]]:
        """Yield the groups with their rules, which take a request for each group."""
        for page in super().list_objects(client):
            yield [found for found in page if _add_rules(client, found)]

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a security group."""
        rules = [_convert_rule(rule) for rule in found.get(_RULES) or ()]
        rules.sort(key=lambda rule: tuple(str(value) for value in rule.values()))
        groups = {rule["group"] for rule in rules if rule["group"]} - {found["SecurityGroupId"]}
        return ListedResource(
            found["SecurityGroupId"],
            self.read_name(found),
            "",
            {
                "description": found.get("Description", ""),
                "kind": found.get("SecurityGroupType", ""),
                "rules": len(rules),
                "rule_list": rules,
                "created_at": found.get("CreationTime", ""),
                "tags": read_tags(found),
            },
            links=(
                *(Link("security_group", group_id) for group_id in sorted(groups)),
                *([Link("network", found["VpcId"])] if found.get("VpcId") else []),
            ),
        )


@register_syncer
class PortSyncer(AlibabaSyncer):
    """Network interfaces: `mac_address`, `kind` (Primary or Secondary), `description`, `fixed_ips`, `zone`, `created_at`, `tags`.

    Links lead to network, subnet, security groups and server.
    """

    type = "port"
    label = _("port")
    order = 75
    product, action, path, id_member = (
        "Ecs",
        "DescribeNetworkInterfaces",
        ("NetworkInterfaceSets", "NetworkInterfaceSet"),
        "NetworkInterfaceId",
    )
    paging = "token"
    page_size = 500
    name_member = "NetworkInterfaceName"
    permissions = ("ecs:DescribeNetworkInterfaces",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a network interface."""
        private = read_list(found, "PrivateIpSets", "PrivateIpSet")
        six = [one.get("Ipv6Address") for one in read_list(found, "Ipv6Sets", "Ipv6Set")]
        fixed = {found.get("PrivateIpAddress"), *(one.get("PrivateIpAddress") for one in private), *six}
        public = {(one.get("AssociatedPublicIp") or {}).get("PublicIpAddress") for one in (found, *private)}
        groups = {group for group in read_list(found, "SecurityGroupIds", "SecurityGroupId") if group}
        singles = (
            ("network", found.get("VpcId")),
            ("subnet", found.get("VSwitchId")),
            ("server", found.get("InstanceId")),
        )
        return ListedResource(
            found["NetworkInterfaceId"],
            self.read_name(found),
            found.get("Status", ""),
            {
                "mac_address": found.get("MacAddress", ""),
                "kind": found.get("Type", ""),
                "description": found.get("Description", ""),
                "fixed_ips": sorted(address for address in fixed if address),
                "zone": found.get("ZoneId", ""),
                "created_at": found.get("CreationTime", ""),
                "tags": read_tags(found),
            },
            tuple(sorted(address for address in fixed | public if address)),
            (
                *(Link("security_group", group_id) for group_id in sorted(groups)),
                *(Link(type_code, cloud_id) for type_code, cloud_id in singles if cloud_id),
            ),
        )


@register_syncer
class FloatingIpSyncer(AlibabaSyncer):
    """Elastic IPs: `fixed_address`, `bandwidth_mbps`, `charge`, `used_by` and `used_by_kind` (what it is bound to), `created_at`,
    `paid_until`, `tags`; linked to server, port or load balancer.
    """

    type = "floating_ip"
    label = _("floating IP")
    order = 76
    product, action, path, id_member = (
        "Vpc",
        "DescribeEipAddresses",
        ("EipAddresses", "EipAddress"),
        "AllocationId",
    )
    page_size = 100
    name_member = "Name"
    permissions = ("vpc:DescribeEipAddresses",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an elastic IP."""
        address = str(found.get("IpAddress") or "")
        user, kind = found.get("InstanceId") or "", found.get("InstanceType") or ""
        linked = _TYPES_OF_EIP_USERS.get(kind) if user else None
        return ListedResource(
            found["AllocationId"],
            self.read_name(found) or address,
            found.get("Status", ""),
            {
                "fixed_address": found.get("PrivateIpAddress") or "",
                "bandwidth_mbps": read_number(found.get("Bandwidth")),
                "charge": found.get("ChargeType", ""),
                "used_by": user,
                "used_by_kind": kind,
                "created_at": found.get("AllocationTime", ""),
                "paid_until": read_paid_until(found.get("ChargeType"), found.get("ExpiredTime")),
                "tags": read_tags(found),
            },
            (address,) if address else (),
            (Link(linked, user),) if linked else (),
        )


def _add_rules(client: AlibabaRegion, found: Any) -> bool:
    """Add the rules of a group to it; return False for one that was deleted since it was listed. Raises `CloudError`."""
    if not isinstance(found, dict) or not found.get("SecurityGroupId"):
        return True
    fetch = partial(
        client.call, "Ecs", "DescribeSecurityGroupAttribute", SecurityGroupId=found["SecurityGroupId"]
    )
    action = "ecs:DescribeSecurityGroupAttribute"
    try:
        pages = list(list_by_token(fetch, (_RULES, "Permission"), action, _RULES_PAGE_SIZE))
    except CloudNotFoundError:
        return False
    found[_RULES] = [rule for page in pages for rule in page]
    return True


def _convert_rule(rule: dict[str, Any]) -> dict[str, Any]:
    direction = str(rule.get("Direction") or "").lower()
    places, group = _OTHER_SIDES.get(direction, _OTHER_SIDES["ingress"])
    protocol = str(rule.get("IpProtocol") or "").lower()
    first, last = _read_ports(str(rule.get("PortRange") or ""))
    return {
        "direction": direction,
        "protocol": "-1" if protocol == "all" else protocol,
        "first_port": first,
        "last_port": last,
        "cidr": next((rule[name] for name in places if rule.get(name)), ""),
        "group": rule.get(group) or "",
        "policy": str(rule.get("Policy") or "").lower(),
        "priority": read_number(rule.get("Priority")),
        "description": rule.get("Description") or "",
    }


def _read_ports(text: str) -> tuple[int | None, int | None]:
    """Return the first and the last port of a rule: "80/443"; "-1/-1" and no range are any port."""
    first, _slash, last = text.partition("/")
    numbers = read_number(first), read_number(last)
    return numbers if None not in numbers else (None, None)
