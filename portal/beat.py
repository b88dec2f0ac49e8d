"""The scheduler of beat: it reads the schedules from the database, and only one of several beats sends tasks at a time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from celery.utils.time import maybe_make_aware
from django.db import DatabaseError, InterfaceError, connections
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from .direct_connection import create_direct_connection

log = structlog.get_logger(__name__)

# The key of the advisory lock in PostgreSQL. It is the same for all beats of a database.
BEAT_LOCK = 7_461_300_021
RETRY_SECONDS = 2.0
# The tolerated difference between the clocks of two machines with a beat. A later time counts as a time in the future.
TOLERANCE = timedelta(seconds=15)


class Entry(ModelEntry):  # type: ignore[misc] # django-celery-beat has no types.
    """A schedule of the database that writes only its last run.

    django-celery-beat's own entry reads the row and writes all of its columns back, which would undo changes that an
    operator, or the save of an account, made in between.
    """

    def is_ahead(self) -> bool:
        """Return whether its last run is in the future, so that it would not become due until then."""
        entries_ahead: timedelta = maybe_make_aware(self.model.last_run_at) - self._default_now()
        return entries_ahead > TOLERANCE

    def make_due(self) -> None:
        """Set its last run to one interval ago, unless another time was written meanwhile."""
        previous = self.model.last_run_at
        run_every = getattr(self.schedule, "run_every", timedelta(minutes=1))
        self.last_run_at = self.model.last_run_at = self._default_now() - run_every
        PeriodicTask.objects.filter(pk=self.model.pk, last_run_at=previous).update(
            last_run_at=self.last_run_at
        )

    def save(self) -> None:
        """Write its last run and its number of runs."""
        PeriodicTask.objects.filter(pk=self.model.pk).update(
            last_run_at=self.model.last_run_at, total_run_count=self.model.total_run_count
        )


class LeaderScheduler(DatabaseScheduler):  # type: ignore[misc] # django-celery-beat has no types.
    """A scheduler that sends tasks only while it holds an advisory lock. The other beats wait for the lock.

    The lock belongs to a separate database session of this scheduler, so it is freed at the end of the process, however it
    ends, and at the end of the database. Before every tick the session is checked; if it has ended, the lock is lost, and
    this beat tries to get it like any other.
    Two beats may send tasks for the length of a tick, when a session ends in its middle. That is harmless, because tasks
    process rows that are due, and a second one finds nothing to do.
    """

    Entry = Entry

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._session: Any = None
        self._waiting = False
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send the due tasks if this beat is the leader; return the seconds until the next tick."""
        try:
            if not self._is_leader():
                return RETRY_SECONDS
            self._reset_future_times()
            interval: float = super().tick(*args, **kwargs)
        except (DatabaseError, InterfaceError) as error:
            # The database may restart. Without this, somebody would have to restart the beat.
            log.warning("beat_without_database", error=str(error))
            connections.close_all()
            return RETRY_SECONDS
        return interval

    def _reset_future_times(self) -> None:
        """Make schedules due whose last run is in the future, after the clock was set back or a wrong time was entered.

        Otherwise such a schedule would not run until then, and would also delay other schedules in the heap of the
        scheduler.
        """
        entries_ahead = [
            entry for entry in self.schedule.values() if entry.model.enabled and entry.is_ahead()
        ]
        for entry in entries_ahead:
            log.warning("schedule_ahead_of_clock", schedule=entry.name, last_run_at=str(entry.last_run_at))
            entry.make_due()
        if entries_ahead:
            self._heap = None  # The tick rebuilds it from all schedules.

    def _is_leader(self) -> bool:
        if self._session is not None and self._holds_lock():
            return True
        session = create_direct_connection()
        with session.cursor() as cursor:
            # PostgreSQL detects a machine that has disappeared, and frees the lock: TCP_TIMEOUT_SECONDS.
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [BEAT_LOCK])
            if cursor.fetchone() == (True,):
                self._session = session
        if self._session is None:
            session.close()
            if not self._waiting:
                log.info("beat_waits", reason="Another beat is the leader for this database.")
            self._waiting = True
            return False
        log.info("beat_leads")
        if self._waiting:
            # The schedules that were read at the start are old, because the other beat has run them since.
            self._waiting, self._initial_read, self._heap = False, True, None
        return True

    def _holds_lock(self) -> bool:
        try:
            with self._session.cursor() as cursor:
                cursor.execute("SELECT 1")
        except (DatabaseError, InterfaceError):
            self._session.close()
            self._session, self._waiting = None, True
            return False
        return True
