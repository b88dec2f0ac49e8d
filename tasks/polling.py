"""Async tasks, polled in batches: what goes on outside is looked at once per watcher and scope, not once per job.

A watcher is registered by the room that knows how to look.
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
from django.db import DataError, InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Min, Q
from django.db.models.functions import Greatest, Least, Now
from django.utils import timezone

from . import crash_points
from .dispatch import dispatch_poll, wake_jobs
from .leases import LeaseLostError, held, lease, new_owner
from .models import AsyncTask, PollScope

log = structlog.get_logger(__name__)

# Measured on a real Nova: a start takes 0.35 s, so a first look after 0.5 s is too late to be the best.
FIRST_LOOK_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
SOON_SECONDS = 1.0
# However long the outside asks us to stay away: what waits for it would be late by that.
LONGEST_PUT_OFF_SECONDS = 120.0
# Up to this many due objects are fetched one by one; a listing costs the cloud more than that many gets.
FEW = 3
# A round takes what falls due this soon too. After a round of many the scope rests for as long, or for as long as the
# round has taken: looking must not keep workers and cloud from doing.
ROUND_SECONDS = 0.5
AT_MOST = 5000
# So many looks in a row at one object that come to nothing, while the outside answers, end its watch: some 25 seconds.
MOST_FAILED_LOOKS = 7
# Trouble of ours with the database is no fault of the object that was to be looked at.
OUR_TROUBLE = (LeaseLostError, OperationalError, InterfaceError)

# The status of what is not there.
MISSING = "(missing)"


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look saw: a status word, the fault if there is one, and what the command will want to know."""

    status: str
    fault: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class PollError(Exception):
    """The outside could not be looked at. `retry_after` is in seconds, if it said when to come back."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnreadableObjectError(Exception):
    """The outside answers, and what it says of this one object makes no sense."""


class Watcher(Protocol):
    """Looks at objects of one type. Both methods raise `PollError` when the outside does not answer.

    Any other exception counts against the watch of the one object that it is about (see `MOST_FAILED_LOOKS`).
    """

    def poll_one(self, scope: str, object_id: str) -> Observation:
        """The object as it is now; status `MISSING` when it is not there. Raises `UnreadableObjectError`."""

    def poll_many(
        self, scope: str, object_ids: Sequence[str], since: datetime
    ) -> Mapping[str, Observation | UnreadableObjectError]:
        """The objects that one listing shows. Those that have not changed `since` may be left out."""


_watchers: dict[str, Watcher] = {}


def register_watcher(name: str, watcher: Watcher) -> None:
    """Make a watcher known by the name that `Watch` results use."""
    _watchers[name] = watcher


def poll(watcher_name: str, scope: str) -> None:
    """One round over what is watched in a scope.

    Single-flight: the scope's row is claimed by compare-and-set, and who does not get it has nothing to do, as
    the holder rings for the next round when it is through. A holder that dies loses its lease; the sweep rings.
    """
    PollScope.objects.bulk_create([PollScope(watcher=watcher_name, scope=scope)], ignore_conflicts=True)
    owner = new_owner()
    mine = PollScope.objects.filter(watcher=watcher_name, scope=scope)
    # A lease without an owner is a rest between two rounds.
    free = Q(owner="", lease_until=None) | Q(lease_until__lt=Now())
    if not mine.filter(free).update(owner=owner, lease_until=Now() + lease()):
        # At rest: what rang is looked at when the rest is over. A holder rings by itself when it is through.
        for rest_until in mine.filter(owner="").values_list("lease_until", flat=True):
            if rest_until is not None:
                dispatch_poll(
                    watcher_name, scope, after=max(0.0, (rest_until - timezone.now()).total_seconds())
                )
        return
    crash_points.crash_point("poll_claimed")
    began = time.monotonic()
    released: dict[str, Any] = {"owner": "", "lease_until": None}
    open_tasks = AsyncTask.objects.filter(watcher=watcher_name, scope=scope, verdict=AsyncTask.Verdict.OPEN)
    rest = 0.0
    with held(PollScope, owner):
        try:
            released["failures"] = _round(watcher_name, scope, mine.values_list("failures", flat=True)[0])
            if open_tasks.count() > FEW:
                rest = max(ROUND_SECONDS, time.monotonic() - began)
                released["lease_until"] = Now() + timedelta(seconds=rest)
        finally:
            # A poller that came too late lets nothing go, and counts no failure: the scope is another's.
            mine.filter(owner=owner).update(**released)
    # Read after the scope is free: a job that began to watch meanwhile may have rung in vain.
    nearest = open_tasks.aggregate(nearest=Min("next_look_at"))["nearest"]
    if nearest is not None:
        dispatch_poll(watcher_name, scope, after=max(rest, (nearest - timezone.now()).total_seconds(), 0.0))


def observe_object(watcher_name: str, scope: str, object_id: str) -> Observation | None:
    """Look at one object now, for nobody's watch; None when it cannot be seen. Call it with no transaction open."""
    try:
        return _watchers[watcher_name].poll_one(scope, object_id)
    except OUR_TROUBLE:
        raise
    except Exception as error:  # noqa: BLE001 - nothing was seen, and so nothing is known.
        log.warning("last_look_failed", watcher=watcher_name, object=object_id, error=str(error))
        return None


