"""Attachments by Nova, compared with those by Cinder."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db.models import F
from django.utils import timezone

from openstack_client import Cloud
from tasks.models import EntityLock

from ..cinder_columns import list_attached_volume_ids
from ..models import GONE, Volume, VolumeSyncState
from .listed_statuses import SyncFigures

# Nova lists this many servers in one request; with no more, attachments are compared in every run.
_FEW_SERVERS = 1000


def should_compare_with_nova(state: VolumeSyncState) -> bool:
    """Return whether this run compares attachments with Nova, which costs a listing of all servers."""
    bound = Volume.objects.filter(account=state.account, region=state.region, volume_id__isnull=False)
    if not bound.exists():
        return False
    vms = apps.get_model("vms", "VirtualMachine").objects
    servers = vms.filter(account=state.account, region=state.region)
    if servers.count() <= _FEW_SERVERS or state.compared_at is None:
        return True
    if state.wanted_at is not None and state.wanted_at > state.compared_at:
        return True
    return timezone.now() - state.compared_at >= timedelta(seconds=settings.VM_FULL_SYNC_SECONDS)


def compare_with_nova(cloud: Cloud, state: VolumeSyncState, began: datetime, figures: SyncFigures) -> None:
    """Write which server has each volume by Nova, where Cinder names another one; people are told of that."""
    by_nova: dict[str, str] = {}
    for page in cloud.compute.reading_pages():
        for reading in page:
            by_nova.update(dict.fromkeys(list_attached_volume_ids(reading.raw), reading.id))
    rows = Volume.objects.filter(
        account=state.account, region=state.region, volume_id__isnull=False, written_at__lte=began
    ).exclude(status=GONE)
    keys = set(EntityLock.objects.filter(key__startswith="v").values_list("key", flat=True))
    changed: dict[str | None, list[UUID]] = {}
    for volume in rows.only("pk", "volume_id", "vm_id", "server_id", "nova_server_id"):
        if volume.lock_key in keys or f"vm:{volume.vm_id}" in keys:
            continue
        by_nova_alone = by_nova.get(str(volume.volume_id), "")
        said = None if by_nova_alone == volume.server_id else by_nova_alone
        figures.differing += said is not None
        if said != volume.nova_server_id:
            changed.setdefault(said, []).append(volume.pk)
    # One update for each server is enough: the two seldom disagree.
    for server_id, pks in changed.items():
        rows.filter(pk__in=pks).update(nova_server_id=server_id, written_at=F("written_at"))
