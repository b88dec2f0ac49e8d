"""Pools as operators write them: checked against what the last sync found, and seeded from settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from cloudaccounts.models import CloudAccount, CloudResource
from cloudaccounts.placements import Errors, regions_known
from tasks.doorbell import ring

from ..models import VolumePool

# What an entry of VOLUME_POOLS may say besides its account: columns of a pool.
COLUMNS = frozenset(
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


def find_pool_problems(pool: VolumePool) -> Errors:
    """What is wrong with a pool, by field: what its account does not have, or what would not fit.

    Only of an account that has been synced; of another nothing is known, and Cinder itself will say it.
    """
    regions = regions_known(pool.account_id)
    if not regions:
        return {}
    if pool.region not in regions:
        message = _("The account has no region '%(region)s'; it has: %(known)s.")
        return {"region": [message % {"region": pool.region, "known": ", ".join(regions)}]}
    problems: Errors = {}
    found = CloudResource.objects.present().filter(account=pool.account_id, region=pool.region)
    if pool.volume_type and not found.filter(type="volume_type", name=pool.volume_type).exists():
        message = _("There is no volume type '%(type)s' there.")
        problems["volume_type"] = [message % {"type": pool.volume_type}]
    if pool.snapshot_id:
        snapshot = found.filter(type="snapshot", cloud_id=pool.snapshot_id).first()
        if snapshot is None:
            problems["snapshot_id"] = [_("There is no snapshot '%(id)s' there.") % {"id": pool.snapshot_id}]
        elif snapshot.attributes.get("size_gb", 0) > pool.size_gb:
            message = _("The snapshot is of %(size)s GB, which does not fit into %(pool)s GB.")
            shown = {"size": snapshot.attributes["size_gb"], "pool": pool.size_gb}
            problems["size_gb"] = [message % shown]
    if pool.image_id:
        image = found.filter(type="image", cloud_id=pool.image_id).first()
        if image is None:
            problems["image_id"] = [_("There is no image '%(id)s' there.") % {"id": pool.image_id}]
        elif image.attributes.get("min_disk_gb", 0) > pool.size_gb:
            message = _("The image '%(image)s' needs a disk of %(least)s GB at least.")
            shown = {"image": image.name, "least": image.attributes["min_disk_gb"]}
            problems["size_gb"] = [message % shown]
    return problems


def request_reconciliation(pool: VolumePool) -> None:
    """Have a pool that was written or edited compared with its cloud, which finds its snapshot, and then filled."""
    ring("volumepool.reconcile", [pool.account_id, pool.region])


def fill_now(pool: VolumePool) -> None:
    """Have it looked at what a pool lacks, at a person's word: it may know that there is room again, so a pause ends."""
    with transaction.atomic():
        VolumePool.objects.filter(pk=pool.pk).update(paused_until=None)
        pool.paused_until = None
        ring("volumepool.backfill", [pool.pk])


def seed_pools(wanted: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Make the pools of a setting that are missing; each type with what became of it: "created", "kept", or why not.

    What is there is left as operators have edited it. `wanted` is `VOLUME_POOLS`: type -> {"account": name, columns …}.
    Raises `ImproperlyConfigured` for what can never be a pool.
    """
    for type_code, said in wanted.items():
        strange = sorted(said.keys() - COLUMNS - {"account"})
        if strange or "account" not in said or "size_gb" not in said:
            raise ImproperlyConfigured(
                f"VOLUME_POOLS: '{type_code}' needs an account and a size_gb, and may have {', '.join(sorted(COLUMNS))};"
                f" it has {', '.join(sorted(said)) or 'nothing'}."
            )
    return [(type_code, _written(type_code, said)) for type_code, said in wanted.items()]


def _written(type_code: str, said: Mapping[str, Any]) -> str:
    account = CloudAccount.objects.filter(name=said["account"], tenant=None).first()
    account = account or CloudAccount.objects.filter(name=said["account"]).order_by("pk").first()
    if account is None:
        return f"there is no cloud account '{said['account']}' yet"
    if VolumePool.objects.filter(account=account, type=type_code).exists():
        return "kept"
    columns = {name: value for name, value in said.items() if name != "account"}
    pool = VolumePool(account=account, type=type_code, **columns)
    try:
        pool.full_clean()
    except ValidationError as error:
        raise ImproperlyConfigured(f"VOLUME_POOLS: '{type_code}': {error.message_dict}") from None
    with transaction.atomic():
        pool.save(force_insert=True)
        request_reconciliation(pool)
    return "created"
