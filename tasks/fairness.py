"""Fair shares: how many of a worker's processes one tenant may hold, so that its slow hosts and clouds delay it alone.

A step holds a process for as long as what it talks to takes. So of the processes of each worker, a tenant's work of a queue
holds at most a share (`TENANT_WORKER_SHARES`), and at least one. A job that comes when its tenant holds its share is
parked, and dispatched again when another job of the tenant releases its process: it then stands in the queue behind what
other tenants have submitted meanwhile.

The share is of each Celery worker, because that knows how many processes it has; they share a piece of memory, which says
what each works on, so that a look costs no statement. A process that was killed holds nothing. What runs outside of a
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

from . import queries
from .dispatch import dispatch_jobs

# A parked job is due again after this, should no other job have dispatched it.
PARKED_SECONDS = 5.0
DEFAULT_QUEUE = "jobs"
# Process, thread, and what it works on; 0 for nothing.
ENTRY = struct.Struct("qqQ")
# Whether anything was parked, by the key's last bits; keys that share them cost a statement now and then.
FLAGS = 4096


class SlotTable:
    """A table of what the processes of one worker work on. Made in its main process, before it starts them.

    Each read and write is made under a lock of the file, which the kernel frees when a process dies, and of the process,
    for its threads.
    """

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self.entries = max(16, 2 * processes)
        self._memory = mmap.mmap(-1, self.entries * ENTRY.size + FLAGS)
        # Lives as long as the worker.
        self._file = os.memfd_create("portal-slots")
        self._lock = threading.Lock()

    def acquire(self, key: int, most: int) -> bool:
        """Acquire a slot for a key, unless the key holds `most` of them."""
        with self._locked():
            free, held = self._scan(key)
            if free is None or held >= most:
                return False
            ENTRY.pack_into(self._memory, free * ENTRY.size, os.getpid(), threading.get_native_id(), key)
            return True

    def release(self, key: int) -> bool:
        """Release this thread's slot; return whether something of the key was parked."""
        with self._locked():
            for slot in range(self.entries):
                if self._entry(slot) == (os.getpid(), threading.get_native_id(), key):
                    ENTRY.pack_into(self._memory, slot * ENTRY.size, 0, 0, 0)
            flag = self._flag(key)
            was_parked = bool(self._memory[flag])
            self._memory[flag] = 0
            return was_parked

    def free(self, key: int, most: int, *, parked: bool) -> int:
        """Return how many slots a key may still acquire. `parked`: something of it is parked, and is to be dispatched."""
        with self._locked():
            if parked:
                self._memory[self._flag(key)] = 1
            return max(0, most - self._scan(key)[1])

    def note_none_parked(self, key: int) -> None:
        """Note that nothing of a key is parked; one that is being parked at this moment is due again in a few seconds."""
        with self._locked():
            self._memory[self._flag(key)] = 0

    def _scan(self, key: int) -> tuple[int | None, int]:
        """Return a free slot, and how many living processes and threads hold one for the key."""
        free, held = None, 0
        for slot in range(self.entries):
            process, _thread, taken_for = self._entry(slot)
            if taken_for == key and not _is_alive(process):
                ENTRY.pack_into(self._memory, slot * ENTRY.size, 0, 0, 0)
                taken_for = 0
            if taken_for == key:
                held += 1
            elif taken_for == 0 or (free is None and not _is_alive(process)):
                free = slot
        return free, held

    def _entry(self, slot: int) -> tuple[int, int, int]:
        process, thread, key = ENTRY.unpack_from(self._memory, slot * ENTRY.size)
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


_slots: SlotTable | None = None


def init_worker_slots(processes: int | None) -> None:
    """Make the slots of this worker. Called in its main process, before it starts the others."""
    global _slots  # noqa: PLW0603 - a process belongs to one worker.
    _slots = SlotTable(processes) if processes and processes > 1 else None


def slot_limit(queue: str) -> int | None:
    """Return how many processes of this worker a tenant's work of a queue may hold; None for any number."""
    if _slots is None:
        return None
    shares: Mapping[str, float] = settings.TENANT_WORKER_SHARES
    share = float(shares.get(queue or DEFAULT_QUEUE, shares.get("", 0.5)))
    return None if share >= 1 else max(1, int(_slots.processes * share))


def acquire_slot(tenant_id: UUID | None, queue: str) -> bool:
    """Acquire a slot for this thread's work, to be released with `release_slot`; return False when the tenant holds its share."""
    most = slot_limit(queue)
    if _slots is None or most is None or tenant_id is None:
        return True
    return _slots.acquire(_key(tenant_id, queue), most)


def release_slot(tenant_id: UUID | None, queue: str) -> None:
    """Release this thread's slot, and dispatch the jobs that were parked for want of it. Call it outside of any transaction."""
    if _slots is not None and tenant_id is not None and _slots.release(_key(tenant_id, queue)):
        dispatch_parked_jobs(tenant_id, queue)


def dispatch_parked_jobs(tenant_id: UUID | None, queue: str) -> None:
    """Dispatch as many of a tenant's parked jobs of a queue as may run now, the oldest first.

    Why none is forgotten: a worker that parks a job writes its row first, and calls this afterwards; so either the slot
    that was released meanwhile is seen here, or the worker that releases one later sees that something is parked.
    """
    most = slot_limit(queue)
    if _slots is None or most is None:
        return
    key = _key(tenant_id, queue)
    if not (free := _slots.free(key, most, parked=True)):
        return
    unparked = queries.unpark_jobs(tenant_id, queue, free)
    dispatch_jobs(unparked)
    if len(unparked) < free:
        _slots.note_none_parked(key)


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
