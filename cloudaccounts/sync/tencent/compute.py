"""Syncers of Tencent Cloud's machines (CVM): zones, key pairs, images, instances."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from ...registry import ListedResource, register_syncer
from .provider import TencentSyncer
from .values import make_links, read_paid_until, read_tags, read_time

if TYPE_CHECKING:
    from .connection import TencentRegion

# Disks of the host itself have ids, too, but are no volumes.
_VOLUME_PREFIX = "disk-"
_MEBIBYTES = 1024


@register_syncer
class ZoneSyncer(TencentSyncer):
    """Availability zones; their id is that in placements: `zone_id`, the number that some services call the zone by."""

    type = "zone"
    label = _("availability zone")
    order = 11
    expires_after = 1
    service, operation, member = "cvm", "DescribeZones", "ZoneSet"
    id_member, name_member = "Zone", "ZoneName"
    permissions = ("cvm:DescribeZones",)

    def list_objects(self, client: TencentRegion) -> Iterator[list[dict[str, Any]]]:
        """Yield the zones of the region, in one answer."""
        yield client.list_once(self.service, self.operation, self.member)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a zone."""
        return ListedResource(
            found["Zone"],
            found.get("ZoneName") or found["Zone"],
            found.get("ZoneState") or "",
            {"zone_id": str(found.get("ZoneId") or "")},
        )


@register_syncer
class KeypairSyncer(TencentSyncer):
    """Public keys: `description`, `public_key`, `created_at`, `tags`."""

    type = "keypair"
    label = _("keypair")
    order = 60
    service, operation, member = "cvm", "DescribeKeyPairs", "KeyPairSet"
    id_member, name_member = "KeyId", "KeyName"
    permissions = ("cvm:DescribeKeyPairs",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a key pair."""
        return ListedResource(
            found["KeyId"],
            found.get("KeyName") or "",
            "",
            {
                "description": found.get("Description") or "",
                "public_key": found.get("PublicKey") or "",
                "created_at": read_time(found.get("CreatedTime")),
                "tags": read_tags(found, "Tags"),
            },
        )


@register_syncer
class ImageSyncer(TencentSyncer):
    """Images of the account's own: `architecture`, `platform`, `os`, `size_gb`, `source`, `description`, `created_at`, `tags`.

    Links lead to their snapshots.
    """

    type = "image"
    label = _("image")
    order = 65
    service, operation, member = "cvm", "DescribeImages", "ImageSet"
    id_member, name_member = "ImageId", "ImageName"
    params = {"Filters": [{"Name": "image-type", "Values": ["PRIVATE_IMAGE"]}]}
    permissions = ("cvm:DescribeImages",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an image."""
        snapshots = [one.get("SnapshotId") for one in found.get("SnapshotSet") or ()]
        return ListedResource(
            found["ImageId"],
            found.get("ImageName") or "",
            found.get("ImageState") or "",
            {
                "architecture": found.get("Architecture") or "",
                "platform": found.get("Platform") or "",
                "os": found.get("OsName") or "",
                "size_gb": found.get("ImageSize"),
                "source": found.get("ImageSource") or "",
                "description": found.get("ImageDescription") or "",
                "created_at": read_time(found.get("CreatedTime")),
                "tags": read_tags(found, "Tags"),
            },
            links=tuple(make_links("snapshot", snapshots)),
        )


@register_syncer
class ServerSyncer(TencentSyncer):
    """Instances: `flavor` (the instance type), `vcpus`, `memory_mb`, `zone`, `os`, `addresses`, `charge_type`, `restriction`
    (NORMAL, EXPIRED or PROTECTIVELY_ISOLATED), `reason` (the error of the last operation), `created_at`, `paid_until`, `tags`.

    Links lead to volumes, image, key pairs, network, subnet, security groups.
    """

    type = "server"
    label = _("server")
    order = 70
    service, operation, member = "cvm", "DescribeInstances", "InstanceSet"
    id_member, name_member = "InstanceId", "InstanceName"
    permissions = ("cvm:DescribeInstances",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an instance."""
        network = found.get("VirtualPrivateCloud") or {}
        disks = [found.get("SystemDisk") or {}, *(found.get("DataDisks") or ())]
        volumes = [str(disk.get("DiskId") or "") for disk in disks]
        memory = found.get("Memory")
        addresses = _list_addresses(found)
        return ListedResource(
            found["InstanceId"],
            found.get("InstanceName") or "",
            found.get("InstanceState") or "",
            {
                "flavor": found.get("InstanceType") or "",
                "vcpus": found.get("CPU"),
                # The vendor tells it in GiB.
                "memory_mb": None if memory is None else memory * _MEBIBYTES,
                "zone": (found.get("Placement") or {}).get("Zone") or "",
                "os": found.get("OsName") or "",
                "addresses": addresses,
                "charge_type": found.get("InstanceChargeType") or "",
                "restriction": found.get("RestrictState") or "",
                "reason": found.get("LatestOperationErrorMsg") or "",
                "created_at": read_time(found.get("CreatedTime")),
                "paid_until": read_paid_until(
                    found.get("ExpiredTime"), is_prepaid=found.get("InstanceChargeType") == "PREPAID"
                ),
                "tags": read_tags(found, "Tags"),
            },
            tuple(addresses),
            (
                *make_links("volume", [one for one in volumes if one.startswith(_VOLUME_PREFIX)]),
                *make_links("security_group", found.get("SecurityGroupIds")),
                *make_links("keypair", (found.get("LoginSettings") or {}).get("KeyIds")),
                *make_links("image", [found.get("ImageId")]),
                *make_links("network", [network.get("VpcId")]),
                *make_links("subnet", [network.get("SubnetId")]),
            ),
        )


def _list_addresses(found: dict[str, Any]) -> list[str]:
    members = ("PrivateIpAddresses", "PublicIpAddresses", "IPv6Addresses", "PublicIPv6Addresses")
    return sorted({address for member in members for address in found.get(member) or () if address})