def poll_once_more(task: AsyncTask) -> AsyncTask.Verdict | None:
    """Look at what a watch waits for, now and by itself, and decide it if that decides; None when nothing is decided.

    For the engine, before it gives up on a watch whose time is over: the outside may have got there since the last look,
    or nobody could look. Never raises for what the outside does. Call it with no transaction open.
    """
    seen = observe_object(task.watcher, task.scope, task.object_id)
    if seen is None or _verdict(task, seen) is None:
        return None
    _record_each([task], {task.object_id: seen})
    task.refresh_from_db()
    verdict = AsyncTask.Verdict(task.verdict)
    return None if verdict == AsyncTask.Verdict.OPEN else verdict


def _round(watcher_name: str, scope: str, failures: int) -> int:
    """Look at what is due; how many rounds in a row have now failed."""
    horizon = timezone.now() + timedelta(seconds=ROUND_SECONDS / 4)
    open_tasks = AsyncTask.objects.filter(
        watcher=watcher_name, scope=scope, verdict=AsyncTask.Verdict.OPEN
    ).order_by("next_look_at")
    due = list(open_tasks.filter(next_look_at__lte=horizon)[:AT_MOST])
    if not due:
        return failures
    # A listing shows the others too, and costs no more for it: what they wait for is noticed before their time.
    others = list(open_tasks.filter(next_look_at__gt=horizon)[: AT_MOST - len(due)]) if len(due) > FEW else []
    seen: dict[str, Observation] = {}
    unread: dict[str, Exception] = {}
    unanswered: dict[str, PollError] = {}
    try:
        if len(due) > FEW:
            _look_at_listing(watcher_name, scope, [*due, *others], seen, unread)
    except PollError as failure:
        _put_off(due, failure, failures)
        return failures + 1
    # What a listing of changes leaves out is asked for by name, a few a round, the longest unseen first.
    for task in [task for task in due if task.object_id not in seen and task.object_id not in unread][:FEW]:
        try:
            seen[task.object_id] = _watchers[watcher_name].poll_one(scope, task.object_id)
        except PollError as failure:
            unanswered[task.object_id] = failure
        except OUR_TROUBLE:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one object does to us, the others are looked at.
            unread[task.object_id] = error
    crash_points.crash_point("polled")
    _note_failed_looks([task for task in due if task.object_id in unread], unread)
    if unanswered and not seen and not unread:
        # Nothing answers: the outside is away, and all of them wait.
        _put_off(due, next(iter(unanswered.values())), failures)
        return failures + 1
    for task in [task for task in due if task.object_id in unanswered]:
        # Others were answered for: it is this one's trouble, and no reason to leave the others alone.
        _put_off([task], unanswered[task.object_id], task.looks)
    # The others keep their time unless something is decided: they must not back off faster for being seen more often.
    decided = [
        task for task in others if task.object_id in seen and _verdict(task, seen[task.object_id]) is not None
    ]
    rest = [task for task in due if task.object_id not in unread and task.object_id not in unanswered]
    _record_each([*rest, *decided], seen)
    return 0


def _look_at_listing(
    watcher_name: str,
    scope: str,
    wanted: Sequence[AsyncTask],
    seen: dict[str, Observation],
    unread: dict[str, Exception],
) -> None:
    """Take down what one listing shows. Raises `PollError`.

    A listing that ends in another exception shows nothing: then the objects are looked at one by one, a few a round, and
    the exception is the matter of whichever raises it again.
    """
    since = min(task.created_at for task in wanted)
    try:
        found = _watchers[watcher_name].poll_many(scope, [task.object_id for task in wanted], since)
    except (PollError, *OUR_TROUBLE):
        raise
    except Exception:
        log.exception("listing_errored", watcher=watcher_name, scope=scope)
        return
    for object_id, one in found.items():
        if isinstance(one, Exception):
            unread[object_id] = one
        else:
            seen[object_id] = one


