"""Polling async tasks in batches: once per watcher and scope, not once per job.

A watcher is registered by the room that knows how to poll its objects.
One round of a scope takes everything that is due there and asks once: single gets when it is little, one listing
when it is more.
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
# The longest pause that the outside may ask for: the jobs that wait for it would be late by more.
LONGEST_POSTPONEMENT_SECONDS = 120.0
# Up to this many due objects are fetched one by one; a listing costs the cloud more than that many gets.
FEW = 3
# A round takes what falls due this soon too. After a round of many the scope rests for as long, or for as long as the
# round has taken: polling must not keep workers and cloud from working.
ROUND_SECONDS = 0.5
AT_MOST = 5000
# After this many failed polls in a row of one object, while the outside answers, its watch is ended: some 25 seconds.
MAX_FAILED_POLLS = 7
# Trouble of ours with the database does not count against the object that was to be polled.
OWN_ERRORS = (LeaseLostError, OperationalError, InterfaceError)

# The status of an object that does not exist.
MISSING = "(missing)"
LONGEST_MESSAGE = 2000


@dataclass(frozen=True, slots=True)
class Observation:
    """The result of one poll of an object: a status, the fault if there is one, and further data for the command."""

    status: str
    fault: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class PollError(Exception):
    """The outside could not be polled. `retry_after` is in seconds, if it said when to come back."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnreadableObjectError(Exception):
    """The outside answers, and its answer about this one object makes no sense."""


class Watcher(Protocol):
    """Polls objects of one type. Both methods raise `PollError` when the outside does not answer.

    Any other exception counts against the watch of the one object that it is about (see `MAX_FAILED_POLLS`).
    """

    def poll_one(self, scope: str, object_id: str) -> Observation:
        """Return the object as it is now; status `MISSING` when it does not exist. Raises `UnreadableObjectError`."""

    def poll_many(
        self, scope: str, object_ids: Sequence[str], since: datetime
    ) -> Mapping[str, Observation | UnreadableObjectError]:
        """Return the objects that one listing shows. Those that have not changed `since` may be left out."""


_watchers: dict[str, Watcher] = {}


def register_watcher(name: str, watcher: Watcher) -> None:
    """Make a watcher known by the name that `Watch` results use."""
    _watchers[name] = watcher


def poll(watcher_name: str, scope: str) -> None:
    """Poll once what is watched in a scope.

    Single-flight: a worker that does not get the lease of the scope's row has nothing to do, as the holder dispatches the
    next round when it has finished. A holder that dies loses its lease; the sweep dispatches the next round.
    """
    PollScope.objects.bulk_create([PollScope(watcher=watcher_name, scope=scope)], ignore_conflicts=True)
    row = PollScope.objects.filter(watcher=watcher_name, scope=scope)
    # A lease without an owner is a rest between two rounds.
    lease = Lease.acquire(row, Q(owner="", lease_until=None) | Q(lease_until__lt=Now()))
    if lease is None:
        # At rest: the next round is when the rest is over. A holder dispatches it by itself.
        for rest_until in row.filter(owner="").values_list("lease_until", flat=True):
            if rest_until is not None:
                dispatch_poll(
                    watcher_name, scope, after=max(0.0, (rest_until - timezone.now()).total_seconds())
                )
        return
    crash_points.crash_point("poll_claimed")
    began = time.monotonic()
    released: dict[str, Any] = {}
    open_tasks = AsyncTask.objects.filter(watcher=watcher_name, scope=scope, verdict=AsyncTask.Verdict.OPEN)
    rest = 0.0
    with lease.kept_alive():
        try:
            released["failures"] = _poll_due(watcher_name, scope, row.values_list("failures", flat=True)[0])
            if open_tasks.count() > FEW:
                rest = max(ROUND_SECONDS, time.monotonic() - began)
                released["lease_until"] = Now() + timedelta(seconds=rest)
        finally:
            # A poller that came too late releases nothing, and counts no failure: the scope is another's.
            lease.release(**released)
    # Read after the scope is free: the message of a job that began to watch meanwhile may have found it owned.
    nearest = open_tasks.aggregate(nearest=Min("next_look_at"))["nearest"]
    if nearest is not None:
        dispatch_poll(watcher_name, scope, after=max(rest, (nearest - timezone.now()).total_seconds(), 0.0))


def observe_object(watcher_name: str, scope: str, object_id: str) -> Observation | None:
    """Poll one object now, for no watch; return None when that fails. Call it with no transaction open."""
    try:
        return _watchers[watcher_name].poll_one(scope, object_id)
    except OWN_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - nothing was seen, and so nothing is known.
        log.warning("last_poll_failed", watcher=watcher_name, object=object_id, error=str(error))
        return None


