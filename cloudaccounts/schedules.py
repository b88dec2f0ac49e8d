"""The schedule of each account: beat's `PeriodicTask`, kept in step with what the account says.

A saved account writes its schedule in the same transaction, whoever saved it: the receivers below hear of single rows,
and bulk writes of the model's own queryset call `keep_in_step` themselves. What got past both (SQL by hand) is found by
the sweep, which compares all of them.

What an operator did to a schedule on the queue page is respected: the account remembers which interval it wrote last,
and writes again only when that has been edited.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.signals import post_delete, post_save
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from .models import CloudAccount

TASK = "cloudaccounts.sync_account"
# What of a schedule is ours to write.
_WRITTEN = (
    "enabled",
    "interval",
    "crontab",
    "solar",
    "clocked",
    "description",
    "expire_seconds",
    "last_run_at",
)


def schedule_name(account_id: int) -> str:
    """What the schedule of an account is called."""
    return f"CloudAccount-{account_id}-sync"


def connect_receivers() -> None:
    """Hear of every account that is saved or deleted. Called once, from the room's `AppConfig.ready()`."""
    post_save.connect(_saved, sender=CloudAccount, dispatch_uid="cloudaccounts.schedules.saved")
    post_delete.connect(_deleted, sender=CloudAccount, dispatch_uid="cloudaccounts.schedules.deleted")


def _saved(instance: CloudAccount, *, raw: bool = False, **_more: Any) -> None:
    if not raw:  # A fixture being loaded brings its own schedules.
        keep_in_step([instance.pk])


def _deleted(instance: CloudAccount, *, origin: Any = None, **_more: Any) -> None:
    if not (
        isinstance(origin, QuerySet) and origin.model is CloudAccount
    ):  # That one sees to all of its rows at once.
        forget([instance.pk])


def forget(account_ids: Iterable[int]) -> None:
    """Remove the schedules of accounts that have been deleted; a fixed number of queries."""
    _remove([schedule_name(account_id) for account_id in account_ids])


def _remove(names: list[str]) -> None:
    with connection.cursor() as cursor:
        # Not by the model: that tells beat, with several statements, for each row.
        cursor.execute(
            "DELETE FROM django_celery_beat_periodictask WHERE task = %s AND name = ANY(%s)", [TASK, names]
        )
        removed = cursor.rowcount
    if removed:
        PeriodicTasks.update_changed()


def keep_in_step(account_ids: Iterable[int] | None = None) -> None:
    """Bring the schedules of some accounts, or of all, to what the accounts say; a fixed number of queries.

    Of all: also those are removed whose account is gone. Safe for two at once: each locks the accounts' rows first, in
    the order of their keys, so the second sees what the first has written. The schedules' rows are locked too: who
    changes one on the queue page comes before or after, and is not overwritten.
    """
    with transaction.atomic():
        accounts = CloudAccount.objects.select_for_update(no_key=True).order_by("pk")
        if account_ids is not None:
            accounts = accounts.filter(pk__in=list(account_ids))
        wanted = {schedule_name(account.pk): account for account in accounts}
        tasks = (
            PeriodicTask.objects.select_for_update(of=("self",)).select_related("interval").filter(task=TASK)
        )
        if account_ids is not None:
            tasks = tasks.filter(name__in=wanted)
        there = {task.name: task for task in tasks}
        _write(wanted, there)
        if account_ids is None and (gone := there.keys() - wanted.keys()):
            _remove(sorted(gone))


def _write(accounts: dict[str, CloudAccount], there: dict[str, PeriodicTask]) -> None:
    """Make, change and remember what differs; a schedule that is as it should be is not written."""
    intervals = _intervals({account.sync_interval_minutes or 1 for account in accounts.values()})
    new, changed, remembered = [], [], []
    for name, account in accounts.items():
        minutes = account.sync_interval_minutes
        memory = (account.scheduled_minutes, account.resume_schedule)
        task = there.get(name)
        if task is None:
            if not minutes and account.scheduled_minutes in {None, 0}:
                continue
            task = PeriodicTask(name=name, task=TASK, args=f"[{account.pk}]", last_run_at=_due(account))
            new.append(task)
            account.scheduled_minutes = None
        before = _columns(task)
        _say(account, task, intervals[minutes or 1])
        if task.pk and before != _columns(task):
            changed.append(task)
        if memory != (account.scheduled_minutes, account.resume_schedule):
            remembered.append(account)
    if new:
        PeriodicTask.objects.bulk_create(new)
    if changed:
        PeriodicTask.objects.bulk_update(changed, list(_WRITTEN))
    if new or changed:
        PeriodicTasks.update_changed()
    if remembered:
        CloudAccount.objects.bulk_update(remembered, ["scheduled_minutes", "resume_schedule"])


def _columns(task: PeriodicTask) -> list[Any]:
    return [getattr(task, name) for name in _WRITTEN]


def _say(account: CloudAccount, task: PeriodicTask, interval: IntervalSchedule) -> None:
    """Write into the schedule what the account says, and into the account what was written."""
    if account.sync_interval_minutes != account.scheduled_minutes:
        # Edited: that is somebody's word on whether and how often.
        task.interval, task.crontab, task.solar, task.clocked = interval, None, None, None
        # A message that nobody took within an interval is followed by the next one.
        task.expire_seconds = max(60, account.sync_interval_minutes * 60)
        task.enabled = account.sync_interval_minutes > 0
        account.scheduled_minutes = account.sync_interval_minutes
        account.resume_schedule = None
    if not account.active:
        if account.resume_schedule is None:
            account.resume_schedule = task.enabled
        task.enabled = False
    elif account.resume_schedule is not None:
        task.enabled, account.resume_schedule = account.resume_schedule, None
    if task.enabled and task.last_run_at is None:
        # A schedule that is switched off forgets it, and nobody could tell when it is due.
        task.last_run_at = timezone.now()
    task.description = account.name[:200]


def _due(account: CloudAccount) -> Any:
    """When a new schedule counts as last run: spread over the interval, so that 500 accounts do not sync at one moment."""
    seconds = max(1, account.sync_interval_minutes * 60)
    return timezone.now() - timedelta(seconds=account.pk * 37 % seconds)


def _intervals(minutes: set[int]) -> dict[int, IntervalSchedule]:
    """The rows of some intervals. There may be two of one length, as nothing in their table forbids it: any will do."""
    rows = IntervalSchedule.objects.filter(period=IntervalSchedule.MINUTES, every__in=minutes)
    found = {row.every: row for row in rows}
    for every in minutes - found.keys():
        found[every] = IntervalSchedule.objects.create(every=every, period=IntervalSchedule.MINUTES)
    return found
