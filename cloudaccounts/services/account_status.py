"""The status of accounts for pages and API: schedule, staleness, and the last sync of each type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django_celery_beat.models import PeriodicTask

from api.messages import decode_message
from tasks.queues import next_run_at

from ..models import CloudAccount
from ..queries import SUMMARIZE_TYPES
from ..registry import type_label
from ..schedules import TASK, build_schedule_name
from .freshness import measure_staleness


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The schedule of an account, and whether one of its types is out of date."""

    schedule: dict[str, Any] | None
    stale: bool
    synced_at: datetime | None


def load_account_statuses(accounts: Sequence[CloudAccount]) -> dict[int, AccountStatus]:
    """Load the status of some accounts, by their keys: two queries."""
    names = {build_schedule_name(account.pk): account.pk for account in accounts}
    tasks = PeriodicTask.objects.filter(task=TASK, name__in=names).select_related("interval", "crontab")
    schedules = {names[task.name]: _describe_schedule(task) for task in tasks}
    measured = measure_staleness(list(names.values())) if names else []
    staleness_by_id = {staleness.account_id: staleness for staleness in measured}
    return {
        key: AccountStatus(
            schedules.get(key),
            stale=key in staleness_by_id and staleness_by_id[key].stale,
            synced_at=staleness_by_id[key].synced_at if key in staleness_by_id else None,
        )
        for key in names.values()
    }


def _describe_schedule(task: PeriodicTask) -> dict[str, Any]:
    # The last run of a new schedule is only the start of its first interval: it has not run yet.
    last_run_at = task.last_run_at if task.total_run_count else None
    return {"enabled": task.enabled, "last_run_at": last_run_at, "next_run_at": next_run_at(task)}


@dataclass(frozen=True, slots=True)
class TypeSummary:
    """One type of an account: the number of resources, the last log (None without one), and the last success."""

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
    """Summarize the types that are synced of an account, and those with resources: one query."""
    with connection.cursor() as cursor:
        cursor.execute(
            SUMMARIZE_TYPES,
            {"account": account.pk, "provider": account.provider},
        )
        return [
            TypeSummary(
                code,
                type_label(account.provider, code),
                resources,
                log_id,
                state,
                None if message is None else decode_message(message),
                *rest,
            )
            for code, resources, log_id, state, message, *rest in cursor.fetchall()
        ]
