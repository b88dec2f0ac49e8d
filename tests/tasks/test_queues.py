"""What operators see: schedules with their switch, workers, depths, jobs by status and age; unknown is shown as unknown."""

from __future__ import annotations

import socket
import threading
import time
from datetime import timedelta
from uuid import uuid4

import pytest
import requests
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from api.models import ApiToken
from tasks import canary, engine, queues
from tasks.models import Job, JobStatus
from tasks.tasks import prune
from tests.factories import UserFactory
from tests.faults.conftest import web
from tests.stories import select_evenly
from tests.working import work

from . import external_system
from .external_system import BuildHouseCommand

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["web"]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    """A process that has not asked the broker yet."""
    external_system.reset()
    monkeypatch.setattr(queues, "_broker", queues.BackgroundProbe(queues._fetch_broker_status))


@pytest.fixture
def staff(client):
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def staff_token():
    _row, secret = ApiToken.objects.create(
        user=UserFactory(is_staff=True, is_superuser=True), name="test", expiry=None
    )
    return {"Authorization": f"Token {secret}"}


def a_job(key, **columns):
    with transaction.atomic():
        job = engine.submit(BuildHouseCommand(key)).job
    Job.objects.filter(pk=job.pk).update(**columns)
    return job


# --- The broker --------------------------------------------------------------------------------------------


@pytest.mark.story
def test_workers_and_queue_depths_are_listed(staff, celery_worker):
    a_job("waits")
    celery_worker(queues="polling,sync", concurrency=2)

    workers = staff.get("/api/v1/queue/workers/").json()
    summary = staff.get("/api/v1/queue/summary/").json()

    assert workers["known"]
    (worker,) = workers["workers"]
    assert (worker["queues"], worker["concurrency"], worker["active"]) == (["polling", "sync"], 2, 0)
    depths = {queue["name"]: (queue["messages"], queue["has_worker"]) for queue in summary["queues"]}
    assert depths == {
        "jobs": (1, False),
        "polling": (0, True),
        "resources": (0, False),
        "sync": (0, True),
        "deploys": (0, False),
        "volumepool": (0, False),
    }


