"""Trees of jobs: a parent spawns children, waits for them, cancels them and compensates them.

Code that locks several jobs of a tree locks parents before children, and siblings in the order of their creation, so that
a child's last write, a cancel and the parent's own writes never deadlock.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Case, Exists, OuterRef, Q, When
from django.db.models.functions import Now
from django.utils import timezone

from api.domain_errors import ConflictError, DomainError
from api.messages import join_messages
from api.messages import message as _

from .. import crash_points, queries
from ..command import Failed, Spawn, UnknownKindError, command_class, declared_title
from ..dispatch import dispatch_jobs
from ..models import EntityLock, Job, JobStatus, Step, StepStatus, statuses_before
from .claims import RESTORED, Claim, check_cancelled, due_unless_cancelled
from .submission import acquire_locks, build_job, insert_jobs

# The last cancelled child wakes its parent. This is only a fallback.
CHECK_AGAIN_AFTER = timedelta(hours=1)
CANCELLABLE = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.WAITING)


def spawn_children(claim: Claim, step: Step, spawn: Spawn) -> Failed | None:
    """Record a step's children and let the parent wait for them; return the reason when they cannot be recorded.

    One transaction writes the children, their locks for the root, and the parent's wait: after a crash, either all of
    them exist or none.
    """
    job, now = claim.job, timezone.now()
    limit = claim.declaration(step).deadline_with_children
    step.deadline = min(job.deadline, now + limit) if limit else job.deadline
    step.status, step.message = StepStatus.WAITING, spawn.message
    step.children, step.at_once = len(spawn.children), spawn.at_once
    root_id = job.root_id or job.id
    children = []
    for position, command in enumerate(spawn.children):
        child = build_job(
            command,
            parent=job,
            root_id=root_id,
            parent_step=step.name,
            position=position,
            held=position >= spawn.at_once,
            optional=spawn.optional,
            permanent=spawn.permanent,
            tenant_id=job.tenant_id,
            created_by_id=job.created_by_id,
            request_id=job.request_id,
            traceparent=job.traceparent,
            data={RESTORED: True} if RESTORED in job.data else {},
            deadline=step.deadline,
        )
        if child.held:
            child.not_before = step.deadline
        children.append((child, command))
    keys = {key: root_id for _child, command in children for key in command.locks()}
    try:
        with transaction.atomic():
            crash_points.crash_point_on_commit("spawned")
            claim.release(
                status=JobStatus.WAITING,
                not_before=due_unless_cancelled(step.deadline),
                data=job.data,
                children_open=len(children),
            )
            _acquire_for_root(keys, root_id)
            insert_jobs(children)
            step.save()
            dispatch_jobs((child.id, child.queue) for child, _command in children[: spawn.at_once])
    except DomainError as refusal:
        step.children = 0
        return Failed(refusal.code, refusal.detail)
    check_cancelled(job)
    return None


def _acquire_for_root(keys: dict[str, UUID], root_id: UUID) -> None:
    """Acquire for the root the locks that it does not hold yet. Raises `DomainError` 409 `busy`, naming the key and its holder."""
    root_keys = set(EntityLock.objects.filter(job_id=root_id).values_list("key", flat=True))
    held = acquire_locks({key: root for key, root in keys.items() if key not in root_keys})
    for key, holder in held.items():
        raise ConflictError(
            "busy",
            _("'%(job)s' is in progress on %(key)s.")
            % {"key": key, "job": join_messages([declared_title(holder.kind), str(holder.id)])},
        )


def wait_for_children(claim: Claim, *, cancelling: bool) -> bool:
    """Release a parent whose children have not ended; return True when the last of them ended meanwhile.

    `cancelling`: the parent was cancelled or its time is over, so its remaining children are cancelled too.

    No wake-up is lost: one statement releases the row, and only if it still counts open children. If the last child ends
    before that statement, it matches no row; if it ends after it, the child finds an unowned parent and wakes it.
    """
    job = claim.job
    step = next((step for step in claim.steps if step.status == StepStatus.WAITING), None)
    deadline = min(job.deadline, step.deadline) if step and step.deadline else job.deadline
    with transaction.atomic():
        released = claim.release(
            Q(children_open__gt=0),
            status=JobStatus.UNDOING if job.status == JobStatus.UNDOING else JobStatus.WAITING,
            not_before=Now() + CHECK_AGAIN_AFTER
            if cancelling or job.status == JobStatus.UNDOING
            else deadline,
        )
        if released and cancelling:
            cancel_descendants(job.pk)
    if not released:
        job.children_open = 0
        return True
    crash_points.crash_point("recorded")
    return False


def evaluate_children(claim: Claim, step: Step) -> tuple[JobStatus, Failed, str] | None:
    """Return the status, the failure and the traceback with which a step's ended children make it fail; None if they do not."""
    rank = Case(When(status=JobStatus.ERRORED, then=0), When(status=JobStatus.FAILED, then=1), default=2)
    children = Job.objects.filter(parent=claim.job, parent_step=step.name, optional=False)
    first = children.exclude(status=JobStatus.SUCCEEDED).order_by(rank, "ended_at").first()
    if first is None:
        return None
    child = join_messages([declared_title(first.kind), first.subject])
    message = join_messages([child, first.outcome_message], ": ")
    ending = JobStatus.ERRORED if first.status == JobStatus.ERRORED else JobStatus.FAILED
    return ending, Failed(first.outcome_code, message), first.traceback


