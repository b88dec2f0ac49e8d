"""Slots for requests that wait for a job: each holds a thread of the web process, so their number is limited.

One tenant gets half of them at most. Without a slot a request is answered at once: waiting is a convenience, and a request
that only reads must never find every thread taken, by its own tenant or by another.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings

_lock = threading.Lock()
_waiting: Counter[UUID | None] = Counter()


@contextmanager
def waiting_slot(tenant_id: UUID | None) -> Iterator[bool]:
    """Take a slot in which a request for a tenant's job (None: the platform's) may wait, until the block ends; yield whether there was one."""
    most = settings.WAITING_REQUESTS_AT_MOST
    with _lock:
        may_wait = _waiting.total() < most and _waiting[tenant_id] < max(1, most // 2)
        if may_wait:
            _waiting[tenant_id] += 1
    try:
        yield may_wait
    finally:
        if may_wait:
            with _lock:
                _waiting[tenant_id] -= 1
                if not _waiting[tenant_id]:
                    del _waiting[tenant_id]
