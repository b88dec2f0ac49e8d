"""Beat's scheduler: the database's, of which only one at a time rings, however many beats are started."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from celery.utils.time import maybe_make_aware
from django.db import DatabaseError, InterfaceError, connections
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

log = structlog.get_logger(__name__)

# A number of our own among PostgreSQL's advisory locks; every beat of this database asks for the same.
BEAT_LOCK = 7_461_300_021
ASK_AGAIN_SECONDS = 2.0
# How far two machines' clocks may differ before one beat takes what another has written for a time to come.
TOLERANCE = timedelta(seconds=15)


class Entry(ModelEntry):  # type: ignore[misc] # django-celery-beat has no types.
    """A schedule of the database, which writes when it was rung, and nothing else.

    django-celery-beat's own reads the row and writes all of it back: what an operator, or an account's save, changed in
    between would be undone.
    """

    def is_ahead(self) -> bool:
        """Return whether it counts from a time to come, so that it would not be rung before that."""
        ahead: timedelta = maybe_make_aware(self.model.last_run_at) - self._default_now()
        return ahead > TOLERANCE

    def make_due(self) -> None:
        """Have it count from one interval ago, unless somebody has written another time meanwhile."""
        before = self.model.last_run_at
        run_every = getattr(self.schedule, "run_every", timedelta(minutes=1))
        self.last_run_at = self.model.last_run_at = self._default_now() - run_every
        PeriodicTask.objects.filter(pk=self.model.pk, last_run_at=before).update(last_run_at=self.last_run_at)

    def save(self) -> None:
        """Write when it was rung last, and how often."""
        PeriodicTask.objects.filter(pk=self.model.pk).update(
            last_run_at=self.model.last_run_at, total_run_count=self.model.total_run_count
        )


class OneBeatScheduler(DatabaseScheduler):  # type: ignore[misc] # django-celery-beat has no types.
    """Rings only while it holds an advisory lock; the others wait for it.

    Why it is safe: the lock belongs to a database session of this scheduler's own, so it ends with the process, however
    that ends, and with the database. Before every tick the session is asked whether it still lives; one that is gone
    has lost the lock, and this beat asks for it again like any other.
    Two may still ring at once for the length of a tick, when a session dies in its middle. That is harmless, because what
    is rung for is looked up in rows and done once; it is only not worth doing twice.
    """

    Entry = Entry

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._session: Any = None
        self._waiting = False
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Ring what is due, if this is the beat that rings; seconds until the next look."""
        try:
            if not self._is_leader():
                return ASK_AGAIN_SECONDS
            self._reset_future_times()
            interval: float = super().tick(*args, **kwargs)
        except (DatabaseError, InterfaceError) as error:
            # The database restarts: a beat that died of it would have to be started by hand.
            log.warning("beat_without_database", error=str(error))
            connections.close_all()
            return ASK_AGAIN_SECONDS
        return interval

    def _reset_future_times(self) -> None:
        """Make due what counts from a time to come: the clock has been set back, or a person has written a wrong time.

        Otherwise such a schedule would not be rung for as long as it lies ahead, and would keep others from being rung,
        as what is due next is kept by the clock's time too.
        """
        ahead = [entry for entry in self.schedule.values() if entry.model.enabled and entry.is_ahead()]
        for entry in ahead:
            log.warning("schedule_ahead_of_clock", schedule=entry.name, last_run_at=str(entry.last_run_at))
            entry.make_due()
        if ahead:
            self._heap = None  # Made anew by the tick, of all schedules.

    def _is_leader(self) -> bool:
        if self._session is not None and self._holds_lock():
            return True
        session = connections["default"].copy()
        with session.cursor() as cursor:
            # A machine that vanishes says no goodbye: PostgreSQL finds out by these, and frees the lock.
            cursor.execute(
                "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
            )
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [BEAT_LOCK])
            if cursor.fetchone() == (True,):
                self._session = session
        if self._session is None:
            session.close()
            if not self._waiting:
                log.info("beat_waits", reason="Another beat rings for this database.")
            self._waiting = True
            return False
        log.info("beat_rings")
        if self._waiting:
            # What this one read at its start is old: the other has rung since.
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
