"""Slots for requests that wait for a job: each holds a thread of the web process, so their number is limited.

One tenant gets at most half of them. A request without a slot is answered at once: waiting is only a convenience, and must
never occupy all threads of a web process.
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
    """Hold a slot for a request that waits for a tenant's job (None: the platform's); yield False when none is free."""
    limit = settings.WAITING_REQUESTS_AT_MOST
    with _lock:
        may_wait = _waiting.total() < limit and _waiting[tenant_id] < max(1, limit // 2)
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
