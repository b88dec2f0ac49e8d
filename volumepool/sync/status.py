"""Status sync: what Cinder says of all volumes and snapshots of tenants, brought into our rows on a schedule.

The sync of one account and region is one paged listing of each, compared in memory; what differs is written by one
statement. Cinder lists no changes, so every run lists everything.

A listing never beats a newer write: a row that a job holds, whose VM a job holds, or that was written after the listing
began, is left alone. The statement's own WHERE decides that, row by row, under the row's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from openstack_client import Cloud, CloudError, NotFound
from openstack_client import Volume as CinderVolume
from security.encryption import UnreadableSecret
from tasks.clock import database_now
from tasks.leases import held, lease, new_owner
from tasks.models import EntityLock

from ..cinder_columns import VolumeColumns, list_attached_volume_ids, to_columns
from ..models import GONE, Volume, VolumeSnapshot, VolumeSyncState

log = structlog.get_logger(__name__)

# Words under which Cinder does not say which server a volume is kept for: asked by name, a few in each run.
_ON_THE_WAY = frozenset({"reserved", "attaching", "detaching"})
_ASKED_BY_NAME = 20
# With no more servers than these, which Nova lists by one request, attachments are compared in every run.
_FEW_SERVERS = 1000
# What else is brought up to date with the volumes of an account and region: rooms above put it here.
Follower = Callable[[Cloud, CloudAccount, str, datetime, "Figures"], None]
_followers: list[Follower] = []


@dataclass(slots=True)
class Figures:
    """What one run came to."""

    synced: int = 0
    updated: int = 0
    skipped: int = 0
    errors: int = 0
    missing: int = 0
    differing: int = 0
    unknown_words: dict[str, int] = field(default_factory=dict)


class MassLossError(Exception):
    """More rows are missing from a listing than can be believed; nothing is marked."""


def register_follower(follower: Follower) -> None:
    """Have something of a room above brought up to date in the same run."""
    if follower not in _followers:
        _followers.append(follower)


def select_regions_to_sync() -> list[tuple[int, str]]:
    """Every account and region that has volumes or snapshots of tenants, and whose account is active."""
    places: set[tuple[int, str]] = set()
    for rows in (Volume.objects, VolumeSnapshot.objects):
        found = rows.filter(account__active=True).order_by().values_list("account_id", "region").distinct()
        places.update(found)
    return sorted(places)


def sync_place(account_id: int, region: str) -> VolumeSyncState | None:
    """Bring the volumes and snapshots of one account and region up to date; None when a run is on already.

    Single-flight by a compare-and-set on the place's row, with a lease, so that a run that dies frees it. Never raises for
    what the cloud does: a run that fails says why and leaves everything as it was.
    """
    state, _created = VolumeSyncState.objects.get_or_create(account_id=account_id, region=region)
    owner = new_owner()
    mine = VolumeSyncState.objects.filter(pk=state.pk)
    free = Q(owner="") | Q(lease_until__lt=Now())
    if not mine.filter(free).update(owner=owner, lease_until=Now() + lease()):
        return None
    state.refresh_from_db()
    figures, written = Figures(), {}
    with held(VolumeSyncState, owner):
        try:
            written = _sync(state, figures) | {"message": "", "losses_accepted": False}
        except (CloudError, UnreadableSecret, MassLossError) as error:
            written = {"message": str(error)}
            log.warning("volume_sync_failed", account=account_id, region=region, error=str(error))
        except Exception:
            written = {"message": _("An error of the portal itself.")}
            log.exception("volume_sync_errored", account=account_id, region=region)
        finally:
            free_again = {"owner": "", "lease_until": None, "figures": asdict(figures)}
            mine.filter(owner=owner).update(**written, **free_again)
    state.refresh_from_db()
    return state


def _sync(state: VolumeSyncState, figures: Figures) -> dict[str, Any]:
    """List, compare, write; what the state keeps of it."""
    began = database_now()
    cloud = open_cloud(state.account, state.region)
    rows = _RowsOfPlace(state, began, figures)
    for page in cloud.block_storage.volume_pages():
        rows.see(cloud, page)
    rows.note_missing(Volume, rows.unseen, "volume_id")
    _sync_snapshots(cloud, state, rows, figures)
    for follower in _followers:
        follower(cloud, state.account, state.region, began, figures)
    kept: dict[str, Any] = {"listed_at": began}
    if _is_compared(state):
        _compare_with_nova(cloud, state, began, figures)
        kept["compared_at"] = began
    return kept


class _RowsOfPlace:
    """The bound rows of one account and region, and what a listing says of them."""

    def __init__(self, state: VolumeSyncState, began: datetime, figures: Figures) -> None:
        self.state, self.began, self.figures = state, began, figures
        bound = Volume.objects.filter(account=state.account, region=state.region, volume_id__isnull=False)
        self.total = bound.count()
        self.asked = 0
        # As long as the listing goes on: what it has not shown yet.
        self.unseen: dict[str, _Known] = {
            volume_id: _Known(pk, *rest)
            for pk, volume_id, *rest in bound.values_list(
                "pk", "volume_id", "status", "size_gb", "name", "server_id", "device", "vm_id", "missing_count",
                "information_system__tenant_id",
            )
        }  # fmt: skip

    def see(self, cloud: Cloud, page: Iterable[CinderVolume]) -> None:
        """Compare a page, and write what differs."""
        found: list[tuple[_Known, VolumeColumns]] = []
        for volume in page:
            known = self.unseen.pop(volume.id, None)
            if known is None:
                continue  # Not ours.
            self.figures.synced += 1
            found.append((known, self._completed(cloud, volume)))
            if volume.status not in KNOWN_WORDS:
                words = self.figures.unknown_words
                words[volume.status[:50]] = words.get(volume.status[:50], 0) + 1
        vms = _vms_of({columns.server_id for _known, columns in found if columns.server_id})
        changed = [
            (known, columns, vms.get((columns.server_id, known.tenant_id)))
            for known, columns in found
            if known.differs(columns, vms.get((columns.server_id, known.tenant_id)))
        ]
        if changed:
            kept = _write(changed, self.began)
            self.figures.updated += kept
            self.figures.skipped += len(changed) - kept

    def _completed(self, cloud: Cloud, volume: CinderVolume) -> VolumeColumns:
        """With the server that a volume is kept for, which only its attachments say."""
        columns = to_columns(volume)
        if columns.server_id or volume.status not in _ON_THE_WAY or self.asked >= _ASKED_BY_NAME:
            return columns
        self.asked += 1
        try:
            kept_for = [one.server_id for one in cloud.block_storage.list_reservations(volume.id)]
        except NotFound:
            return columns
        server_id = next((one for one in kept_for if one), "")
        return VolumeColumns(**{**columns.as_json(), "server_id": server_id[:64]})

    def note_missing(self, model: type[Volume | VolumeSnapshot], unseen: dict[str, Any], key: str) -> None:
        """Note what a complete listing did not show; missing twice is gone. Raises `MassLossError`."""
        if not unseen:
            return
        lost = model.objects.filter(**{f"{key}__in": list(unseen)}).exclude(status=GONE)
        missing = list(lost.values_list("pk", "missing_count"))
        note_missing(
            model, missing, model.objects.filter(account=self.state.account, region=self.state.region).count(),
            began=self.began, is_believed=self.state.losses_accepted, figures=self.figures, lock=_LOCK_OF[model],
        )  # fmt: skip


_LOCK_OF: dict[type[Volume | VolumeSnapshot], str] = {Volume: "volume:", VolumeSnapshot: "volume-snapshot:"}
# All of Cinder's words (cinder/objects/fields.py, `VolumeStatus`); others are shown as they are, and counted.
KNOWN_WORDS = frozenset(
    {
        "creating", "available", "reserved", "attaching", "detaching", "in-use", "maintenance", "deleting", "downloading",
        "uploading", "retyping", "extending", "awaiting-transfer", "backing-up", "restoring-backup", "managing", "error",
        "error_deleting", "error_extending", "error_restoring", "error_backing-up", "error_managing", "error_managing_deleting",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Known:
    """What a row says."""

    pk: UUID
    status: str
    size_gb: int
    name: str
    server_id: str
    device: str
    vm_id: UUID | None
    missing_count: int
    tenant_id: Any

    def differs(self, columns: VolumeColumns, vm_id: UUID | None) -> bool:
        """Whether Cinder says something else. A device is kept while Cinder does not know it."""
        said = (columns.status, columns.size_gb, columns.name or self.name, columns.server_id, vm_id)
        kept = (self.status, self.size_gb, self.name, self.server_id, self.vm_id)
        return (
            said != kept or self.missing_count > 0 or (bool(columns.device) and columns.device != self.device)
        )


def _vms_of(server_ids: set[str]) -> dict[tuple[str, Any], UUID]:
    """The VM of each server, with the tenant that it belongs to: a volume is never shown on another tenant's VM."""
    vms = apps.get_model("vms", "VirtualMachine").objects
    found = vms.filter(openstack_id__in=server_ids) if server_ids else vms.none()
    rows = found.values_list("openstack_id", "information_system__tenant_id", "pk")
    return {(server_id, tenant_id): pk for server_id, tenant_id, pk in rows}


