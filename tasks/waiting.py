"""Requests that wait hold a thread of the web process: only so many may at once.

Past that, the others are answered at once: a wait is a wish, and whoever only looks must never find every thread taken.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

_free = threading.BoundedSemaphore(settings.WAITING_REQUESTS_AT_MOST)


@contextmanager
def a_thread_to_wait_in() -> Iterator[bool]:
    """Whether this request may wait; the place is free again when the block ends."""
    got_one = _free.acquire(blocking=False)
    try:
        yield got_one
    finally:
        if got_one:
            _free.release()
