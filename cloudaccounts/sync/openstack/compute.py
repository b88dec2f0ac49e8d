"""Syncers of Nova: flavors, zones, keypairs, servers, server groups."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from openstack_client import Cloud, Flavor, Keypair, RecordPage, Server, ServerGroup, Zone

from ...registry import Link, ListedResource, register_syncer
from .provider import OpenStackSyncer


@register_syncer
class FlavorSyncer(OpenStackSyncer):
    """Flavors: `vcpus`, `memory_mb`, `disk_gb`, `is_public`."""

    type = "flavor"
    label = _("flavor")
    order = 10
    expires_after = 1
    catalogue = True

    def list_records(self, client: Cloud) -> Iterator[RecordPage[Flavor]]:
        """Yield the flavors that the project may use."""
        yield client.compute.list_flavors()

    def convert(self, record: Flavor) -> ListedResource:
        """Convert a flavor."""
        return ListedResource(
            record.id,
            record.name,
            "disabled" if record.is_disabled else "active",
            {
                "vcpus": record.vcpus,
                "memory_mb": record.memory_mb,
                "disk_gb": record.disk_gb,
                "is_public": record.is_public,
            },
        )


@register_syncer
class ZoneSyncer(OpenStackSyncer):
    """Availability zones of servers; their name is their id."""

    type = "zone"
    label = _("availability zone")
    order = 11
    expires_after = 1
    catalogue = True

    def list_records(self, client: Cloud) -> Iterator[RecordPage[Zone]]:
        """Yield the zones."""
        yield client.compute.list_zones()

    def convert(self, record: Zone) -> ListedResource:
        """Convert a zone."""
        return ListedResource(record.name, record.name, "available" if record.is_available else "unavailable")


@register_syncer
class KeypairSyncer(OpenStackSyncer):
    """Public keys of the user, by name: `type`, `fingerprint`. Nova has them per user, not per project."""

    type = "keypair"
    label = _("keypair")
    order = 60

    def list_records(self, client: Cloud) -> Iterator[RecordPage[Keypair]]:
        """Yield the keypairs of the user."""
        yield client.compute.list_keypairs()

    def convert(self, record: Keypair) -> ListedResource:
        """Convert a keypair."""
        return ListedResource(
            record.name,
            record.name,
            "",
            {"type": record.type or "", "fingerprint": record.fingerprint or ""},
        )


@register_syncer
class ServerSyncer(OpenStackSyncer):
    """Servers: flavor and its size, `zone`, `fault`, `task`, `metadata`, `tags`, `created_at`."""

    type = "server"
    label = _("server")
    order = 70

    def list_records(self, client: Cloud) -> Iterator[RecordPage[Server]]:
        """Yield the servers of the project."""
        return client.compute.server_pages()

    def convert(self, record: Server) -> ListedResource:
        """Convert a server."""
        return ListedResource(
            record.id,
            record.name,
            record.status,
            {
                "flavor": record.flavor_name or "",
                "vcpus": record.vcpus,
                "memory_mb": record.memory_mb,
                "disk_gb": record.disk_gb,
                "zone": record.availability_zone or "",
                "task": record.task_state or "",
                "fault": record.fault or "",
                "addresses": sorted([address.network, address.ip] for address in record.addresses),
                "security_groups": sorted(set(record.security_groups)),
                "metadata": dict(record.metadata),
                "tags": sorted(record.tags),
                "created_at": record.created_at.isoformat() if record.created_at else "",
            },
            tuple(sorted({address.ip for address in record.addresses})),
            (
                *(Link("volume", volume_id) for volume_id in record.volume_ids),
                *([Link("image", record.image_id)] if record.image_id else []),
                *([Link("keypair", record.key_name)] if record.key_name else []),
            ),
        )


@register_syncer
class ServerGroupSyncer(OpenStackSyncer):
    """Server groups: `policy`, and `max_servers_per_host`, which only the policy anti-affinity has. Links lead to the members."""

    type = "server_group"
    label = _("server group")
    order = 71

    def list_records(self, client: Cloud) -> Iterator[RecordPage[ServerGroup]]:
        """Yield the server groups of the project."""
        yield client.compute.list_server_groups()

    def convert(self, record: ServerGroup) -> ListedResource:
        """Convert a server group."""
        return ListedResource(
            record.id,
            record.name,
            "",
            {"policy": record.policy, "max_servers_per_host": record.max_servers_per_host},
            links=tuple(Link("server", server_id) for server_id in sorted(set(record.member_ids))),
        )
