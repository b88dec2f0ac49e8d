"""Trees: a job's children, from their birth to the word that the last of them has ended.

Who locks several jobs of a tree locks parents before children (they are older), and brothers and sisters in the order
of their birth: a child's last write, a cancel, and the parent's own writes can then never wait for each other.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, Exists, OuterRef, Q, When
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from api.domain_errors import ConflictError, DomainError

from .. import crash_points
from ..command import Failed, Spawn, UnknownKindError, command_class, command_title
from ..dispatch import dispatch_jobs
from ..models import EntityLock, Job, JobStatus, Step, StepStatus, statuses_before
from .claims import Claim, check_cancelled, unless_cancelled
from .submission import acquire_locks, job_of, record

# A parent whose children take their time to wind up is woken by the last of them; this is only for the worst case.
LOOK_AGAIN = timedelta(hours=1)
CANCELLABLE = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.WAITING)


def spawn(claim: Claim, step: Step, wish: Spawn) -> Failed | None:
    """Record a step's children and let the parent wait for them; or the reason why they cannot be.

    One transaction writes the children, their locks in the root's name, and the parent's wait: after a crash there are
    all of them or none.
    """
    job, now = claim.job, timezone.now()
    limit = claim.declared(step).deadline_with_children
    step.deadline = min(job.deadline, now + limit) if limit else job.deadline
    step.status, step.message = StepStatus.WAITING, wish.message
    step.children, step.at_once = len(wish.children), wish.at_once
    root_id = job.root_id or job.id
    children = []
    for position, command in enumerate(wish.children):
        child = job_of(
            command,
            parent=job,
            root_id=root_id,
            parent_step=step.name,
            position=position,
            held=position >= wish.at_once,
            optional=wish.optional,
            permanent=wish.permanent,
            tenant_id=job.tenant_id,
            created_by_id=job.created_by_id,
            request_id=job.request_id,
            language=job.language,
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
                not_before=unless_cancelled(step.deadline),
                data=job.data,
                children_open=len(children),
            )
            _take_for_root(keys, root_id)
            record(children)
            step.save()
            dispatch_jobs((child.id, child.queue) for child, _command in children[: wish.at_once])
    except DomainError as refusal:
        step.children = 0
        return Failed(refusal.code, refusal.detail)
    check_cancelled(job)
    return None


def _take_for_root(keys: dict[str, UUID], root_id: UUID) -> None:
    """Take for the root what it does not hold yet. Raises `DomainError` 409 `busy`, naming the key and its holder."""
    ours = set(EntityLock.objects.filter(job_id=root_id).values_list("key", flat=True))
    held = acquire_locks({key: root for key, root in keys.items() if key not in ours})
    for key, holder in held.items():
        raise ConflictError(
            "busy",
            _("Another job holds %(key)s: %(job)s.")
            % {"key": key, "job": f"{command_title(holder.kind)} {holder.id}"},
        )


def wait_for_children(claim: Claim, *, winding_up: bool) -> bool:
    """Give a parent back whose children have not ended; True when the last of them ended meanwhile.

    `winding_up`: the parent was cancelled or its time is over, so what is left of its children is cancelled too.

    Why no wake is lost: the row is given back only if it still counts open children, in one statement. A child that
    ends before it makes that statement hit nothing; one that ends after it finds a job that nobody owns, and rings.
    """
    job = claim.job
    step = next((step for step in claim.steps if step.status == StepStatus.WAITING), None)
    deadline = min(job.deadline, step.deadline) if step and step.deadline else job.deadline
    with transaction.atomic():
        gone_on = claim.release(
            Q(children_open__gt=0),
            status=JobStatus.UNDOING if job.status == JobStatus.UNDOING else JobStatus.WAITING,
            not_before=Now() + LOOK_AGAIN if winding_up or job.status == JobStatus.UNDOING else deadline,
        )
        if gone_on and winding_up:
            cancel_below(job.pk)
    if not gone_on:
        job.children_open = 0
        return True
    crash_points.crash_point("recorded")
    return False


def verdict_on(claim: Claim, step: Step) -> tuple[JobStatus, Failed, str] | None:
    """How a step's children, which have all ended, make it fail; None when they do not."""
    rank = Case(When(status=JobStatus.ERRORED, then=0), When(status=JobStatus.FAILED, then=1), default=2)
    children = Job.objects.filter(parent=claim.job, parent_step=step.name, optional=False)
    first = children.exclude(status=JobStatus.SUCCEEDED).order_by(rank, "ended_at").first()
    if first is None:
        return None
    child = f"{command_title(first.kind)} {first.subject}".strip()
    message = f"{child}: {first.outcome_message}"
    ending = JobStatus.ERRORED if first.status == JobStatus.ERRORED else JobStatus.FAILED
    return ending, Failed(first.outcome_code, message), first.traceback


