"""Validate the pools that operators define, create those of the settings, and request refills and reconciliations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from api.domain_errors import ConflictError, NotFoundError
from api.preconditions import check_if_match
from cloudaccounts.models import CloudAccount, CloudResource
from cloudaccounts.placements import Errors, list_known_regions
from tasks.dispatch import dispatch_task

from ..models import Claim, PoolStock, SpareVolume, VolumePool

# The columns that an entry of VOLUME_POOLS may set, besides its account.
SEED_COLUMNS = frozenset(
    {
        "region",
        "size_gb",
        "volume_type",
        "availability_zone",
        "snapshot_id",
        "snapshot_prefix",
        "image_id",
        "desired",
        "max_in_flight",
        "max_age_days",
        "enabled",
    }
)


def validate_pool(pool: VolumePool) -> Errors:
    """Return the errors of a pool by field: values that its account does not have, or that do not match.

    A pool in an account that was never synced has no errors; Cinder itself will refuse what does not exist.
    """
    regions = list_known_regions(pool.account_id)
    if not regions:
        return {}
    if pool.region not in regions:
        message = _("Unknown region '%(region)s'. Available: %(known)s.")
        return {"region": [message % {"region": pool.region, "known": ", ".join(regions)}]}
    problems: Errors = {}
    found = CloudResource.objects.present().filter(account=pool.account_id, region=pool.region)
    if pool.volume_type and not found.filter(type="volume_type", name=pool.volume_type).exists():
        message = _("Volume type not found: '%(type)s'.")
        problems["volume_type"] = [message % {"type": pool.volume_type}]
    if pool.snapshot_id:
        snapshot = found.filter(type="snapshot", cloud_id=pool.snapshot_id).first()
        if snapshot is None:
            problems["snapshot_id"] = [_("Snapshot not found: '%(id)s'.") % {"id": pool.snapshot_id}]
        elif snapshot.attributes.get("size_gb", 0) > pool.size_gb:
            message = _("The snapshot has %(size)s GB. The pool's volumes have only %(pool)s GB.")
            values = {"size": snapshot.attributes["size_gb"], "pool": pool.size_gb}
            problems["size_gb"] = [message % values]
    if pool.image_id:
        image = found.filter(type="image", cloud_id=pool.image_id).first()
        if image is None:
            problems["image_id"] = [_("Image not found: '%(id)s'.") % {"id": pool.image_id}]
        elif image.attributes.get("min_disk_gb", 0) > pool.size_gb:
            message = _("The image '%(image)s' needs a disk of at least %(least)s GB.")
            values = {"image": image.name, "least": image.attributes["min_disk_gb"]}
            problems["size_gb"] = [message % values]
    return problems


def create_pool(*, pool: VolumePool) -> VolumePool:
    """Create a pool that was validated, and request its reconciliation."""
    with transaction.atomic():
        pool.save(force_insert=True)
        request_reconciliation(pool)
    return pool


def change_pool(*, pool: VolumePool, if_match: str | None) -> VolumePool:
    """Save the changes of a pool that was validated, and request its reconciliation.

    Raises `NotFoundError`, and 412 `precondition_failed` when `if_match` is of an older version. Safe beside other
    changes: the row is locked while the version is compared.
    """
    with transaction.atomic():
        pool.version = _lock_pool(pool.pk, if_match).version + 1
        # What the backfill and the reconciliation write is left as it is.
        columns = [field.name for field in VolumePool._meta.concrete_fields if field.editable]  # noqa: SLF001
        pool.save(update_fields=[*(name for name in columns if name != "id"), "version", "updated_at"])
        request_reconciliation(pool)
    return pool


def remove_pool(*, pool_id: int, if_match: str | None) -> None:
    """Delete a pool with its history. Raises `NotFoundError`, 412, and 409 `in_use` while spares belong to the pool.

    Safe beside a backfill, which inserts spares under a lock on the pool's row.
    """
    with transaction.atomic():
        pool = _lock_pool(pool_id, if_match)
        if count := SpareVolume.objects.filter(pool=pool).count():
            raise ConflictError("in_use", explain_spares(count))
        Claim.objects.filter(pool=pool).delete()
        PoolStock.objects.filter(pool=pool).delete()
        pool.delete()


def explain_spares(count: int) -> str:
    """Return why a pool with spares can't be deleted."""
    message = ngettext(
        "%(count)s spare still belongs to the pool. Set Desired to 0 and wait until the spare is deleted.",
        "%(count)s spares still belong to the pool. Set Desired to 0 and wait until the spares are deleted.",
        count,
    )
    return message % {"count": count}


def _lock_pool(pool_id: int, if_match: str | None) -> VolumePool:
    pool: VolumePool | None = VolumePool.objects.select_for_update(of=("self",)).filter(pk=pool_id).first()
    if pool is None:
        raise NotFoundError
    check_if_match(if_match, pool.version)
    return pool


def request_reconciliation(pool: VolumePool) -> None:
    """Request the reconciliation of a pool that was created or edited: it finds the snapshot, and a backfill follows."""
    dispatch_task("volumepool.reconcile", [pool.account_id, pool.region])


def request_backfill(pool: VolumePool) -> None:
    """Request a backfill by hand. It ends a pause, because the operator may know that the quota has room again."""
    with transaction.atomic():
        VolumePool.objects.filter(pk=pool.pk).update(paused_until=None)
        pool.paused_until = None
        dispatch_task("volumepool.backfill", [pool.pk])


def seed_pools(pools: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Create the pools of a setting that are missing; return each type with "created", "kept", or the reason why it was not created.

    An existing pool keeps what operators have edited. `pools` is `VOLUME_POOLS`: type -> {"account": name, columns …}.
    Raises `ImproperlyConfigured` for an entry that can never be a pool.
    """
    for type_code, entry in pools.items():
        unknown = sorted(entry.keys() - SEED_COLUMNS - {"account"})
        if unknown or "account" not in entry or "size_gb" not in entry:
            raise ImproperlyConfigured(
                f"VOLUME_POOLS: '{type_code}' needs an account and a size_gb, and may have {', '.join(sorted(SEED_COLUMNS))};"
                f" it has {', '.join(sorted(entry)) or 'nothing'}."
            )
    return [(type_code, _seed_pool(type_code, entry)) for type_code, entry in pools.items()]


def _seed_pool(type_code: str, entry: Mapping[str, Any]) -> str:
    account = CloudAccount.objects.filter(name=entry["account"], tenant=None).first()
    account = account or CloudAccount.objects.filter(name=entry["account"]).order_by("pk").first()
    if account is None:
        return f"not created: the cloud account '{entry['account']}' does not exist yet"
    if VolumePool.objects.filter(account=account, type=type_code).exists():
        return "kept"
    columns = {name: value for name, value in entry.items() if name != "account"}
    pool = VolumePool(account=account, type=type_code, **columns)
    try:
        pool.full_clean()
    except ValidationError as error:
        raise ImproperlyConfigured(f"VOLUME_POOLS: '{type_code}': {error.message_dict}") from None
    with transaction.atomic():
        pool.save(force_insert=True)
        request_reconciliation(pool)
    return "created"
