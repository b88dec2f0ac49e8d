"""Compare Nova's attachments with Cinder's."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db.models import F
from django.utils import timezone

from cloudaccounts.sync.listed_statuses import SyncCounts
from openstack_client import Cloud
from tasks.models import EntityLock

from ..cinder_columns import list_attached_volume_ids
from ..models import GONE, Volume, VolumeSyncState

# Nova lists this many servers in one request. Up to this many, attachments are compared in every run.
_MAX_SERVERS_FOR_EVERY_RUN = 1000


def should_compare_with_nova(state: VolumeSyncState) -> bool:
    """Return whether this run compares attachments with Nova, which costs a listing of all servers."""
    bound = Volume.objects.filter(account=state.account, region=state.region, volume_id__isnull=False)
    if not bound.exists():
        return False
    vms = apps.get_model("vms", "VirtualMachine").objects
    servers = vms.filter(account=state.account, region=state.region)
    if servers.count() <= _MAX_SERVERS_FOR_EVERY_RUN or state.compared_at is None:
        return True
    if state.wanted_at is not None and state.wanted_at > state.compared_at:
        return True
    return timezone.now() - state.compared_at >= timedelta(seconds=settings.VM_FULL_SYNC_SECONDS)


def compare_with_nova(cloud: Cloud, state: VolumeSyncState, began: datetime, counts: SyncCounts) -> None:
    """Record the server on which Nova lists a volume where Cinder names another one; `Volume.problem` reports it."""
    by_nova: dict[str, str] = {}
    for page in cloud.compute.reading_pages():
        for reading in page:
            by_nova.update(dict.fromkeys(list_attached_volume_ids(reading.raw), reading.id))
    rows = Volume.objects.filter(
        account=state.account, region=state.region, volume_id__isnull=False, written_at__lte=began
    ).exclude(status=GONE)
    held_keys = set(EntityLock.objects.filter(key__startswith="v").values_list("key", flat=True))
    changed: dict[str | None, list[UUID]] = {}
    for volume in rows.only("pk", "volume_id", "vm_id", "server_id", "nova_server_id"):
        if volume.lock_key in held_keys or f"vm:{volume.vm_id}" in held_keys:
            continue
        server_id = by_nova.get(str(volume.volume_id), "")
        nova_server_id = None if server_id == volume.server_id else server_id
        counts.differing += nova_server_id is not None
        if nova_server_id != volume.nova_server_id:
            changed.setdefault(nova_server_id, []).append(volume.pk)
    # One update for each server is enough: the two seldom disagree.
    for nova_server_id, pks in changed.items():
        rows.filter(pk__in=pks).update(nova_server_id=nova_server_id, written_at=F("written_at"))
