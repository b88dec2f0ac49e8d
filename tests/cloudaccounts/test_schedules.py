"""Each account has its schedule, whoever writes the account and however; what an operator did to it stays."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import DatabaseScheduler

from cloudaccounts import services, tasks
from cloudaccounts.models import CloudAccount, ResourceType, SyncLog
from cloudaccounts.registry import types_of
from cloudaccounts.schedules import TASK, keep_in_step, schedule_name
from portal.api.scoping import Role
from portal.celery import app
from tasks.queues import change_schedule
from tests.conftest import flush_broker
from tests.factories import CloudAccountFactory, MembershipFactory, UserFactory
from tests.working import work

pytestmark = pytest.mark.django_db
CHANGE = "admin:cloudaccounts_cloudaccount_change"


def schedule_of(account):
    return PeriodicTask.objects.select_related("interval").get(name=schedule_name(account.pk))


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


# --- People ------------------------------------------------------------------------------------------------


def test_the_form_of_the_admin_writes_the_schedule(client):
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    account = CloudAccountFactory()
    account.set_secret("secret")
    account.save()
    names = ("name", "provider", "auth_url", "credential_kind", "access_id", "project")
    fields = {name: getattr(account, name) for name in names}
    fields |= {"regions": "[]", "user_domain": "Default", "project_domain": "Default", "secret": ""}

    def sent(**changed):
        answer = client.post(reverse(CHANGE, args=[account.pk]), {**fields, **changed})
        assert answer.status_code == 302, answer.context["errors"]

    sent(active="on", sync_interval_minutes="25")
    assert (is_on(account), said(account)[3]) == (True, 25)
    switch_off(account)
    sent(active="on", sync_interval_minutes="25", name="renamed", secret="other")
    assert not is_on(account), "a form that leaves the interval as it was switches nothing on"
    sent(active="on", sync_interval_minutes="26")
    assert is_on(account)
    sent(sync_interval_minutes="26")
    assert not is_on(account), "no longer active"


@pytest.mark.django_db(transaction=True)
def test_rest_writes_changes_and_removes_the_schedule(client, cloud):
    member = MembershipFactory(role=Role.ADMIN)
    client.force_login(member.user)
    fields = {
        "name": "by REST",
        "auth_url": cloud.auth_url,
        "credential_kind": "password",
        "access_id": "demo",
        "secret": "demo",
        "project": "demo",
        "sync_interval_minutes": 15,
    }
    answer = client.post("/api/v1/cloud-accounts/", fields, content_type="application/json")
    assert answer.status_code == 202, answer.content
    account = CloudAccount.objects.get()
    assert answer.json()["account"]["schedule"]["enabled"]
    assert said(account)[3] == 15
    path = f"/api/v1/cloud-accounts/{account.pk}/"

    def patched(**changed):
        assert client.patch(path, changed, content_type="application/json").status_code in {200, 202}

    patched(sync_interval_minutes=20)
    assert said(account)[3] == 20
    switch_off(account)
    patched(name="renamed", secret="another")
    assert not is_on(account)
    patched(active=False)
    patched(active=True)
    assert not is_on(account)
    patched(sync_interval_minutes=0)
    patched(sync_interval_minutes=20)
    assert is_on(account)
    shown = client.get(path).json()["schedule"]
    assert shown["enabled"]
    assert shown["next_run_at"]
    work(30)
    assert client.delete(path).status_code == 202
    work(30)
    assert not CloudAccount.objects.exists()
    assert not ours().exists()


def test_a_switch_off_on_the_queue_page_stays_until_the_interval_is_edited(client):
    client.force_login(UserFactory(is_staff=True))
    account = CloudAccountFactory()
    path = f"/api/v1/queue/schedules/{schedule_of(account).pk}/"

    def patched(**changed):
        assert client.patch(path, changed, content_type="application/json").status_code == 200

    patched(enabled=False)
    for change in ({"name": "other"}, {"access_id": "other"}, {"active": False}, {"active": True}):
        edit(account, **change)
        keep_in_step()
        assert not is_on(account), change
    edit(account, encrypted_secret="other")
    CloudAccount.objects.update(name="by update")
    services.sweep()
    assert not is_on(account)

    edit(account, sync_interval_minutes=11)
    assert is_on(account)
    assert said(account)[3] == 11


def test_another_interval_on_the_queue_page_stays_until_the_accounts_is_edited():
    account = CloudAccountFactory()
    change_schedule(schedule_id=schedule_of(account).pk, every_seconds=90)

    edit(account, name="other")
    services.sweep()
    assert said(account)[2:] == (IntervalSchedule.SECONDS, 90)

    edit(account, sync_interval_minutes=11)
    assert said(account)[2:] == (IntervalSchedule.MINUTES, 11)


def test_a_switch_off_and_on_of_the_account_brings_nothing_on_that_was_off():
    account = CloudAccountFactory()
    switch_off(account)

    CloudAccount.objects.update(active=False)
    services.sweep()
    CloudAccount.objects.update(active=True)
    services.sweep()

    assert not is_on(account)


def test_what_is_switched_on_while_the_account_is_off_goes_off_again():
    account = CloudAccountFactory()
    edit(account, active=False)
    change_schedule(schedule_id=schedule_of(account).pk, enabled=True)

    services.sweep()

    assert not is_on(account)


def test_who_saves_a_row_that_he_made_himself_does_not_undo_the_operator():
    account = CloudAccountFactory()
    switch_off(account)

    account.name = "other"
    account.save()

    assert not is_on(account)


def test_who_saves_a_row_that_he_read_long_ago_writes_the_interval_that_the_account_then_has():
    account = CloudAccountFactory(sync_interval_minutes=10)
    old = CloudAccount.objects.get(pk=account.pk)
    edit(account, sync_interval_minutes=20)

    old.name = "other"
    old.save()

    assert CloudAccount.objects.get(pk=account.pk).sync_interval_minutes == 10
    assert said(account)[3] == 10


def test_who_saves_a_row_that_he_read_while_it_was_active_brings_back_what_was_on():
    account = CloudAccountFactory()
    old = CloudAccount.objects.get(pk=account.pk)
    edit(account, active=False)

    old.save()

    assert CloudAccount.objects.get(pk=account.pk).active
    assert is_on(account)


# --- Beat --------------------------------------------------------------------------------------------------


def test_beat_hears_of_every_change_and_of_nothing_else():
    account, made = CloudAccountFactory(), []
    changes = {
        "made": lambda: made.append(CloudAccountFactory()),
        "made in bulk": lambda: CloudAccount.objects.bulk_create(new_accounts(1)),
        "another interval": lambda: edit(account, sync_interval_minutes=3),
        "another interval in bulk": lambda: CloudAccount.objects.update(sync_interval_minutes=4),
        "off": lambda: edit(account, active=False),
        "on": lambda: CloudAccount.objects.update(active=True),
        "on the queue page": lambda: switch_off(account),
        "deleted": lambda: CloudAccount.objects.get(pk=made[0].pk).delete(),
        "deleted in bulk": lambda: CloudAccount.objects.exclude(pk=account.pk).delete(),
        "healed": lambda: (schedule_of(account).delete(), _long_ago(), services.sweep()),
    }
    for what, change in changes.items():
        _long_ago()
        change()
        assert timezone.now() - PeriodicTasks.last_change() < timedelta(minutes=1), what
    quiet = {
        "saved as it is": lambda: edit(account),
        "another secret": lambda: edit(account, encrypted_secret="other"),
        "the sweep": services.sweep,
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


def test_it_rings_and_a_second_ring_joins(broker):
    account = CloudAccountFactory(sync_interval_minutes=7)
    account.resource_types.set(ResourceType.objects.filter(code__in=["flavor", "network", "port"]))
    CloudAccountFactory(sync_interval_minutes=0)
    CloudAccountFactory(active=False)
    queue = broker.SimpleQueue("resources")

    def taken():
        try:
            return queue.get(block=False)
        except queue.Empty:
            return None

    def ring():
        """Let a beat tick until nothing is due, and do what it has rung for; what that was."""
        ours().update(last_run_at=Now() - timedelta(minutes=8))
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
        assert [log.type for log in logs] == types_of(account) == ["flavor", "network", "port"]
        assert {(log.account_id, log.state, log.asked_by_id) for log in logs} == {
            (account.pk, SyncLog.State.RUNNING, None)
        }
    assert schedule_of(account).last_run_at > timezone.now() - timedelta(minutes=1)
    assert schedule_of(account).total_run_count == 2


def test_an_account_that_was_switched_off_after_the_ring_opens_nothing():
    account = CloudAccountFactory(active=False)

    tasks.sync_account(account.pk)
    tasks.sync_account(0)

    assert not SyncLog.objects.exists()


# --- What went wrong ---------------------------------------------------------------------------------------


def test_a_schedule_that_was_deleted_by_hand_comes_back():
    account = CloudAccountFactory(sync_interval_minutes=7)
    ours().delete()

    services.sweep()

    assert is_on(account)
    assert said(account)[3] == 7


def test_a_schedule_that_was_deleted_while_the_account_was_off_comes_back_with_it():
    account = CloudAccountFactory()
    edit(account, active=False)
    ours().delete()

    services.sweep()
    assert not is_on(account)
    edit(account, active=True)
    assert is_on(account)


def test_an_interval_that_was_deleted_by_hand_takes_schedules_along_and_they_come_back():
    account = CloudAccountFactory(sync_interval_minutes=7)
    IntervalSchedule.objects.all().delete()
    assert not ours().exists()

    services.sweep()

    assert said(account)[3] == 7


def test_what_sql_did_behind_the_portals_back_is_put_right():
    account, gone = CloudAccountFactory(), CloudAccountFactory()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE cloudaccounts_cloudaccount SET sync_interval_minutes = 42 WHERE id = %s", [account.pk]
        )
        cursor.execute("DELETE FROM cloudaccounts_cloudaccount WHERE id = %s", [gone.pk])
    somebody_elses = PeriodicTask.objects.create(
        name=schedule_name(0), task="another.task", interval=schedule_of(account).interval
    )

    services.sweep()

    assert list(ours()) == [schedule_of(account)]
    assert said(account)[3] == 42
    assert PeriodicTask.objects.filter(pk=somebody_elses.pk).exists()


def test_two_intervals_of_one_length_do_no_harm():
    for _ in range(3):
        IntervalSchedule.objects.create(every=7, period=IntervalSchedule.MINUTES)
    account = CloudAccountFactory(sync_interval_minutes=7)
    edit(account, name="other")
    _long_ago()
    for _ in range(3):
        services.sweep()

    assert said(account)[3] == 7
    assert ours().count() == 1
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
def test_two_who_save_the_same_account_at_once_make_one_schedule():
    account = CloudAccountFactory()

    def saves(minutes):
        def work():
            ours()._raw_delete("default")
            edit(account, sync_interval_minutes=minutes)

        return work

    assert at_once(saves(3), saves(4), services.sweep, saves(3)) == []

    services.sweep()
    assert ours().count() == 1
    assert said(account)[3] == CloudAccount.objects.get().sync_interval_minutes


@pytest.mark.django_db(transaction=True)
def test_bulk_writes_saves_and_sweeps_at_once_neither_fail_nor_leave_a_gap():
    made = CloudAccount.objects.bulk_create(new_accounts(6))

    def gone_and_made():
        CloudAccount.objects.filter(pk__in=CloudAccount.objects.order_by("-pk").values("pk")[:1]).delete()
        CloudAccountFactory()

    problems = at_once(
        lambda: CloudAccount.objects.update(sync_interval_minutes=3),
        lambda: edit(made[0], sync_interval_minutes=4),
        services.sweep,
        services.sweep,
        gone_and_made,
    )

    assert problems == []
    services.sweep()
    assert {schedule.name for schedule in ours()} == {schedule_name(a.pk) for a in CloudAccount.objects.all()}
    for account in CloudAccount.objects.all():
        assert said(account)[3] == account.sync_interval_minutes


@pytest.mark.django_db(transaction=True)
def test_an_operator_who_switches_off_in_the_middle_of_a_write_is_not_overruled(monkeypatch):
    from cloudaccounts import schedules

    account = CloudAccountFactory()
    thread = threading.Thread(target=lambda: (switch_off(account), connection.close()))
    write = schedules._write

    def slowly(*args):
        thread.start()
        thread.join(0.5)
        write(*args)

    monkeypatch.setattr(schedules, "_write", slowly)
    edit(account, name="other")
    thread.join(10)

    assert not is_on(account)
