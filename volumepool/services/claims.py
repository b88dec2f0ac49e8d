"""Claims of spares, without a request to Cinder, and the pools that a system may claim from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidFieldsError
from cloudaccounts.models import CloudAccount
from cloudaccounts.placements import explain_unusable
from tasks.dispatch import dispatch_task_once
from tasks.queries import insert
from tenants.models import InformationSystem

from ..models import Claim, Volume, VolumePool
from ..queries import CLAIM_SPARES

# The backfill runs this long after the first claim, for all claims of that time.
BACKFILL_DELAY_SECONDS = 1.0


def choose_pool(system: InformationSystem, type_code: str) -> VolumePool:
    """Return the pool of a type for a system: the one in its default account, or the only one of its tenant.

    Raises `InvalidFieldsError` when there is no such type, or several.
    """
    pools = select_pools([system.tenant_id])
    matching = list(pools.filter(type=type_code))
    chosen = [pool for pool in matching if pool.account_id == system.default_account_id] or matching
    if len(chosen) > 1:
        message = _(
            "Several cloud accounts have this type. Set a default account for the information system."
        )
        raise InvalidFieldsError({"information_system": [message]})
    if not chosen:
        for pool in _select_pools_in_accounts([system.tenant_id]).filter(type=type_code):
            if wrong := explain_unusable(pool.account):
                raise InvalidFieldsError({"type": [wrong]})
        known = ", ".join(sorted(set(pools.values_list("type", flat=True)))) or "-"
        message = _("Unknown volume type '%(type)s'. Available: %(known)s.")
        raise InvalidFieldsError({"type": [message % {"type": type_code, "known": known}]})
    return chosen[0]


def select_pools(tenants: Any) -> QuerySet[VolumePool]:
    """Return the pools that tenants may claim from: those in usable accounts, their own and shared ones."""
    return _select_pools_in_accounts(tenants).filter(account__in=CloudAccount.objects.usable())


def _select_pools_in_accounts(tenants: Any) -> QuerySet[VolumePool]:
    visible = Q(account__tenant__in=tenants) | Q(account__tenant=None)
    pools = VolumePool.objects.filter(visible, account__active=True)
    return pools.select_related("account").order_by("type", "account__name")


class ClaimedSpare(NamedTuple):
    """A claimed spare: Cinder's id, and its name there."""

    volume_id: str
    name: str


def claim_spares(pool: VolumePool, count: int, named: Sequence[str] = ()) -> list[ClaimedSpare]:
    """Claim spares of a pool: those that are named by Cinder's ids, and up to `count` others.

    In the caller's transaction, which writes their new owner; the spares' rows are deleted. Raises `DomainError` 409
    `taken` when a named one has been claimed by somebody else, and 400 when there are too few and none can be created.

    Safe beside other claims: each skips locked spares, locks those that it claims, and deletes their rows, so no spare is
    claimed twice.
    """
    spares = _delete_spares(pool, len(named), named=named) if named else []
    if lost := sorted({*named} - {spare.volume_id for spare in spares}):
        message = _("The pre-created volume '%(id)s' has just been claimed. Select another one.")
        raise ConflictError("taken", message % {"id": lost[0]})
    if count > 0:
        spares += _delete_spares(pool, count)
    missing = len(named) + count - len(spares)
    if missing and pool.is_source_missing:
        message = _("Can't create more volumes of type '%(type)s' now: %(reason)s")
        reason = pool.source_error or _("the pool's snapshot has not been found yet.")
        raise InvalidFieldsError({"type": [message % {"type": pool.type, "reason": reason}]})
    saved = len(spares) * (pool.creation_seconds or 0.0)
    insert([Claim(pool=pool, taken=len(spares), made=missing, seconds_saved=saved)])
    # Many claims at once need one backfill.
    dispatch_task_once("volumepool.backfill", [pool.pk], within=BACKFILL_DELAY_SECONDS)
    return spares


def _delete_spares(pool: VolumePool, count: int, *, named: Sequence[str] | None = None) -> list[ClaimedSpare]:
    with connection.cursor() as cursor:
        cursor.execute(
            CLAIM_SPARES,
            {"pool": pool.pk, "count": count, "named": None if named is None else list(named)},
        )
        return [ClaimedSpare(*row) for row in cursor.fetchall()]


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
    """Find the pool whose volumes a VM can boot from: copies of its image, or of the snapshot of its system type.

    A pool of snapshots of type "igw" defines the boot volume of a VM for which only "igw" was chosen. None without one.
    """
    for pool in select_pools([system.tenant_id]):
        if (pool.account_id, pool.region, pool.size_gb) != (account.pk, region, size_gb):
            continue
        if pool.availability_zone not in {"", zone}:
            continue
        if image_id and pool.image_id == image_id:
            return pool
        if type_code and pool.has_snapshot_source and pool.type == type_code:
            return pool
    return None


def build_volume(
    pool: VolumePool, system: InformationSystem, name: str, spare: ClaimedSpare | None
) -> Volume:
    """Build the tenant's row of a volume, unsaved: of a claimed spare, or of a volume that is to be created."""
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