def _write(changed: list[tuple[_Known, VolumeColumns, UUID | None]], began: datetime) -> int:
    """Write rows that no job holds and that are not newer than the listing; how many those were. One statement.

    Safe against a click at the same moment: that locks the volume's row and then takes its lock, so this statement either
    waits for the row and sees that, or has written before the click looked.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH new AS (
                SELECT * FROM unnest(%(pk)s::uuid[], %(status)s::text[], %(size)s::int[], %(name)s::text[], %(server)s::text[],
                                     %(device)s::text[], %(vm)s::uuid[]) AS t(id, status, size_gb, name, server_id, device, vm_id)
            ), old AS (
                SELECT volume.id FROM volumepool_volume AS volume JOIN new USING (id)
                WHERE volume.written_at < %(began)s AND NOT EXISTS (
                    SELECT 1 FROM tasks_entitylock
                    WHERE key IN ('volume:' || volume.id, 'vm:' || volume.vm_id, 'vm:' || new.vm_id))
                FOR UPDATE OF volume
            ), written AS (
                UPDATE volumepool_volume AS volume SET
                    status = new.status, size_gb = new.size_gb, name = COALESCE(new.name, volume.name),
                    device = CASE WHEN new.vm_id IS NULL THEN '' WHEN new.device <> '' THEN new.device ELSE volume.device END,
                    is_boot = volume.is_boot AND volume.vm_id IS NOT DISTINCT FROM new.vm_id,
                    nova_server_id = CASE WHEN volume.server_id = new.server_id THEN volume.nova_server_id END,
                    server_id = new.server_id, vm_id = new.vm_id, missing_count = 0,
                    written_at = %(began)s, updated_at = statement_timestamp()
                FROM new JOIN old USING (id) WHERE volume.id = new.id RETURNING 1
            ) SELECT count(*) FROM written
            """,
            {
                "pk": [known.pk for known, _columns, _vm in changed],
                "status": [columns.status for _known, columns, _vm in changed],
                "size": [columns.size_gb for _known, columns, _vm in changed],
                "name": [columns.name for _known, columns, _vm in changed],
                "server": [columns.server_id for _known, columns, _vm in changed],
                "device": [columns.device for _known, columns, _vm in changed],
                "vm": [vm for _known, _columns, vm in changed],
                "began": began,
            },
        )
        (written,) = cursor.fetchone()
    return int(written)