@pytest.fixture(params=select_evenly(["never answers", "refuses"], 1))
def dead_broker(request):
    """The address of a broker that is dead, in one of two ways."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    if request.param == "never answers":
        listener.listen(100)
    yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
    listener.close()


@pytest.mark.story
def test_a_dead_broker_is_unknown_and_no_answer_waits_for_it(web, staff_token, dead_broker):
    portal = web(environment={"REDIS_URL": dead_broker})

    for path in ["/api/v1/queue/summary/", "/api/v1/queue/workers/"] * 3:
        # Without an end of its own, a connection to a broker that never answers lasts for minutes.
        answer = requests.get(portal.url + path, headers=staff_token, timeout=20)

        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body.get("workers") is None
        assert {queue["messages"] for queue in body.get("queues", [])} <= {None}
        assert {queue["has_worker"] for queue in body.get("queues", [])} <= {None}


def test_a_hanging_probe_costs_a_process_one_thread():
    hang, asked = threading.Event(), []

    def ask():
        asked.append(1)
        hang.wait(20)
        return "late"

    look = queues.BackgroundProbe(ask)
    threads = [threading.Thread(target=look.get) for _ in range(10)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert look.get() is None
    assert len(asked) == 1
    hang.set()
    time.sleep(0.2)
    assert look.get() == "late"


def test_all_probes_are_made_by_one_thread(monkeypatch):
    """Each new thread costs a descriptor for ever; Prometheus asks every few seconds."""
    monkeypatch.setattr(queues, "FRESH_SECONDS", 0.0)
    threads = []
    probe = queues.BackgroundProbe(lambda: threads.append(threading.get_ident()) or len(threads))

    assert [probe.get() for _ in range(5)] == [1, 2, 3, 4, 5]
    assert len(set(threads)) == 1


# --- Schedules ---------------------------------------------------------------------------------------------


def test_a_schedule_is_disabled_and_beat_is_notified(staff):
    call_command("write_schedules", verbosity=0)
    told = PeriodicTasks.last_change()
    shown = {row["name"]: row for row in staff.get("/api/v1/queue/schedules/").json()}
    sweep = shown["tasks.sweep"]
    assert (sweep["enabled"], sweep["every_seconds"]) == (True, 5.0)

    answer = staff.patch(
        f"/api/v1/queue/schedules/{sweep['id']}/",
        {"enabled": False, "every_seconds": 7},
        content_type="application/json",
    )
    call_command("write_schedules", verbosity=0)

    assert (answer.status_code, answer.json()["enabled"], answer.json()["every_seconds"]) == (200, False, 7.0)
    assert PeriodicTasks.last_change() > told
    row = PeriodicTask.objects.get(name="tasks.sweep")
    assert (row.enabled, row.interval.every) == (False, 7)  # A deploy keeps it.


def test_a_schedule_that_does_not_run_is_late():
    call_command("write_schedules", verbosity=0)
    PeriodicTask.objects.filter(name="tasks.sweep").update(last_run_at=timezone.now() - timedelta(minutes=5))

    late = {schedule.name for schedule in queues.list_schedules() if queues.is_late(schedule)}

    assert late == {"tasks.sweep"}


def test_an_unknown_schedule_is_404(staff):
    answer = staff.patch("/api/v1/queue/schedules/4711/", {"enabled": False}, content_type="application/json")

    assert answer.status_code == 404


# --- Jobs --------------------------------------------------------------------------------------------------


def test_the_summary_counts_jobs_and_lists_overdue_and_troubled_ones(staff):
    old = timezone.now() - timedelta(minutes=30)
    a_job("new")
    late = a_job("late", created_at=old, not_before=old)
    stuck = a_job("stuck", status=JobStatus.STUCK, outcome_code="stuck", outcome_message="Dead.")
    errored = a_job("errored", status=JobStatus.ERRORED, ended_at=timezone.now())
    a_job("noted", status=JobStatus.ERRORED, ended_at=timezone.now(), attended_at=timezone.now())

    summary = staff.get("/api/v1/queue/summary/").json()

    by_status = {row["status"]: row for row in summary["by_status"]}
    assert (by_status["queued"]["count"], by_status["queued"]["under_a_minute"]) == (2, 1)
    assert by_status["queued"]["under_an_hour"] == 2
    assert summary["overdue"] == 1
    assert summary["oldest_overdue"]["id"] == str(late.pk)
    assert summary["oldest_overdue"]["overdue_seconds"] == pytest.approx(1800, abs=30)
    assert {job["id"]: job["decisions"] for job in summary["troubled"]} == {
        str(stuck.pk): ["resume", "end"],
        str(errored.pk): ["retry", "end"],
    }
    assert summary["canary_seconds_ago"] is None


# --- The canary --------------------------------------------------------------------------------------------


@pytest.mark.story
def test_the_canary_passes_through_the_system_and_its_age_is_shown(client, celery_worker):
    celery_worker(queues="jobs,polling")
    assert queues.seconds_since_canary() is None

    canary.send_canary()
    deadline = time.monotonic() + 15
    while canary.seconds_since_canary() is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)

    assert canary.seconds_since_canary() < 15
    assert client.get("/health/ready").json()["canary_seconds_ago"] < 15


def test_a_beat_that_fires_twice_sends_one_canary():
    for _ in range(2):
        canary.send_canary()

    assert Job.objects.count() == 1


def test_canaries_are_pruned_after_a_day_and_other_jobs_are_kept():
    canary.send_canary()
    work()
    kept = a_job("kept")
    engine.advance(kept.pk)
    Job.objects.update(ended_at=timezone.now() - timedelta(days=2))

    prune()

    assert list(Job.objects.values_list("pk", flat=True)) == [kept.pk]


# --- The admin ---------------------------------------------------------------------------------------------


def test_the_queue_page_shows_the_summary_and_disables_a_schedule(staff):
    call_command("write_schedules", verbosity=0)
    a_job("stuck", status=JobStatus.STUCK, outcome_code="stuck", outcome_message="Dead.")
    sweep = PeriodicTask.objects.get(name="tasks.sweep")

    page = staff.get("/queue/").content.decode()
    part = staff.get("/queue/", headers={"X-Panel": "queue"}).content.decode()
    switched = staff.post(f"/queue/schedules/{sweep.pk}/", {"enabled": "false"}, follow=True)

    assert "tasks.sweep" in page
    assert "Build: stuck" in page
    assert "<html" not in part
    assert "was disabled" in switched.content.decode()
    sweep.refresh_from_db()
    assert not sweep.enabled


def test_the_buttons_of_a_stuck_job(staff):
    job = a_job("stuck", status=JobStatus.STUCK, outcome_code="stuck")
    address = f"/admin/tasks/job/{job.pk}/decide/"

    page = staff.get(f"/admin/tasks/job/{job.pk}/change/").content.decode()
    without_reason = staff.post(address, {"decision": "end"}, follow=True).content.decode()
    done = staff.post(address, {"decision": "end", "reason": "Done by hand."}, follow=True).content.decode()
    again = staff.post(address, {"decision": "resume", "reason": "No."}, follow=True).content.decode()

    assert 'value="resume"' in page
    assert "Enter a reason" in without_reason
    assert "Done by hand." in done
    assert "does not allow this decision" in again
    assert Job.objects.get(pk=job.pk).status == JobStatus.FAILED


def test_the_queue_page_is_for_staff_only(client):
    client.force_login(UserFactory())

    assert client.get("/queue/").status_code == 403
    assert client.post("/queue/schedules/1/", {"enabled": "false"}).status_code == 403
    assert client.post(f"/jobs/{uuid4()}/decide/", {"decision": "end", "reason": "no"}).status_code == 403
