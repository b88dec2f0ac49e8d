"""Fair shares: limit the processes of a worker that one tenant may hold, so that its slow hosts and clouds delay only itself.

A step holds a process for as long as the cloud or host takes to answer. So a tenant's jobs of one queue may hold only a
share of the processes of each worker (`TENANT_WORKER_SHARES`), but at least one. A job of a tenant that holds its share is
parked, and dispatched again when another job of the tenant releases its process: it is then in the queue behind the jobs
that other tenants have submitted meanwhile.

Each Celery worker has its own share, because it knows the number of its processes. The processes share a table in memory,
so a check costs no database statement. A process that was killed holds nothing. Jobs without a tenant, and code that runs
outside of a worker, are not counted. A worker with one process has no shares.
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

# A parked job is due again after this time, if no other job has dispatched it before.
PARKED_SECONDS = 5.0
DEFAULT_QUEUE = "jobs"
# Process id, thread id, and the key of the tenant and queue that it works for; 0 when it is free.
SLOT = struct.Struct("qqQ")
# One byte for each value of the key's last bits: its last bit tells whether jobs are parked, and the others count the notes of
# that, so that a process clears no note that it does not know. Keys that share a byte cost an extra statement.
NOTE_COUNT = 4096


class SlotTable:
    """The slots that the processes of one worker hold, in shared memory. Created in the main process before it forks.

    Each access holds two locks: a lock of a file, which the kernel frees when a process dies, and a lock for the threads
    of the process.
    """

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self.slot_count = max(16, 2 * processes)
        self._memory = mmap.mmap(-1, self.slot_count * SLOT.size + NOTE_COUNT)
        # The file exists as long as the worker.
        self._file = os.memfd_create("portal-slots")
        self._lock = threading.Lock()

    def acquire(self, key: int, limit: int) -> bool:
        """Acquire a slot for a key; return False when the key holds `limit` of them."""
        with self._locked():
            free_slot, held = self._scan(key)
            if free_slot is None or held >= limit:
                return False
            SLOT.pack_into(self._memory, free_slot * SLOT.size, os.getpid(), threading.get_native_id(), key)
            return True

    def release(self, key: int) -> bool:
        """Release this thread's slot; return whether something of the key was parked."""
        with self._locked():
            for slot in range(self.slot_count):
                if self._read_slot(slot) == (os.getpid(), threading.get_native_id(), key):
                    SLOT.pack_into(self._memory, slot * SLOT.size, 0, 0, 0)
            place = self._place_of_note(key)
            was_parked = bool(self._memory[place] & 1)
            self._memory[place] &= ~1 & 255
            return was_parked

    def count_available(self, key: int, limit: int) -> tuple[int, int]:
        """Note that a key has parked jobs; return how many slots it may still acquire, and the note for `clear_note`."""
        with self._locked():
            place = self._place_of_note(key)
            note = self._memory[place] = (self._memory[place] + 2) & 255 | 1
            return max(0, limit - self._scan(key)[1]), note

    def clear_note(self, key: int, note: int) -> None:
        """Note that a key has no parked job, unless one was parked after this note."""
        with self._locked():
            place = self._place_of_note(key)
            if self._memory[place] == note:
                self._memory[place] = note - 1

    def _scan(self, key: int) -> tuple[int | None, int]:
        """Return a free slot, and how many living processes and threads hold one for the key."""
        free_slot, held = None, 0
        for slot in range(self.slot_count):
            process, _thread, slot_key = self._read_slot(slot)
            if slot_key == key and not _is_alive(process):
                SLOT.pack_into(self._memory, slot * SLOT.size, 0, 0, 0)
                slot_key = 0
            if slot_key == key:
                held += 1
            elif slot_key == 0 or (free_slot is None and not _is_alive(process)):
                free_slot = slot
        return free_slot, held

    def _read_slot(self, slot: int) -> tuple[int, int, int]:
        process, thread, key = SLOT.unpack_from(self._memory, slot * SLOT.size)
        return process, thread, key

    def _place_of_note(self, key: int) -> int:
        return self.slot_count * SLOT.size + key % NOTE_COUNT

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
    """Create the slot table of this worker. Called in its main process before it starts the others."""
    global _slots  # noqa: PLW0603 - a process belongs to one worker.
    _slots = SlotTable(processes) if processes and processes > 1 else None


def slot_limit(queue: str) -> int | None:
    """Return how many processes of this worker a tenant's jobs of a queue may hold; None without a limit."""
    if _slots is None:
        return None
    shares: Mapping[str, float] = settings.TENANT_WORKER_SHARES
    share = float(shares.get(queue or DEFAULT_QUEUE, shares.get("", 0.5)))
    return None if share >= 1 else max(1, int(_slots.processes * share))


def acquire_slot(tenant_id: UUID | None, queue: str) -> bool:
    """Acquire a slot for this thread; return False when the tenant holds its share. Release it with `release_slot`."""
    limit = slot_limit(queue)
    if _slots is None or limit is None or tenant_id is None:
        return True
    return _slots.acquire(_key(tenant_id, queue), limit)


def release_slot(tenant_id: UUID | None, queue: str) -> None:
    """Release this thread's slot, and dispatch parked jobs that can use it. Call it outside of any transaction."""
    if _slots is not None and tenant_id is not None and _slots.release(_key(tenant_id, queue)):
        dispatch_parked_jobs(tenant_id, queue)


def dispatch_parked_jobs(tenant_id: UUID | None, queue: str) -> None:
    """Dispatch as many of a tenant's parked jobs of a queue as may run now, the oldest first.

    No parked job is lost: a worker that parks a job writes its row first and calls this function after that. So either
    this call finds a slot that was released meanwhile, or the worker that releases a slot later finds the note. A worker
    that has found no parked job clears its own note alone, and not that of a job that was parked meanwhile.
    """
    limit = slot_limit(queue)
    if _slots is None or limit is None:
        return
    key = _key(tenant_id, queue)
    free, note = _slots.count_available(key, limit)
    if not free:
        return
    unparked = queries.unpark_jobs(tenant_id, queue, free)
    dispatch_jobs(unparked)
    if len(unparked) < free:
        _slots.clear_note(key, note)


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