def note_missing(
    model: Any,
    missing: list[tuple[UUID, int]],
    total: int,
    *,
    began: datetime,
    is_believed: bool,
    figures: Figures,
    lock: str,
) -> None:
    """Count rows that a complete listing did not show as missing; the second time they are gone. Raises `MassLossError`.

    `missing` are keys and how often each was missing before, `lock` is how the engine's lock on one begins. What a job holds
    may be on its way out by our own doing.
    """
    busy = set(
        EntityLock.objects.filter(key__in=[f"{lock}{pk}" for pk, _count in missing]).values_list(
            "key", flat=True
        )
    )
    free = [(pk, count) for pk, count in missing if f"{lock}{pk}" not in busy]
    figures.missing += len(missing)
    figures.skipped += len(missing) - len(free)
    sudden = sum(count == 0 for _pk, count in free)
    if not is_believed and sudden >= 2 and sudden > total * settings.VM_SYNC_MASS_LOSS_SHARE:
        raise MassLossError(
            _(
                "%(missing)s of %(total)s are missing from the cloud's listing. That is not believed: nothing was marked."
            )
            % {"missing": sudden, "total": total}
        )
    with transaction.atomic():
        rows = model.objects.filter(written_at__lt=began)
        again = list(
            rows.filter(pk__in=[pk for pk, count in free if count >= 1])
            .select_for_update(of=("self",))
            .values_list("pk", flat=True)
        )
        # By the row's own count, and without moving `written_at`: nothing that people see has changed.
        first = [pk for pk, count in free if count == 0]
        rows.filter(pk__in=first).update(missing_count=F("missing_count") + 1, written_at=F("written_at"))
        figures.updated += model.objects.filter(pk__in=again).mark_gone()


