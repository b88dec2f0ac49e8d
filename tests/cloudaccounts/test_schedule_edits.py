"""Changes of accounts' schedules by people: in the admin, by the API, on the queue page."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule

from cloudaccounts import services
from cloudaccounts.models import CloudAccount
from cloudaccounts.schedules import write_schedules
from tasks.queues import change_schedule
from tenants.scoping import Role
from tests.cloudaccounts.schedule_checks import (
    describe_schedule,
    disable_schedule,
    edit_account,
    get_schedule,
    is_schedule_enabled,
    list_account_schedules,
)
from tests.factories import MembershipFactory, ScheduledAccountFactory, UserFactory
from tests.working import work

pytestmark = pytest.mark.django_db
CHANGE = "admin:cloudaccounts_cloudaccount_change"


# --- People ------------------------------------------------------------------------------------------------


def test_admin_form_writes_the_schedule(client):
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    account = ScheduledAccountFactory()
    account.set_secret("secret")
    account.save()
    names = ("name", "provider", "auth_url", "credential_kind", "access_id", "project")
    fields = {name: getattr(account, name) for name in names}
    fields |= {"regions": "[]", "user_domain": "Default", "project_domain": "Default", "secret": ""}

    def sent(**changed):
        answer = client.post(reverse(CHANGE, args=[account.pk]), {**fields, **changed})
        assert answer.status_code == 302, answer.context["errors"]

    sent(active="on", sync_interval_minutes="25")
    assert (is_schedule_enabled(account), describe_schedule(account)[3]) == (True, 25)
    disable_schedule(account)
    sent(active="on", sync_interval_minutes="25", name="renamed", secret="other")
    assert not is_schedule_enabled(account), "a form that leaves the interval as it was switches nothing on"
    sent(active="on", sync_interval_minutes="26")
    assert is_schedule_enabled(account)
    sent(sync_interval_minutes="26")
    assert not is_schedule_enabled(account), "no longer active"


@pytest.mark.django_db(transaction=True)
def test_api_creates_updates_and_deletes_the_schedule(client, cloud):
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
    assert describe_schedule(account)[3] == 15
    path = f"/api/v1/cloud-accounts/{account.pk}/"

    def patched(**changed):
        assert client.patch(path, changed, content_type="application/json").status_code in {200, 202}

    patched(sync_interval_minutes=20)
    assert describe_schedule(account)[3] == 20
    disable_schedule(account)
    patched(name="renamed", secret="another")
    assert not is_schedule_enabled(account)
    patched(active=False)
    patched(active=True)
    assert not is_schedule_enabled(account)
    patched(sync_interval_minutes=0)
    patched(sync_interval_minutes=20)
    assert is_schedule_enabled(account)
    shown = client.get(path).json()["schedule"]
    assert shown["enabled"]
    assert shown["next_run_at"]
    work(30)
    assert client.delete(path).status_code == 202
    work(30)
    assert not CloudAccount.objects.exists()
    assert not list_account_schedules().exists()


def test_schedule_disabled_by_an_operator_stays_until_the_interval_is_edited(client):
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    account = ScheduledAccountFactory()
    path = f"/api/v1/queue/schedules/{get_schedule(account).pk}/"

    def patched(**changed):
        assert client.patch(path, changed, content_type="application/json").status_code == 200

    patched(enabled=False)
    for change in ({"name": "other"}, {"access_id": "other"}, {"active": False}, {"active": True}):
        edit_account(account, **change)
        write_schedules()
        assert not is_schedule_enabled(account), change
    edit_account(account, encrypted_secret="other")
    CloudAccount.objects.update(name="by update")
    services.sweep_syncs()
    assert not is_schedule_enabled(account)

    edit_account(account, sync_interval_minutes=11)
    assert is_schedule_enabled(account)
    assert describe_schedule(account)[3] == 11


def test_interval_changed_by_an_operator_stays_until_the_accounts_is_edited():
    account = ScheduledAccountFactory()
    change_schedule(schedule_id=get_schedule(account).pk, every_seconds=90)

    edit_account(account, name="other")
    services.sweep_syncs()
    assert describe_schedule(account)[2:] == (IntervalSchedule.SECONDS, 90)

    edit_account(account, sync_interval_minutes=11)
    assert describe_schedule(account)[2:] == (IntervalSchedule.MINUTES, 11)


def test_reenabling_an_account_keeps_a_disabled_schedule_disabled():
    account = ScheduledAccountFactory()
    disable_schedule(account)

    CloudAccount.objects.update(active=False)
    services.sweep_syncs()
    CloudAccount.objects.update(active=True)
    services.sweep_syncs()

    assert not is_schedule_enabled(account)


def test_schedule_enabled_while_the_account_is_disabled_is_disabled_again():
    account = ScheduledAccountFactory()
    edit_account(account, active=False)
    change_schedule(schedule_id=get_schedule(account).pk, enabled=True)

    services.sweep_syncs()

    assert not is_schedule_enabled(account)


def test_saving_a_constructed_instance_keeps_the_operators_change():
    account = ScheduledAccountFactory()
    disable_schedule(account)

    account.name = "other"
    account.save()

    assert not is_schedule_enabled(account)


def test_saving_a_stale_instance_writes_the_interval_of_the_row():
    account = ScheduledAccountFactory(sync_interval_minutes=10)
    old = CloudAccount.objects.get(pk=account.pk)
    edit_account(account, sync_interval_minutes=20)

    old.name = "other"
    old.save()

    assert CloudAccount.objects.get(pk=account.pk).sync_interval_minutes == 10
    assert describe_schedule(account)[3] == 10


def test_saving_an_instance_read_while_active_restores_the_schedule():
    account = ScheduledAccountFactory()
    old = CloudAccount.objects.get(pk=account.pk)
    edit_account(account, active=False)

    old.save()

    assert CloudAccount.objects.get(pk=account.pk).active
    assert is_schedule_enabled(account)
