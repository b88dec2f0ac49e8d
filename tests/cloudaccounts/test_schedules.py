"""Schedules follow their accounts, however these are written, and keep an operator's changes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule

from cloudaccounts.models import CloudAccount
from cloudaccounts.schedules import build_schedule_name, write_schedules
from tests.cloudaccounts.schedule_checks import (
    build_accounts,
    describe_schedule,
    edit_account,
    get_schedule,
    is_schedule_enabled,
    list_account_schedules,
)
from tests.factories import ScheduledAccountFactory

pytestmark = pytest.mark.django_db
CHANGE = "admin:cloudaccounts_cloudaccount_change"


# --- One account -------------------------------------------------------------------------------------------


def test_saving_an_account_creates_its_schedule():
    account = ScheduledAccountFactory(sync_interval_minutes=7)

    (schedule,) = list_account_schedules()
    assert schedule.name == f"CloudAccount-{account.pk}-sync"
    assert describe_schedule(account) == (
        "cloudaccounts.sync_account",
        [account.pk],
        IntervalSchedule.MINUTES,
        7,
    )
    assert schedule.enabled
    assert schedule.expire_seconds == 7 * 60
    assert timezone.now() - timedelta(minutes=7) <= schedule.last_run_at <= timezone.now()


def test_changed_interval_and_name_are_written():
    account = ScheduledAccountFactory(sync_interval_minutes=7)
    edit_account(account, sync_interval_minutes=30, name="Renamed")

    assert describe_schedule(account)[2:] == (IntervalSchedule.MINUTES, 30)
    assert get_schedule(account).description == "Renamed"
    assert list_account_schedules().count() == 1


def test_interval_zero_disables_the_schedule_and_a_new_one_enables_it():
    account = ScheduledAccountFactory(sync_interval_minutes=7)
    edit_account(account, sync_interval_minutes=0)
    assert not is_schedule_enabled(account)

    edit_account(account, sync_interval_minutes=7)
    assert is_schedule_enabled(account)
    assert describe_schedule(account)[3] == 7


def test_account_without_an_interval_has_no_schedule():
    account = ScheduledAccountFactory(sync_interval_minutes=0)
    assert not list_account_schedules().filter(enabled=True).exists()

    edit_account(account, sync_interval_minutes=5)
    assert is_schedule_enabled(account)


def test_schedule_follows_the_account_being_active():
    account = ScheduledAccountFactory(sync_interval_minutes=7)
    before = describe_schedule(account)
    edit_account(account, active=False)
    assert not is_schedule_enabled(account)

    edit_account(account, active=True)
    assert is_schedule_enabled(account)
    assert describe_schedule(account) == before


def test_account_created_inactive_is_scheduled_once_active():
    account = ScheduledAccountFactory(active=False)
    assert not is_schedule_enabled(account)

    edit_account(account, active=True)
    assert is_schedule_enabled(account)


def test_interval_edited_while_inactive_applies_later():
    account = ScheduledAccountFactory(sync_interval_minutes=7)
    edit_account(account, active=False)
    edit_account(account, sync_interval_minutes=9)
    assert not is_schedule_enabled(account)

    edit_account(account, active=True)
    assert is_schedule_enabled(account)
    assert describe_schedule(account)[3] == 9


def test_deleting_an_account_deletes_its_schedule():
    account, other = ScheduledAccountFactory(), ScheduledAccountFactory()

    CloudAccount.objects.get(pk=account.pk).delete()

    assert list(list_account_schedules()) == [get_schedule(other)]


def test_rolled_back_save_leaves_no_schedule():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        ScheduledAccountFactory()
        assert list_account_schedules().exists()
        _ = 1 / 0
    assert not list_account_schedules().exists()


@pytest.mark.django_db(transaction=True)
def test_failed_write_of_the_schedule_rolls_the_change_back(monkeypatch):
    from cloudaccounts import schedules

    account = ScheduledAccountFactory(name="before")
    monkeypatch.setattr(schedules, "_write_differing", lambda *_args: 1 / 0)

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        edit_account(account, name="after")

    assert CloudAccount.objects.get(pk=account.pk).name == "before"


# --- Many at once: bulk writes send no signal, so the next sweep writes the schedules -------------------------


def test_sweep_creates_schedules_after_bulk_create():
    made = CloudAccount.objects.bulk_create(build_accounts(3))

    write_schedules()

    names = {build_schedule_name(account.pk) for account in made}
    assert {schedule.name for schedule in list_account_schedules().filter(enabled=True)} == names


@pytest.mark.parametrize(
    ("values", "enabled", "minutes"),
    [
        ({"sync_interval_minutes": 45}, True, 45),
        ({"sync_interval_minutes": 0}, False, 10),
        ({"active": False}, False, 10),
        ({"access_id": "other"}, True, 10),
    ],
)
def test_sweep_updates_schedules_after_a_bulk_update(values, enabled, minutes):
    changed, other = [ScheduledAccountFactory(), ScheduledAccountFactory()], ScheduledAccountFactory()
    CloudAccount.objects.filter(pk__in=[account.pk for account in changed]).update(**values)

    write_schedules()

    for account in changed:
        assert is_schedule_enabled(account) == enabled
        if enabled:
            assert describe_schedule(account)[3] == minutes
    assert is_schedule_enabled(other)
    assert describe_schedule(other)[3] == 10


def test_deleting_a_queryset_deletes_the_schedules():
    made = [ScheduledAccountFactory() for _ in range(3)]

    CloudAccount.objects.filter(pk__in=[made[0].pk, made[2].pk]).delete()

    assert list(list_account_schedules()) == [get_schedule(made[1])]


def test_rolled_back_deletion_keeps_the_schedules():
    account = ScheduledAccountFactory()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        CloudAccount.objects.filter(pk=account.pk).delete()
        assert not list_account_schedules().exists()
        _ = 1 / 0
    assert list(list_account_schedules()) == [get_schedule(account)]


def statements(work):
    with CaptureQueriesContext(connection) as captured:
        work()
    return len(captured)


def test_sweep_takes_a_fixed_number_of_statements():
    ScheduledAccountFactory()  # With the first one, the interval itself is written.

    def counted(count):
        CloudAccount.objects.all().delete()
        CloudAccount.objects.bulk_create(build_accounts(count))
        created = statements(write_schedules)
        CloudAccount.objects.update(sync_interval_minutes=60 + count)
        changed = statements(write_schedules)
        return created, changed, statements(write_schedules)

    assert counted(2) == counted(500)
    assert (
        list_account_schedules().filter(enabled=True, interval__every=560).count()
        == CloudAccount.objects.count()
    )
