"""What a person decides about a job in trouble, in the engine and over REST."""

from __future__ import annotations

import pytest
from django.db import transaction

from api.domain_errors import DomainError
from api.errors import status_of
from tasks import command, engine
from tasks.command import Failed, Wait
from tasks.models import EntityLock, Job, JobLogLine, JobStatus, Step, StepStatus
from tasks.services import decide_job
from tenants.scoping import Role, Scope
from tests.factories import MembershipFactory, UserFactory
from tests.working import work

from . import external_system
from .external_system import BuildHouseCommand, BuildVillageCommand, PaintHouseCommand
from .test_engine import Killed, due_now, fresh, its_worker_died, killed, statuses, submitted

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def reset_external_system(settings):
    settings.JOB_ATTEMPT_CAP = 2
    external_system.reset()


@pytest.fixture
def staff():
    return Scope(UserFactory(username="root", is_staff=True, is_superuser=True), None, Role.ADMIN)


def stuck(command=None):
    """A job whose second step has killed every worker that tried it."""
    external_system.replies["wall"] = [killed, killed]
    job = submitted(command)
    for _ in range(2):
        with pytest.raises(Killed):
            engine.advance(job.pk)
        its_worker_died(job)
    engine.advance(job.pk)
    assert fresh(job).status == JobStatus.STUCK
    return job


def stuck_undoing():
    external_system.replies["roof"] = [Failed("rain", "It rains.")]
    external_system.replies["unlay"] = [KeyError("spade")] * 3
    job = submitted()
    for _ in range(3):
        engine.advance(job.pk)
        due_now(job)
    assert fresh(job).status == JobStatus.STUCK
    return job


def errored():
    external_system.replies["wall"] = [KeyError("bricks")]
    job = submitted()
    engine.advance(job.pk)
    external_system.reset()
    return job


def test_a_stuck_job_goes_on_where_it_stopped_and_its_step_is_told(staff):
    job = stuck()

    decide_job(scope=staff, job_id=job.pk, decision="resume", reason="The host is back.")
    engine.advance(job.pk)

    assert external_system.calls == ["lay", "wall", "wall*", "wall*", "roof", "succeeded"]
    ended = fresh(job)
    assert (ended.status, ended.outcome_code, ended.outcome_message) == (JobStatus.SUCCEEDED, "done", "")
    line = JobLogLine.objects.filter(job=job).last()
    assert line.message == "Resumed by root: The host is back."


def test_a_job_that_got_stuck_going_back_goes_on_going_back_for_its_first_reason(staff):
    job = stuck_undoing()
    assert "spade" in fresh(job).traceback
    assert "spade" not in fresh(job).outcome_message

    decide_job(scope=staff, job_id=job.pk, decision="resume", reason="Mended.")
    engine.advance(job.pk)

    ended = fresh(job)
    assert (ended.status, ended.outcome_code, ended.outcome_message) == (
        JobStatus.FAILED,
        "rain",
        "It rains.",
    )
    assert external_system.calls[-1] == "failed:failed:rain"


def test_a_stuck_job_is_ended_with_a_reason_and_frees_its_locks(staff):
    job = stuck()

    decide_job(scope=staff, job_id=job.pk, decision="end", reason="Done by hand.")

    ended = fresh(job)
    assert (ended.status, ended.outcome_code, ended.outcome_message) == (
        JobStatus.FAILED,
        "ended_by_staff",
        "Done by hand.",
    )
    assert external_system.calls[-1] == "failed:failed:ended_by_staff"
    assert "unlay" not in external_system.calls
    assert not EntityLock.objects.exists()
    assert statuses(job) == [StepStatus.SUCCEEDED, StepStatus.SKIPPED, StepStatus.SKIPPED]


def test_a_stuck_job_is_ended_and_undone(staff):
    job = stuck()

    decide_job(scope=staff, job_id=job.pk, decision="end", reason="Not wanted.", undo=True)
    engine.advance(job.pk)

    assert external_system.calls[-3:] == ["unwall", "unlay", "failed:cancelled:cancelled"]
    assert fresh(job).status == JobStatus.CANCELLED
    assert not EntityLock.objects.exists()


def test_a_stuck_job_whose_last_word_is_broken_can_still_be_ended(staff):
    job = stuck()
    external_system.replies["failed"] = [ValueError("no paper")]

    decide_job(scope=staff, job_id=job.pk, decision="end", reason="Enough.")

    assert fresh(job).status == JobStatus.FAILED
    assert not EntityLock.objects.exists()
    assert any("could not record" in line.message for line in JobLogLine.objects.filter(job=job))


def test_a_job_of_an_unknown_kind_is_stuck_and_can_be_ended(staff):
    job = submitted()
    Job.objects.filter(pk=job.pk).update(kind="test.of_a_later_release")
    engine.advance(job.pk)
    assert fresh(job).status == JobStatus.STUCK

    decide_job(scope=staff, job_id=job.pk, decision="end", reason="Not ours.")

    assert fresh(job).status == JobStatus.FAILED


@pytest.mark.parametrize("written_by", ["unknown kind", "unknown step"])
def test_a_job_that_another_release_could_not_read_goes_on_when_it_can_be_read(monkeypatch, written_by):
    job = submitted()
    with monkeypatch.context() as older:
        if written_by == "unknown kind":
            older.delitem(command._registry, job.kind)
        else:
            older.setattr(BuildHouseCommand, "steps", BuildHouseCommand.steps[:-1])
        engine.advance(job.pk)
        assert fresh(job).status == JobStatus.STUCK
        # Its own sweep leaves it alone: nothing has changed for it.
        engine.sweep()
        assert fresh(job).status == JobStatus.STUCK

    engine.sweep()
    work()

    assert fresh(job).status == JobStatus.SUCCEEDED
    assert fresh(job).outcome_message == ""
    assert external_system.calls == ["lay*", "wall", "roof", "succeeded"]


