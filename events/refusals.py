"""Events of refused changes. Their number is bounded, so that nobody fills the audit log by trying the same thing for ever."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any

from django.db import DatabaseError, transaction
from django.http import HttpRequest

from .models import Event

# So many refusals of a user are recorded one by one in a period, by each web process. Of further ones, the first event of the
# next period tells the number.
MOST = 20
PERIOD_SECONDS = 600.0
# Users whose refusals a process counts. Beyond them, the counts begin anew.
MOST_USERS = 10_000


@dataclass(slots=True)
class _Count:
    began: float
    recorded: int = 0
    left_out: int = 0


_counts: dict[str, _Count] = {}
_lock = Lock()


def record_refusal(request: HttpRequest, actor: dict[str, Any]) -> None:
    """Record that a user was not allowed to change something.

    Nothing else was written, so the event is a transaction of its own; without a database, the refusal stands as well.
    """
    left_out = _count(str(actor.get("actor_id", "")))
    if left_out is None:
        return
    scope: Any = getattr(request, "tenant_scope", None)
    parameters: dict[str, Any] = {"method": request.method}
    if left_out:
        parameters["not_recorded_before"] = left_out
    with suppress(DatabaseError), transaction.atomic():
        Event.objects.create(
            code="request.refused",
            tenant_id=scope.tenant.pk if scope is not None and scope.tenant else None,
            object_type="request",
            object_name=request.path[:300],
            parameters=parameters,
            **actor,
        )


def _count(user: str) -> int | None:
    """Count a refusal; return None if it is not recorded, else how many were not recorded in the period before."""
    now = time.monotonic()
    with _lock:
        count = _counts.get(user)
        left_out = 0
        if count is None or now - count.began > PERIOD_SECONDS:
            left_out = count.left_out if count else 0
            if len(_counts) >= MOST_USERS:
                _counts.clear()
            count = _counts[user] = _Count(now)
        if count.recorded >= MOST:
            count.left_out += 1
            return None
        count.recorded += 1
        return left_out
