"""Syncers of the machines of ECS: zones, key pairs, images, instances."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from ...registry import Link, ListedResource, register_syncer
from .listings import read_number
from .provider import AlibabaSyncer, read_list, read_paid_until, read_tags


@register_syncer
class ZoneSyncer(AlibabaSyncer):
    """Zones; their name is their id: `local_name`, the vendor's name for people, and `kind`."""

    type = "zone"
    label = _("availability zone")
    order = 11
    expires_after = 1
    product, action, path, id_member = "Ecs", "DescribeZones", ("Zones", "Zone"), "ZoneId"
    # Not the machines and disks that a zone offers, which are megabytes.
    params = {"Verbose": "false"}
    paging = None
    permissions = ("ecs:DescribeZones",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a zone."""
        return ListedResource(
            found["ZoneId"],
            found["ZoneId"],
            "",
            {"local_name": found.get("LocalName", ""), "kind": found.get("ZoneType", "")},
        )


@register_syncer
class KeypairSyncer(AlibabaSyncer):
    """Public keys, by name, as instances refer to them: `fingerprint`, `created_at`, `tags`."""

    type = "keypair"
    label = _("keypair")
    order = 60
    product, action, path, id_member = "Ecs", "DescribeKeyPairs", ("KeyPairs", "KeyPair"), "KeyPairName"
    name_member = "KeyPairName"
    permissions = ("ecs:DescribeKeyPairs",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a key pair."""
        return ListedResource(
            found["KeyPairName"],
            found["KeyPairName"],
            "",
            {
                "fingerprint": found.get("KeyPairFingerPrint", ""),
                "created_at": found.get("CreationTime", ""),
                "tags": read_tags(found),
            },
        )


@register_syncer
class ImageSyncer(AlibabaSyncer):
    """Images of the account's own: `architecture`, `platform`, `is_public`, `size_gb`, `created_at`, `tags`.

    Links lead to their snapshots.
    """

    type = "image"
    label = _("image")
    order = 65
    product, action, path, id_member = "Ecs", "DescribeImages", ("Images", "Image"), "ImageId"
    # Otherwise only images that are available are listed.
    params = {
        "ImageOwnerAlias": "self",
        "Status": "Creating,Waiting,Available,UnAvailable,CreateFailed,Deprecated",
    }
    page_size = 100
    name_member = "ImageName"
    permissions = ("ecs:DescribeImages",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an image."""
        disks = read_list(found, "DiskDeviceMappings", "DiskDeviceMapping")
        return ListedResource(
            found["ImageId"],
            self.read_name(found),
            found.get("Status", ""),
            {
                "architecture": found.get("Architecture", ""),
                "platform": found.get("OSNameEn") or found.get("OSName") or found.get("Platform") or "",
                "is_public": bool(found.get("IsPublic")),
                "size_gb": read_number(found.get("Size")),
                "description": found.get("Description", ""),
                "created_at": found.get("CreationTime", ""),
                "tags": read_tags(found),
            },
            links=tuple(
                Link("snapshot", snapshot_id)
                for snapshot_id in sorted({disk["SnapshotId"] for disk in disks if disk.get("SnapshotId")})
            ),
        )


@register_syncer
class ServerSyncer(AlibabaSyncer):
    """Instances: `flavor` (the instance type), `vcpus`, `memory_mb`, `zone`, `platform`, `addresses`, `charge`, `locks` (the
    reasons why the vendor has locked it, as an overdue payment), `created_at`, `paid_until`, `tags`.

    Links lead to image, key pair, network, subnet, security groups and floating IP. Volumes are linked to their server.
    """

    type = "server"
    label = _("server")
    order = 70
    product, action, path, id_member = "Ecs", "DescribeInstances", ("Instances", "Instance"), "InstanceId"
    paging = "token"
    page_size = 100
    name_member = "InstanceName"
    permissions = ("ecs:DescribeInstances",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an instance."""
        addresses = _list_addresses(found)
        locks = {str(one.get("LockReason") or "") for one in read_list(found, "OperationLocks", "LockReason")}
        charge = found.get("InstanceChargeType", "")
        return ListedResource(
            found["InstanceId"],
            self.read_name(found),
            found.get("Status", ""),
            {
                "flavor": found.get("InstanceType", ""),
                "vcpus": read_number(found.get("Cpu")),
                "memory_mb": read_number(found.get("Memory")),
                "zone": found.get("ZoneId", ""),
                "platform": found.get("OSNameEn") or found.get("OSName") or "",
                "addresses": addresses,
                "charge": charge,
                "locks": sorted(locks - {""}),
                "description": found.get("Description", ""),
                "created_at": found.get("CreationTime", ""),
                "paid_until": read_paid_until(charge, found.get("ExpiredTime")),
                "tags": read_tags(found),
            },
            tuple(addresses),
            tuple(_list_links(found)),
        )


def _list_addresses(found: dict[str, Any]) -> list[str]:
    addresses = {
        *read_list(found, "PublicIpAddress", "IpAddress"),
        *read_list(found, "InnerIpAddress", "IpAddress"),
        *read_list(found.get("VpcAttributes") or {}, "PrivateIpAddress", "IpAddress"),
        (found.get("EipAddress") or {}).get("IpAddress"),
    }
    for interface in read_list(found, "NetworkInterfaces", "NetworkInterface"):
        addresses.add(interface.get("PrimaryIpAddress"))
        private = read_list(interface, "PrivateIpSets", "PrivateIpSet")
        addresses |= {one.get("PrivateIpAddress") for one in private}
        addresses |= {one.get("Ipv6Address") for one in read_list(interface, "Ipv6Sets", "Ipv6Set")}
    return sorted(address for address in addresses if address)


def _list_links(found: dict[str, Any]) -> list[Link]:
    place = found.get("VpcAttributes") or {}
    groups = sorted({group for group in read_list(found, "SecurityGroupIds", "SecurityGroupId") if group})
    singles = (
        ("image", found.get("ImageId")),
        ("keypair", found.get("KeyPairName")),
        ("network", place.get("VpcId")),
        ("subnet", place.get("VSwitchId")),
        ("floating_ip", (found.get("EipAddress") or {}).get("AllocationId")),
    )
    return [
        *(Link("security_group", group_id) for group_id in groups),
        *(Link(type_code, cloud_id) for type_code, cloud_id in singles if cloud_id),
    ]
