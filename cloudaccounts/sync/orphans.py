"""The orphan sweep: objects in a cloud that carry the portal's metadata and belong to no row.

Everything that the portal creates carries its tag and the id of a row that is written before the request goes out. So an
object without a row, and without a job that may still write one, is an orphan, unless a tenant has released it
(`ReleasedObject`). Each room that creates objects keeps a table of its orphans, recognizes its own objects by an
`OrphanTable`, and decides what to do about a confirmed orphan.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from ..models import CloudAccount, ReleasedObject

# One listing without a row is no proof: the creation may be between two commits. The second complete listing is.
SIGHTINGS_NEEDED = 2

TaggedObject = TypeVar("TaggedObject")


class OrphanTable(ABC, Generic[TaggedObject]):
    """One room's table of orphans, with the rules that tell an orphan from an object with a row.

    The model has the columns `account`, `region`, `seen` (sightings, 1 by default), `first_seen_at`, `last_seen_at`, and
    `id_column`, which holds the object's id in the cloud.
    """

    model: ClassVar[Any]
    id_column: ClassVar[str]

    def list_records(self) -> QuerySet[Any]:
        """Return the rows that a sweep with this table may change: all rows of the model, unless several sweeps share it."""
        records: QuerySet[Any] = self.model.objects.all()
        return records

    @abstractmethod
    def get_id(self, found: TaggedObject) -> str:
        """Return the object's id in the cloud."""

    @abstractmethod
    def select_unowned(self, page: Sequence[TaggedObject]) -> list[TaggedObject]:
        """Return the objects of a page that belong to no row, and to no creation that may still write one."""

    @abstractmethod
    def describe(self, found: TaggedObject) -> dict[str, Any]:
        """Return the columns of a new row, besides account, region and times."""

    def refresh(self, known: QuerySet[Any], found: Mapping[str, TaggedObject]) -> None:
        """Update columns of orphans that were seen before, by their ids in the cloud."""

    def select_busy(self) -> Collection[int]:
        """Return the keys of orphans that a job holds: these may leave the listing before their job has ended."""
        return ()


def sweep_orphans(
    table: OrphanTable[TaggedObject],
    account: CloudAccount,
    region: str,
    pages: Iterable[Sequence[TaggedObject]],
    began: datetime,
) -> QuerySet[Any]:
    """Record the orphans of one complete listing; return those that it has confirmed and that no job holds.

    `began` is when the listing began, on the database's clock. Orphans that it did not show, or that have a row now, are
    deleted from the table. An error while `pages` are read is raised to the caller: sightings until then are kept, and
    nothing is deleted.

    Safe for two sweeps at once: an orphan is counted once for each listing that began after its last sighting, and
    is returned to the sweep that counted it.
    """
    place = {"account": account, "region": region}
    records = table.list_records().filter(**place)
    counted: list[int] = []
    for page in pages:
        unowned = {table.get_id(found): found for found in table.select_unowned(page)}
        # Read after the rows: an object that is released in between had its row then, or has its record now.
        for cloud_id in select_released(unowned):
            del unowned[cloud_id]
        if unowned:
            counted += _record_sightings(table, place, unowned, began)
    busy = table.select_busy()
    records.filter(last_seen_at__lt=began).exclude(pk__in=busy).delete()
    confirmed: QuerySet[Any] = records.filter(pk__in=counted, seen__gte=SIGHTINGS_NEEDED).exclude(pk__in=busy)
    return confirmed


def select_released(cloud_ids: Iterable[str]) -> set[str]:
    """Return those of some objects that were released: the cloud keeps them, and the portal leaves them alone."""
    released = ReleasedObject.objects.filter(cloud_id__in=list(cloud_ids))
    return set(released.values_list("cloud_id", flat=True))


def _record_sightings(
    table: OrphanTable[TaggedObject],
    place: Mapping[str, Any],
    unowned: Mapping[str, TaggedObject],
    began: datetime,
) -> list[int]:
    """Count a sighting of each orphan; return the keys of those that were known before and counted now."""
    with transaction.atomic():
        known = table.list_records().filter(**place, **{f"{table.id_column}__in": list(unowned)})
        table.refresh(known, unowned)
        # Locked first: a sweep at the same moment waits here, and then finds that these have been counted.
        counted = list(
            known.filter(last_seen_at__lt=began)
            .order_by("pk")
            .select_for_update()
            .values_list("pk", flat=True)
        )
        known.filter(pk__in=counted).update(seen=F("seen") + 1, last_seen_at=Now())
        table.model.objects.bulk_create(
            [
                table.model(**place, **{table.id_column: cloud_id}, **table.describe(found))
                for cloud_id, found in unowned.items()
            ],
            ignore_conflicts=True,
        )
    return counted
