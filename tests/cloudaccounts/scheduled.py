"""How tests look at the schedules of accounts, and change them as an operator does."""

from __future__ import annotations

import json

from django_celery_beat.models import PeriodicTask

from cloudaccounts.models import CloudAccount
from cloudaccounts.schedules import TASK, build_schedule_name
from tasks.queues import change_schedule
from tests.factories import CloudAccountFactory

CHANGE = "admin:cloudaccounts_cloudaccount_change"


def schedule_of(account):
    return PeriodicTask.objects.select_related("interval").get(name=build_schedule_name(account.pk))


def ours():
    return PeriodicTask.objects.filter(task=TASK)


def switch_off(account):
    """As an operator does it on the queue page."""
    change_schedule(schedule_id=schedule_of(account).pk, enabled=False)


def is_on(account):
    return schedule_of(account).enabled


def edit(account, **columns):
    """As who has just read the row does it."""
    fresh = CloudAccount.objects.get(pk=account.pk)
    for name, value in columns.items():
        setattr(fresh, name, value)
    fresh.save()


def new_accounts(count):
    return [CloudAccountFactory.build(name=f"many {number}") for number in range(count)]


def said(account):
    """What of a schedule follows from the account."""
    schedule = schedule_of(account)
    return schedule.task, json.loads(schedule.args), schedule.interval.period, schedule.interval.every