def _sync_snapshots(cloud: Cloud, state: VolumeSyncState, rows: _RowsOfPlace, figures: Figures) -> None:
    bound = VolumeSnapshot.objects.filter(
        account=state.account, region=state.region, snapshot_id__isnull=False
    )
    unseen = {
        snapshot_id: (pk, status, missing)
        for pk, snapshot_id, status, missing in bound.values_list(
            "pk", "snapshot_id", "status", "missing_count"
        )
    }
    if not unseen:
        return
    by_status: dict[str, list[UUID]] = {}
    for page in cloud.block_storage.snapshot_pages():
        for snapshot in page:
            known = unseen.pop(snapshot.id, None)
            if known is None:
                continue
            figures.synced += 1
            if known[1] != snapshot.status or known[2]:
                by_status.setdefault(snapshot.status[:50], []).append(known[0])
    write_statuses(VolumeSnapshot, by_status, began=rows.began, figures=figures, lock="volume-snapshot:")
    rows.note_missing(VolumeSnapshot, unseen, "snapshot_id")


def write_statuses(
    model: Any, by_status: dict[str, list[UUID]], *, began: datetime, figures: Figures, lock: str
) -> None:
    """Write the status words of rows that no job holds and that are not newer than the listing."""
    keys = [pk for pks in by_status.values() for pk in pks]
    busy = EntityLock.objects.filter(key__in=[f"{lock}{pk}" for pk in keys]).values_list("key", flat=True)
    held_now = {key.removeprefix(lock) for key in busy}
    for status, pks in by_status.items():
        free = [pk for pk in pks if str(pk) not in held_now]
        written = model.objects.filter(pk__in=free, written_at__lt=began).update(
            status=status, missing_count=0, written_at=Now()
        )
        figures.updated += written
        figures.skipped += len(pks) - written


def _is_compared(state: VolumeSyncState) -> bool:
    """Whether this run compares attachments with Nova, which costs a listing of all servers."""
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


def _compare_with_nova(cloud: Cloud, state: VolumeSyncState, began: datetime, figures: Figures) -> None:
    """Write which server has each volume by Nova: where that is another than Cinder's, people are told."""
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
    # Few: those alone about which the two disagree.
    for server_id, pks in changed.items():
        rows.filter(pk__in=pks).update(nova_server_id=server_id, written_at=F("written_at"))