def cancel_descendants(job_id: UUID) -> None:
    """Request the cancellation of all descendants of a job, in the caller's transaction.

    A stuck descendant is cancelled when staff resume it.
    """
    cancellable = [status.value for status in (*CANCELLABLE, JobStatus.STUCK)]
    dispatch_jobs(queries.cancel_descendants(job_id, cancellable))


# --- The end of a child ------------------------------------------------------------------------------------


def lock_parent(job: Job) -> None:
    """Lock a child's parent. Call it before the child is locked: see the module's docstring."""
    assert job.parent_id is not None
    queries.lock_job(job.parent_id)


def count_ended_child(job: Job, status: JobStatus) -> None:
    """Count an ended child at its parent, in the transaction that ends it. The last child wakes the parent.

    `lock_parent` has locked the parent's row, so children that end at the same time are counted one after another, and
    exactly one of them is the last.
    """
    assert job.parent_id is not None
    left, ending, queue = queries.count_ended_child(job.parent_id, job.parent_step)
    if left == 0:
        dispatch_jobs([(job.parent_id, queue)])
    elif status == JobStatus.SUCCEEDED or job.optional or ending:
        # This also continues the undo of children whose parent is stuck.
        dispatch_jobs(queries.release_held_child(job.parent_id))
    else:
        cancel_descendants(job.parent_id)


# --- Compensating children ---------------------------------------------------------------------------------


def compensate_children(claim: Claim, step: Step) -> bool:
    """Start the undo of a step's succeeded children that have an undo, the last first; return whether there were any.

    They keep their rows and ids, because the objects that they created in the cloud are tagged with these.
    """
    spawned = Exists(Step.objects.filter(job=OuterRef("pk"), children__gt=0))
    children = Job.objects.filter(
        parent=claim.job, parent_step=step.name, status=JobStatus.SUCCEEDED, permanent=False
    )
    queues = {
        pk: queue
        for pk, queue, kind, has_children in children.order_by("-position").values_list(
            "pk", "queue", "kind", spawned
        )
        if has_children or _can_be_undone(kind)
    }
    ids = list(queues)
    if not ids:
        return False
    step.status, step.deadline, step.tries = StepStatus.UNDOING, None, 0
    with transaction.atomic():
        crash_points.crash_point_on_commit("spawned")
        claim.release(
            status=JobStatus.UNDOING,
            not_before=Now() + CHECK_AGAIN_AFTER,
            children_open=len(ids),
        )
        Job.objects.filter(pk__in=ids, status__in=statuses_before(JobStatus.UNDOING)).update(
            status=JobStatus.UNDOING,
            ending=JobStatus.CANCELLED,
            ended_at=None,
            outcome_code="undone",
            outcome_message=_("Rolled back because its parent task did not succeed."),
            attempt=0,
            held=True,
            not_before=Now() + CHECK_AGAIN_AFTER,
        )
        first = ids[: max(1, step.at_once)]
        Job.objects.filter(pk__in=first).update(held=False, not_before=Now())
        Step.objects.filter(job__in=ids).update(tries=0, deadline=None)
        step.save()
        dispatch_jobs((pk, queues[pk]) for pk in first)
    return True


def _can_be_undone(kind: str) -> bool:
    try:
        return command_class(kind).can_be_undone()
    except UnknownKindError:
        return True  # The child becomes stuck and staff decide. Skipping it would leave its effects in place.
