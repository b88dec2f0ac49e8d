"""Counts and writes that the status syncs of VMs, volumes and snapshots share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from api.messages import message as _
from openstack_client.decoding import clean_text
from tasks.models import EntityLock

# The first objects of a run that could not be read are named in its message: this many.
MAX_NAMED_OBJECTS = 5


@dataclass(slots=True)
class SyncCounts:
    """The counts of one run of a status sync."""

    synced: int = 0
    updated: int = 0
    skipped: int = 0
    errors: int = 0
    missing: int = 0
    differing: int = 0
    unknown_words: dict[str, int] = field(default_factory=dict)
    # Messages about the first objects that could not be read.
    unreadable: list[str] = field(default_factory=list)
    # Whether an object without an id was listed: it may be any of those that the listing does not show.
    has_unidentified: bool = False

    def count_unreadable(self, message: str) -> None:
        """Count an object that could not be read, and keep the message if it is one of the first."""
        self.errors += 1
        if len(self.unreadable) < MAX_NAMED_OBJECTS:
            self.unreadable.append(clean_text(message, 300))

    def count_unknown_word(self, status: str) -> None:
        """Count a status that the portal does not know."""
        word = status[:50]
        self.unknown_words[word] = self.unknown_words.get(word, 0) + 1

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON values, without the messages."""
        return {
            "synced": self.synced,
            "updated": self.updated,
            "skipped": self.skipped,
            "errors": self.errors,
            "missing": self.missing,
            "differing": self.differing,
            "unknown_words": self.unknown_words,
        }


class MassLossError(Exception):
    """Too many rows are missing from a listing at once; none was marked until a person confirms it."""


def record_missing(
    model: Any,
    missing: list[tuple[UUID, int]],
    total: int,
    *,
    began: datetime,
    losses_accepted: bool,
    counts: SyncCounts,
    lock_prefix: str,
) -> None:
    """Record rows as missing that a complete listing did not show; the second time they are gone.

    `missing` holds the keys, each with the number of earlier listings without it; `lock_prefix` begins the engine's lock
    keys of such rows. Rows that a job holds are left alone: the portal may be deleting their objects itself.
    Raises `MassLossError` when too many are missing at once, unless `losses_accepted`.
    """
    busy = set(
        EntityLock.objects.filter(key__in=[f"{lock_prefix}{pk}" for pk, _count in missing]).values_list(
            "key", flat=True
        )
    )
    free = [(pk, count) for pk, count in missing if f"{lock_prefix}{pk}" not in busy]
    counts.missing += len(missing)
    counts.skipped += len(missing) - len(free)
    sudden = sum(count == 0 for _pk, count in free)
    if not losses_accepted and sudden >= 2 and sudden > total * settings.VM_SYNC_MASS_LOSS_SHARE:
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
        # `written_at` keeps its value: nothing that people see has changed.
        first = [pk for pk, count in free if count == 0]
        rows.filter(pk__in=first).update(missing_count=F("missing_count") + 1, written_at=F("written_at"))
        counts.updated += model.objects.filter(pk__in=again).mark_gone()


def write_statuses(
    model: Any, by_status: dict[str, list[UUID]], *, began: datetime, counts: SyncCounts, lock_prefix: str
) -> None:
    """Write the statuses of rows that no job holds and that are not newer than the listing."""
    keys = [pk for pks in by_status.values() for pk in pks]
    busy = EntityLock.objects.filter(key__in=[f"{lock_prefix}{pk}" for pk in keys]).values_list(
        "key", flat=True
    )
    held_ids = {key.removeprefix(lock_prefix) for key in busy}
    for status, pks in by_status.items():
        free = [pk for pk in pks if str(pk) not in held_ids]
        written = model.objects.filter(pk__in=free, written_at__lt=began).update(
            status=status, missing_count=0, written_at=Now()
        )
        counts.updated += written
        counts.skipped += len(pks) - written
