"""What a person decides about a job that is stuck or errored: go on, end it, or try again from the beginning.

Each is called in the transaction of a service that has locked the job's row and says who decides and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from api.domain_errors import ConflictError

from .. import crash_points
from ..command import Command, UnknownKindError, command_class
from ..dispatch import dispatch_job
from ..models import Job, JobLogLine, JobStatus, Step, StepStatus, statuses_before
from .claims import Claim
from .ending import end
from .submission import submit
from .tree import cancel_below, lock_parent

if TYPE_CHECKING:
    from tenants.models import User  # Types only: this room lies below.

log = structlog.get_logger(__name__)


def allowed_decisions(job: Job) -> list[str]:
    """What a person may decide about a job as it is now."""
    if job.status == JobStatus.STUCK:
        return ["resume", "end"]
    if job.status == JobStatus.ERRORED and job.attended_at is None:
        return ["end"] if job.parent_id is not None else ["retry", "end"]
    return []


def lock_for_decision(job: Job, decision: str) -> Job:
    """Lock a job's row, parent first, and check that this may be decided. Raises `DomainError` 409 `wrong_state`."""
    if job.parent_id is not None:
        lock_parent(job)
    crash_points.crash_point_on_commit("decided")
    locked: Job = Job.objects.select_for_update().get(pk=job.pk)
    allowed = allowed_decisions(locked)
    if decision not in allowed:
        raise ConflictError(
            "wrong_state",
            gettext_lazy("The job is '%(status)s'; that cannot be decided about it now.")
            % {"status": JobStatus(locked.status).label},
            allowed=allowed,
        )
    return locked


def resume(job: Job, user: User, reason: str) -> Job:
    """Let a stuck job go on from where it stopped, forward or back, with new tries and new time.

    Its step is told that it may have run before: whatever got stuck may have had its effect.
    """
    _go_on(job, JobStatus.UNDOING if job.ending else JobStatus.QUEUED)
    _say(job, _("Resumed by %(user)s: %(reason)s"), user, reason)
    return job


def end_stuck(job: Job, user: User, reason: str, *, undo: bool) -> Job:
    """End a stuck job as failed, or, with `undo`, have what it did taken back first.

    Without `undo` nothing is done to the outside: the person says that it is, or will be, in order. The locks are freed.
    Raises `DomainError` 409 `children_open` while children of it have not ended.
    """
    if undo:
        # Going forward, it is a cancel that it hears when it goes on; going back, it only goes on.
        if not job.ending:
            Job.objects.filter(pk=job.pk).update(cancel_requested_at=Now())
            cancel_below(job.pk)
        _go_on(job, JobStatus.UNDOING if job.ending else JobStatus.QUEUED)
        _say(job, _("Ended by %(user)s, and undone: %(reason)s"), user, reason)
        return job
    if job.children_open:
        raise ConflictError(
            "children_open",
            gettext_lazy("%(count)s of its children have not ended; end it with undo, which cancels them.")
            % {"count": job.children_open},
        )
    _say(job, _("Ended by %(user)s: %(reason)s"), user, reason)
    steps = list(Step.objects.filter(job=job).order_by("position"))
    for step in steps:
        if step.status == StepStatus.PENDING:
            step.status = StepStatus.SKIPPED
        elif step.status not in {StepStatus.SUCCEEDED, StepStatus.UNDONE, StepStatus.SKIPPED}:
            step.status, step.ended_at = StepStatus.FAILED, timezone.now()
    job.outcome_code, job.outcome_message = "ended_by_staff", reason
    try:
        with transaction.atomic():
            end(Claim(job, "", steps, _command_of(job)), JobStatus.FAILED)
    except Exception:
        # A command whose own last word is broken must still be possible to end.
        log.exception("failed_hook_errored", job_id=str(job.pk))
        _note(job, _("Its command could not write that it failed; look at what it is about."))
        end(Claim(job, "", steps, Command()), JobStatus.FAILED)
    return job


def note_errored(job: Job, user: User, reason: str) -> Job:
    """Say that the error of an errored job has been dealt with; it no longer counts as trouble."""
    Job.objects.filter(pk=job.pk).update(attended_at=Now())
    _say(job, _("Noted by %(user)s: %(reason)s"), user, reason)
    return job


def retry(job: Job, user: User, reason: str) -> Job:
    """Submit the command of an errored job again, as a new job. Raises `BusyError`, `NotValidError`, 409 `unknown_kind`, `gone`."""
    command = _command_of(job)
    if type(command) is Command:
        raise ConflictError(
            "unknown_kind", gettext_lazy("This release knows no '%(kind)s'.") % {"kind": job.kind}
        )
    try:
        submission = submit(command, tenant=job.tenant, user=user)
    except ObjectDoesNotExist:
        # A creation that was taken back has left no row to try again with.
        raise ConflictError("gone", gettext_lazy("What it was about is gone; ask for it anew.")) from None
    if not submission.joined:
        Job.objects.filter(pk=submission.job.pk).update(retry_of=job)
    Job.objects.filter(pk=job.pk).update(attended_at=Now())
    _say(job, _("Tried again by %(user)s: %(reason)s"), user, reason)
    _note(submission.job, _("Tries again what job %(job)s did.") % {"job": job.pk}, JobLogLine.Level.INFO)
    return submission.job


def _go_on(job: Job, status: JobStatus) -> None:
    """Make a stuck job due. Its attempt is 1, not 0, so that the step knows that it may have run before."""
    command = _command_of(job)
    code, message, trace = job.data.pop("failure", ["", "", ""])
    stuck = Job.objects.filter(pk=job.pk, status=JobStatus.STUCK, status__in=statuses_before(status))
    if not stuck.update(
        status=status,
        attempt=1,
        not_before=Now(),
        deadline=max(job.deadline, timezone.now() + command.deadline),
        data=job.data,
        outcome_code=code,
        outcome_message=message,
        traceback=trace,
    ):
        raise RuntimeError(f"Job {job.pk} is not stuck any more although its row was locked.")
    Step.objects.filter(job=job, status__in=[StepStatus.WAITING, StepStatus.UNDOING]).update(
        tries=0, deadline=None
    )
    dispatch_job(job)


def _command_of(job: Job) -> Command:
    """The job's command, or one that does nothing when this release cannot read it."""
    try:
        command = command_class(job.kind).from_params(job.params)
    except (UnknownKindError, TypeError):
        command = Command()
    command.job, command.data = job, job.data
    return command


def _say(job: Job, template: str, user: User, reason: str) -> None:
    _note(job, template % {"user": user.get_username(), "reason": reason})


def _note(job: Job, message: str, level: str = JobLogLine.Level.WARNING) -> None:
    JobLogLine.objects.create(job=job, level=level, message=message)
