"""Polling async tasks in batches: once per watcher and scope, not once per job.

The room that knows the objects registers a watcher for them.
One round of a scope polls everything that is due there: few objects by one request each, more objects by one listing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from django.db import DataError, InterfaceError, OperationalError, transaction
from django.db.models import F, Min, Q
from django.db.models.functions import Greatest, Least, Now
from django.utils import timezone

from api.messages import limit_message

from . import crash_points, queries
from .dispatch import dispatch_poll, wake_jobs
from .leases import Lease, LeaseLostError
from .models import AsyncTask, PollScope
from .sanitizing import sanitize_text

log = structlog.get_logger(__name__)

# Measured on a real Nova: a start takes 0.35 s, so a first poll after 0.5 s would notice it late.
FIRST_POLL_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
SOON_SECONDS = 1.0
# The longest pause that an external system may request: after a longer one, the waiting jobs would notice changes too late.
LONGEST_POSTPONEMENT_SECONDS = 120.0
# Up to this many due objects are polled one by one; more than that cost a cloud more than a listing.
MAX_SINGLE_POLLS = 3
# After a round with many watches, the scope rests for this time, or for the duration of the round if that was longer, so
# that polling does not take the capacity of workers and clouds. A round includes watches that fall due soon.
ROUND_SECONDS = 0.5
MAX_WATCHES_PER_ROUND = 5000
# A watch ends after this many failed polls of its object in a row, about 25 seconds, if the external system answers.
MAX_FAILED_POLLS = 7
# The portal's own errors, which do not count as failed polls of an object.
PORTAL_ERRORS = (LeaseLostError, OperationalError, InterfaceError)

# The status of an object that does not exist.
MISSING = "(missing)"
MAX_MESSAGE_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class Observation:
    """The result of one poll of an object: a status, the fault if there is one, and further data for the command."""

    status: str
    fault: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class PollError(Exception):
    """The external system does not answer. `retry_after` is the pause in seconds that it requested, if any."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnreadableObjectError(Exception):
    """The external system answers, but its answer about this object cannot be parsed."""


class Watcher(Protocol):
    """Polls objects of one type. Both methods raise `PollError` when the external system does not answer.

    Any other exception counts as a failed poll of the object that it is about (see `MAX_FAILED_POLLS`).
    """

    def poll_one(self, scope: str, object_id: str) -> Observation:
        """Return the present state of an object; status `MISSING` when it does not exist. Raises `UnreadableObjectError`."""

    def poll_many(
        self, scope: str, object_ids: Sequence[str], since: datetime
    ) -> Mapping[str, Observation | UnreadableObjectError]:
        """Return the objects of one listing. Objects that have not changed `since` may be left out."""


_watchers: dict[str, Watcher] = {}


def register_watcher(name: str, watcher: Watcher) -> None:
    """Register a watcher under the name that `Watch` results use."""
    _watchers[name] = watcher


def poll(watcher_name: str, scope: str) -> None:
    """Run one round of polls in a scope.

    Only one worker polls a scope at a time: a worker that does not get the lease of the scope's row returns, and the
    holder dispatches the next round when it has finished. If the holder dies, its lease runs out, and the sweep
    dispatches the next round.
    """
    PollScope.objects.bulk_create([PollScope(watcher=watcher_name, scope=scope)], ignore_conflicts=True)
    row = PollScope.objects.filter(watcher=watcher_name, scope=scope)
    # A lease without an owner is a rest between two rounds.
    lease = Lease.acquire(row, Q(owner="", lease_until=None) | Q(lease_until__lt=Now()))
    if lease is None:
        # The scope rests, so a round is dispatched for the end of the rest. A holder dispatches the next round itself.
        for rest_until in row.filter(owner="").values_list("lease_until", flat=True):
            if rest_until is not None:
                dispatch_poll(
                    watcher_name, scope, after=max(0.0, (rest_until - timezone.now()).total_seconds())
                )
        return
    crash_points.crash_point("poll_claimed")
    started_at = time.monotonic()
    release_columns: dict[str, Any] = {}
    open_tasks = AsyncTask.objects.filter(watcher=watcher_name, scope=scope, verdict=AsyncTask.Verdict.OPEN)
    rest_seconds = 0.0
    with lease.kept_alive():
        try:
            release_columns["failures"] = _poll_due(
                watcher_name, scope, row.values_list("failures", flat=True)[0]
            )
            if open_tasks.count() > MAX_SINGLE_POLLS:
                rest_seconds = max(ROUND_SECONDS, time.monotonic() - started_at)
                release_columns["lease_until"] = Now() + timedelta(seconds=rest_seconds)
        finally:
            # If another worker has acquired the lease meanwhile, this writes nothing.
            lease.release(**release_columns)
    # Read after the release: the message of a job that began to watch meanwhile may have found the scope owned.
    nearest = open_tasks.aggregate(nearest=Min("next_look_at"))["nearest"]
    if nearest is not None:
        dispatch_poll(
            watcher_name, scope, after=max(rest_seconds, (nearest - timezone.now()).total_seconds(), 0.0)
        )


