"""Rows that a complete listing did not show, and status changes of the rows that it did: shared with the rooms above."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from tasks.models import EntityLock


@dataclass(slots=True)
class SyncFigures:
    """The counts of one run."""

    synced: int = 0
    updated: int = 0
    skipped: int = 0
    errors: int = 0
    missing: int = 0
    differing: int = 0
    unknown_words: dict[str, int] = field(default_factory=dict)


class MassLossError(Exception):
    """Too many rows are missing from a listing at once; none was marked until a person confirms it."""


def record_missing(
    model: Any,
    missing: list[tuple[UUID, int]],
    total: int,
    *,
    began: datetime,
    is_believed: bool,
    figures: SyncFigures,
    lock: str,
) -> None:
    """Record rows as missing that a complete listing did not show; the second time they are gone.

    `missing` holds the keys, each with the number of earlier listings without it; `lock` is the prefix of the engine's
    lock keys. Rows that a job holds are left alone: the portal may be deleting their objects itself.
    Raises `MassLossError` when too many are missing at once, unless `is_believed`.
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
                "%(missing)s of %(total)s disappeared from the cloud. Their deletion is on hold until an administrator confirms it."
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
        # By the row's own count. `written_at` keeps its value: nothing that people see has changed.
        first = [pk for pk, count in free if count == 0]
        rows.filter(pk__in=first).update(missing_count=F("missing_count") + 1, written_at=F("written_at"))
        figures.updated += model.objects.filter(pk__in=again).mark_gone()


def write_statuses(
    model: Any, by_status: dict[str, list[UUID]], *, began: datetime, figures: SyncFigures, lock: str
) -> None:
    """Write the statuses of rows that no job holds and that are not newer than the listing."""
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
