"""Find orphans: servers and volumes that the portal has created for a VM or volume without a row."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import structlog
from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from api.uuids import is_uuid
from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from cloudaccounts.sync.orphans import OrphanTable, sweep_orphans
from openstack_client import Cloud, CloudError
from security.encryption import UnreadableSecretError
from tasks.clock import database_now
from tasks.models import EntityLock
from volumepool.models import Volume

from ..models import Orphan, VirtualMachine

log = structlog.get_logger(__name__)

# The longest that a creation may take (`CreateVmCommand.deadline`): a younger object may still be bound to its row.
LONGEST_CREATION = timedelta(hours=2)
_VM_TAG = "portal-vm-"
_LOCK_PREFIX = "orphan:"


@dataclass(frozen=True, slots=True)
class TaggedObject:
    """A server or volume that carries the portal's tag, and the id of the row that it was created for."""

    kind: str
    cloud_id: str
    name: str
    row_id: str
    created_at: datetime | None


class VMOrphanTable(OrphanTable[TaggedObject]):
    """Servers without a VM, and volumes without a tenant's volume."""

    model: ClassVar[Any] = Orphan
    id_column = "cloud_id"

    def get_id(self, found: TaggedObject) -> str:
        """Return the id of the server or volume."""
        return found.cloud_id

    def select_unowned(self, page: Sequence[TaggedObject]) -> list[TaggedObject]:
        """Return the objects that no row is bound to, and whose own row is missing or bound to another object."""
        ids = [found.cloud_id for found in page]
        bound = set(
            VirtualMachine.objects.filter(openstack_id__in=ids).values_list("openstack_id", flat=True)
        )
        bound |= set(Volume.objects.filter(volume_id__in=ids).values_list("volume_id", flat=True))
        # A row that is not bound yet belongs to a creation in flight, which will bind or delete what it has created.
        row_ids = [found.row_id for found in page if is_uuid(found.row_id)]
        unbound = VirtualMachine.objects.filter(pk__in=row_ids, openstack_id=None)
        in_flight = {str(pk) for pk in unbound.values_list("pk", flat=True)}
        unbound_volumes = Volume.objects.filter(pk__in=row_ids, volume_id=None)
        in_flight |= {str(pk) for pk in unbound_volumes.values_list("pk", flat=True)}
        return [found for found in page if found.cloud_id not in bound and found.row_id not in in_flight]

    def describe(self, found: TaggedObject) -> dict[str, Any]:
        """Return kind, name and time of creation."""
        now = timezone.now()
        return {
            "kind": found.kind,
            "name": found.name[:255],
            # The time comes from the cloud's clock, which may be ahead of ours; no listed object is younger than now.
            "made_at": min(found.created_at or now, now),
        }

    def select_busy(self) -> Collection[int]:
        """Return the orphans that a job is deleting."""
        keys = EntityLock.objects.filter(key__startswith=_LOCK_PREFIX).values_list("key", flat=True)
        return [int(key.removeprefix(_LOCK_PREFIX)) for key in keys]


def sweep_region(account_id: int, region: str) -> list[int]:
    """Sweep one account and region for orphans; return the keys of those that are to be deleted.

    An orphan is reported once, when it is confirmed and older than the longest creation. Never raises for an error of
    the cloud.
    """
    account = CloudAccount.objects.get(pk=account_id)
    began = database_now()
    try:
        pages = _list_tagged(open_cloud(account, region))
        confirmed = sweep_orphans(VMOrphanTable(), account, region, pages, began)
    except (CloudError, UnreadableSecretError) as error:
        log.warning("orphan_sweep_failed", account=account_id, region=region, error=str(error))
        return []
    old = confirmed.filter(made_at__lt=timezone.now() - LONGEST_CREATION)
    for orphan in old.filter(reported_at=None):
        log.warning(
            "orphan_found",
            account=account.name,
            region=region,
            kind=orphan.kind,
            cloud_id=orphan.cloud_id,
            name=orphan.name,
        )
    old.filter(reported_at=None).update(reported_at=Now())
    return list(old.values_list("pk", flat=True)) if settings.ORPHANS_REMOVE else []


def _list_tagged(cloud: Cloud) -> Iterator[list[TaggedObject]]:
    """Yield the servers and volumes that carry the portal's tag, page by page. Raises `CloudError`."""
    for servers in cloud.compute.server_pages(tag=settings.CLOUD_TAG):
        yield [
            TaggedObject(
                Orphan.Kind.SERVER,
                server.id,
                server.name,
                next((tag.removeprefix(_VM_TAG) for tag in server.tags if tag.startswith(_VM_TAG)), ""),
                server.created_at,
            )
            for server in servers
        ]
    for volumes in cloud.block_storage.volume_pages(metadata={"portal": settings.CLOUD_TAG}):
        yield [
            TaggedObject(
                Orphan.Kind.VOLUME,
                volume.id,
                volume.name,
                volume.metadata.get("portal_volume", ""),
                volume.created_at,
            )
            # A Cinder whose policy disables the filter lists all volumes.
            for volume in volumes
            if volume.metadata.get("portal") == settings.CLOUD_TAG
        ]