def observe_object(watcher_name: str, scope: str, object_id: str) -> Observation | None:
    """Poll one object now, without a watch; return None when that fails. Call it outside of any transaction."""
    try:
        return _watchers[watcher_name].poll_one(scope, object_id)
    except PORTAL_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - any error means that the state is unknown.
        log.warning("last_poll_failed", watcher=watcher_name, object=object_id, error=str(error))
        return None


def poll_once_more(task: AsyncTask) -> AsyncTask.Verdict | None:
    """Poll the object of a watch now, and decide the watch if possible; return the verdict, or None when it stays open.

    The engine calls it before it fails a step whose time is over: the object may have reached its status since the last
    poll, or no poll succeeded. It does not raise for errors of the external system. Call it outside of any transaction.
    """
    observation = observe_object(task.watcher, task.scope, task.object_id)
    if observation is None or _decide_verdict(task, observation) is None:
        return None
    _record_observations([task], {task.object_id: observation})
    task.refresh_from_db()
    verdict = AsyncTask.Verdict(task.verdict)
    return None if verdict == AsyncTask.Verdict.OPEN else verdict


def _poll_due(watcher_name: str, scope: str, failures: int) -> int:
    """Poll the watches that are due; return the number of successive rounds that have failed."""
    horizon = timezone.now() + timedelta(seconds=ROUND_SECONDS / 4)
    open_tasks = AsyncTask.objects.filter(
        watcher=watcher_name, scope=scope, verdict=AsyncTask.Verdict.OPEN
    ).order_by("next_look_at")
    due = list(open_tasks.filter(next_look_at__lte=horizon)[:MAX_WATCHES_PER_ROUND])
    if not due:
        return failures
    # One listing covers the objects of all watches, so those that are not due are polled at no additional cost.
    not_due = (
        list(open_tasks.filter(next_look_at__gt=horizon)[: MAX_WATCHES_PER_ROUND - len(due)])
        if len(due) > MAX_SINGLE_POLLS
        else []
    )
    observations: dict[str, Observation] = {}
    unreadable: dict[str, Exception] = {}
    poll_errors: dict[str, PollError] = {}
    try:
        if len(due) > MAX_SINGLE_POLLS:
            _poll_listing(watcher_name, scope, [*due, *not_due], observations, unreadable)
    except PollError as failure:
        _postpone(due, failure, failures)
        return failures + 1
    # A listing of changes leaves out unchanged objects. A few of them are polled by id in each round, the most overdue first.
    for task in [
        task for task in due if task.object_id not in observations and task.object_id not in unreadable
    ][:MAX_SINGLE_POLLS]:
        try:
            observations[task.object_id] = _watchers[watcher_name].poll_one(scope, task.object_id)
        except PollError as failure:
            poll_errors[task.object_id] = failure
        except PORTAL_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - an error with one object must not stop the polls of the others.
            unreadable[task.object_id] = error
    crash_points.crash_point("polled")
    _count_failed_polls([task for task in due if task.object_id in unreadable], unreadable)
    if poll_errors and not observations and not unreadable:
        # The external system answered no request, so all watches are postponed.
        _postpone(due, next(iter(poll_errors.values())), failures)
        return failures + 1
    for task in [task for task in due if task.object_id in poll_errors]:
        # Requests for other objects were answered, so only this watch is postponed.
        _postpone([task], poll_errors[task.object_id], task.looks)
    # Watches that are not due keep their next poll unless they are decided: a listing must not increase their back-off.
    decided = [
        task
        for task in not_due
        if task.object_id in observations and _decide_verdict(task, observations[task.object_id]) is not None
    ]
    answered = [
        task for task in due if task.object_id not in unreadable and task.object_id not in poll_errors
    ]
    _record_observations([*answered, *decided], observations)
    return 0


