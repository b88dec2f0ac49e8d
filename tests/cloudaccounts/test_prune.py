"""Deletion of old sync logs, changes and expired resources."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from cloudaccounts.models import CloudResource, ResourceChange, SyncLog, SyncLogLine
from cloudaccounts.services import prune_history
from tests.factories import CloudResourceFactory, ScheduledAccountFactory

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def a_log(account, days, **columns):
    at = NOW - timedelta(days=days)
    columns = {"type": "flavor", "state": "success", "started_at": at, "ended_at": at, **columns}
    log = SyncLog.objects.create(account=account, **columns)
    SyncLogLine.objects.create(log=log, text="A line.")
    return log


def test_old_logs_are_deleted_except_the_last_success_of_each_type():
    account = ScheduledAccountFactory()
    gone = [a_log(account, 50), a_log(account, 41, state="failed"), a_log(account, 45)]
    kept = [
        a_log(account, 40),
        a_log(account, 90, type="image"),
        a_log(account, 35, type="image", state="failed", ended_at=NOW),
        a_log(account, 1),
        a_log(ScheduledAccountFactory(), 40),
        a_log(account, 60, type="port", state="running", ended_at=None),
    ]
    newest = a_log(account, 2)
    gone.append(kept.pop(0))

    prune_history(batch=2)

    assert set(SyncLog.objects.all()) == {*kept, newest}
    assert SyncLogLine.objects.count() == len(kept) + 1
    assert not SyncLog.objects.filter(pk__in=[log.pk for log in gone]).exists()


def test_old_changes_and_long_expired_resources_are_deleted():
    present = CloudResourceFactory()
    lately = CloudResourceFactory(expired_at=NOW - timedelta(days=3))
    long_ago = CloudResourceFactory(expired_at=NOW - timedelta(days=200))
    for resource in (present, lately, long_ago):
        for days in (1, 200):
            ResourceChange.objects.create(resource=resource, at=NOW - timedelta(days=days), fields={})

    prune_history(batch=1)

    assert set(CloudResource.objects.all()) == {present, lately}
    assert ResourceChange.objects.count() == 2
