"""Up to where a user has to see: the position of the primary's write-ahead log at the user's last answer from the primary.

A list is read from the replica only when it has replayed up to there. So a user's lists have the user's own changes, and
whatever the primary has shown to the user before: the state of a job, a VM's page, another list.

The positions are kept in Redis, because the next request of a user may come to another web process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import cache
from typing import Any
from uuid import UUID

import redis
import structlog
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.db import Error, connection
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

from ..redis_client import create_redis_client
from .status import SUSPENSION_SECONDS, watch

log = structlog.get_logger(__name__)

KEY = "portal:replica:position:{owner}"
EVERYBODY = "all"
MEMBER = "position"
# Longer than the replica may be behind: an older position is in every replica that is used.
MARGIN_SECONDS = 60
# Set in `request.META` when the replica has given the answer; no header of a client has such a name.
ANSWERED_BY_REPLICA = "portal.answered_by_replica"

# Inserted and not flushed: with `synchronous_commit = off`, a commit returns before it is flushed.
POSITION = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"

_client = cache(create_redis_client)
_silent_until = float("-inf")


def remember_position(user_id: UUID) -> None:
    """Let the user's lists show everything that is committed now. Never raises: the answer is made already.

    Without Redis the position cannot be kept. Then this process does not use the replica until it has to be in it; another
    process that reaches Redis may show the user a list that is `DATABASE_REPLICA_MAX_LAG_SECONDS` old.
    """
    _remember(str(user_id))


def remember_position_for_all() -> None:
    """Let everybody's lists show everything that is committed now: call it when rows have been taken out of somebody's sight.

    As `remember_position`, it does not raise.
    """
    _remember(EVERYBODY)


def _remember(*owners: str) -> None:
    global _silent_until  # noqa: PLW0603 - of this process: when Redis did not answer.
    if not settings.HAS_DATABASE_REPLICA or time.monotonic() < _silent_until:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute(POSITION)
            (position,) = cursor.fetchone()
        _write(owners, position)
    except redis.RedisError as error:
        # A dead Redis delays one request, and not each.
        _silent_until = time.monotonic() + SUSPENSION_SECONDS
        watch.suspend(settings.DATABASE_REPLICA_MAX_LAG_SECONDS + SUSPENSION_SECONDS)
        log.warning("replica_position_not_kept", error=str(error))
    except Error as error:
        log.warning("replica_position_not_read", error=str(error))


def fetch_position(user_id: UUID) -> int | None:
    """Return the position that a user has to see, in bytes of the log; None if every usable replica has it.

    Raises `redis.RedisError`.
    """
    with _client().pipeline(transaction=False) as pipeline:
        for owner in (user_id, EVERYBODY):
            pipeline.zscore(KEY.format(owner=owner), MEMBER)
        return max((int(score) for score in pipeline.execute() if score is not None), default=None)


def _write(owners: Collection[str], position: int) -> None:
    """Keep a position, unless a later one is kept: two requests of a user may end in another order.

    A sorted set is the value of Redis that only grows (GT). Its numbers are exact up to 2^53, nine petabytes of log.
    """
    with _client().pipeline(transaction=True) as pipeline:
        for owner in owners:
            key = KEY.format(owner=owner)
            pipeline.zadd(key, {MEMBER: position}, gt=True)
            pipeline.expire(key, int(settings.DATABASE_REPLICA_MAX_LAG_SECONDS) + MARGIN_SECONDS)
        pipeline.execute()


class ReplicaPositionMiddleware:
    """Remember the position of each answer to a signed-in user that the replica has not given.

    A change by staff counts for everybody: it may be a grant that is revoked, or anything in the admin.
    It comes before the middleware that opens a transaction for a view: the position is read after the commit, and kept before
    the answer is sent. And it comes after that of the log, which wraps `request.user` again when the view has ended.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not settings.HAS_DATABASE_REPLICA:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        response = self.get_response(request)
        if not request.META.get(ANSWERED_BY_REPLICA) and (user := _find_user(request)) is not None:
            is_change = request.method not in {"GET", "HEAD", "OPTIONS"}
            _remember(str(user.pk), *([EVERYBODY] if is_change and user.is_staff else []))
        return response


def _find_user(request: HttpRequest) -> Any | None:
    """Return the user of a request; None for anonymous ones, and for those whose view did not ask for the user.

    The session is not loaded for it: that would cost a query and a `Vary: Cookie`.
    """
    user: Any = request.user
    if type(user) is SimpleLazyObject and not request.session.accessed:
        return None
    return user if user.is_authenticated else None
