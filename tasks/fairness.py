"""How many of a worker's processes one tenant may hold at one time, so that its slow hosts and clouds delay it alone.

A step holds a process for as long as what it talks to takes. So of the processes of each worker, a tenant's work of a queue
holds at most a share (`TENANT_WORKER_SHARES`), and at least one. A job that comes when its tenant holds its share is
parked, and rung for when one of the tenant's gives its process back: it stands in the queue then behind what others have
asked for meanwhile.

The share is of each Celery worker, because that knows how many processes it has; they share a piece of memory, which says
what each works on, so that to look costs no statement. A process that was killed holds nothing. What runs outside of a
worker, and what belongs to no tenant, is not counted. A worker of one process cannot share it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from uuid import UUID

from django.conf import settings
from django.db import connection

from .dispatch import dispatch_jobs

# A parked job looks again by itself after so many seconds, should nobody have rung for it.
PARKED_SECONDS = 5.0
DEFAULT_QUEUE = "jobs"
# Process, thread, and what it works on; 0 for nothing.
ENTRY = struct.Struct("qqQ")
# Whether anything was parked, by the key's last bits; keys that share them cost a statement now and then.
FLAGS = 4096


class Places:
    """What the processes of one worker work on. Made in its main process, before it starts them.

    Each look and change is made under a lock of the file, which the kernel frees when a process dies, and of the process,
    for its threads.
    """

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self.entries = max(16, 2 * processes)
        self._memory = mmap.mmap(-1, self.entries * ENTRY.size + FLAGS)
        # Lives as long as the worker.
        self._file = os.memfd_create("portal-places")
        self._lock = threading.Lock()

    def take(self, key: int, most: int) -> bool:
        """Take a place for a key unless that has as many as it may."""
        with self._locked():
            free, held = self._look(key)
            if free is None or held >= most:
                return False
            ENTRY.pack_into(self._memory, free * ENTRY.size, os.getpid(), threading.get_native_id(), key)
            return True

    def release_slot(self, key: int) -> bool:
        """Give this thread's place back; whether something of the key was parked."""
        with self._locked():
            for place in range(self.entries):
                if self._entry(place) == (os.getpid(), threading.get_native_id(), key):
                    ENTRY.pack_into(self._memory, place * ENTRY.size, 0, 0, 0)
            flag = self._flag(key)
            was_parked = bool(self._memory[flag])
            self._memory[flag] = 0
            return was_parked

    def free(self, key: int, most: int, *, parked: bool) -> int:
        """Return how many places a key may still take. `parked`: something of it is parked, and is to be rung for."""
        with self._locked():
            if parked:
                self._memory[self._flag(key)] = 1
            return max(0, most - self._look(key)[1])

    def note_none_parked(self, key: int) -> None:
        """Note that nothing of a key is parked; one that is being parked at this moment looks by itself in a few seconds."""
        with self._locked():
            self._memory[self._flag(key)] = 0

    def _look(self, key: int) -> tuple[int | None, int]:
        """A free entry, and how many living processes and threads hold a place for the key."""
        free, held = None, 0
        for place in range(self.entries):
            process, _thread, taken_for = self._entry(place)
            if taken_for == key and not _is_alive(process):
                ENTRY.pack_into(self._memory, place * ENTRY.size, 0, 0, 0)
                taken_for = 0
            if taken_for == key:
                held += 1
            elif taken_for == 0 or (free is None and not _is_alive(process)):
                free = place
        return free, held

    def _entry(self, place: int) -> tuple[int, int, int]:
        process, thread, key = ENTRY.unpack_from(self._memory, place * ENTRY.size)
        return process, thread, key

    def _flag(self, key: int) -> int:
        return self.entries * ENTRY.size + key % FLAGS

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)


_places: Places | None = None


def init_worker_slots(processes: int | None) -> None:
    """Make the places of this worker. Called in its main process, before it starts the others."""
    global _places  # noqa: PLW0603 - a process belongs to one worker.
    _places = Places(processes) if processes and processes > 1 else None


def slot_limit(queue: str) -> int | None:
    """Return how many processes of this worker a tenant's work of a queue may hold; None for any number."""
    if _places is None:
        return None
    shares: Mapping[str, float] = settings.TENANT_WORKER_SHARES
    share = float(shares.get(queue or DEFAULT_QUEUE, shares.get("", 0.5)))
    return None if share >= 1 else max(1, int(_places.processes * share))


def acquire_slot(tenant_id: UUID | None, queue: str) -> bool:
    """Take a place for this thread's work, to be given back with `release_slot`; False when the tenant holds its share."""
    most = slot_limit(queue)
    if _places is None or most is None or tenant_id is None:
        return True
    return _places.take(_key(tenant_id, queue), most)


def release_slot(tenant_id: UUID | None, queue: str) -> None:
    """Give this thread's place back, and ring for the jobs that were parked for want of it. Outside of any transaction."""
    if _places is not None and tenant_id is not None and _places.release_slot(_key(tenant_id, queue)):
        dispatch_parked_jobs(tenant_id, queue)


def dispatch_parked_jobs(tenant_id: UUID | None, queue: str) -> None:
    """Ring for as many of a tenant's parked jobs of a queue as may run now, the oldest first.

    Why none is forgotten: who parks a job writes its row first, and calls this afterwards; so either the place that was
    given back meanwhile is seen here, or who gives one back later sees that something is parked.
    """
    most = slot_limit(queue)
    if _places is None or most is None:
        return
    key = _key(tenant_id, queue)
    if not (free := _places.free(key, most, parked=True)):
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE tasks_job SET parked = false, not_before = statement_timestamp() WHERE id IN (
                SELECT id FROM tasks_job WHERE tenant_id = %(tenant)s AND queue = %(queue)s AND parked
                ORDER BY created_at, position LIMIT %(free)s FOR UPDATE SKIP LOCKED
            ) RETURNING id, queue
            """,
            {"tenant": tenant_id, "queue": queue, "free": free},
        )
        rung = cursor.fetchall()
        dispatch_jobs(rung)
    if len(rung) < free:
        _places.note_none_parked(key)


def _key(tenant_id: UUID | None, queue: str) -> int:
    digest = blake2b(f"{queue}:{tenant_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def _is_alive(process: int) -> bool:
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
