"""The connection to PostgreSQL itself, beside PgBouncer in transaction mode.

There, each transaction of a connection may run in another session of PostgreSQL, which other clients use in between. So
nothing that belongs to a session works: an advisory lock that outlives its transaction (beat's), a cursor that does, `SET`,
LISTEN. What needs a session connects directly, by `DATABASE_DIRECT_URL`; without this setting, all connections are direct.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from api.replica.routing import REPLICA_ALIAS

log = structlog.get_logger(__name__)


def create_direct_connection() -> BaseDatabaseWrapper:
    """Return a new connection to the default database, in a session of its own. The caller closes it."""
    pooled = connections[DEFAULT_DB_ALIAS]
    if settings.DATABASE_DIRECT is None:
        return pooled.copy()
    return type(pooled)(pooled.settings_dict | deepcopy(settings.DATABASE_DIRECT), DEFAULT_DB_ALIAS)


@contextmanager
def use_direct_connection() -> Iterator[None]:
    """Make this thread's default connection a direct one while the block runs."""
    pooled = connections[DEFAULT_DB_ALIAS]
    connections[DEFAULT_DB_ALIAS] = direct = create_direct_connection()
    try:
        yield
    finally:
        direct.close()
        connections[DEFAULT_DB_ALIAS] = pooled


def refuse_pooler_without_lock_timeout(connection: BaseDatabaseWrapper, **_signal: Any) -> None:
    """Close a new connection through a pooler whose sessions wait for locks without an end. Raises `OperationalError`.

    `LOCK_TIMEOUT_SECONDS` cannot be sent through PgBouncer, so its configuration has to set it. Without that, requests that
    wait for a row would hold all web threads, and nobody would notice before that day.
    """
    if not settings.DATABASE_POOLER or connection.alias == REPLICA_ALIAS:
        return  # Nothing is locked on the replica.
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        (lock_timeout,) = cursor.fetchone()
    if lock_timeout == "0":
        connection.close()
        reason = (
            "The pooler opens sessions without lock_timeout. Add to the database's line in pgbouncer.ini: "
            f"connect_query='SET lock_timeout = {settings.LOCK_TIMEOUT_SECONDS * 1000}' (docs/pgbouncer.md)."
        )
        log.error("pooler_without_lock_timeout", reason=reason)
        raise OperationalError(reason)
