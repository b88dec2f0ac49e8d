"""Compare a restored database with the cloud, one account and region at a time. Nothing is written, here or there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from cloudaccounts.sync.orphans import select_released
from networks.models import FloatingIp, RowStatus, SecurityGroup, ServerGroup
from openstack_client import Cloud, CloudError, Server
from openstack_client import Volume as CinderVolume
from security.encryption import UnreadableSecretError
from volumepool.models import GONE, SpareVolume, Volume
from volumepool.sync.spares import Listing, fetch_listing

from ..models import VM_STATUS_BY_SERVER_STATUS, Orphan, VirtualMachine, VmPort, VMStatus
from .orphans import VMOrphanTable
from .tagged_objects import (
    TaggedObject,
    list_server_groups,
    list_servers_and_volumes,
    select_marked,
)

# How many listings in a row may not show a VM before the sync has marked it (`missing_servers.py`).
_MARKED_AS_MISSING = 2


class FindingKind(models.TextChoices):
    """What can be wrong after a restore. The values are those of `check_restore --json`."""

    FORGOTTEN = "forgotten"  # The cloud has an object of the portal's, and the database no row of it.
    LOST = "lost"  # The database has a row, and the cloud no object.
    CHANGED = "changed"  # Both have it, and differ.
    SPARE_HANDED_OUT = "spare_handed_out"  # The row of a spare, whose volume a tenant has got since.
    JOB_IN_DOUBT = "job_in_doubt"  # A job in flight, which may have ended since.
    IN_BIN = "in_bin"  # It is in the bin, from which it may have been taken since.


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between the restored database and the cloud.

    `row_id` is the id of the row, also of a forgotten one, as the object's marker names it. `owner_id` is the information
    system that a forgotten object names, and `server_id` the server that a forgotten volume is attached to.
    """

    kind: FindingKind
    account_id: int | None
    region: str
    object_type: str
    cloud_id: str
    name: str
    detail: str
    row_id: str = ""
    owner_id: str = ""
    server_id: str = ""


@dataclass(frozen=True, slots=True)
class RegionListing:
    """What a region has: complete listings, by ids in the cloud."""

    servers: Mapping[str, Server]
    volumes: Mapping[str, CinderVolume]
    spares: Listing
    # Of each kind of network object, its ids; and those that carry the portal's marker.
    network_ids: Mapping[str, frozenset[str]]
    marked: Sequence[TaggedObject]


class RegionUnreadableError(Exception):
    """A region could not be listed completely, with the reason as a sentence."""


def fetch_region(account: CloudAccount, region: str) -> RegionListing:
    """List everything that the portal may have created in a region. Raises `RegionUnreadableError`."""
    try:
        return _fetch_region(account, region)
    except (CloudError, UnreadableSecretError) as error:
        raise RegionUnreadableError(str(error)) from None


def _fetch_region(account: CloudAccount, region: str) -> RegionListing:
    cloud = open_cloud(account, region)
    servers = {server.id: server for page in cloud.compute.server_pages() for server in page}
    volumes = {volume.id: volume for page in cloud.block_storage.volume_pages() for volume in page}
    spares = fetch_listing(account, region)
    if spares is None:
        raise CloudError("Cinder did not list the volumes of the pools.")
    marked = [found for page in list_servers_and_volumes(cloud, account) for found in page]
    network_ids: dict[str, frozenset[str]] = {}
    for kind, lock_name, pages in _list_network_pages(cloud):
        records = [record for page in pages for record in page]
        network_ids[kind] = frozenset(record.id for record in records)
        marked += select_marked(kind, lock_name, records, cloud, account)
    groups = cloud.compute.list_server_groups()
    network_ids[Orphan.Kind.SERVER_GROUP] = frozenset(group.id for group in groups)
    marked += [found for page in list_server_groups(cloud, account, with_members=True) for found in page]
    return RegionListing(servers, volumes, spares, network_ids, marked)


def _list_network_pages(cloud: Cloud) -> Iterator[tuple[str, str, Iterable[Sequence[Any]]]]:
    yield Orphan.Kind.PORT, VmPort.lock_name, cloud.network.port_pages()
    yield Orphan.Kind.SECURITY_GROUP, SecurityGroup.lock_name, cloud.network.security_group_pages()
    yield Orphan.Kind.FLOATING_IP, FloatingIp.lock_name, cloud.network.floating_ip_pages()


def compare_region(account: CloudAccount, region: str, listing: RegionListing) -> list[Finding]:
    """Return everything in which the database and a region differ."""
    comparison = _Comparison(account, region, listing)
    return [
        *comparison.find_forgotten(),
        *comparison.find_spares_handed_out(),
        *comparison.compare_vms(),
        *comparison.compare_volumes(),
        *comparison.find_lost_network_objects(),
    ]


def describe_objects(account: CloudAccount, region: str, listing: RegionListing) -> dict[str, str]:
    """Return what the cloud has of each VM and volume of the portal, by the ids of their rows: evidence about jobs."""
    found: dict[str, str] = {}
    for marked in listing.marked:
        if marked.kind == Orphan.Kind.SERVER and marked.cloud_id in listing.servers:
            found[marked.row_id] = f"server {marked.cloud_id} is {listing.servers[marked.cloud_id].status}"
        elif marked.kind == Orphan.Kind.VOLUME and marked.cloud_id in listing.volumes:
            found[marked.row_id] = f"volume {marked.cloud_id} is {listing.volumes[marked.cloud_id].status}"
    place = {"account": account, "region": region}
    for pk, server_id in VirtualMachine.objects.filter(**place).values_list("pk", "openstack_id"):
        server = listing.servers.get(server_id or "")
        if server is not None:
            found[str(pk)] = f"server {server.id} is {server.status}"
    for pk, volume_id in Volume.objects.filter(**place).values_list("pk", "volume_id"):
        volume = listing.volumes.get(volume_id or "")
        if volume is not None:
            found[str(pk)] = f"volume {volume.id} is {volume.status}"
    return found