def _note_failed_looks(tasks: Sequence[AsyncTask], unread: Mapping[str, Exception]) -> None:
    """Count a look that came to nothing against each of these watches, and end those that have had too many.

    Such a watch is refused, with `failed_looks` in its observation, so that its job ends with a reason; no other watch of
    the scope is touched.
    """
    for task in tasks:
        error = unread[task.object_id]
        if not isinstance(error, UnreadableObjectError):
            log.error(
                "look_errored",
                watcher=task.watcher,
                scope=task.scope,
                object=task.object_id,
                job_id=str(task.job_id),
                exc_info=error,
            )
        before = task.observation.get("failed_looks", 0)
        count = (before if isinstance(before, int) else 0) + 1
        reason = str(error) if isinstance(error, UnreadableObjectError) else type(error).__name__
        over = count >= MOST_FAILED_LOOKS
        values: dict[str, Any] = {"observation": {"failed_looks": count, "fault": _storable(reason)}}
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
                _next_look([task.pk])


def _storable(text: str) -> str:
    """A text as the database takes it: without NUL and halves of surrogate pairs, and not endless."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:2000]


def _record_each(due: Sequence[AsyncTask], seen: Mapping[str, Observation]) -> None:
    """As `_record`; what the database refuses to take down of one object counts against that one's watch alone."""
    try:
        _record(due, seen)
        return
    except (DataError, ValueError, TypeError) as error:
        refused = error
    # What the rows hold in memory was set for the try that failed.
    fresh = list(AsyncTask.objects.filter(pk__in=[task.pk for task in due]))
    if len(due) == 1:
        _note_failed_looks(fresh, {due[0].object_id: refused})
        return
    for task in fresh:
        _record_each([task], seen)


def _record(due: Sequence[AsyncTask], seen: Mapping[str, Observation]) -> None:
    """Write what was seen, wake the jobs for which that decides, and set the next look for the others."""
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
            word = observation.status[:100]
            (same if task.last_status == word and not task.observation else changed).append(task)
            # Looks that came to nothing before this one are forgotten.
            task.last_status, task.observation = word, {}
            continue
        task.verdict, task.last_status, task.ended_at = verdict, observation.status[:100], timezone.now()
        task.observation = {**observation.data, "status": observation.status, "fault": observation.fault}
        task.looks += 1
        decided.append(task)
    with transaction.atomic():
        crash_points.crash_point_on_commit("poll_recorded")
        still_open = AsyncTask.Verdict.OPEN
        if decided or changed:
            # Only what is still open: a job may have been cancelled, and its watch dropped, during the look; or this
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
        _next_look([task.pk for task in [*changed, *same]])
        if decided:
            _look_soon_at_the_others(decided[0])


def _verdict(task: AsyncTask, observation: Observation) -> AsyncTask.Verdict | None:
    if observation.status in task.until:
        return AsyncTask.Verdict.REACHED
    if observation.status in task.unless:
        return AsyncTask.Verdict.REFUSED
    return None


def _next_look(ids: Sequence[int]) -> None:
    """Look again after 0.4, 0.8, ... 10 s, with a quarter of jitter so that jobs do not march in step."""
    if not ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tasks_asynctask SET looks = looks + 1, next_look_at = statement_timestamp()"
            " + make_interval(secs => LEAST(%s, %s * 2 ^ LEAST(looks + 1, 10)) * (0.875 + random() / 4))"
            " WHERE id = ANY(%s) AND verdict = 'open'",
            [LONGEST_PAUSE_SECONDS, FIRST_LOOK_SECONDS, list(ids)],
        )


def _look_soon_at_the_others(moved: AsyncTask) -> None:
    """Where one thing has moved, others are about to: they are not left to their back-off.

    So of many that were begun together, the last is noticed as soon as the first, and what nothing happens to is still
    asked for less and less often.
    """
    soon = Now() + timedelta(seconds=SOON_SECONDS)
    others = AsyncTask.objects.filter(
        watcher=moved.watcher, scope=moved.scope, verdict=AsyncTask.Verdict.OPEN, next_look_at__gt=soon
    )
    others.update(next_look_at=soon)


def _put_off(due: Sequence[AsyncTask], failure: PollError, failures: int) -> None:
    """The cloud is away: say so on each waiting step, and ask less and less often, or when it said."""
    pause = min(failure.retry_after or min(60.0, 2.0 ** min(failures, 6)), LONGEST_PUT_OFF_SECONDS)
    log.warning("look_failed", watcher=due[0].watcher, scope=due[0].scope, pause=pause, error=str(failure))
    ids = [task.pk for task in due]
    with transaction.atomic():
        # Nobody is told to look again after its watch is over.
        AsyncTask.objects.filter(pk__in=ids, verdict=AsyncTask.Verdict.OPEN).update(
            next_look_at=Greatest(
                Least(Now() + timedelta(seconds=pause), F("expires_at")), Now() + timedelta(seconds=1)
            ),
            looks=F("looks") + 1,
        )
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE tasks_step SET message = %s FROM tasks_asynctask AS t"
                " WHERE t.id = ANY(%s) AND t.verdict = 'open' AND tasks_step.job_id = t.job_id AND tasks_step.name = t.step_name",
                [_storable(str(failure)), ids],
            )
