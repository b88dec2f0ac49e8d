"""Claims: spares out of a pool, without asking Cinder. What takes them, and what pool there is to take them from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidFieldsError
from cloudaccounts.models import CloudAccount
from cloudaccounts.placements import unusable
from tasks.doorbell import ring_once
from tasks.engine.rows import insert
from tenants.models import InformationSystem

from ..models import PoolClaim, Volume, VolumePool

# So long after the first claim its pool is looked at, with whatever else was claimed in that time.
BACKFILL_AFTER_SECONDS = 1.0


def choose_pool(system: InformationSystem, type_code: str) -> VolumePool:
    """The pool of a type for a system: in its default account, or the only one that its tenant has.

    Raises `InvalidFieldsError`: no such type, or several.
    """
    pools = select_pools([system.tenant_id])
    fitting = list(pools.filter(type=type_code))
    chosen = [pool for pool in fitting if pool.account_id == system.default_account_id] or fitting
    if len(chosen) > 1:
        message = _("Several accounts have this type; give the information system a default account.")
        raise InvalidFieldsError({"information_system": [message]})
    if not chosen:
        for pool in _pools_in_accounts_of([system.tenant_id]).filter(type=type_code):
            if wrong := unusable(pool.account):
                raise InvalidFieldsError({"type": [wrong]})
        known = ", ".join(sorted(set(pools.values_list("type", flat=True)))) or "-"
        message = _("There are no volumes of type '%(type)s'; there are: %(known)s.")
        raise InvalidFieldsError({"type": [message % {"type": type_code, "known": known}]})
    return chosen[0]


def select_pools(tenants: Any) -> QuerySet[VolumePool]:
    """The pools that tenants may have new volumes of: those in accounts of theirs, and in shared ones, that can be used."""
    return _pools_in_accounts_of(tenants).filter(account__in=CloudAccount.objects.usable())


def _pools_in_accounts_of(tenants: Any) -> QuerySet[VolumePool]:
    of_them = Q(account__tenant__in=tenants) | Q(account__tenant=None)
    pools = VolumePool.objects.filter(of_them, account__active=True)
    return pools.select_related("account").order_by("type", "account__name")


# The oldest spares that can be claimed (`SpareVolumeQuerySet.claimable`), each locked and what is locked passed over.
# One statement, not the ORM's three: it is what everybody waits for who claims.
CLAIM = """
    WITH picked AS MATERIALIZED (
        SELECT spare.id FROM volumepool_sparevolume AS spare
        JOIN volumepool_volumepool AS pool ON pool.id = spare.pool_id
        WHERE pool.id = %(pool)s AND spare.status = 'available' AND spare.region = pool.region
            AND spare.size_gb = pool.size_gb AND spare.volume_type = pool.volume_type
            AND spare.availability_zone = pool.availability_zone AND spare.image_id = pool.image_id
            AND (%(named)s::text[] IS NULL OR spare.volume_id = ANY(%(named)s))
        ORDER BY spare.available_at, spare.id LIMIT %(count)s FOR UPDATE OF spare SKIP LOCKED
    )
    DELETE FROM volumepool_sparevolume AS spare USING picked WHERE spare.id = picked.id
    RETURNING spare.volume_id, spare.name
"""


class Taken(NamedTuple):
    """A spare that is nobody's any more: Cinder's id, and what it is called there."""

    volume_id: str
    name: str


def take(pool: VolumePool, count: int, named: Sequence[str] = ()) -> list[Taken]:
    """Take spares out of a pool: those that are named by Cinder's ids, and so many others as there are, up to `count`.

    In the caller's transaction, which writes whose they are: their rows are gone with it. Raises `DomainError` 409 `taken`
    when a named one is somebody else's by now, and 400 when others are wanted, there are too few, and none can be made.

    Safe against others who claim at the same moment: each locks the spares that it takes and passes over those that are
    locked, and whoever has taken one has deleted its row. So a spare is given to nobody twice.
    """
    taken = _delete(pool, len(named), named=named) if named else []
    if lost := sorted({*named} - {spare.volume_id for spare in taken}):
        message = _("The spare volume '%(id)s' has just been taken; ask for another.")
        raise ConflictError("taken", message % {"id": lost[0]})
    if count > 0:
        taken += _delete(pool, count)
    missing = len(named) + count - len(taken)
    if missing and pool.lacks_its_source:
        message = _("No more volumes of type '%(type)s' can be made now: %(reason)s")
        reason = pool.source_error or _("its snapshot has not been looked for yet.")
        raise InvalidFieldsError({"type": [message % {"type": pool.type, "reason": reason}]})
    saved = len(taken) * (pool.creation_seconds or 0.0)
    insert([PoolClaim(pool=pool, taken=len(taken), made=missing, seconds_saved=saved)])
    # A thousand claims need one look at what the pool lacks, not a thousand.
    ring_once("volumepool.backfill", [pool.pk], within=BACKFILL_AFTER_SECONDS)
    return taken


def _delete(pool: VolumePool, count: int, *, named: Sequence[str] | None = None) -> list[Taken]:
    with connection.cursor() as cursor:
        cursor.execute(
            CLAIM,
            {"pool": pool.pk, "count": count, "named": None if named is None else list(named)},
        )
        return [Taken(*row) for row in cursor.fetchall()]


def find_boot_pool(
    system: InformationSystem,
    *,
    account: CloudAccount,
    region: str,
    size_gb: int,
    zone: str,
    image_id: str,
    type_code: str,
) -> VolumePool | None:
    """The pool whose volumes are just what a VM is to boot from, or None.

    Either copies of the image that was chosen, or, when only a kind of system was named, the pool of snapshots of that
    type: who keeps a pool of type "igw" says with it what an igw boots from.
    """
    for pool in select_pools([system.tenant_id]):
        if (pool.account_id, pool.region, pool.size_gb) != (account.pk, region, size_gb):
            continue
        if pool.availability_zone not in {"", zone}:
            continue
        if image_id and pool.image_id == image_id:
            return pool
        if type_code and pool.is_of_snapshot and pool.type == type_code:
            return pool
    return None


def build_volume(pool: VolumePool, system: InformationSystem, name: str, spare: Taken | None) -> Volume:
    """The tenant's row of one of a pool's volumes, not yet saved: of a spare, or of one that is yet to be made."""
    volume = Volume(
        information_system=system,
        account=pool.account,
        region=pool.region,
        name=name[:200],
        size_gb=pool.size_gb,
        type=pool.volume_type,
        availability_zone=pool.availability_zone,
    )
    if spare is not None:
        volume.volume_id, volume.source, volume.status = spare.volume_id, Volume.Source.POOL, "available"
    return volume
