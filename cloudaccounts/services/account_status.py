"""What is shown beside accounts: their schedules, whether they are stale, and how each type was synced last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django_celery_beat.models import PeriodicTask

from tasks.queues import next_run_at

from ..models import CloudAccount
from ..queries import SUMMARIZE_TYPES
from ..registry import type_label
from ..schedules import TASK, build_schedule_name
from .freshness import freshness


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The schedule of one account, and whether some type of it has not been synced for too long."""

    schedule: dict[str, Any] | None
    stale: bool
    synced_at: datetime | None


def load_account_statuses(accounts: Sequence[CloudAccount]) -> dict[int, AccountStatus]:
    """The pictures of some accounts, by their keys: two queries."""
    names = {build_schedule_name(account.pk): account.pk for account in accounts}
    tasks = PeriodicTask.objects.filter(task=TASK, name__in=names).select_related("interval", "crontab")
    schedules = {names[task.name]: _schedule(task) for task in tasks}
    fresh = {one.account_id: one for one in freshness(list(names.values()))} if names else {}
    return {
        key: AccountStatus(
            schedules.get(key),
            stale=key in fresh and fresh[key].stale,
            synced_at=fresh[key].synced_at if key in fresh else None,
        )
        for key in names.values()
    }


def _schedule(task: PeriodicTask) -> dict[str, Any]:
    # A new schedule has a time to count from, at which it did not run.
    last_run_at = task.last_run_at if task.total_run_count else None
    return {"enabled": task.enabled, "last_run_at": last_run_at, "next_run_at": next_run_at(task)}


@dataclass(frozen=True, slots=True)
class TypeSummary:
    """One type of an account: how many are there, its last log (None: there was none), and its last success."""

    type: str
    label: str
    resources: int
    log: int | None
    state: str | None
    message: str | None
    held_back: int | None
    ended_at: datetime | None
    synced_at: datetime | None


def summarize_types(account: CloudAccount) -> list[TypeSummary]:
    """The types that are synced of an account, and those of which something was ever found: one query."""
    with connection.cursor() as cursor:
        cursor.execute(
            SUMMARIZE_TYPES,
            {"account": account.pk, "provider": account.provider},
        )
        return [
            TypeSummary(code, type_label(account.provider, code), *rest) for code, *rest in cursor.fetchall()
        ]
