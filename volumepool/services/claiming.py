"""Volumes of a type for a tenant: out of the pool as long as there are spares, made anew when there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from cloudaccounts.models import CloudAccount
from portal.api.errors import BadFields
from portal.api.scoping import Role, Scope
from tasks import engine
from tasks.doorbell import ring
from tasks.models import Job
from tenants.models import InformationSystem
from tenants.quotas import Needs, require_quota

from ..commands.providing import ProvideVolumes
from ..models import PoolClaim, SpareVolume, Volume, VolumePool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants: so many volumes of a type, of which he may have some already.

    `volume_ids` are Cinder's ids: "" for a new one; a spare's for just that one; one of the tenant's volumes to have it
    replaced if it is in error, and left as it is if not. What is missing up to `count` is new.
    """

    information_system: UUID
    type: str
    count: int
    volume_ids: Sequence[str] = ()
    name: str = ""


@dataclass(slots=True)
class Claim:
    """What came of it: the volumes in the order in which they were wanted, and the job that sees to the new ones."""

    volumes: list[Volume] = field(default_factory=list)
    job: Job | None = None


def request_volumes(*, scope: Scope, wanted: Wanted) -> Claim:
    """Give a tenant volumes of a type, in one transaction: spares become its own, rows are written for the rest.

    Raises `Refused`: 403 `role_too_low`; 400 `invalid`, by field; 409 `quota_exceeded`, `busy`.

    Safe against others who claim at the same moment: each locks the spares that it takes and passes over those that are
    locked, and whoever has taken one has deleted its row. So a spare is given to nobody twice.
    """
    scope.require(Role.ADMIN)
    system = (
        InformationSystem.objects.within(scope).select_related("tenant").filter(pk=wanted.information_system)
    )
    owner = system.first()
    errors: dict[str, list[object]] = {}
    if owner is None:
        errors["information_system"] = [
            _("There is no information system '%(id)s' here.") % {"id": wanted.information_system}
        ]
        raise BadFields(errors)
    pool = _pool(owner, wanted.type)
    places = [*wanted.volume_ids, *[""] * (wanted.count - len(wanted.volume_ids))]
    with transaction.atomic():
        kept, replaced, named = _sort(scope, owner, pool, places)
        new = len(places) - len(kept)
        if not new:
            return Claim([kept[place] for place in places])
        require_quota(owner.tenant, Needs(disk_gb=new * pool.size_gb))
        spares = _take(pool, new - len(named), named)
        volumes = _rows(owner, pool, wanted, new, spares)
        PoolClaim.objects.create(
            pool=pool,
            taken=len(spares),
            made=new - len(spares),
            seconds_saved=len(spares) * (pool.creation_seconds or 0.0),
        )
        command = ProvideVolumes(
            taken=[[str(v.pk), v.volume_id or ""] for v in volumes if v.source == Volume.Source.POOL],
            made=[str(v.pk) for v in volumes if v.source == Volume.Source.CREATED],
            replaced=[str(volume.pk) for volume in replaced],
            snapshot_id=pool.source_snapshot_id,
            name=volumes[0].name,
        )
        job = engine.submit(command, tenant=owner.tenant, user=scope.user).job
        ring("volumepool.backfill", [pool.pk])
        fresh = iter(volumes)
        return Claim([kept[place] if place in kept else next(fresh) for place in places], job)


def _pool(system: InformationSystem, type_code: str) -> VolumePool:
    """The pool of a type for a system: in its default account, or the only one that its tenant has. Raises `BadFields`."""
    accounts = CloudAccount.objects.for_tenant(system.tenant).filter(active=True)
    pools = VolumePool.objects.filter(account__in=accounts.values("pk")).select_related("account")
    fitting = [pool for pool in pools if pool.type == type_code]
    chosen = [pool for pool in fitting if pool.account_id == system.default_account_id] or fitting
    if len(chosen) > 1:
        message = _("Several accounts have this type; give the information system a default account.")
        raise BadFields({"information_system": [message]})
    if not chosen:
        known = ", ".join(sorted({pool.type for pool in pools})) or "-"
        message = _("There are no volumes of type '%(type)s'; there are: %(known)s.")
        raise BadFields({"type": [message % {"type": type_code, "known": known}]})
    if chosen[0].is_of_snapshot and not chosen[0].source_snapshot_id:
        message = _("The snapshot that volumes of type '%(type)s' are made from is not there now.")
        raise BadFields({"type": [message % {"type": type_code}]})
    return chosen[0]


def _sort(
    scope: Scope, system: InformationSystem, pool: VolumePool, places: Sequence[str]
) -> tuple[dict[str, Volume], list[Volume], list[str]]:
    """Of the ids: volumes that stay, volumes in error that are replaced, and spares that are wanted by name."""
    ids = [place for place in places if place]
    own = Volume.objects.within(scope).filter(information_system=system, volume_id__in=ids)
    volumes = {str(volume.volume_id): volume for volume in own.select_for_update(of=("self",))}
    free = SpareVolume.objects.claimable().filter(pool=pool, volume_id__in=ids)
    spares = {str(found) for found in free.values_list("volume_id", flat=True)}
    strange = [found for found in ids if found not in volumes and found not in spares]
    if strange or len(set(ids)) < len(ids):
        message = (
            _("There is no volume '%(id)s' here, and no spare of this type.") % {"id": strange[0][:64]}
            if strange
            else _("A volume is named twice.")
        )
        raise BadFields({"volume_ids": [message]})
    replaced = [volume for volume in volumes.values() if volume.status.startswith("error")]
    kept = {key: volume for key, volume in volumes.items() if volume not in replaced}
    return kept, replaced, sorted(spares)


def _take(pool: VolumePool, count: int, named: Sequence[str]) -> list[SpareVolume]:
    """Take spares out of the pool: those that are named, and so many of the others as there are. Their rows are gone."""
    free = SpareVolume.objects.claimable().filter(pool=pool)
    locked = free.select_for_update(skip_locked=True, of=("self",))
    taken = list(locked.filter(volume_id__in=named)) if named else []
    if count > 0:
        taken += locked.exclude(pk__in=[spare.pk for spare in taken])[:count]
    SpareVolume.objects.filter(pk__in=[spare.pk for spare in taken]).delete()
    return taken


def _rows(
    system: InformationSystem, pool: VolumePool, wanted: Wanted, count: int, spares: Sequence[SpareVolume]
) -> list[Volume]:
    """The tenant's rows: those of spares are bound already, the others will be."""
    stem = wanted.name or wanted.type
    volumes = [
        Volume(
            information_system=system,
            account=pool.account,
            region=pool.region,
            name=(stem if count == 1 else f"{stem}-{number + 1}")[:200],
            size_gb=pool.size_gb,
            type=pool.volume_type,
        )
        for number in range(count)
    ]
    for volume, spare in zip(volumes, spares, strict=False):
        volume.volume_id, volume.source, volume.status = spare.volume_id, Volume.Source.POOL, "available"
    return Volume.objects.bulk_create(volumes)
