"""Reads of the schedules of accounts, and changes of them as an operator makes them."""

from __future__ import annotations

import json

from django_celery_beat.models import PeriodicTask

from cloudaccounts.models import CloudAccount
from cloudaccounts.schedules import TASK, build_schedule_name
from tasks.queues import change_schedule
from tests.factories import ScheduledAccountFactory

CHANGE = "admin:cloudaccounts_cloudaccount_change"


def get_schedule(account):
    return PeriodicTask.objects.select_related("interval").get(name=build_schedule_name(account.pk))


def list_account_schedules():
    return PeriodicTask.objects.filter(task=TASK)


def disable_schedule(account):
    """Disable the schedule as an operator does on the queue page."""
    change_schedule(schedule_id=get_schedule(account).pk, enabled=False)


def is_schedule_enabled(account):
    return get_schedule(account).enabled


def edit_account(account, **columns):
    """Change a freshly read account and save it."""
    fresh = CloudAccount.objects.get(pk=account.pk)
    for name, value in columns.items():
        setattr(fresh, name, value)
    fresh.save()


def build_accounts(count):
    return [ScheduledAccountFactory.build(name=f"many {number}") for number in range(count)]


def describe_schedule(account):
    """Return the columns of the schedule that the account determines."""
    schedule = get_schedule(account)
    return schedule.task, json.loads(schedule.args), schedule.interval.period, schedule.interval.every