def poll_once_more(task: AsyncTask) -> AsyncTask.Verdict | None:
    """Poll what a watch waits for, now and by itself, and decide the watch if it can; return None when it stays open.

    For the engine, before it gives up on a watch whose time is over: the outside may have got there since the last poll,
    or no poll succeeded. Never raises for what the outside does. Call it with no transaction open.
    """
    seen = observe_object(task.watcher, task.scope, task.object_id)
    if seen is None or _verdict(task, seen) is None:
        return None
    _record_each([task], {task.object_id: seen})
    task.refresh_from_db()
    verdict = AsyncTask.Verdict(task.verdict)
    return None if verdict == AsyncTask.Verdict.OPEN else verdict


def _poll_due(watcher_name: str, scope: str, failures: int) -> int:
    """Poll what is due; return how many rounds in a row have now failed."""
    horizon = timezone.now() + timedelta(seconds=ROUND_SECONDS / 4)
    open_tasks = AsyncTask.objects.filter(
        watcher=watcher_name, scope=scope, verdict=AsyncTask.Verdict.OPEN
    ).order_by("next_look_at")
    due = list(open_tasks.filter(next_look_at__lte=horizon)[:AT_MOST])
    if not due:
        return failures
    # A listing shows the watches that are not due too, and costs no more for it.
    others = list(open_tasks.filter(next_look_at__gt=horizon)[: AT_MOST - len(due)]) if len(due) > FEW else []
    seen: dict[str, Observation] = {}
    unread: dict[str, Exception] = {}
    unanswered: dict[str, PollError] = {}
    try:
        if len(due) > FEW:
            _poll_listing(watcher_name, scope, [*due, *others], seen, unread)
    except PollError as failure:
        _postpone(due, failure, failures)
        return failures + 1
    # Objects that a listing of changes leaves out are polled by id, a few a round, the longest unseen first.
    for task in [task for task in due if task.object_id not in seen and task.object_id not in unread][:FEW]:
        try:
            seen[task.object_id] = _watchers[watcher_name].poll_one(scope, task.object_id)
        except PollError as failure:
            unanswered[task.object_id] = failure
        except OWN_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one object does to us, the others are polled.
            unread[task.object_id] = error
    crash_points.crash_point("polled")
    _count_failed_polls([task for task in due if task.object_id in unread], unread)
    if unanswered and not seen and not unread:
        # Nothing answers: the outside is unavailable, and all of them wait.
        _postpone(due, next(iter(unanswered.values())), failures)
        return failures + 1
    for task in [task for task in due if task.object_id in unanswered]:
        # Others were answered for: only this one is postponed.
        _postpone([task], unanswered[task.object_id], task.looks)
    # Watches that are not due keep their time unless they are decided: they must not back off faster for being seen more often.
    decided = [
        task for task in others if task.object_id in seen and _verdict(task, seen[task.object_id]) is not None
    ]
    rest = [task for task in due if task.object_id not in unread and task.object_id not in unanswered]
    _record_each([*rest, *decided], seen)
    return 0


def _poll_listing(
    watcher_name: str,
    scope: str,
    wanted: Sequence[AsyncTask],
    seen: dict[str, Observation],
    unread: dict[str, Exception],
) -> None:
    """Record in `seen` and `unread` what one listing shows. Raises `PollError`.

    A listing that ends in another exception shows nothing: then the objects are polled one by one, a few a round, and
    the exception counts against the one that raises it again.
    """
    since = min(task.created_at for task in wanted)
    try:
        found = _watchers[watcher_name].poll_many(scope, [task.object_id for task in wanted], since)
    except (PollError, *OWN_ERRORS):
        raise
    except Exception:
        log.exception("listing_errored", watcher=watcher_name, scope=scope)
        return
    for object_id, one in found.items():
        if isinstance(one, Exception):
            unread[object_id] = one
        else:
            seen[object_id] = one