class _Comparison:
    """The comparison of one region."""

    def __init__(self, account: CloudAccount, region: str, listing: RegionListing) -> None:
        self.account, self.region, self.listing = account, region, listing
        self.place = {"account": account, "region": region}

    def build(
        self, kind: FindingKind, object_type: str, cloud_id: str, name: str, detail: str, **more: str
    ) -> Finding:
        """Return a finding of this region."""
        return Finding(kind, self.account.pk, self.region, object_type, cloud_id, name, detail, **more)

    def find_forgotten(self) -> Iterator[Finding]:
        """Yield what carries the portal's marker and has no row, and was not set aside by an earlier run."""
        by_kind: dict[str, list[TaggedObject]] = {}
        for found in self.listing.marked:
            by_kind.setdefault(found.kind, []).append(found)
        for kind, page in by_kind.items():
            unowned = VMOrphanTable([kind]).select_unowned(page)
            released = select_released(found.cloud_id for found in unowned)
            for found in unowned:
                if found.cloud_id in released:
                    continue
                volume = self.listing.volumes.get(found.cloud_id)
                yield self.build(
                    FindingKind.FORGOTTEN, kind, found.cloud_id, found.name,
                    f"created {found.created_at:%Y-%m-%d %H:%M} UTC" if found.created_at else "",
                    row_id=found.row_id, owner_id=found.owner_id,
                    server_id=volume.server_ids[0] if volume is not None and volume.server_ids else "",
                )  # fmt: skip

    def find_spares_handed_out(self) -> Iterator[Finding]:
        """Yield the rows of spares whose volume is attached, was renamed or names a tenant's row."""
        by_spare_id = {found.spare_id: found for found in self.listing.spares.volumes.values()}
        for spare in SpareVolume.objects.filter(pool__account=self.account, region=self.region):
            # A row that is not bound yet: its volume was created, and perhaps claimed, after the backup.
            found = self.listing.spares.volumes.get(spare.volume_id or "") or by_spare_id.get(spare.pk)
            if found is None or not (
                found.is_attached or found.name != spare.name or found.owner_id is not None
            ):
                continue
            use = "attached to a server" if found.is_attached else f"named '{found.name}'"
            yield self.build(
                FindingKind.SPARE_HANDED_OUT, "spare", found.id, spare.name, f"its volume is {use}", row_id=str(spare.pk)
            )  # fmt: skip

    def compare_vms(self) -> Iterator[Finding]:
        """Yield VMs without a server, and those whose server has another flavor or status."""
        bound = VirtualMachine.objects.filter(**self.place, openstack_id__isnull=False)
        for vm in bound.exclude(status=VMStatus.REMOVED):
            server = self.listing.servers.get(str(vm.openstack_id))
            if server is None:
                if vm.missing_count < _MARKED_AS_MISSING:
                    detail = "the cloud has no such server"
                    yield self._of_row(FindingKind.LOST, "server", vm.openstack_id, vm, detail)
                continue
            status = VM_STATUS_BY_SERVER_STATUS.get(server.status)
            changes = []
            if status is not None and status != vm.status:
                changes.append(f"status {vm.status} -> {status}")
            if vm.flavor_name and server.flavor_name and vm.flavor_name != server.flavor_name:
                changes.append(f"flavor {vm.flavor_name} -> {server.flavor_name}")
            if changes:
                yield self._of_row(FindingKind.CHANGED, "server", vm.openstack_id, vm, ", ".join(changes))

    def compare_volumes(self) -> Iterator[Finding]:
        """Yield volumes that Cinder does not have, and those of another size, status or server."""
        for row in Volume.objects.filter(**self.place, volume_id__isnull=False).exclude(status=GONE):
            found = self.listing.volumes.get(str(row.volume_id))
            if found is None:
                yield self._of_row(
                    FindingKind.LOST, "volume", row.volume_id, row, "the cloud has no such volume"
                )
                continue
            changes = []
            if found.status != row.status:
                changes.append(f"status {row.status} -> {found.status}")
            if found.size_gb != row.size_gb:
                changes.append(f"size {row.size_gb} -> {found.size_gb} GB")
            if (found.server_ids[0] if found.server_ids else "") != row.server_id:
                servers = ", ".join(found.server_ids) or "none"
                changes.append(f"server {row.server_id or 'none'} -> {servers}")
            if changes:
                yield self._of_row(FindingKind.CHANGED, "volume", row.volume_id, row, ", ".join(changes))

    def find_lost_network_objects(self) -> Iterator[Finding]:
        """Yield rows of security groups, floating IPs and server groups that the cloud does not have."""
        owners: list[tuple[str, type[Any]]] = [
            (Orphan.Kind.SECURITY_GROUP, SecurityGroup),
            (Orphan.Kind.FLOATING_IP, FloatingIp),
            (Orphan.Kind.SERVER_GROUP, ServerGroup),
        ]
        for kind, model in owners:
            for row in model.objects.filter(**self.place, status=RowStatus.ACTIVE, cloud_id__isnull=False):
                if row.cloud_id not in self.listing.network_ids[kind]:
                    detail = f"the cloud has no such {Orphan.Kind(kind).label}"
                    yield self._of_row(FindingKind.LOST, kind, row.cloud_id, row, detail)

    def _of_row(
        self, kind: FindingKind, object_type: str, cloud_id: str | None, row: Any, detail: str
    ) -> Finding:
        return self.build(kind, object_type, str(cloud_id), str(row), detail, row_id=str(row.pk))