def cancel_below(job_id: UUID) -> None:
    """Ask everything below a job to stop and to undo what it did, in the caller's transaction.

    One that is stuck hears it when a person lets it go on.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE below AS (
                SELECT id FROM tasks_job WHERE parent_id = %(job)s
                UNION ALL SELECT child.id FROM tasks_job AS child JOIN below ON child.parent_id = below.id
            ), heard AS (
                SELECT id FROM tasks_job
                WHERE id IN (SELECT id FROM below) AND status = ANY(%(cancellable)s) AND cancel_requested_at IS NULL
                ORDER BY created_at, position FOR UPDATE
            )
            UPDATE tasks_job SET cancel_requested_at = statement_timestamp(), held = false,
                not_before = CASE WHEN owner = '' THEN statement_timestamp() ELSE not_before END
            FROM heard WHERE tasks_job.id = heard.id RETURNING tasks_job.id, queue
            """,
            {"job": job_id, "cancellable": [status.value for status in (*CANCELLABLE, JobStatus.STUCK)]},
        )
        dispatch_jobs(cursor.fetchall())


# --- The end of a child ------------------------------------------------------------------------------------


def lock_parent(job: Job) -> None:
    """Lock a child's parent before the child itself: see the module's text."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM tasks_job WHERE id = %s FOR UPDATE", [job.parent_id])


def count_ended(job: Job, status: JobStatus) -> None:
    """Tell the parent that a child has ended, in the transaction that ends it: the last one wakes the parent.

    The parent's row is locked by `lock_parent`, so children that end at the same moment are counted one by one, and
    exactly one of them is the last.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH parent AS (
                UPDATE tasks_job SET children_open = children_open - 1,
                    not_before = CASE WHEN children_open = 1 THEN statement_timestamp() ELSE not_before END
                WHERE id = %(parent)s RETURNING id, children_open, ending, queue
            ), step AS (
                UPDATE tasks_step SET progress = 100 * (children - parent.children_open) / children FROM parent
                WHERE job_id = parent.id AND name = %(step)s AND parent.ending = '' AND children > 0
            )
            SELECT children_open, ending, queue FROM parent
            """,
            {"parent": job.parent_id, "step": job.parent_step},
        )
        left, ending, queue = cursor.fetchone()
    assert job.parent_id is not None
    if left == 0:
        dispatch_jobs([(job.parent_id, queue)])
    elif status == JobStatus.SUCCEEDED or job.optional or ending:
        # A parent on its way back may be stuck there; its children go on being taken back all the same.
        _release_next(job.parent_id)
    else:
        cancel_below(job.parent_id)


def _release_next(parent_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE tasks_job SET held = false, not_before = statement_timestamp() WHERE id = (
                SELECT id FROM tasks_job WHERE parent_id = %s AND held
                ORDER BY CASE WHEN status = 'undoing' THEN -position ELSE position END LIMIT 1 FOR UPDATE
            ) RETURNING id, queue
            """,
            [parent_id],
        )
        dispatch_jobs(cursor.fetchall())


# --- Taking children back ----------------------------------------------------------------------------------


def compensate_children(claim: Claim, step: Step) -> bool:
    """Turn the children of a step round that succeeded and can be undone, the last first; whether there were any.

    They keep their rows and ids, because what they made in the cloud is found by them.
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
            not_before=Now() + LOOK_AGAIN,
            children_open=len(ids),
        )
        Job.objects.filter(pk__in=ids, status__in=statuses_before(JobStatus.UNDOING)).update(
            status=JobStatus.UNDOING,
            ending=JobStatus.CANCELLED,
            ended_at=None,
            outcome_code="undone",
            outcome_message=_("Taken back, because what it was a part of did not succeed."),
            attempt=0,
            held=True,
            not_before=Now() + LOOK_AGAIN,
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
        return True  # It gets stuck, and a person sees it; to pass over it would leave half an effect.
