"""Two beats: one rings, the other waits, and takes over when the first is gone."""

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
from portal.beat import OneBeatScheduler
from portal.celery import app
from tests.conftest import REPOSITORY, flush_broker
from tests.web_processes import get_test_database_url

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def beat(tmp_path):
    """Start beats, each with a log of its own."""
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


def says(log, word, seconds=20.0):
    deadline = time.monotonic() + seconds
    while word not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.05)


def rung():
    return PeriodicTask.objects.get(name="tasks.sweep").total_run_count


def test_the_second_beat_waits_and_takes_over_when_the_first_is_killed(beat):
    call_command("write_schedules", verbosity=0)
    second, _created = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.exclude(name="tasks.sweep").update(enabled=False)
    PeriodicTask.objects.filter(name="tasks.sweep").update(interval=second)
    first, first_log = beat()
    says(first_log, "beat_rings")
    _other, other_log = beat()
    says(other_log, "beat_waits")
    before, began = rung(), time.monotonic()

    time.sleep(3)
    assert rung() - before <= time.monotonic() - began + 1.5, "it was rung for by both"
    assert "Sending due task" not in other_log.read_text()
    launch.kill(launch.process_tree(first.pid))
    says(other_log, "beat_rings")
    says(other_log, "Sending due task tasks.sweep")


def test_a_beat_whose_session_is_cut_asks_again_and_goes_on(beat):
    call_command("write_schedules", verbosity=0)
    _process, log = beat()
    says(log, "Sending due task tasks.sweep")

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    deadline = time.monotonic() + 20
    while log.read_text().count("beat_rings") < 2:
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.1)
    before = rung()
    deadline = time.monotonic() + 20
    while rung() == before:
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.1)


def test_ringing_writes_nothing_but_when_it_rang():
    """Or what an operator changes in that moment would be undone."""
    interval = IntervalSchedule.objects.create(every=10, period=IntervalSchedule.SECONDS)
    task = PeriodicTask.objects.create(name="any", task="tasks.sweep", interval=interval)
    rang = next(OneBeatScheduler.Entry(PeriodicTask.objects.get(pk=task.pk)))
    PeriodicTask.objects.filter(pk=task.pk).update(enabled=False)

    with CaptureQueriesContext(connection) as captured:
        rang.save()

    assert len(captured) == 1
    assert '"enabled"' not in captured[0]["sql"]
    task.refresh_from_db()
    assert (task.enabled, task.total_run_count) == (False, 1)


class TestAClockThatWasSetBack:
    """Schedules that count from a time to come: every one of them is rung at the next ticks."""

    @pytest.fixture
    def scheduler(self):
        call_command("write_schedules", verbosity=0)
        flush_broker()
        made = []

        def start():
            made.append(OneBeatScheduler(app=app, lazy=True))
            return made[-1]

        yield start
        for one in made:
            one.close()
            if one._session is not None:
                one._session.close()
        flush_broker()

    def rung(self, scheduler):
        """The schedules that some ticks ring."""
        for _tick in range(2 * PeriodicTask.objects.count()):
            scheduler.tick()
        return set(PeriodicTask.objects.filter(total_run_count__gt=0).values_list("name", flat=True))

    @pytest.mark.parametrize("hours", [1, 3, 24 * 400])
    def test_all_are_rung_at_once(self, scheduler, hours):
        PeriodicTask.objects.update(last_run_at=timezone.now() + timedelta(hours=hours))

        assert self.rung(scheduler()) == set(PeriodicTask.objects.values_list("name", flat=True))
        assert not PeriodicTask.objects.filter(last_run_at__gt=timezone.now() + timedelta(minutes=1)).exists()

    def test_one_that_a_person_has_written_is_rung_too(self, scheduler):
        PeriodicTask.objects.update(last_run_at=timezone.now())
        PeriodicTask.objects.filter(name="tasks.sweep").update(last_run_at=timezone.now() + timedelta(days=3))

        assert self.rung(scheduler()) == {"tasks.sweep"}

    def test_a_beat_that_runs_meanwhile_rings_all(self, scheduler):
        """Also those behind the one that is due first: what is due next is kept by the clock's time."""
        beat = scheduler()
        self.rung(beat)
        PeriodicTask.objects.update(total_run_count=0)
        ahead = timezone.now() + timedelta(hours=3)
        for entry in beat.schedule.values():
            entry.last_run_at = entry.model.last_run_at = ahead
            entry.model.total_run_count = 0
        PeriodicTask.objects.update(last_run_at=ahead)
        beat._heap = [event._replace(time=event.time + 3 * 3600) for event in beat._heap]

        assert self.rung(beat) == set(PeriodicTask.objects.values_list("name", flat=True))

    def test_a_crontab_is_put_right_without_being_rung_early(self, scheduler):
        PeriodicTask.objects.all().delete()
        now = timezone.now()
        # Soon: beat reads no others.
        due = now + timedelta(minutes=30)
        crontab = CrontabSchedule.objects.create(minute=str(due.minute), hour=str(due.hour))
        task = PeriodicTask.objects.create(
            name="nightly", task="tasks.sweep", crontab=crontab, last_run_at=now + timedelta(days=30)
        )

        assert self.rung(scheduler()) == set()
        task.refresh_from_db()
        assert task.last_run_at <= timezone.now()

    def test_one_that_is_off_is_left_alone(self, scheduler):
        ahead = timezone.now() + timedelta(hours=3)
        PeriodicTask.objects.update(last_run_at=timezone.now())
        PeriodicTask.objects.filter(name="tasks.sweep").update(last_run_at=ahead, enabled=False)

        self.rung(scheduler())

        assert PeriodicTask.objects.get(name="tasks.sweep").last_run_at == ahead
