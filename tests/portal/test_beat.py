"""Two beats: one sends the tasks, and the other waits and takes over when the first one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from devserver import launch
from portal.beat import LeaderScheduler
from portal.celery import app
from tests.conftest import REPOSITORY, flush_broker
from tests.web_processes import get_test_database_url

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def beat(tmp_path):
    """Return a function that starts a beat with its own log."""
    started: list[tuple[subprocess.Popen[bytes], object]] = []

    def start():
        log = tmp_path / f"beat-{len(started)}.log"
        process = launch.start(
            [sys.executable, "-m", "celery", "-A", "portal", "beat", "--pidfile=", "-l", "INFO"],
            log=log,
            folder=REPOSITORY,
            environment={**os.environ, "DATABASE_URL": get_test_database_url(), "LOG_LEVEL": "INFO"},
            when_parent_dies=signal.SIGKILL,
        )
        started.append((process, log))
        return process, log

    yield start
    for process, _log in started:
        launch.end(process, stop_signal=signal.SIGTERM, seconds=5)
    flush_broker()


def wait_for_log(log, word, seconds=20.0):
    deadline = time.monotonic() + seconds
    while word not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.05)


def count_runs():
    return PeriodicTask.objects.get(name="tasks.sweep").total_run_count


@pytest.mark.story
def test_the_second_beat_waits_and_leads_after_the_first_is_killed(beat):
    call_command("write_schedules", verbosity=0)
    second, _created = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.exclude(name="tasks.sweep").update(enabled=False)
    PeriodicTask.objects.filter(name="tasks.sweep").update(interval=second)
    first, first_log = beat()
    wait_for_log(first_log, "beat_leads")
    _other, other_log = beat()
    wait_for_log(other_log, "beat_waits")
    before, began = count_runs(), time.monotonic()

    time.sleep(3)
    assert count_runs() - before <= time.monotonic() - began + 1.5, "both beats sent the task"
    assert "Sending due task" not in other_log.read_text()
    launch.kill(launch.process_tree(first.pid))
    wait_for_log(other_log, "beat_leads")
    wait_for_log(other_log, "Sending due task tasks.sweep")


@pytest.mark.story
def test_a_beat_whose_session_is_cut_gets_the_lock_again(beat):
    call_command("write_schedules", verbosity=0)
    _process, log = beat()
    wait_for_log(log, "Sending due task tasks.sweep")

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    deadline = time.monotonic() + 20
    while log.read_text().count("beat_leads") < 2:
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.1)
    before = count_runs()
    deadline = time.monotonic() + 20
    while count_runs() == before:
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.1)


def test_a_run_writes_only_its_time_and_count():
    """Otherwise a simultaneous change of an operator would be undone."""
    interval = IntervalSchedule.objects.create(every=10, period=IntervalSchedule.SECONDS)
    task = PeriodicTask.objects.create(name="any", task="tasks.sweep", interval=interval)
    entry = next(LeaderScheduler.Entry(PeriodicTask.objects.get(pk=task.pk)))
    PeriodicTask.objects.filter(pk=task.pk).update(enabled=False)

    with CaptureQueriesContext(connection) as captured:
        entry.save()

    assert len(captured) == 1
    assert '"enabled"' not in captured[0]["sql"]
    task.refresh_from_db()
    assert (task.enabled, task.total_run_count) == (False, 1)


class TestClockSetBack:
    """Schedules whose last run is in the future: all of them run at the next ticks."""

    @pytest.fixture
    def scheduler(self):
        call_command("write_schedules", verbosity=0)
        flush_broker()
        schedulers = []

        def start():
            schedulers.append(LeaderScheduler(app=app, lazy=True))
            return schedulers[-1]

        yield start
        for one in schedulers:
            one.close()
            if one._session is not None:
                one._session.close()
        flush_broker()

    def run_schedules(self, scheduler):
        """Run some ticks; return the names of the schedules that ran."""
        for _tick in range(2 * PeriodicTask.objects.count()):
            scheduler.tick()
        return set(PeriodicTask.objects.filter(total_run_count__gt=0).values_list("name", flat=True))

    @pytest.mark.parametrize("hours", [1, 3, 24 * 400])
    def test_all_schedules_run_at_once(self, scheduler, hours):
        PeriodicTask.objects.update(last_run_at=timezone.now() + timedelta(hours=hours))

        assert self.run_schedules(scheduler()) == set(PeriodicTask.objects.values_list("name", flat=True))
        assert not PeriodicTask.objects.filter(last_run_at__gt=timezone.now() + timedelta(minutes=1)).exists()

    def test_a_last_run_that_was_entered_in_the_future_is_corrected(self, scheduler):
        PeriodicTask.objects.update(last_run_at=timezone.now())
        PeriodicTask.objects.filter(name="tasks.sweep").update(last_run_at=timezone.now() + timedelta(days=3))

        assert self.run_schedules(scheduler()) == {"tasks.sweep"}

    def test_a_running_beat_runs_all_schedules(self, scheduler):
        """Also those behind the first one in the heap, which is sorted by the time of the next run."""
        beat = scheduler()
        self.run_schedules(beat)
        PeriodicTask.objects.update(total_run_count=0)
        ahead = timezone.now() + timedelta(hours=3)
        for entry in beat.schedule.values():
            entry.last_run_at = entry.model.last_run_at = ahead
            entry.model.total_run_count = 0
        PeriodicTask.objects.update(last_run_at=ahead)
        beat._heap = [event._replace(time=event.time + 3 * 3600) for event in beat._heap]

        assert self.run_schedules(beat) == set(PeriodicTask.objects.values_list("name", flat=True))

    def test_a_crontab_is_corrected_without_an_early_run(self, scheduler):
        PeriodicTask.objects.all().delete()
        now = timezone.now()
        # Within the hour, because beat does not read later crontabs.
        due = now + timedelta(minutes=30)
        crontab = CrontabSchedule.objects.create(minute=str(due.minute), hour=str(due.hour))
        task = PeriodicTask.objects.create(
            name="nightly", task="tasks.sweep", crontab=crontab, last_run_at=now + timedelta(days=30)
        )

        assert self.run_schedules(scheduler()) == set()
        task.refresh_from_db()
        assert task.last_run_at <= timezone.now()

    def test_a_disabled_schedule_is_not_changed(self, scheduler):
        ahead = timezone.now() + timedelta(hours=3)
        PeriodicTask.objects.update(last_run_at=timezone.now())
        PeriodicTask.objects.filter(name="tasks.sweep").update(last_run_at=ahead, enabled=False)

        self.run_schedules(scheduler())

        assert PeriodicTask.objects.get(name="tasks.sweep").last_run_at == ahead
