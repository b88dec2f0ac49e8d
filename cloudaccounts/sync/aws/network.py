"""Syncers of the networks of EC2: VPCs, subnets, security groups, network interfaces, elastic IPs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from ...registry import Link, ListedResource, register_syncer
from .provider import AwsSyncer, read_name, read_tags

if TYPE_CHECKING:
    from .connection import AwsRegion


@register_syncer
class NetworkSyncer(AwsSyncer):
    """VPCs: `cidrs`, `is_default`, `tags`."""

    type = "network"
    label = _("network")
    order = 20
    service, operation, member, id_member = "ec2", "describe_vpcs", "Vpcs", "VpcId"
    page_size = 1000
    permissions = ("ec2:DescribeVpcs",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a VPC."""
        more = [one.get("CidrBlock") for one in found.get("CidrBlockAssociationSet") or ()]
        six = [one.get("Ipv6CidrBlock") for one in found.get("Ipv6CidrBlockAssociationSet") or ()]
        cidrs = sorted({cidr for cidr in (found.get("CidrBlock"), *more, *six) if cidr})
        return ListedResource(
            found["VpcId"],
            read_name(found),
            found.get("State", ""),
            {"cidrs": cidrs, "is_default": bool(found.get("IsDefault")), "tags": read_tags(found)},
        )


@register_syncer
class SubnetSyncer(AwsSyncer):
    """Subnets: `cidr`, `zone`, `free_addresses`, `gives_public_addresses`, `tags`; linked to their VPC."""

    type = "subnet"
    label = _("subnet")
    order = 21
    service, operation, member, id_member = "ec2", "describe_subnets", "Subnets", "SubnetId"
    page_size = 1000
    permissions = ("ec2:DescribeSubnets",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a subnet."""
        return ListedResource(
            found["SubnetId"],
            read_name(found),
            found.get("State", ""),
            {
                "cidr": found.get("CidrBlock", ""),
                "zone": found.get("AvailabilityZone", ""),
                "free_addresses": found.get("AvailableIpAddressCount"),
                "gives_public_addresses": bool(found.get("MapPublicIpOnLaunch")),
                "tags": read_tags(found),
            },
            links=(Link("network", found["VpcId"]),) if found.get("VpcId") else (),
        )


@register_syncer
class SecurityGroupSyncer(AwsSyncer):
    """Security groups: `description`, `rules`, their number, `rule_list`, the rules sorted, and `tags`.

    A rule is direction, protocol ("-1" for any), first and last port, and the other side: a CIDR, a group or a prefix list.
    """

    type = "security_group"
    label = _("security group")
    order = 30
    service, operation, member, id_member = "ec2", "describe_security_groups", "SecurityGroups", "GroupId"
    page_size = 1000
    permissions = ("ec2:DescribeSecurityGroups",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a security group."""
        rules = [
            *_list_rules("ingress", found.get("IpPermissions") or ()),
            *_list_rules("egress", found.get("IpPermissionsEgress") or ()),
        ]
        rules.sort(key=lambda rule: tuple(str(value) for value in rule.values()))
        groups = {rule["group"] for rule in rules if rule["group"]} - {found["GroupId"]}
        return ListedResource(
            found["GroupId"],
            found.get("GroupName") or read_name(found),
            "",
            {
                "description": found.get("Description", ""),
                "rules": len(rules),
                "rule_list": rules,
                "tags": read_tags(found),
            },
            links=(
                *(Link("security_group", group_id) for group_id in sorted(groups)),
                *([Link("network", found["VpcId"])] if found.get("VpcId") else []),
            ),
        )


@register_syncer
class PortSyncer(AwsSyncer):
    """Network interfaces: `mac_address`, `kind`, `description`, `fixed_ips`, `zone`, `tags`.

    Links lead to network, subnet, security groups and server.
    """

    type = "port"
    label = _("port")
    order = 75
    service, operation, member, id_member = (
        "ec2",
        "describe_network_interfaces",
        "NetworkInterfaces",
        "NetworkInterfaceId",
    )
    page_size = 1000
    permissions = ("ec2:DescribeNetworkInterfaces",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a network interface."""
        private = [one.get("PrivateIpAddress") for one in found.get("PrivateIpAddresses") or ()]
        six = [one.get("Ipv6Address") for one in found.get("Ipv6Addresses") or ()]
        fixed = sorted({one for one in (found.get("PrivateIpAddress"), *private, *six) if one})
        public = (found.get("Association") or {}).get("PublicIp")
        groups = sorted({one["GroupId"] for one in found.get("Groups") or () if one.get("GroupId")})
        singles = (
            ("network", found.get("VpcId")),
            ("subnet", found.get("SubnetId")),
            ("server", (found.get("Attachment") or {}).get("InstanceId")),
        )
        tags = read_tags(found, "TagSet")
        return ListedResource(
            found["NetworkInterfaceId"],
            tags.get("Name", ""),
            found.get("Status", ""),
            {
                "mac_address": found.get("MacAddress", ""),
                "kind": found.get("InterfaceType", ""),
                "description": found.get("Description", ""),
                "fixed_ips": fixed,
                "zone": found.get("AvailabilityZone", ""),
                "tags": tags,
            },
            (*fixed, *([public] if public else [])),
            (
                *(Link("security_group", group_id) for group_id in groups),
                *(Link(type_code, cloud_id) for type_code, cloud_id in singles if cloud_id),
            ),
        )


@register_syncer
class FloatingIpSyncer(AwsSyncer):
    """Elastic IPs: `fixed_address`, `border_group`, `tags`; linked to port and server. One in use has the status `associated`."""

    type = "floating_ip"
    label = _("floating IP")
    order = 76
    expires_after = 1
    service, operation, member, id_member = "ec2", "describe_addresses", "Addresses", "AllocationId"
    permissions = ("ec2:DescribeAddresses",)

    def list_objects(self, client: AwsRegion) -> Iterator[list[dict[str, Any]]]:
        """Yield the addresses of the region, in one answer."""
        yield client.call(self.service, self.operation).get(self.member) or []

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an elastic IP."""
        address = str(found.get("PublicIp") or "")
        is_used = bool(found.get("AssociationId") or found.get("InstanceId"))
        singles = (("port", found.get("NetworkInterfaceId")), ("server", found.get("InstanceId")))
        return ListedResource(
            found.get("AllocationId") or address,
            read_name(found) or address,
            "associated" if is_used else "available",
            {
                "fixed_address": found.get("PrivateIpAddress", ""),
                "border_group": found.get("NetworkBorderGroup", ""),
                "tags": read_tags(found),
            },
            (address,) if address else (),
            tuple(Link(type_code, cloud_id) for type_code, cloud_id in singles if cloud_id),
        )


def _list_rules(direction: str, permissions: Any) -> Iterator[dict[str, Any]]:
    for one in permissions:
        shared = {
            "direction": direction,
            "protocol": str(one.get("IpProtocol", "")),
            "first_port": one.get("FromPort"),
            "last_port": one.get("ToPort"),
        }
        others = [
            *((side.get("CidrIp", ""), "", side) for side in one.get("IpRanges") or ()),
            *((side.get("CidrIpv6", ""), "", side) for side in one.get("Ipv6Ranges") or ()),
            *((side.get("PrefixListId", ""), "", side) for side in one.get("PrefixListIds") or ()),
            *(("", side.get("GroupId", ""), side) for side in one.get("UserIdGroupPairs") or ()),
        ]
        for cidr, group, side in others:
            yield {**shared, "cidr": cidr, "group": group, "description": side.get("Description") or ""}