def _poll_listing(
    watcher_name: str,
    scope: str,
    tasks: Sequence[AsyncTask],
    observations: dict[str, Observation],
    unreadable: dict[str, Exception],
) -> None:
    """Add the objects of one listing to `observations` and `unreadable`. Raises `PollError`.

    After any other exception, nothing is added: then the objects are polled one by one, a few in each round, and the
    exception counts as a failed poll of the object that raises it again.
    """
    since = min(task.created_at for task in tasks)
    try:
        listed = _watchers[watcher_name].poll_many(scope, [task.object_id for task in tasks], since)
    except (PollError, *PORTAL_ERRORS):
        raise
    except Exception:
        log.exception("listing_errored", watcher=watcher_name, scope=scope)
        return
    for object_id, observation in listed.items():
        if isinstance(observation, Exception):
            unreadable[object_id] = observation
        else:
            observations[object_id] = observation


def _count_failed_polls(tasks: Sequence[AsyncTask], unreadable: Mapping[str, Exception]) -> None:
    """Count a failed poll of each watch, and end the watches with too many of them.

    Such a watch is refused, with `failed_looks` in its observation, so that its job ends with a reason. No other watch of
    the scope is affected.
    """
    for task in tasks:
        error = unreadable[task.object_id]
        if not isinstance(error, UnreadableObjectError):
            log.error(
                "poll_errored",
                watcher=task.watcher,
                scope=task.scope,
                object=task.object_id,
                job_id=str(task.job_id),
                exc_info=error,
            )
        earlier_failures = task.observation.get("failed_looks", 0)
        count = (earlier_failures if isinstance(earlier_failures, int) else 0) + 1
        reason = str(error) if isinstance(error, UnreadableObjectError) else type(error).__name__
        is_exhausted = count >= MAX_FAILED_POLLS
        values: dict[str, Any] = {
            "observation": {"failed_looks": count, "fault": sanitize_text(reason)[:MAX_MESSAGE_LENGTH]}
        }
        if is_exhausted:
            values |= {
                "verdict": AsyncTask.Verdict.REFUSED,
                "ended_at": timezone.now(),
                "looks": F("looks") + 1,
            }
        with transaction.atomic():
            crash_points.crash_point_on_commit("poll_recorded")
            # Only an open watch: see `_record_together`.
            open_task = AsyncTask.objects.filter(pk=task.pk, verdict=AsyncTask.Verdict.OPEN)
            if open_task.update(**values) and is_exhausted:
                wake_jobs([task.job_id])
            elif not is_exhausted:
                _schedule_next_poll([task.pk])


def _record_observations(due: Sequence[AsyncTask], observations: Mapping[str, Observation]) -> None:
    """Record observations; data that the database refuses counts as a failed poll of its own object only."""
    try:
        _record_together(due, observations)
        return
    except (DataError, ValueError, TypeError) as error:
        refused = error
    # The failed try has changed the instances in memory.
    reloaded = list(AsyncTask.objects.filter(pk__in=[task.pk for task in due]))
    if len(due) == 1:
        _count_failed_polls(reloaded, {due[0].object_id: refused})
        return
    for task in reloaded:
        _record_observations([task], observations)


