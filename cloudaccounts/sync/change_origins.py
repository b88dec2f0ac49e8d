"""Tell the changes that a job of the portal has made from those that somebody made in the cloud.

A change is explained by a job that worked on the object, or on one that is directly linked with it, since the listing before:
by a job that has ended since, or has not ended. Jobs name what they work on in their parameters, results and watches, by the
row's id or by the id in the cloud. So a change from outside is missed when a job of ours worked on the same object between
the two listings; none of ours is called one from outside.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from ..cloud_rows import find_row_ids
from ..models import CloudAccount, ResourceChange, ResourceLink, SyncLog
from ..queries import FIND_JOBS_AT_WORK
from .outside_events import record_outside_events
from .resource_writer import SyncTarget

# What people change, and jobs of the portal explain. Usage of quotas, hosts and zones changes by itself, and flavors by their administrators.
EXPLAINED_TYPES = frozenset(
    {
        "server",
        "volume",
        "snapshot",
        "image",
        "network",
        "subnet",
        "port",
        "router",
        "floating_ip",
        "security_group",
        "server_group",
    }
)
# A job that works on one of these changes what is linked with it. A network or an image is linked with everybody's servers.
CHANGED_TOGETHER = frozenset({"server", "volume", "snapshot", "port", "floating_ip"})
# A cloud may show what a job has done a while after the job has ended.
LATE = timedelta(minutes=2)
BATCH = 2000


def record_origins(account: CloudAccount, target: SyncTarget, log_id: int) -> int:
    """Record of each change that a sync has found in a region whether a job explains it; return how many none explains.

    In a vendor's account, the portal changes nothing, so every change is from outside. Call it in the transaction that ends
    the region's listing.
    """
    _account, region, type_code = target
    found = ResourceChange.objects.filter(
        log=log_id, resource__region=region, resource__type=type_code, outside=None
    )
    if not account.is_managed:
        pks = list(found.order_by("pk").values_list("pk", flat=True))
        found.update(outside=True)
        record_outside_events(account, type_code, pks)
        return len(pks)
    if type_code not in EXPLAINED_TYPES:
        return 0
    changed = list(found.order_by("pk").select_related("resource").defer("resource__attributes", "fields"))
    previous = find_previous_listing(account, type_code, log_id)
    unexplained = 0
    for start in range(0, len(changed), BATCH):
        batch = changed[start : start + BATCH]
        # Of an object that expires, the last listing that showed it counts: it was missing in several.
        since = {change.pk: min(previous, change.resource.last_seen_at) - LATE for change in batch}
        names = _name_objects(target, {change.resource_id: change.resource.cloud_id for change in batch})
        jobs = _find_jobs({name for each in names.values() for name in each}, min(since.values()))
        explained: dict[UUID, list[int]] = defaultdict(list)
        outside: list[int] = []
        for change in batch:
            at_work = (jobs[name] for name in sorted(names[change.resource_id]) if name in jobs)
            job = next((pk for pk, ended in at_work if ended is None or ended >= since[change.pk]), None)
            (outside if job is None else explained[job]).append(change.pk)
        ResourceChange.objects.filter(pk__in=outside).update(outside=True)
        for job, of_job in explained.items():
            ResourceChange.objects.filter(pk__in=of_job).update(outside=False, job_id=job)
        record_outside_events(account, type_code, outside)
        unexplained += len(outside)
    return unexplained


def find_previous_listing(account: CloudAccount, type_code: str, log_id: int) -> datetime:
    """Return when the last complete listing before a sync began; without one, when the account was entered."""
    before = SyncLog.objects.filter(
        account=account, type=type_code, state=SyncLog.State.SUCCESS, pk__lt=log_id
    )
    began: datetime | None = before.order_by("-pk").values_list("started_at", flat=True).first()
    return began or account.created_at


def _name_objects(target: SyncTarget, resources: Mapping[UUID, str]) -> dict[UUID, set[str]]:
    """Return by resource the ids of itself and of what it is directly linked with: those in the cloud and those of rows."""
    account_id, region, type_code = target
    cloud_ids: dict[UUID, set[str]] = {resource: {cloud_id} for resource, cloud_id in resources.items()}
    if type_code in CHANGED_TOGETHER:
        by_cloud_id = {cloud_id: resource for resource, cloud_id in resources.items()}
        links = ResourceLink.objects.filter(account=account_id, region=region).order_by()
        outgoing = links.filter(source__in=resources, target_type__in=CHANGED_TOGETHER)
        for resource, linked in outgoing.values_list("source_id", "target_cloud_id"):
            cloud_ids[resource].add(linked)
        incoming = links.filter(
            target_type=type_code, target_cloud_id__in=by_cloud_id, source__type__in=CHANGED_TOGETHER
        )
        for cloud_id, linked in incoming.values_list("target_cloud_id", "source__cloud_id"):
            cloud_ids[by_cloud_id[cloud_id]].add(linked)
    rows = find_row_ids({cloud_id for each in cloud_ids.values() for cloud_id in each})
    return {
        resource: each.union(*(rows[cloud_id] for cloud_id in each if cloud_id in rows))
        for resource, each in cloud_ids.items()
    }


def _find_jobs(names: Iterable[str], since: datetime) -> dict[str, tuple[UUID, datetime | None]]:
    """Return by id the job that names it and was the last to end, with its end; none that has ended before a time."""
    with connection.cursor() as cursor:
        cursor.execute(FIND_JOBS_AT_WORK, {"names": sorted(names), "since": since})
        return {name: (job, ended) for name, job, ended in cursor.fetchall()}
