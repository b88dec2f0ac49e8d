"""Schedules of accounts: dispatch by beat, repair by the sweep, and concurrent writes."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import DatabaseScheduler

from cloudaccounts import services, tasks
from cloudaccounts.models import CloudAccount, ResourceType, SyncLog
from cloudaccounts.registry import list_synced_types
from cloudaccounts.schedules import TASK, build_schedule_name
from portal.celery import app
from tests.cloudaccounts.schedule_checks import (
    build_accounts,
    describe_schedule,
    disable_schedule,
    edit_account,
    get_schedule,
    is_schedule_enabled,
    list_account_schedules,
)
from tests.conftest import flush_broker
from tests.factories import ScheduledAccountFactory

pytestmark = pytest.mark.django_db
CHANGE = "admin:cloudaccounts_cloudaccount_change"


# --- Beat --------------------------------------------------------------------------------------------------


def test_beat_is_notified_of_changes_only():
    account, made = ScheduledAccountFactory(), []
    changes = {
        "made": lambda: made.append(ScheduledAccountFactory()),
        "made in bulk": lambda: (CloudAccount.objects.bulk_create(build_accounts(1)), services.sweep_syncs()),
        "another interval": lambda: edit_account(account, sync_interval_minutes=3),
        "another interval in bulk": lambda: (
            CloudAccount.objects.update(sync_interval_minutes=4),
            services.sweep_syncs(),
        ),
        "off": lambda: edit_account(account, active=False),
        "on": lambda: edit_account(account, active=True),
        "on the queue page": lambda: disable_schedule(account),
        "deleted": lambda: CloudAccount.objects.get(pk=made[0].pk).delete(),
        "deleted in bulk": lambda: CloudAccount.objects.exclude(pk=account.pk).delete(),
        "healed": lambda: (get_schedule(account).delete(), _long_ago(), services.sweep_syncs()),
    }
    for what, change in changes.items():
        _long_ago()
        change()
        assert timezone.now() - PeriodicTasks.last_change() < timedelta(minutes=1), what
    quiet = {
        "saved as it is": lambda: edit_account(account),
        "another secret": lambda: edit_account(account, encrypted_secret="other"),
        "the sweep": services.sweep_syncs,
    }
    for what, change in quiet.items():
        _long_ago()
        change()
        assert timezone.now() - PeriodicTasks.last_change() > timedelta(hours=1), what


def _long_ago():
    PeriodicTasks.objects.update(last_update=timezone.now() - timedelta(days=1))


@pytest.fixture
def broker(transactional_db):
    """The broker, without messages."""
    flush_broker()
    with app.connection_for_read() as connection:
        yield connection
    flush_broker()


def test_schedule_dispatches_and_a_second_dispatch_joins(broker):
    account = ScheduledAccountFactory(sync_interval_minutes=7)
    account.resource_types.set(
        ResourceType.objects.filter(provider="openstack", code__in=["flavor", "network", "port"])
    )
    ScheduledAccountFactory(sync_interval_minutes=0)
    ScheduledAccountFactory(active=False)
    queue = broker.SimpleQueue("resources")

    def taken():
        try:
            return queue.get(block=False)
        except queue.Empty:
            return None

    def ring():
        """Let a beat tick until nothing is due, and do what it has rung for; what that was."""
        list_account_schedules().update(last_run_at=Now() - timedelta(minutes=8))
        beat = DatabaseScheduler(app=app)
        while beat.tick() == 0:
            pass
        rung = []
        while (message := taken()) is not None:
            message.ack()
            if message.headers["task"] == TASK:
                assert message.headers["expires"]
                (args, _kwargs, _embed) = message.payload
                rung.append(args)
                app.tasks[TASK](*args)
        return rung

    for _ in range(2):
        assert ring() == [[account.pk]]
        logs = SyncLog.objects.order_by("pk")
        assert [log.type for log in logs] == list_synced_types(account) == ["flavor", "network", "port"]
        assert {(log.account_id, log.state, log.asked_by_id) for log in logs} == {
            (account.pk, SyncLog.State.RUNNING, None)
        }
    assert get_schedule(account).last_run_at > timezone.now() - timedelta(minutes=1)
    assert get_schedule(account).total_run_count == 2


def test_account_disabled_after_the_dispatch_opens_no_log():
    account = ScheduledAccountFactory(active=False)

    tasks.sync_account(account.pk)
    tasks.sync_account(0)

    assert not SyncLog.objects.exists()


# --- What went wrong ---------------------------------------------------------------------------------------


def test_sweep_restores_a_deleted_schedule():
    account = ScheduledAccountFactory(sync_interval_minutes=7)
    list_account_schedules().delete()

    services.sweep_syncs()

    assert is_schedule_enabled(account)
    assert describe_schedule(account)[3] == 7


def test_schedule_deleted_while_disabled_is_restored_with_the_account():
    account = ScheduledAccountFactory()
    edit_account(account, active=False)
    list_account_schedules().delete()

    services.sweep_syncs()
    assert not is_schedule_enabled(account)
    edit_account(account, active=True)
    assert is_schedule_enabled(account)


def test_sweep_restores_schedules_of_a_deleted_interval():
    account = ScheduledAccountFactory(sync_interval_minutes=7)
    IntervalSchedule.objects.all().delete()
    assert not list_account_schedules().exists()

    services.sweep_syncs()

    assert describe_schedule(account)[3] == 7


def test_sweep_repairs_changes_by_sql():
    account, gone = ScheduledAccountFactory(), ScheduledAccountFactory(grants=False)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE cloudaccounts_cloudaccount SET sync_interval_minutes = 42 WHERE id = %s", [account.pk]
        )
        cursor.execute("DELETE FROM cloudaccounts_cloudaccount WHERE id = %s", [gone.pk])
    somebody_elses = PeriodicTask.objects.create(
        name=build_schedule_name(0), task="another.task", interval=get_schedule(account).interval
    )

    services.sweep_syncs()

    assert list(list_account_schedules()) == [get_schedule(account)]
    assert describe_schedule(account)[3] == 42
    assert PeriodicTask.objects.filter(pk=somebody_elses.pk).exists()


def test_duplicate_intervals_are_tolerated():
    for _ in range(3):
        IntervalSchedule.objects.create(every=7, period=IntervalSchedule.MINUTES)
    account = ScheduledAccountFactory(sync_interval_minutes=7)
    edit_account(account, name="other")
    _long_ago()
    for _ in range(3):
        services.sweep_syncs()

    assert describe_schedule(account)[3] == 7
    assert list_account_schedules().count() == 1
    assert timezone.now() - PeriodicTasks.last_change() > timedelta(hours=1), "any will do"


# --- Two at once -------------------------------------------------------------------------------------------


def at_once(*works):
    """Do things in threads of their own, begun at the same moment; what went wrong."""
    start, problems = threading.Barrier(len(works)), []

    def one(work):
        try:
            start.wait(10)
            for _ in range(5):
                work()
        except Exception as problem:  # noqa: BLE001 - told to the test.
            problems.append(problem)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return problems


@pytest.mark.django_db(transaction=True)
def test_concurrent_saves_create_one_schedule():
    account = ScheduledAccountFactory()

    def saves(minutes):
        def work():
            list_account_schedules()._raw_delete("default")
            edit_account(account, sync_interval_minutes=minutes)

        return work

    assert at_once(saves(3), saves(4), services.sweep_syncs, saves(3)) == []

    services.sweep_syncs()
    assert list_account_schedules().count() == 1
    assert describe_schedule(account)[3] == CloudAccount.objects.get().sync_interval_minutes


@pytest.mark.django_db(transaction=True)
def test_concurrent_saves_deletions_and_sweeps_leave_correct_schedules():
    made = CloudAccount.objects.bulk_create(build_accounts(6))

    def gone_and_made():
        CloudAccount.objects.filter(pk__in=CloudAccount.objects.order_by("-pk").values("pk")[:1]).delete()
        ScheduledAccountFactory()

    problems = at_once(
        lambda: edit_account(made[1], sync_interval_minutes=3),
        lambda: edit_account(made[0], sync_interval_minutes=4),
        services.sweep_syncs,
        services.sweep_syncs,
        gone_and_made,
    )

    assert problems == []
    services.sweep_syncs()
    assert {schedule.name for schedule in list_account_schedules()} == {
        build_schedule_name(a.pk) for a in CloudAccount.objects.all()
    }
    for account in CloudAccount.objects.all():
        assert describe_schedule(account)[3] == account.sync_interval_minutes


@pytest.mark.django_db(transaction=True)
def test_operators_change_during_a_write_is_kept(monkeypatch):
    from cloudaccounts import schedules

    account = ScheduledAccountFactory()
    thread = threading.Thread(target=lambda: (disable_schedule(account), connection.close()))
    write = schedules._write_differing

    def slowly(*args):
        thread.start()
        thread.join(0.5)
        write(*args)

    monkeypatch.setattr(schedules, "_write_differing", slowly)
    edit_account(account, name="other")
    thread.join(10)

    assert not is_schedule_enabled(account)
