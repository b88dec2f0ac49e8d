"""The schedule of each account: a `PeriodicTask` of beat that says when the account is synced.

`write_schedules` is the one function that writes them. The signal of a saved account calls it, whoever saves; the
sweep calls it for all accounts and repairs what the signal misses: bulk updates, SQL by hand, a deleted schedule.

An operator may change or disable a schedule on the queue page. That stays until the account's interval is edited. To
tell the two apart, a schedule remembers in its headers what was last written to it, so that the memory is lost together
with the schedule that it is about; the worker ignores these headers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models.signals import post_delete, post_save
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from .models import CloudAccount
from .queries import DELETE_SCHEDULES

TASK = "cloudaccounts.sync_account"
HEADER = "account_schedule"
# The columns of a schedule that are the account's to write.
_COLUMNS = (
    "enabled",
    "interval",
    "crontab",
    "solar",
    "clocked",
    "description",
    "expire_seconds",
    "last_run_at",
    "headers",
)


class _Memory(NamedTuple):
    """The interval that was last written, and whether an inactive account's schedule is to be enabled with it again."""

    minutes: int | None = None
    resume: bool | None = None


def build_schedule_name(account_id: int) -> str:
    """Return the name of an account's schedule."""
    return f"CloudAccount-{account_id}-sync"


def connect_receivers() -> None:
    """Connect the signals of saved and deleted accounts. Called once, from the room's `AppConfig.ready()`."""
    post_save.connect(_write_saved, sender=CloudAccount, dispatch_uid="cloudaccounts.schedules.saved")
    post_delete.connect(
        _delete_with_account, sender=CloudAccount, dispatch_uid="cloudaccounts.schedules.deleted"
    )


def _write_saved(instance: CloudAccount, *, raw: bool = False, **_signal: Any) -> None:
    if not raw:  # A fixture that is loaded brings its own schedules.
        write_schedules([instance.pk])


def _delete_with_account(instance: CloudAccount, **_signal: Any) -> None:
    _delete([build_schedule_name(instance.pk)])


def _delete(names: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(DELETE_SCHEDULES, [TASK, names])
        deleted = cursor.rowcount
    if deleted:
        PeriodicTasks.update_changed()


def write_schedules(account_ids: Iterable[int] | None = None) -> None:
    """Write the schedules of some accounts, or of all, in a fixed number of queries; a correct one is not written.

    With all, the schedules of accounts that are gone are deleted.

    Safe for two at once: each locks the accounts' rows first, in the order of their keys, so the second reads what the
    first has written. The schedules' rows are locked too, so a change on the queue page comes before or after, and is not
    overwritten.
    """
    with transaction.atomic():
        accounts = CloudAccount.objects.select_for_update(no_key=True).order_by("pk")
        if account_ids is not None:
            accounts = accounts.filter(pk__in=list(account_ids))
        by_name = {build_schedule_name(account.pk): account for account in accounts}
        tasks = (
            PeriodicTask.objects.select_for_update(of=("self",)).select_related("interval").filter(task=TASK)
        )
        if account_ids is not None:
            tasks = tasks.filter(name__in=by_name)
        present = {task.name: task for task in tasks}
        _write_differing(by_name, present)
        if account_ids is None and (surplus := present.keys() - by_name.keys()):
            _delete(sorted(surplus))


def _write_differing(accounts: dict[str, CloudAccount], present: dict[str, PeriodicTask]) -> None:
    """Create the schedules that are missing and update those that differ from their accounts."""
    intervals = _get_intervals({account.sync_interval_minutes or 1 for account in accounts.values()})
    created, changed = [], []
    for name, account in accounts.items():
        task = present.get(name)
        if task is None:
            if not account.sync_interval_minutes:
                continue
            task = PeriodicTask(
                name=name, task=TASK, args=f"[{account.pk}]", last_run_at=_spread_first_run(account)
            )
            created.append(task)
        before = _read_columns(task)
        _apply_account(account, task, intervals[account.sync_interval_minutes or 1])
        if task.pk and before != _read_columns(task):
            changed.append(task)
    if created:
        PeriodicTask.objects.bulk_create(created)
    if changed:
        PeriodicTask.objects.bulk_update(changed, list(_COLUMNS))
    if created or changed:
        PeriodicTasks.update_changed()


def _read_columns(task: PeriodicTask) -> list[Any]:
    return [getattr(task, name) for name in _COLUMNS]


def _apply_account(account: CloudAccount, task: PeriodicTask, interval: IntervalSchedule) -> None:
    """Set the columns of a schedule by its account; the caller saves."""
    memory = _read_memory(task)
    if account.sync_interval_minutes != memory.minutes:
        # The interval was edited, which overrides an operator's change of the schedule.
        task.interval, task.crontab, task.solar, task.clocked = interval, None, None, None
        # A message that no worker took within an interval is followed by the next one.
        task.expire_seconds = max(60, account.sync_interval_minutes * 60)
        task.enabled = account.sync_interval_minutes > 0
        memory = _Memory(account.sync_interval_minutes)
    if not account.active:
        if memory.resume is None:
            memory = memory._replace(resume=task.enabled)
        task.enabled = False
    elif memory.resume is not None:
        task.enabled, memory = memory.resume, memory._replace(resume=None)
    if task.enabled and task.last_run_at is None:
        # Disabling a schedule clears this column, without which beat cannot tell when it is due.
        task.last_run_at = timezone.now()
    task.description = account.name[:200]
    if memory != _read_memory(task):
        task.headers = json.dumps({HEADER: memory._asdict()})


def _read_memory(task: PeriodicTask) -> _Memory:
    """Return what a schedule remembers; nothing when its headers have been edited by hand."""
    try:
        return _Memory(**json.loads(task.headers or "{}").get(HEADER, {}))
    except (ValueError, TypeError, AttributeError):
        return _Memory()


def _spread_first_run(account: CloudAccount) -> datetime:
    """Return a last run for a new schedule: spread over the interval, so that 500 accounts do not sync at once."""
    seconds = max(1, account.sync_interval_minutes * 60)
    return timezone.now() - timedelta(seconds=account.pk * 37 % seconds)


def _get_intervals(minutes: set[int]) -> dict[int, IntervalSchedule]:
    """Return the rows of some intervals, by their minutes. Their table may hold two of one length: any will do."""
    present = IntervalSchedule.objects.filter(period=IntervalSchedule.MINUTES, every__in=minutes)
    found = {interval.every: interval for interval in present}
    for every in minutes - found.keys():
        found[every] = IntervalSchedule.objects.create(every=every, period=IntervalSchedule.MINUTES)
    return found
