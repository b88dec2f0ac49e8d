"""What is listed of an account, type by type: one class each, which turns the cloud's objects into plain findings.

A new type is one registered class. What `attributes` holds is said there, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from openstack_client import Cloud, Image


@dataclass(frozen=True, slots=True)
class Found:
    """One object of a listing, as a resource row shows it. `attributes` holds JSON values."""

    cloud_id: str
    name: str
    status: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)


Listing = Callable[[Cloud], Iterator[list[Found]]]

_syncers: dict[str, Listing] = {}


def syncer(type_code: str) -> Callable[[Listing], Listing]:
    """Make a listing known as the syncer of a type. Its pages together must be all that there is."""

    def register(listing: Listing) -> Listing:
        if _syncers.setdefault(type_code, listing) is not listing:
            raise ValueError(f"Two syncers are registered for '{type_code}'.")
        return listing

    return register


def known_types() -> list[str]:
    """The types that can be synced, in the order in which they are."""
    return list(_syncers)


def syncer_of(type_code: str) -> Listing:
    """The listing of a type. Raises KeyError."""
    return _syncers[type_code]


@syncer("flavor")
def flavors(cloud: Cloud) -> Iterator[list[Found]]:
    """Sizes of servers: `vcpus`, `memory_mb`, `disk_gb`."""
    yield [
        Found(
            flavor.id,
            flavor.name,
            "disabled" if flavor.is_disabled else "active",
            {
                "vcpus": flavor.vcpus,
                "memory_mb": flavor.memory_mb,
                "disk_gb": flavor.disk_gb,
                "is_public": flavor.is_public,
            },
        )
        for flavor in cloud.compute.list_flavors()
    ]


@syncer("image")
def images(cloud: Cloud) -> Iterator[list[Found]]:
    """What servers boot from; see `image_found`."""
    yield [image_found(image) for image in cloud.image.list_images() if not image.is_hidden]


def image_found(image: Image) -> Found:
    """An image: what system it holds, what it needs, whose it is, and the portal's own marks on a snapshot.

    Also for who has just made one and does not wait for the next listing.
    """
    return Found(
        image.id,
        image.name,
        image.status,
        {
            "os_type": image.os_type or "",
            "os_distro": image.os_distro or "",
            "os_version": image.os_version or "",
            "min_disk_gb": image.min_disk_gb,
            "min_memory_mb": image.min_memory_mb,
            "size_bytes": image.size_bytes,
            "visibility": image.visibility or "",
            "is_snapshot": image.is_snapshot,
            "is_volume_backed": bool(image.snapshot_ids),
            "created_at": image.created_at.isoformat() if image.created_at else "",
            **{name: value for name, value in image.properties.items() if name.startswith("portal_")},
        },
    )


@syncer("network")
def networks(cloud: Cloud) -> Iterator[list[Found]]:
    """Networks: `is_external`, `is_shared`, and `cidrs`, the address ranges of their subnets."""
    cidrs: dict[str, list[str]] = {}
    for subnet in cloud.network.list_subnets():
        cidrs.setdefault(subnet.network_id, []).append(subnet.cidr)
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
        for network in cloud.network.list_networks()
    ]


@syncer("zone")
def zones(cloud: Cloud) -> Iterator[list[Found]]:
    """Availability zones of servers; their name is their id."""
    yield [
        Found(zone.name, zone.name, "available" if zone.is_available else "unavailable")
        for zone in cloud.compute.list_zones()
    ]


@syncer("volume_type")
def volume_types(cloud: Cloud) -> Iterator[list[Found]]:
    """Kinds of volumes."""
    yield [
        Found(kind.id, kind.name, "active", {"is_public": kind.is_public})
        for kind in cloud.block_storage.list_volume_types()
    ]


def found_by_id(pages: Iterable[list[Found]]) -> Iterator[list[Found]]:
    """The same pages, each object once: a listing of a moving cloud may show one on two pages."""
    seen: set[str] = set()
    for page in pages:
        once = {found.cloud_id: found for found in page if found.cloud_id not in seen}
        seen.update(once)
        yield list(once.values())