def _record_together(due: Sequence[AsyncTask], observations: Mapping[str, Observation]) -> None:
    """Write the observations, wake the jobs of the decided watches, and schedule the next poll of the others."""
    decided: list[AsyncTask] = []
    changed: list[AsyncTask] = []
    unchanged: list[AsyncTask] = []
    for task in due:
        observation = observations.get(task.object_id)
        if observation is None:
            unchanged.append(task)
            continue
        verdict = _decide_verdict(task, observation)
        if verdict is None:
            status = observation.status[:100]
            (unchanged if task.last_status == status and not task.observation else changed).append(task)
            # Failed polls before this one no longer count.
            task.last_status, task.observation = status, {}
            continue
        task.verdict, task.last_status, task.ended_at = verdict, observation.status[:100], timezone.now()
        task.observation = {**observation.data, "status": observation.status, "fault": observation.fault}
        task.looks += 1
        decided.append(task)
    with transaction.atomic():
        crash_points.crash_point_on_commit("poll_recorded")
        still_open = AsyncTask.Verdict.OPEN
        if decided or changed:
            # Only open watches: during the poll, a job may have been cancelled and its watch dropped, or this worker may
            # have lost its lease to another that has decided the watch.
            locked = set(
                AsyncTask.objects.select_for_update()
                .filter(pk__in=[task.pk for task in [*decided, *changed]], verdict=still_open)
                .values_list("pk", flat=True)
            )
            decided = [task for task in decided if task.pk in locked]
            changed = [task for task in changed if task.pk in locked]
        if decided:
            AsyncTask.objects.bulk_update(
                decided, ["verdict", "last_status", "observation", "looks", "ended_at"]
            )
            wake_jobs([task.job_id for task in decided])
        if changed:
            AsyncTask.objects.bulk_update(changed, ["last_status", "observation"])
        _schedule_next_poll([task.pk for task in [*changed, *unchanged]])
        if decided:
            _expedite_scope(decided[0])


def _decide_verdict(task: AsyncTask, observation: Observation) -> AsyncTask.Verdict | None:
    if observation.status in task.until:
        return AsyncTask.Verdict.REACHED
    if observation.status in task.unless:
        return AsyncTask.Verdict.REFUSED
    return None


def _schedule_next_poll(ids: Sequence[int]) -> None:
    """Schedule the next poll of watches: after 0.4, 0.8, ... 10 s, with a jitter of a quarter."""
    if ids:
        queries.schedule_next_poll(ids, first=FIRST_POLL_SECONDS, longest=LONGEST_PAUSE_SECONDS)


def _expedite_scope(decided_task: AsyncTask) -> None:
    """Poll the other watches of a scope soon, because one of its objects has just reached a decisive status.

    Actions that were started together usually end together, so the last one is noticed as soon as the first. Without
    such a change, polls become less and less frequent.
    """
    soon = Now() + timedelta(seconds=SOON_SECONDS)
    later_tasks = AsyncTask.objects.filter(
        watcher=decided_task.watcher,
        scope=decided_task.scope,
        verdict=AsyncTask.Verdict.OPEN,
        next_look_at__gt=soon,
    )
    later_tasks.update(next_look_at=soon)


def _postpone(due: Sequence[AsyncTask], failure: PollError, failures: int) -> None:
    """Postpone the polls of a system that does not answer, by its requested pause or with back-off; show the error in the steps."""
    pause = min(failure.retry_after or min(60.0, 2.0 ** min(failures, 6)), LONGEST_POSTPONEMENT_SECONDS)
    log.warning("poll_failed", watcher=due[0].watcher, scope=due[0].scope, pause=pause, error=str(failure))
    ids = [task.pk for task in due]
    with transaction.atomic():
        # The last poll is not later than the end of the watch.
        AsyncTask.objects.filter(pk__in=ids, verdict=AsyncTask.Verdict.OPEN).update(
            next_look_at=Greatest(
                Least(Now() + timedelta(seconds=pause), F("expires_at")), Now() + timedelta(seconds=1)
            ),
            looks=F("looks") + 1,
        )
        queries.write_step_messages(ids, limit_message(sanitize_text(str(failure)), MAX_MESSAGE_LENGTH))
