"""Schedules that the code declares, and what an operator has made of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import current_app
from django.core.management import call_command
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from tasks.schedules import declared_schedules

pytestmark = pytest.mark.django_db


def test_every_declared_schedule_is_written_and_is_due_at_once():
    call_command("write_schedules", verbosity=0)

    for schedule in declared_schedules():
        task = PeriodicTask.objects.get(name=schedule.name)
        assert (task.task, task.interval.every) == (schedule.task, schedule.every_seconds)
        assert task.enabled
        assert task.last_run_at <= timezone.now() - timedelta(seconds=schedule.every_seconds)


def test_an_operators_change_is_kept():
    call_command("write_schedules", verbosity=0)
    hourly = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    PeriodicTask.objects.filter(name="vms.sync_status").update(interval=hourly, enabled=False, task="renamed")

    call_command("write_schedules", verbosity=0)

    task = PeriodicTask.objects.get(name="vms.sync_status")
    assert (task.interval, task.enabled, task.task) == (hourly, False, "vms.sync_status")
    assert PeriodicTask.objects.filter(name="vms.sync_status").count() == 1


def test_every_schedule_names_a_task_that_exists_and_a_queue_that_a_worker_reads():
    current_app.loader.import_default_modules()
    queues = {"jobs", "polling", "sync", "resources", "volumepool", "deploys"}

    for schedule in declared_schedules():
        assert schedule.task in current_app.tasks
        route = current_app.amqp.router.route({}, schedule.task)
        assert route["queue"].name in queues
