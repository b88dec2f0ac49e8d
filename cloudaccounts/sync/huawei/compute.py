"""Syncers of Elastic Cloud Server and Image Management Service: zones, key pairs, images, servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from ...registry import ListedResource, register_syncer
from .listings import Listing, Paging
from .provider import PAID_UNTIL, HuaweiSyncer
from .values import build_links, get_object, read_number, read_paid_until, read_tags

if TYPE_CHECKING:
    from .connection import HuaweiRegion


@register_syncer
class ZoneSyncer(HuaweiSyncer):
    """Availability zones; their name is their id."""

    type = "zone"
    label = _("availability zone")
    order = 11
    expires_after = 1
    id_member = "zoneName"
    listing = Listing(
        "ecs",
        "/v2.1/{project_id}/os-availability-zone",
        "availabilityZoneInfo",
        "ecs:availabilityZones:list",
        id_member="zoneName",
    )
    permissions = ("ecs:availabilityZones:list",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a zone."""
        is_available = (found.get("zoneState") or {}).get("available")
        return ListedResource(
            found["zoneName"], found["zoneName"], "available" if is_available else "unavailable"
        )


@register_syncer
class KeypairSyncer(HuaweiSyncer):
    """Public keys of the IAM user, by name, as servers refer to them: `type`, `fingerprint`."""

    type = "keypair"
    label = _("keypair")
    order = 60
    expires_after = 1
    id_member = "name"
    listing = Listing(
        "ecs", "/v2.1/{project_id}/os-keypairs", "keypairs", "ecs:serverKeypairs:list", id_member="name"
    )
    permissions = ("ecs:serverKeypairs:list",)

    def list_objects(self, client: HuaweiRegion) -> Iterator[list[dict[str, Any]]]:
        """Yield the key pairs, each of which the answer has within an object of its own."""
        for page in client.list_pages(self.listing):
            yield [one["keypair"] if isinstance(one, dict) and "keypair" in one else one for one in page]

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a key pair."""
        return ListedResource(
            found["name"],
            found["name"],
            "",
            {"type": found.get("type") or "ssh", "fingerprint": found.get("fingerprint") or ""},
        )


@register_syncer
class ImageSyncer(HuaweiSyncer):
    """Private images: `platform`, `os_type`, `architecture`, `size_gb` (the least disk), `created_at`, `tags`."""

    type = "image"
    label = _("image")
    order = 65
    listing = Listing(
        "ims",
        "/v2/cloudimages",
        "images",
        "ims:images:list",
        Paging.LAST_ID,
        500,
        query=(("__imagetype", "private"),),
    )
    permissions = ("ims:images:list",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an image."""
        return ListedResource(
            found["id"],
            found.get("name") or "",
            found.get("status") or "",
            {
                "platform": found.get("__os_version") or found.get("__platform") or "",
                "os_type": found.get("__os_type") or "",
                "architecture": "arm64" if str(found.get("__support_arm")).lower() == "true" else "x86_64",
                "is_public": found.get("visibility") == "public",
                "size_gb": read_number(found.get("min_disk")),
                "description": found.get("__description") or "",
                "created_at": found.get("created_at") or "",
                "tags": read_tags(found.get("tags")),
            },
        )


@register_syncer
class ServerSyncer(HuaweiSyncer):
    """Elastic cloud servers: `flavor`, `vcpus`, `memory_mb`, `zone`, `platform`, `addresses`, `task`, `reason` (of an error),
    `is_prepaid`, `order_id`, `paid_until`, `released_at` (when a server that is paid by use is removed by itself), `created_at`, `tags`.
    Links lead to volumes, security groups, image, key pair, network, ports.
    """

    type = "server"
    label = _("server")
    order = 70
    listing = Listing(
        "ecs",
        "/v1/{project_id}/cloudservers/detail",
        "servers",
        "ecs:cloudServers:list",
        Paging.LAST_ID,
        1000,
    )
    permissions = ("ecs:cloudServers:list",)

    def is_prepaid(self, found: Mapping[str, Any]) -> bool:
        """Return whether a server is paid by month or year."""
        return bool(get_object(found, "metadata").get("charging_mode") == "1")

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a server."""
        flavor, metadata = found.get("flavor") or {}, found.get("metadata") or {}
        addresses = found.get("addresses") or {}
        interfaces = [one for group in addresses.values() for one in group or ()]
        texts = sorted({one["addr"] for one in interfaces if one.get("addr")})
        volumes = found.get("os-extended-volumes:volumes_attached") or ()
        return ListedResource(
            found["id"],
            found.get("name") or "",
            found.get("status") or "",
            {
                "flavor": flavor.get("id") or flavor.get("name") or "",
                "vcpus": read_number(flavor.get("vcpus")),
                "memory_mb": read_number(flavor.get("ram")),
                "zone": found.get("OS-EXT-AZ:availability_zone") or "",
                "platform": metadata.get("image_name") or metadata.get("os_type") or "",
                "addresses": texts,
                "task": found.get("OS-EXT-STS:task_state") or "",
                "reason": (found.get("fault") or {}).get("message") or "",
                "is_prepaid": self.is_prepaid(found),
                "paid_until": read_paid_until(found.get(PAID_UNTIL)),
                "order_id": metadata.get("metering.order_id") or "",
                "released_at": found.get("auto_terminate_time") or "",
                "created_at": found.get("created") or "",
                "tags": read_tags(found.get("tags")),
            },
            tuple(texts),
            build_links(
                *sorted(("volume", one.get("id") or "") for one in volumes),
                *sorted(
                    ("security_group", one.get("id") or "") for one in found.get("security_groups") or ()
                ),
                # Of a server that boots from a volume, the answer has "" for the image, or an object without an id.
                ("image", _read_image(found)),
                ("keypair", found.get("key_name")),
                ("network", metadata.get("vpc_id") or next(iter(addresses), "")),
                *sorted(("port", one.get("OS-EXT-IPS:port_id") or "") for one in interfaces),
            ),
        )


def _read_image(found: dict[str, Any]) -> Any:
    image = found.get("image")
    return image.get("id") if isinstance(image, dict) else ""