def _count_failed_polls(tasks: Sequence[AsyncTask], unread: Mapping[str, Exception]) -> None:
    """Count a failed poll against each of these watches, and end those that have had too many.

    Such a watch is refused, with `failed_looks` in its observation, so that its job ends with a reason; no other watch of
    the scope is touched.
    """
    for task in tasks:
        error = unread[task.object_id]
        if not isinstance(error, UnreadableObjectError):
            log.error(
                "poll_errored",
                watcher=task.watcher,
                scope=task.scope,
                object=task.object_id,
                job_id=str(task.job_id),
                exc_info=error,
            )
        before = task.observation.get("failed_looks", 0)
        count = (before if isinstance(before, int) else 0) + 1
        reason = str(error) if isinstance(error, UnreadableObjectError) else type(error).__name__
        over = count >= MAX_FAILED_POLLS
        values: dict[str, Any] = {
            "observation": {"failed_looks": count, "fault": sanitize_text(reason)[:LONGEST_MESSAGE]}
        }
        if over:
            values |= {
                "verdict": AsyncTask.Verdict.REFUSED,
                "ended_at": timezone.now(),
                "looks": F("looks") + 1,
            }
        with transaction.atomic():
            crash_points.crash_point_on_commit("poll_recorded")
            # Only what is still open: see `_record`.
            still = AsyncTask.objects.filter(pk=task.pk, verdict=AsyncTask.Verdict.OPEN)
            if still.update(**values) and over:
                wake_jobs([task.job_id])
            elif not over:
                _schedule_next_poll([task.pk])


def _record_each(due: Sequence[AsyncTask], seen: Mapping[str, Observation]) -> None:
    """Record as `_record` does; data that the database refuses counts against the watch of its own object alone."""
    try:
        _record(due, seen)
        return
    except (DataError, ValueError, TypeError) as error:
        refused = error
    # The instances in memory were changed for the try that failed.
    fresh = list(AsyncTask.objects.filter(pk__in=[task.pk for task in due]))
    if len(due) == 1:
        _count_failed_polls(fresh, {due[0].object_id: refused})
        return
    for task in fresh:
        _record_each([task], seen)


def _record(due: Sequence[AsyncTask], seen: Mapping[str, Observation]) -> None:
    """Write what was seen, wake the jobs whose watches that decides, and schedule the next poll of the others."""
    decided: list[AsyncTask] = []
    changed: list[AsyncTask] = []
    same: list[AsyncTask] = []
    for task in due:
        observation = seen.get(task.object_id)
        if observation is None:
            same.append(task)
            continue
        verdict = _verdict(task, observation)
        if verdict is None:
            status = observation.status[:100]
            (same if task.last_status == status and not task.observation else changed).append(task)
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
            # Only what is still open: a job may have been cancelled, and its watch dropped, during the poll; or this
            # poller has overslept its lease, and another has decided meanwhile.
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
        _schedule_next_poll([task.pk for task in [*changed, *same]])
        if decided:
            _expedite_scope(decided[0])


def _verdict(task: AsyncTask, observation: Observation) -> AsyncTask.Verdict | None:
    if observation.status in task.until:
        return AsyncTask.Verdict.REACHED
    if observation.status in task.unless:
        return AsyncTask.Verdict.REFUSED
    return None


def _schedule_next_poll(ids: Sequence[int]) -> None:
    """Schedule the next poll of watches: after 0.4, 0.8, ... 10 s, with a quarter of jitter."""
    if ids:
        queries.schedule_next_poll(ids, first=FIRST_POLL_SECONDS, longest=LONGEST_PAUSE_SECONDS)


def _expedite_scope(moved: AsyncTask) -> None:
    """Poll the other watches of a scope soon, after one of its objects has moved: others are about to.

    So of many that were begun together, the last is noticed as soon as the first, and where nothing moves polls still
    become less and less frequent.
    """
    soon = Now() + timedelta(seconds=SOON_SECONDS)
    others = AsyncTask.objects.filter(
        watcher=moved.watcher, scope=moved.scope, verdict=AsyncTask.Verdict.OPEN, next_look_at__gt=soon
    )
    others.update(next_look_at=soon)


def _postpone(due: Sequence[AsyncTask], failure: PollError, failures: int) -> None:
    """Postpone the polls of a cloud that does not answer: less and less often, or until it said; tell it on each waiting step."""
    pause = min(failure.retry_after or min(60.0, 2.0 ** min(failures, 6)), LONGEST_POSTPONEMENT_SECONDS)
    log.warning("poll_failed", watcher=due[0].watcher, scope=due[0].scope, pause=pause, error=str(failure))
    ids = [task.pk for task in due]
    with transaction.atomic():
        # No poll is scheduled after its watch is over.
        AsyncTask.objects.filter(pk__in=ids, verdict=AsyncTask.Verdict.OPEN).update(
            next_look_at=Greatest(
                Least(Now() + timedelta(seconds=pause), F("expires_at")), Now() + timedelta(seconds=1)
            ),
            looks=F("looks") + 1,
        )
        queries.write_step_messages(ids, sanitize_text(str(failure))[:LONGEST_MESSAGE])
