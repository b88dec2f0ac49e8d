"""Changes of resources, with the tasks that explain them as far as a reader may see those."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from tasks.models import Job
from tenants.scoping import Scope

from ..models import ResourceChange


def find_visible_jobs(scope: Scope, changes: Iterable[ResourceChange]) -> set[UUID]:
    """Return the ids of the jobs that explain changes, without deleted ones and those of other tenants."""
    ids = {change.job_id for change in changes if change.job_id}
    if not ids:
        return set()
    return set(Job.objects.within(scope).filter(pk__in=ids).order_by().values_list("pk", flat=True))
