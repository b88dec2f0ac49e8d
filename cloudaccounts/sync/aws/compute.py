"""Syncers of EC2's machines: zones, key pairs, images, instances."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from ...registry import Link, ListedResource, register_syncer
from ..vendors import format_time
from .provider import AwsSyncer, read_name, read_tags

if TYPE_CHECKING:
    from .connection import AwsRegion


@register_syncer
class ZoneSyncer(AwsSyncer):
    """Availability zones; their name is their id: `zone_id`, the name that is the same for all accounts, and `kind`."""

    type = "zone"
    label = _("availability zone")
    order = 11
    expires_after = 1
    service, operation, member, id_member = (
        "ec2",
        "describe_availability_zones",
        "AvailabilityZones",
        "ZoneName",
    )
    permissions = ("ec2:DescribeAvailabilityZones",)

    def list_objects(self, client: AwsRegion) -> Iterator[list[dict[str, Any]]]:
        """Yield the zones of the region, in one answer."""
        yield client.call(self.service, self.operation).get(self.member) or []

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a zone."""
        return ListedResource(
            found["ZoneName"],
            found["ZoneName"],
            found.get("State", ""),
            {"zone_id": found.get("ZoneId", ""), "kind": found.get("ZoneType", "")},
        )


@register_syncer
class KeypairSyncer(AwsSyncer):
    """Public keys, by name, as instances refer to them: `type`, `fingerprint`, `key_pair_id`, `created_at`, `tags`."""

    type = "keypair"
    label = _("keypair")
    order = 60
    expires_after = 1
    service, operation, member, id_member = "ec2", "describe_key_pairs", "KeyPairs", "KeyName"
    permissions = ("ec2:DescribeKeyPairs",)

    def list_objects(self, client: AwsRegion) -> Iterator[list[dict[str, Any]]]:
        """Yield the key pairs of the region, in one answer."""
        yield client.call(self.service, self.operation).get(self.member) or []

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a key pair."""
        return ListedResource(
            found["KeyName"],
            found["KeyName"],
            "",
            {
                "type": found.get("KeyType", ""),
                "fingerprint": found.get("KeyFingerprint", ""),
                "key_pair_id": found.get("KeyPairId", ""),
                "created_at": format_time(found.get("CreateTime")),
                "tags": read_tags(found),
            },
        )


@register_syncer
class ImageSyncer(AwsSyncer):
    """Images of the account's own: `architecture`, `platform`, `is_public`, `created_at`, `tags`. Links lead to their snapshots."""

    type = "image"
    label = _("image")
    order = 65
    service, operation, member, id_member = "ec2", "describe_images", "Images", "ImageId"
    params = {"Owners": ["self"]}
    page_size = 1000
    permissions = ("ec2:DescribeImages",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an image."""
        disks = [mapping.get("Ebs") or {} for mapping in found.get("BlockDeviceMappings") or ()]
        return ListedResource(
            found["ImageId"],
            found.get("Name") or read_name(found),
            found.get("State", ""),
            {
                "architecture": found.get("Architecture", ""),
                "platform": found.get("PlatformDetails") or found.get("Platform") or "",
                "is_public": bool(found.get("Public")),
                "size_gb": sum(disk.get("VolumeSize") or 0 for disk in disks),
                "created_at": str(found.get("CreationDate") or ""),
                "tags": read_tags(found),
            },
            links=tuple(
                Link("snapshot", snapshot_id)
                for snapshot_id in sorted({disk["SnapshotId"] for disk in disks if disk.get("SnapshotId")})
            ),
        )


@register_syncer
class ServerSyncer(AwsSyncer):
    """Instances: `flavor` (the instance type), `vcpus`, `zone`, `platform`, `addresses`, `reason`, `created_at` (when it was
    launched last), `tags`. Links lead to volumes, image, key pair, network, subnet, security groups.
    """

    type = "server"
    label = _("server")
    order = 70
    service, operation, member, id_member = "ec2", "describe_instances", "Reservations", "InstanceId"
    page_size = 1000
    permissions = ("ec2:DescribeInstances",)

    def list_objects(self, client: AwsRegion) -> Iterator[list[dict[str, Any]]]:
        """Yield the instances, which AWS groups by the request that started them."""
        for reservations in super().list_objects(client):
            yield [
                instance
                for reservation in reservations
                for instance in reservation.get("Instances") or ()
                # An hour long, AWS still lists what was terminated.
                if (instance.get("State") or {}).get("Name") != "terminated"
            ]

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an instance."""
        options = found.get("CpuOptions") or {}
        addresses = _list_addresses(found)
        return ListedResource(
            found["InstanceId"],
            read_name(found),
            (found.get("State") or {}).get("Name", ""),
            {
                "flavor": found.get("InstanceType", ""),
                "vcpus": (options.get("CoreCount") or 0) * (options.get("ThreadsPerCore") or 0) or None,
                "zone": (found.get("Placement") or {}).get("AvailabilityZone", ""),
                "platform": found.get("PlatformDetails") or found.get("Platform") or "",
                "architecture": found.get("Architecture", ""),
                "addresses": addresses,
                "reason": (found.get("StateReason") or {}).get("Message", ""),
                "created_at": format_time(found.get("LaunchTime")),
                "tags": read_tags(found),
            },
            tuple(addresses),
            tuple(_list_links(found)),
        )


def _list_addresses(found: dict[str, Any]) -> list[str]:
    interfaces = found.get("NetworkInterfaces") or ()
    addresses = {found.get("PrivateIpAddress"), found.get("PublicIpAddress"), found.get("Ipv6Address")}
    for interface in interfaces:
        for one in interface.get("PrivateIpAddresses") or ():
            addresses |= {one.get("PrivateIpAddress"), (one.get("Association") or {}).get("PublicIp")}
        addresses |= {one.get("Ipv6Address") for one in interface.get("Ipv6Addresses") or ()}
    return sorted(address for address in addresses if address)


def _list_links(found: dict[str, Any]) -> list[Link]:
    volumes = sorted(
        {
            disk["Ebs"]["VolumeId"]
            for disk in found.get("BlockDeviceMappings") or ()
            if (disk.get("Ebs") or {}).get("VolumeId")
        }
    )
    groups = sorted({group["GroupId"] for group in found.get("SecurityGroups") or () if group.get("GroupId")})
    singles = (
        ("image", found.get("ImageId")),
        ("keypair", found.get("KeyName")),
        ("network", found.get("VpcId")),
        ("subnet", found.get("SubnetId")),
    )
    return [
        *(Link("volume", volume_id) for volume_id in volumes),
        *(Link("security_group", group_id) for group_id in groups),
        *(Link(type_code, cloud_id) for type_code, cloud_id in singles if cloud_id),
    ]
