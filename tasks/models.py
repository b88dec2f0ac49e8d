"""The task manager's tables, with the complete state of jobs. Only `engine/` and `polling.py` change a status."""

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Prefetch, Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from api.message_fields import MessageField
from tenants.scoping import TenantScopedQuerySet

from .queries import TREE_PROGRESS
from .restore_guard import DatabaseEpoch  # noqa: F401 - a table of this room.


class JobStatus(models.TextChoices):
    """The states of a job."""

    QUEUED = "queued", _("queued")  # recorded; no worker has begun
    RUNNING = "running", _("running")  # a worker owns it until its lease runs out
    WAITING = "waiting", _("waiting")  # waits for a time or for an external object; no worker owns it
    UNDOING = "undoing", _("undoing")  # it failed or was cancelled; its effects are being undone
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed")  # the external system refused, or a deadline passed; undone
    CANCELLED = "cancelled", _("cancelled")  # a user cancelled it; undone
    ERRORED = "errored", _("errored")  # a bug of the portal; undone, and the traceback is kept for staff
    STUCK = "stuck", _("stuck")  # staff have to decide, for example after too many attempts; the locks stay


IN_FLIGHT = frozenset({JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.WAITING, JobStatus.UNDOING})
ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.ERRORED})

# Every allowed transition. `engine/` performs them by compare-and-set, and refuses all others.
MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.STUCK}),
    JobStatus.RUNNING: frozenset(
        {JobStatus.RUNNING, JobStatus.WAITING, JobStatus.UNDOING, JobStatus.STUCK, *ENDED}
    ),
    JobStatus.WAITING: frozenset({JobStatus.RUNNING, JobStatus.STUCK}),
    JobStatus.UNDOING: frozenset(
        {
            JobStatus.UNDOING,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
            JobStatus.ERRORED,
            JobStatus.STUCK,
        }
    ),
    JobStatus.STUCK: frozenset({JobStatus.QUEUED, JobStatus.UNDOING, JobStatus.FAILED}),
    # Only for a child: its parent failed later and undoes the effects of its children.
    JobStatus.SUCCEEDED: frozenset({JobStatus.UNDOING}),
    **{status: frozenset() for status in ENDED - {JobStatus.SUCCEEDED}},
}


def statuses_before(status: JobStatus) -> list[JobStatus]:
    """Return the statuses from which a job may move to a status."""
    return [before for before, after in MOVES.items() if status in after]


class JobQuerySet(TenantScopedQuerySet):
    """Jobs of tenants. A job without a tenant belongs to the platform, and only staff see it."""

    def for_display(self) -> Self:
        """Fetch the rows that the serializers of jobs read: creator, steps, first children and progress. Three queries."""
        return (
            self.select_related("created_by")
            .prefetch_related(
                "steps",
                Prefetch("children", Job.objects.order_by("position")[:100], to_attr="first_children"),
            )
            .annotate(tree_progress=RawSQL(TREE_PROGRESS, []))  # noqa: S611 - no input.
        )


