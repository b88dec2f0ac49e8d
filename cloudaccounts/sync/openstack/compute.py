"""What Nova has."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from openstack_client import Cloud

from ...registry import Found, Link, register_syncer
from .provider import OpenStackSyncer


@register_syncer
class Flavors(OpenStackSyncer):
    """Sizes of servers: `vcpus`, `memory_mb`, `disk_gb`, `is_public`."""

    type = "flavor"
    label = _("flavor")
    order = 10
    expires_after = 1
    catalogue = True

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """All flavors that the project may use."""
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
            for flavor in client.compute.list_flavors()
        ]


@register_syncer
class Zones(OpenStackSyncer):
    """Availability zones of servers; their name is their id."""

    type = "zone"
    label = _("availability zone")
    order = 11
    expires_after = 1
    catalogue = True

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """All zones."""
        yield [
            Found(zone.name, zone.name, "available" if zone.is_available else "unavailable")
            for zone in client.compute.list_zones()
        ]


@register_syncer
class Keypairs(OpenStackSyncer):
    """Public keys of the user, by name: `type`, `fingerprint`. Nova has them per user, not per project."""

    type = "keypair"
    label = _("keypair")
    order = 60

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """All keypairs."""
        yield [
            Found(pair.name, pair.name, "", {"type": pair.type or "", "fingerprint": pair.fingerprint or ""})
            for pair in client.compute.list_keypairs()
        ]


@register_syncer
class Servers(OpenStackSyncer):
    """Servers: flavor and its size, `zone`, `fault`, `task`, `metadata`, `tags`, `created_at`."""

    type = "server"
    label = _("server")
    order = 70

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """All servers of the project."""
        for page in client.compute.server_pages():
            yield [
                Found(
                    server.id,
                    server.name,
                    server.status,
                    {
                        "flavor": server.flavor_name or "",
                        "vcpus": server.vcpus,
                        "memory_mb": server.memory_mb,
                        "disk_gb": server.disk_gb,
                        "zone": server.availability_zone or "",
                        "task": server.task_state or "",
                        "fault": server.fault or "",
                        "addresses": sorted([address.network, address.ip] for address in server.addresses),
                        "security_groups": sorted(set(server.security_groups)),
                        "metadata": dict(server.metadata),
                        "tags": sorted(server.tags),
                        "created_at": server.created_at.isoformat() if server.created_at else "",
                    },
                    tuple(sorted({address.ip for address in server.addresses})),
                    (
                        *(Link("volume", volume_id) for volume_id in server.volume_ids),
                        *([Link("image", server.image_id)] if server.image_id else []),
                        *([Link("keypair", server.key_name)] if server.key_name else []),
                    ),
                )
                for server in page
            ]
