"""Schedules in the admin: one that the portal needs is not disabled by accident."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff():
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    return client


def send(client, schedule, **changes):
    address = f"/admin/django_celery_beat/periodictask/{schedule.pk}/change/"
    form = client.get(address).context["adminform"].form
    fields = {name: form[name].value() for name in form.fields if form[name].value() not in {None, False, ""}}
    fields |= {"start_time_0": "", "start_time_1": "", "expires_0": "", "expires_1": ""} | changes
    return client.post(
        address, {name: value for name, value in fields.items() if value is not None}, follow=True
    )


def test_disabling_a_schedule_of_the_portal_asks_and_says_what_stops(staff):
    call_command("write_schedules", verbosity=0)
    sweep = PeriodicTask.objects.get(name="tasks.sweep")

    asked = send(staff, sweep, enabled=None)
    sweep.refresh_from_db()
    assert sweep.enabled
    assert "While it is disabled, none of this happens." in asked.content.decode()
    assert "Re-queues tasks that are overdue." in asked.content.decode()

    send(staff, sweep, enabled=None, confirm_disabled="on")
    sweep.refresh_from_db()
    assert not sweep.enabled
    send(staff, sweep, enabled="on")
    sweep.refresh_from_db()
    assert sweep.enabled


def test_a_schedule_of_somebody_else_is_disabled_at_once(staff):
    interval = IntervalSchedule.objects.create(every=5, period="minutes")
    other = PeriodicTask.objects.create(name="mine", task="any", interval=interval)

    send(staff, other, enabled=None)

    other.refresh_from_db()
    assert not other.enabled


def test_many_at_once_are_not_disabled(staff):
    page = staff.get("/admin/django_celery_beat/periodictask/").content.decode()

    assert 'value="enable_tasks"' in page or "enable_tasks" not in page
    assert "disable_tasks" not in page
    assert "toggle_tasks" not in page