class Job(models.Model):
    """One run of a command, which survives crashes of workers."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(_("kind"), max_length=100)
    params = models.JSONField(_("parameters"), default=dict)
    # Results of steps that later steps need. Written with each step's record.
    data = models.JSONField(_("data"), default=dict)
    # The name of the job's entity. Readers see it after the command's title, which is translated.
    subject = models.CharField(_("subject"), max_length=300, blank=True, default="")
    parent = models.ForeignKey(
        "self",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="children",
        db_index=False,
        verbose_name=_("parent"),
    )
    root = models.ForeignKey(
        "self", models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("root")
    )
    # The step of the parent that spawned it, and its position among the children of that step.
    parent_step = models.CharField(_("parent's step"), max_length=100, blank=True, default="", db_default="")
    position = models.PositiveIntegerField(_("position"), default=0, db_default=0)
    # It waits for the end of a sibling, because the number of children that run at once is limited.
    held = models.BooleanField(_("held"), default=False, db_default=False)
    # It is due, but its tenant holds its share of the worker's processes: see `fairness.py`.
    parked = models.BooleanField(_("parked"), default=False, db_default=False)
    # Its failure does not fail its parent.
    optional = models.BooleanField(_("optional"), default=False, db_default=False)
    # Its effects stay when its parent is undone.
    permanent = models.BooleanField(_("permanent"), default=False, db_default=False)
    # The command's own Celery queue; "" for the shared queues.
    queue = models.CharField(_("queue"), max_length=50, blank=True, default="", db_default="")
    # The number of its children that have not ended. Each child's last write changes it under this row's lock.
    children_open = models.PositiveIntegerField(_("open children"), default=0, db_default=0)
    # The errored job that this one retries.
    retry_of = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="retries",
        db_index=False,
        verbose_name=_("retry of"),
    )

    status = models.CharField(_("status"), max_length=10, choices=JobStatus.choices, default=JobStatus.QUEUED)
    # The number of claims since the last recorded step.
    attempt = models.PositiveIntegerField(_("attempt"), default=0)
    owner = models.CharField(pgettext_lazy("worker", "owner"), max_length=100, blank=True, default="")
    lease_until = models.DateTimeField(_("lease until"), null=True, blank=True)
    not_before = models.DateTimeField(_("not before"), db_default=Now())
    deadline = models.DateTimeField(_("deadline"))
    # When the sweep last dispatched this job, so that a long queue is not dispatched at every sweep.
    rung_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(_("cancel requested"), null=True, blank=True)

    tenant = models.ForeignKey(
        "tenants.Tenant",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,  # `job_by_tenant` begins with it.
        verbose_name=_("tenant"),
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("created by"),
    )
    request_id = models.CharField(_("request id"), max_length=128, blank=True, default="")
    # The span of the request, as W3C writes it, for workers to continue its trace; "" without tracing.
    traceparent = models.CharField(_("trace"), max_length=55, blank=True, default="", db_default="")
    entity_type = models.CharField(_("entity type"), max_length=50, blank=True, default="")
    entity_id = models.CharField(_("entity id"), max_length=64, blank=True, default="")
    # The final status of a job that is being undone.
    ending = models.CharField(_("ending"), max_length=10, choices=JobStatus.choices, blank=True, default="")
    outcome_code = models.CharField(_("outcome"), max_length=50, blank=True, default="")
    outcome_message = MessageField(_("message"), blank=True, default="")
    traceback = models.TextField(_("traceback"), blank=True, default="")
    # The time at which staff marked the error as handled; until then it needs attention.
    attended_at = models.DateTimeField(_("attended"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), db_default=Now())
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        constraints = [
            models.CheckConstraint(condition=Q(status__in=JobStatus.values), name="job_status_known"),
            # An ended job has an end time and no owner; an unended job has no end time.
            models.CheckConstraint(
                condition=(
                    Q(status__in=sorted(ENDED), ended_at__isnull=False, owner="")
                    | (~Q(status__in=sorted(ENDED)) & Q(ended_at__isnull=True))
                ),
                name="job_ended_once_final",
            ),
            models.CheckConstraint(
                condition=~Q(status=JobStatus.RUNNING) | (~Q(owner="") & Q(lease_until__isnull=False)),
                name="job_running_is_owned",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=sorted(ENDED)) | Q(children_open=0),
                name="job_ends_after_its_children",
            ),
        ]
        indexes = [
            # For the sweep. It does not contain ended jobs, which are by far the most.
            models.Index(
                fields=["not_before"], name="job_in_flight", condition=Q(status__in=sorted(IN_FLIGHT))
            ),
            models.Index(fields=["tenant", "-created_at"], name="job_by_tenant"),
            models.Index(fields=["entity_id", "-created_at"], name="job_by_entity"),
            models.Index(fields=["-created_at"], name="job_by_time"),
            models.Index(
                fields=["status"],
                name="job_in_trouble",
                condition=Q(status=JobStatus.STUCK) | Q(status=JobStatus.ERRORED, attended_at__isnull=True),
            ),
            # Partial, because most jobs have no parent and retry no other job.
            models.Index(
                fields=["parent", "position"], name="job_by_parent", condition=Q(parent__isnull=False)
            ),
            models.Index(fields=["retry_of"], name="job_by_retried", condition=Q(retry_of__isnull=False)),
            # Jobs that wait for their tenant's share: always few rows.
            models.Index(
                fields=["tenant", "queue", "created_at"], name="job_parked", condition=Q(parked=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({self.status})"

    @property
    def has_ended(self) -> bool:
        """Return whether the job is over. A stuck job has not ended, because staff decide how it continues."""
        return self.status in ENDED

    @property
    def can_cancel(self) -> bool:
        """Return whether the job can still be cancelled. A tree is cancelled as a whole, by its root."""
        return (
            self.status in {JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.WAITING}
            and self.cancel_requested_at is None
            and self.parent_id is None
        )


class StepStatus(models.TextChoices):
    """The states of a step."""

    PENDING = "pending", _("pending")
    RUNNING = "running", _("running")  # begun; it may have had its effect although no result is recorded
    WAITING = "waiting", _("waiting")  # begun, and waits for a time or for an external object
    SUCCEEDED = "succeeded", _("succeeded")  # never run again
    FAILED = "failed", _("failed")
    UNDOING = "undoing", _("undoing")
    UNDONE = "undone", _("undone")
    SKIPPED = "skipped", _("skipped")  # there was nothing to do, or the job ended before it began


# The steps that a job has behind it.
FINISHED_STEPS = frozenset({StepStatus.SUCCEEDED, StepStatus.SKIPPED})


class Step(models.Model):
    """A named part of a job. The name is stable, because a later release may continue the job."""

    # No index: `step_position_once` serves the queries.
    job = models.ForeignKey(Job, models.CASCADE, related_name="steps", db_index=False)
    position = models.PositiveSmallIntegerField(_("position"))
    name = models.CharField(_("name"), max_length=100)
    status = models.CharField(
        _("status"), max_length=10, choices=StepStatus.choices, default=StepStatus.PENDING
    )
    # The number of successive failed tries, for the back-off.
    tries = models.PositiveIntegerField(_("tries"), default=0)
    progress = models.PositiveSmallIntegerField(_("progress"), default=0)
    # The number of children that it has spawned, and how many of them may run at once.
    children = models.PositiveIntegerField(_("children"), default=0, db_default=0)
    at_once = models.PositiveIntegerField(_("at once"), default=0, db_default=0)
    message = MessageField(_("message"), blank=True, default="")
    deadline = models.DateTimeField(_("deadline"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        ordering = ["job", "position"]
        verbose_name = _("step")
        verbose_name_plural = _("steps")
        constraints = [
            models.UniqueConstraint(fields=["job", "position"], name="step_position_once"),
            models.UniqueConstraint(fields=["job", "name"], name="step_name_once"),
            models.CheckConstraint(condition=Q(progress__lte=100), name="step_progress_percent"),
            models.CheckConstraint(condition=Q(status__in=StepStatus.values), name="step_status_known"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"


class AsyncTask(models.Model):
    """A watch: the external object whose status one step waits for. `polling.py` polls watches in batches."""

    class Verdict(models.TextChoices):
        OPEN = "open", _("open")  # still polled
        REACHED = "reached", _("reached")  # one of `until`
        REFUSED = "refused", _("refused")  # one of `unless`
        EXPIRED = "expired", _("expired")  # the step's deadline passed first
        DROPPED = "dropped", _("dropped")  # the job no longer waits for it

    job = models.ForeignKey(Job, models.CASCADE, related_name="async_tasks")
    step_name = models.CharField(max_length=100)
    # True when the undo of the step waits.
    undo = models.BooleanField(default=False, db_default=False)
    watcher = models.CharField(_("watcher"), max_length=50)
    scope = models.CharField(_("scope"), max_length=200)
    object_id = models.CharField(_("object"), max_length=100)
    until = models.JSONField(_("until"))
    unless = models.JSONField(_("unless"))
    verdict = models.CharField(_("verdict"), max_length=10, choices=Verdict.choices, default=Verdict.OPEN)
    last_status = models.CharField(_("last status"), max_length=100, blank=True, default="")
    observation = models.JSONField(_("observation"), default=dict)
    looks = models.PositiveIntegerField(_("looks"), default=0)
    next_look_at = models.DateTimeField(_("next poll"))
    expires_at = models.DateTimeField(_("expires"))
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("async task")
        verbose_name_plural = _("async tasks")
        constraints = [
            models.UniqueConstraint(
                fields=["job"], condition=Q(verdict="open"), name="async_task_one_open_per_job"
            ),
        ]
        indexes = [
            models.Index(
                fields=["watcher", "scope", "next_look_at"],
                name="async_task_open",
                condition=Q(verdict="open"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.watcher} {self.object_id} ({self.verdict})"


class PollScope(models.Model):
    """The lease of a watcher's scope: one worker polls it at a time."""

    watcher = models.CharField(max_length=50)
    scope = models.CharField(max_length=200)
    owner = models.CharField(max_length=100, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)
    # The time for which a poll message was sent: see `dispatch.dispatch_poll`.
    rung_for = models.DateTimeField(null=True, blank=True)
    # The number of successive failed rounds, for the back-off.
    failures = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["watcher", "scope"], name="poll_scope_once")]

    def __str__(self) -> str:
        return f"{self.watcher} {self.scope}"


class EntityLock(models.Model):
    """The lock of an entity by a job. The job's last write deletes it."""

    key = models.CharField(_("key"), max_length=200, primary_key=True)
    job = models.ForeignKey(Job, models.CASCADE, related_name="locks")
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        ordering = ["key"]
        verbose_name = _("lock")
        verbose_name_plural = _("locks")

    def __str__(self) -> str:
        return self.key


class JobLogLine(models.Model):
    """A line of a job's log: appended, never rewritten."""

    class Level(models.TextChoices):
        INFO = "info", _("info")
        WARNING = "warning", _("warning")
        ERROR = "error", _("error")

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, models.CASCADE, related_name="lines")
    at = models.DateTimeField(default=timezone.now)
    level = models.CharField(max_length=10, choices=Level.choices, default=Level.INFO)
    message = MessageField()

    class Meta:
        ordering = ["id"]
        verbose_name = _("log line")
        verbose_name_plural = _("log lines")

    def __str__(self) -> str:
        return self.message
