"""A deadline for what is read from the replica.

A standby whose disk hangs keeps its connections, and PostgreSQL's own time limits do not end a process that the kernel
holds. The threads of the web process would wait there, one after the other, until none is left.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg2
import structlog
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class _Read:
    wrapper: BaseDatabaseWrapper
    deadline: float
    # Held while the connection is cut off, so that the read does not end, and its socket's number is not used again.
    lock: threading.Lock = field(default_factory=threading.Lock)


_reads: set[_Read] = set()
_lock = threading.Lock()


@contextmanager
def read_deadline(alias: str, seconds: float) -> Iterator[None]:
    """Let the block be cut off from a database after some seconds: its query then fails, as if the server had gone away."""
    read = _Read(connections[alias], time.monotonic() + seconds)
    with _lock:
        _reads.add(read)
    try:
        yield
    finally:
        with read.lock, _lock:
            _reads.discard(read)


def cut_overdue_reads() -> int:
    """Cut off the reads whose deadline has passed; return their number. A thread calls it every second."""
    now = time.monotonic()
    with _lock:
        overdue = [read for read in _reads if read.deadline <= now]
    return sum(_cut_off(read) for read in overdue)


def _cut_off(read: _Read) -> bool:
    """Shut the connection's socket down, which wakes the thread that waits for it. Closing it would be the thread's own part."""
    with read.lock:
        with _lock:
            if read not in _reads:
                return False
            read.deadline = float("inf")
        connection = read.wrapper.connection
        if connection is None:
            return False  # It connects, which has a limit of its own.
        with (
            contextlib.suppress(OSError, psycopg2.Error),
            socket.socket(fileno=os.dup(connection.fileno())) as copy,
        ):
            copy.shutdown(socket.SHUT_RDWR)
    log.warning("replica_read_cut_off")
    return True
