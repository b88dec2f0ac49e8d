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
from ..registry import type_label
from ..schedules import TASK, schedule_name
from .freshness import freshness


@dataclass(frozen=True, slots=True)
class Picture:
    """The schedule of one account, and whether some type of it has not been synced for too long."""

    schedule: dict[str, Any] | None
    stale: bool
    synced_at: datetime | None


def pictures_of(accounts: Sequence[CloudAccount]) -> dict[int, Picture]:
    """The pictures of some accounts, by their keys: two queries."""
    names = {schedule_name(account.pk): account.pk for account in accounts}
    tasks = PeriodicTask.objects.filter(task=TASK, name__in=names).select_related("interval", "crontab")
    schedules = {names[task.name]: _schedule(task) for task in tasks}
    fresh = {one.account_id: one for one in freshness(list(names.values()))} if names else {}
    return {
        key: Picture(
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


def type_summaries(account: CloudAccount) -> list[TypeSummary]:
    """The types that are synced of an account, and those of which something was ever found: one query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH present AS (
                SELECT type, count(*) FILTER (WHERE expired_at IS NULL) AS resources
                FROM cloudaccounts_cloudresource WHERE account_id = %(account)s GROUP BY type
            ), shown AS (
                SELECT kind.code, kind."order" FROM cloudaccounts_resourcetype AS kind
                WHERE kind.provider = %(provider)s AND (
                    EXISTS (SELECT 1 FROM cloudaccounts_cloudaccount_resource_types AS chosen
                            WHERE chosen.cloudaccount_id = %(account)s AND chosen.resourcetype_id = kind.id)
                    OR NOT EXISTS (SELECT 1 FROM cloudaccounts_cloudaccount_resource_types AS chosen
                                   WHERE chosen.cloudaccount_id = %(account)s)
                    OR kind.code IN (SELECT type FROM present WHERE resources > 0))
            )
            SELECT shown.code, COALESCE(present.resources, 0), last.id, last.state, last.message, last.held_back,
                   last.ended_at, good.ended_at
            FROM shown LEFT JOIN present ON present.type = shown.code
            LEFT JOIN LATERAL (
                SELECT id, state, message, held_back, ended_at FROM cloudaccounts_synclog
                WHERE account_id = %(account)s AND type = shown.code ORDER BY id DESC LIMIT 1
            ) AS last ON true
            LEFT JOIN LATERAL (
                SELECT ended_at FROM cloudaccounts_synclog
                WHERE account_id = %(account)s AND type = shown.code AND state = 'success' ORDER BY id DESC LIMIT 1
            ) AS good ON true
            ORDER BY shown."order", shown.code
            """,
            {"account": account.pk, "provider": account.provider},
        )
        return [
            TypeSummary(code, type_label(account.provider, code), *rest) for code, *rest in cursor.fetchall()
        ]
