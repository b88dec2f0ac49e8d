"""Each account has its schedule, whoever writes the account and however; what an operator did to it stays."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule

from cloudaccounts.models import CloudAccount
from cloudaccounts.schedules import keep_in_step, schedule_name
from tests.cloudaccounts.scheduled import edit, is_on, new_accounts, ours, said, schedule_of
from tests.factories import CloudAccountFactory

pytestmark = pytest.mark.django_db
CHANGE = "admin:cloudaccounts_cloudaccount_change"


# --- One account -------------------------------------------------------------------------------------------


def test_saving_an_account_makes_its_schedule():
    account = CloudAccountFactory(sync_interval_minutes=7)

    (schedule,) = ours()
    assert schedule.name == f"CloudAccount-{account.pk}-sync"
    assert said(account) == ("cloudaccounts.sync_account", [account.pk], IntervalSchedule.MINUTES, 7)
    assert schedule.enabled
    assert schedule.expire_seconds == 7 * 60
    assert timezone.now() - timedelta(minutes=7) <= schedule.last_run_at <= timezone.now()


def test_another_interval_and_name_are_written():
    account = CloudAccountFactory(sync_interval_minutes=7)
    edit(account, sync_interval_minutes=30, name="Renamed")

    assert said(account)[2:] == (IntervalSchedule.MINUTES, 30)
    assert schedule_of(account).description == "Renamed"
    assert ours().count() == 1


def test_an_interval_of_nothing_switches_it_off_and_a_new_one_on():
    account = CloudAccountFactory(sync_interval_minutes=7)
    edit(account, sync_interval_minutes=0)
    assert not is_on(account)

    edit(account, sync_interval_minutes=7)
    assert is_on(account)
    assert said(account)[3] == 7


def test_an_account_that_begins_without_an_interval_has_no_schedule_that_rings():
    account = CloudAccountFactory(sync_interval_minutes=0)
    assert not ours().filter(enabled=True).exists()

    edit(account, sync_interval_minutes=5)
    assert is_on(account)


def test_an_inactive_account_is_not_rung_for_and_an_active_one_is_again():
    account = CloudAccountFactory(sync_interval_minutes=7)
    before = said(account)
    edit(account, active=False)
    assert not is_on(account)

    edit(account, active=True)
    assert is_on(account)
    assert said(account) == before


def test_an_account_that_begins_inactive_is_rung_for_once_it_is_active():
    account = CloudAccountFactory(active=False)
    assert not is_on(account)

    edit(account, active=True)
    assert is_on(account)


def test_an_interval_edited_while_it_is_inactive_counts_from_then_on():
    account = CloudAccountFactory(sync_interval_minutes=7)
    edit(account, active=False)
    edit(account, sync_interval_minutes=9)
    assert not is_on(account)

    edit(account, active=True)
    assert is_on(account)
    assert said(account)[3] == 9


def test_a_deleted_account_takes_its_schedule_along():
    account, other = CloudAccountFactory(), CloudAccountFactory()

    CloudAccount.objects.get(pk=account.pk).delete()

    assert list(ours()) == [schedule_of(other)]


def test_a_save_that_is_rolled_back_leaves_no_schedule():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        CloudAccountFactory()
        assert ours().exists()
        _ = 1 / 0
    assert not ours().exists()


@pytest.mark.django_db(transaction=True)
def test_a_schedule_that_cannot_be_written_takes_the_save_back(monkeypatch):
    from cloudaccounts import schedules

    account = CloudAccountFactory(name="before")
    monkeypatch.setattr(schedules, "_write", lambda *_args: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        edit(account, name="after")

    assert CloudAccount.objects.get(pk=account.pk).name == "before"


# --- Many at once ------------------------------------------------------------------------------------------


def test_bulk_create_makes_schedules():
    made = CloudAccount.objects.bulk_create(new_accounts(3))

    assert {schedule.name for schedule in ours().filter(enabled=True)} == {schedule_name(a.pk) for a in made}


@pytest.mark.parametrize(
    ("values", "enabled", "minutes"),
    [
        ({"sync_interval_minutes": 45}, True, 45),
        ({"sync_interval_minutes": 0}, False, 10),
        ({"active": False}, False, 10),
        ({"access_id": "other"}, True, 10),
    ],
)
def test_update_changes_the_schedules_of_what_it_changes(values, enabled, minutes):
    made = CloudAccount.objects.bulk_create(new_accounts(3))
    others = CloudAccount.objects.filter(pk__in=[made[0].pk, made[1].pk])

    assert others.update(**values) == 2

    for account in made[:2]:
        assert is_on(account) == enabled
        if enabled:
            assert said(account)[3] == minutes
    assert is_on(made[2])
    assert said(made[2])[3] == 10


def test_update_finds_what_its_own_filter_no_longer_shows():
    account = CloudAccountFactory()

    CloudAccount.objects.filter(active=True).update(active=False)
    assert not is_on(account)

    CloudAccount.objects.filter(active=False).update(active=True)
    assert is_on(account)


def test_bulk_update_changes_the_schedules():
    made = CloudAccount.objects.bulk_create(new_accounts(3))
    for account in made[:2]:
        account.sync_interval_minutes, account.name = 45, f"new {account.pk}"

    CloudAccount.objects.bulk_update(made[:2], ["sync_interval_minutes", "name"])

    assert [said(account)[3] for account in made] == [45, 45, 10]
    assert schedule_of(made[0]).description == f"new {made[0].pk}"


def test_deleting_a_queryset_takes_the_schedules_along():
    made = CloudAccount.objects.bulk_create(new_accounts(3))

    CloudAccount.objects.filter(pk__in=[made[0].pk, made[2].pk]).delete()

    assert list(ours()) == [schedule_of(made[1])]


def test_a_bulk_write_that_is_rolled_back_leaves_the_schedules():
    account = CloudAccountFactory()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        CloudAccount.objects.update(sync_interval_minutes=33)
        CloudAccount.objects.bulk_create(new_accounts(2))
        CloudAccount.objects.filter(pk=account.pk).delete()
        assert ours().count() == 2
        _ = 1 / 0
    assert list(ours()) == [schedule_of(account)]
    assert said(account)[3] == 10


def statements(work):
    with CaptureQueriesContext(connection) as captured:
        work()
    return len(captured)


def test_five_hundred_that_are_saved_have_five_hundred_schedules_and_leave_none():
    for account in new_accounts(500):
        account.save()
    assert ours().filter(enabled=True).count() == 500

    # Django itself deletes by the hundred, so those of its statements grow a little.
    assert statements(CloudAccount.objects.all().delete) < 40

    assert not ours().exists()


def test_five_hundred_that_are_made_in_bulk_have_five_hundred_schedules_and_leave_none():
    CloudAccount.objects.bulk_create(new_accounts(1))  # With the first one, the interval itself is written.
    CloudAccount.objects.all().delete()
    few = [
        statements(lambda: CloudAccount.objects.bulk_create(new_accounts(2))),
        statements(lambda: CloudAccount.objects.update(sync_interval_minutes=60)),
        statements(keep_in_step),
    ]
    CloudAccount.objects.all().delete()

    many = [
        statements(lambda: CloudAccount.objects.bulk_create(new_accounts(500))),
        statements(lambda: CloudAccount.objects.update(sync_interval_minutes=61)),
        statements(keep_in_step),
    ]

    assert many == few
    assert ours().filter(enabled=True, interval__every=61).count() == 500
    for account in CloudAccount.objects.all()[:50]:
        account.delete()
    assert ours().count() == 450
    CloudAccount.objects.all().delete()
    assert not ours().exists()
