"""The orphan sweep: what carries our mark in a cloud and belongs to no row.

Everything that the portal makes carries `settings.CLOUD_TAG` and the id of the row that it is made for, which is
written before the request goes out. So a server whose VM has no row, and no job that might still write one, is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from openstack_client import Cloud, CloudError
from security.encryption import UnreadableSecret
from tasks.models import EntityLock
from volumepool.models import Volume

from ..models import Orphan, VirtualMachine

log = structlog.get_logger(__name__)

# The longest that a creation may take (`CreateVmCommand.deadline`): what is younger may still get its row's binding.
LONGEST_CREATION = timedelta(hours=2)
_VM_TAG = "portal-vm-"


@dataclass(frozen=True, slots=True)
class Marked:
    """Something in a cloud that carries our mark, and the id of the row that it was made for."""

    kind: str
    cloud_id: str
    name: str
    row_id: str
    made_at: datetime | None


def sweep_region(account_id: int, region: str) -> list[int]:
    """Look for orphans in one account and region; the ids of those that are to be removed.

    Nothing is reported unless it was seen twice and is older than the longest creation. What a listing no longer
    shows, or what has found its row, is forgotten. Never raises for what the cloud does.
    """
    account = CloudAccount.objects.get(pk=account_id)
    began = timezone.now()
    try:
        cloud = open_cloud(account, region)
        for page in _marked_pages(cloud):
            _note(account, region, _without_rows(page))
    except (CloudError, UnreadableSecret) as error:
        log.warning("orphan_sweep_failed", account=account_id, region=region, error=str(error))
        return []
    known = Orphan.objects.filter(account=account, region=region)
    # One that a job is removing is gone from the listing before the job is through with it.
    held = EntityLock.objects.filter(key__startswith="orphan:").values_list("key", flat=True)
    busy = [key.removeprefix("orphan:") for key in held]
    known.filter(last_seen_at__lt=began).exclude(pk__in=busy).delete()
    ripe = known.filter(seen__gte=2, made_at__lt=began - LONGEST_CREATION)
    for orphan in ripe.filter(reported_at=None):
        log.warning(
            "orphan_found",
            account=account.name,
            region=region,
            kind=orphan.kind,
            cloud_id=orphan.cloud_id,
            name=orphan.name,
        )
    ripe.filter(reported_at=None).update(reported_at=Now())
    return list(ripe.values_list("pk", flat=True)) if settings.ORPHANS_REMOVE else []


def _marked_pages(cloud: Cloud) -> Iterator[list[Marked]]:
    for servers in cloud.compute.server_pages(tag=settings.CLOUD_TAG):
        yield [
            Marked(
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
            Marked(
                Orphan.Kind.VOLUME,
                volume.id,
                volume.name,
                volume.metadata.get("portal_volume", ""),
                volume.created_at,
            )
            # A Cinder whose policy switches the filter off shows everybody's.
            for volume in volumes
            if volume.metadata.get("portal") == settings.CLOUD_TAG
        ]


def _without_rows(page: Sequence[Marked]) -> list[Marked]:
    """Those that are bound to no row, and whose own row is not there, or is bound to another."""
    ids = [marked.cloud_id for marked in page]
    bound = set(VirtualMachine.objects.filter(openstack_id__in=ids).values_list("openstack_id", flat=True))
    bound |= set(Volume.objects.filter(volume_id__in=ids).values_list("volume_id", flat=True))
    # A row that is not bound yet belongs to a creation in flight, which will bind or remove what it has made.
    rows = [marked.row_id for marked in page if _is_uuid(marked.row_id)]
    waiting = VirtualMachine.objects.filter(pk__in=rows, openstack_id=None).values_list("pk", flat=True)
    in_flight = {str(pk) for pk in waiting}
    in_flight |= {
        str(pk) for pk in Volume.objects.filter(pk__in=rows, volume_id=None).values_list("pk", flat=True)
    }
    return [marked for marked in page if marked.cloud_id not in bound and marked.row_id not in in_flight]


def _note(account: CloudAccount, region: str, found: Sequence[Marked]) -> None:
    now = timezone.now()
    with transaction.atomic():
        seen_before = Orphan.objects.filter(
            account=account, region=region, cloud_id__in=[marked.cloud_id for marked in found]
        )
        seen_before.update(seen=F("seen") + 1, last_seen_at=now)
        Orphan.objects.bulk_create(
            [
                Orphan(
                    account=account,
                    region=region,
                    kind=marked.kind,
                    cloud_id=marked.cloud_id,
                    name=marked.name[:255],
                    # By the cloud's clock, which may be ahead of ours, or junk: what is seen was made before.
                    made_at=min(marked.made_at or now, now),
                    first_seen_at=now,
                    last_seen_at=now,
                )
                for marked in found
            ],
            ignore_conflicts=True,
        )


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