def test_the_sweep_resumes_no_job_that_is_stuck_for_another_reason(staff):
    job = stuck()

    engine.sweep()

    assert fresh(job).status == JobStatus.STUCK


def test_a_parent_with_open_children_is_ended_by_undoing_alone(staff):
    external_system.replies["raise a"] = [Wait(1000)]
    job = submitted(BuildVillageCommand(["a"]))
    engine.advance(job.pk)
    (child,) = Job.objects.filter(parent=job)
    engine.advance(child.pk)
    Job.objects.filter(pk=job.pk).update(status=JobStatus.STUCK, outcome_code="stuck")

    with pytest.raises(DomainError) as refused:
        decide_job(scope=staff, job_id=job.pk, decision="end", reason="Enough.")
    assert refused.value.code == "children_open"
    decide_job(scope=staff, job_id=job.pk, decision="end", reason="Enough.", undo=True)
    work()

    assert (fresh(job).status, fresh(child).status) == (JobStatus.CANCELLED, JobStatus.CANCELLED)


def test_a_stuck_child_is_ended_and_its_parent_goes_on(staff):
    external_system.replies["raise a"] = [killed, killed]
    job = submitted(BuildVillageCommand(["a", "b"], optional=True))
    engine.advance(job.pk)
    child = Job.objects.get(parent=job, position=0)
    for _ in range(2):
        with pytest.raises(Killed):
            engine.advance(child.pk)
        its_worker_died(child)
    engine.advance(child.pk)
    assert fresh(child).status == JobStatus.STUCK

    decide_job(scope=staff, job_id=child.pk, decision="end", reason="It stands already.")
    work()

    assert fresh(job).status == JobStatus.SUCCEEDED
    assert fresh(child).status == JobStatus.FAILED


def test_a_stuck_child_of_a_cancelled_tree_is_undone_when_it_is_let_go_on(staff):
    external_system.replies["roof a"] = [killed, killed]
    job = submitted(BuildVillageCommand(["a"]))
    engine.advance(job.pk)
    child = Job.objects.get(parent=job)
    for _ in range(2):
        with pytest.raises(Killed):
            engine.advance(child.pk)
        its_worker_died(child)
    engine.advance(child.pk)
    engine.cancel(fresh(job))

    decide_job(scope=staff, job_id=child.pk, decision="resume", reason="The host is back.")
    work()

    assert (fresh(job).status, fresh(child).status) == (JobStatus.CANCELLED, JobStatus.CANCELLED)
    assert external_system.calls.count("roof a") == 1
    assert "tear a" in external_system.calls


def test_an_errored_job_is_tried_again_as_a_new_one(staff):
    job = errored()

    again = decide_job(scope=staff, job_id=job.pk, decision="retry", reason="Mended.")
    engine.advance(again.pk)

    assert (fresh(again).status, fresh(again).retry_of_id) == (JobStatus.SUCCEEDED, job.pk)
    assert fresh(job).attended_at is not None
    assert engine.allowed_decisions(fresh(job)) == []


def test_a_retry_is_refused_like_any_other_submission_and_changes_nothing(staff):
    job = errored()
    with transaction.atomic():
        engine.submit(PaintHouseCommand())

    with pytest.raises(engine.BusyError):
        decide_job(scope=staff, job_id=job.pk, decision="retry", reason="Mended.")

    assert fresh(job).attended_at is None
    assert not JobLogLine.objects.filter(job=job, message__contains="Mended").exists()


def test_an_errored_job_is_noted(staff):
    job = errored()

    decide_job(scope=staff, job_id=job.pk, decision="end", reason="Known.")

    assert fresh(job).status == JobStatus.ERRORED
    assert engine.allowed_decisions(fresh(job)) == []


@pytest.mark.parametrize("decision", ["resume", "end", "retry"])
def test_nothing_is_decided_about_a_job_that_is_not_in_trouble(staff, decision):
    job = submitted()

    with pytest.raises(DomainError) as refused:
        decide_job(scope=staff, job_id=job.pk, decision=decision, reason="Why not.")

    assert (status_of(refused.value), refused.value.code) == (409, "wrong_state")
    assert Step.objects.filter(job=job, status="pending").count() == 3


def test_only_staff_decide():
    member = MembershipFactory(role=Role.ADMIN)
    job = stuck()
    Job.objects.filter(pk=job.pk).update(tenant=member.tenant)

    with pytest.raises(DomainError) as refused:
        decide_job(
            scope=Scope(member.user, member.tenant, Role.ADMIN), job_id=job.pk, decision="end", reason="Mine."
        )

    assert (status_of(refused.value), refused.value.code) == (403, "staff_only")


def test_two_who_decide_at_once_decide_once(staff):
    """The row is locked, and the second one finds it ended."""
    job = stuck()
    decide_job(scope=staff, job_id=job.pk, decision="end", reason="Mine.")

    with pytest.raises(DomainError, match="does not allow this decision"):
        decide_job(scope=staff, job_id=job.pk, decision="resume", reason="No, mine.")


def test_a_command_over_rest(client):
    user = UserFactory(is_staff=True, is_superuser=True)
    client.force_login(user)
    job = stuck(BuildHouseCommand("rest"))

    refused = client.post(f"/api/v1/jobs/{job.pk}/resume/", {}, content_type="application/json")
    resumed = client.post(
        f"/api/v1/jobs/{job.pk}/resume/", {"reason": "Back."}, content_type="application/json"
    )

    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["reason"])
    assert (resumed.status_code, resumed.json()["job"]["status"]) == (202, "queued")
    assert resumed.headers["Location"] == f"/api/v1/jobs/{job.pk}/"
