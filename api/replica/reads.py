"""Read a list from the replica, and from the primary whenever that is not certain to be right."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import redis
import structlog
from django.conf import settings
from django.db import Error, connections
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from ..shared_metrics import Counter
from .deadlines import read_deadline
from .positions import ANSWERED_BY_REPLICA, fetch_position
from .routing import REPLICA_ALIAS, allow_replica
from .status import watch

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")
PageView = TypeVar("PageView", bound=Callable[..., HttpResponse])

READS = Counter(
    "portal_replica_reads",
    "Lists by the server that gave the answer, and why it was the primary.",
    ("server", "reason"),
)
# No list takes so long. One that does is cut off and read from the primary.
READ_SECONDS = 5.0
# The state is asked on the connection that the list is read from, so that it holds also after the address has moved.
HAS_REPLAYED = """
    SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() - '0/0'::pg_lsn >= %s
"""


def read_list(request: HttpRequest | Request, read: Callable[[], Answer]) -> Answer:
    """Return what `read` returns, with its rows from the replica if there is one and it may be used.

    `read` only reads, and returns a finished answer without queries that are still to be sent. It may be called twice: only
    success is taken from the replica. After any exception, the primary decides, because the replica may have gone away
    meanwhile, cancel a query that is in the way of its replay, or not have the row or the column yet.
    """
    if not settings.HAS_DATABASE_REPLICA:
        return read()
    reason = _find_refusal(request)
    if reason is None:
        try:
            with read_deadline(REPLICA_ALIAS, READ_SECONDS), allow_replica() as use:
                answer = read()
        except Exception as error:  # noqa: BLE001 - see above; what is wrong on the primary, too, is raised there.
            reason = "failed" if isinstance(error, Error) else "refused"
            if isinstance(error, Error):
                _handle_failure(error)
        else:
            if use.has_read and use.is_allowed:
                request.META[ANSWERED_BY_REPLICA] = True
                READS.increment("replica", "")
            else:
                # All of its rows decide about access, or a query has required the primary for the rest.
                READS.increment("primary", "access")
            return answer
    READS.increment("primary", reason)
    return read()


def reads_list(view: PageView) -> PageView:
    """Read the rows of a page from the replica. For views that only read; under the decorators that check the request."""

    @wraps(view)
    def read_page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return read_list(request, lambda: view(request, *args, **kwargs))

    read_page.reads_replica = True  # type: ignore[attr-defined] # A test finds the pages by it.
    return read_page  # type: ignore[return-value]


def _find_refusal(request: HttpRequest | Request) -> str | None:
    """Return why the user's list is not read from the replica; None when it is."""
    refusal = watch.find_refusal()
    if refusal is not None:
        return refusal
    user: Any = request.user
    try:
        position = fetch_position(user.pk)
    except redis.RedisError as error:
        log.warning("replica_position_not_known", error=str(error))
        watch.suspend()
        return "cache_away"
    if position is None:
        return None
    try:
        with read_deadline(REPLICA_ALIAS, READ_SECONDS), connections[REPLICA_ALIAS].cursor() as cursor:
            cursor.execute(HAS_REPLAYED, [position])
            (has_replayed,) = cursor.fetchone()
    except Error as error:
        _handle_failure(error)
        return "failed"
    return None if has_replayed else "own_change"


def _handle_failure(error: Error) -> None:
    """Suspend the replica if its connection is lost. A query that was cancelled alone says nothing about the next one."""
    wrapper = connections[REPLICA_ALIAS]
    is_lost = wrapper.connection is None or wrapper.connection.closed
    if is_lost:
        wrapper.close()
        watch.suspend()
    log.warning("replica_read_failed", error=str(error), is_lost=bool(is_lost))
