"""Find orphans: objects that the portal has created in a cloud for a row that it does not have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import structlog
from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from api.uuids import is_uuid
from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from cloudaccounts.sync.orphans import OrphanTable, sweep_orphans
from openstack_client import CloudError
from security.encryption import UnreadableSecretError
from tasks.clock import database_now
from tasks.models import EntityLock
from tasks.restore_guard import is_paused

from ..models import OWNERS, Orphan
from .tagged_objects import LISTINGS, ListObjects, TaggedObject

log = structlog.get_logger(__name__)

# The longest that a creation may take (`CreateVmCommand.deadline`): a younger object may still be bound to its row.
LONGEST_CREATION = timedelta(hours=2)
_LOCK_PREFIX = "orphan:"


class VMOrphanTable(OrphanTable[TaggedObject]):
    """Objects of some kinds without a row. Each listing has a table of its own, so that one that fails forgets nothing."""

    model: ClassVar[Any] = Orphan
    id_column = "cloud_id"

    def __init__(self, kinds: Collection[str]) -> None:
        self.kinds = kinds

    def list_records(self) -> QuerySet[Any]:
        """Return the orphans of these kinds."""
        records: QuerySet[Any] = super().list_records().filter(kind__in=self.kinds)
        return records

    def get_id(self, found: TaggedObject) -> str:
        """Return the id of the object."""
        return found.cloud_id

    def select_unowned(self, page: Sequence[TaggedObject]) -> list[TaggedObject]:
        """Return the objects that no row is bound to, and whose own row is missing or bound to another object.

        A page has objects of one kind.
        """
        if not page:
            return []
        model, column = OWNERS[page[0].kind]
        ids = [found.cloud_id for found in page]
        bound = set(model.objects.filter(**{f"{column}__in": ids}).values_list(column, flat=True))
        # A row that is not bound yet belongs to a creation in flight, which will bind or delete what it has created.
        row_ids = [found.row_id for found in page if is_uuid(found.row_id)]
        unbound = model.objects.filter(pk__in=row_ids, **{column: None})
        in_flight = {str(pk) for pk in unbound.values_list("pk", flat=True)}
        return [found for found in page if found.cloud_id not in bound and found.row_id not in in_flight]

    def describe(self, found: TaggedObject) -> dict[str, Any]:
        """Return kind, name and time of creation."""
        now = timezone.now()
        return {
            "kind": found.kind,
            "name": found.name[:255],
            # The time comes from the cloud's clock, which may be ahead of ours; no listed object is younger than now.
            "made_at": min(found.created_at or now, now),
        }

    def select_busy(self) -> Collection[int]:
        """Return the orphans that a job is deleting."""
        keys = EntityLock.objects.filter(key__startswith=_LOCK_PREFIX).values_list("key", flat=True)
        return [int(key.removeprefix(_LOCK_PREFIX)) for key in keys]


def sweep_region(account_id: int, region: str) -> list[int]:
    """Sweep one account and region for orphans; return the keys of those that are to be deleted.

    While the database counts as restored, nothing is swept and no sighting is counted: what a restored database has
    forgotten looks like an orphan, and was a tenant's a moment ago (`tasks/restore_guard.py`).
    An orphan is reported once, when it is confirmed and older than the longest creation. Never raises for an error of
    the cloud: a listing that fails is left out, because some clouds lack a service, and not every account may use all of them.
    """
    if is_paused("vms.sweep_orphans"):
        return []
    account = CloudAccount.objects.get(pk=account_id)
    keys: list[int] = []
    for kinds, list_objects in LISTINGS:
        keys += _sweep_kinds(account, region, kinds, list_objects)
    return keys


def _sweep_kinds(
    account: CloudAccount, region: str, kinds: Collection[str], list_objects: ListObjects
) -> list[int]:
    began = database_now()
    try:
        pages = list_objects(open_cloud(account, region), account)
        confirmed = sweep_orphans(VMOrphanTable(kinds), account, region, pages, began)
    except (CloudError, UnreadableSecretError) as error:
        log.warning(
            "orphan_sweep_failed", account=account.pk, region=region, kinds=list(kinds), error=str(error)
        )
        return []
    old = confirmed.filter(made_at__lt=timezone.now() - LONGEST_CREATION)
    for orphan in old.filter(reported_at=None):
        log.warning(
            "orphan_found",
            account=account.name,
            region=region,
            kind=orphan.kind,
            cloud_id=orphan.cloud_id,
            name=orphan.name,
        )
    old.filter(reported_at=None).update(reported_at=Now())
    return list(old.values_list("pk", flat=True)) if settings.ORPHANS_REMOVE else []
