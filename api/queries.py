"""The room's SQL that is written by hand, because the ORM cannot express it in one statement."""

from __future__ import annotations

from typing import Any

from django.db import connection


def charge_login(key: str, *, seconds: float, max_seconds: float) -> bool:
    """Count one attempt under a key, which is forgotten after `seconds`; return False when more than `max_seconds` are counted.

    One statement, so that simultaneous attempts are counted one by one: the update locks the row. The ORM's upsert has no
    condition on its update.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO portal_api_logincount AS counted (key, empty_at)
            VALUES (%(key)s, clock_timestamp() + %(seconds)s * interval '1 second')
            ON CONFLICT (key) DO UPDATE
            SET empty_at = greatest(counted.empty_at, clock_timestamp()) + %(seconds)s * interval '1 second'
            WHERE counted.empty_at <= clock_timestamp() + %(max_seconds)s * interval '1 second'
            RETURNING 1
            """,
            {"key": key, "seconds": seconds, "max_seconds": max_seconds},
        )
        return cursor.fetchone() is not None


def fetch_login_wait(key: str, *, max_seconds: float) -> float | None:
    """Return the seconds until an attempt under a key is within its limit; None for an unknown key.

    It uses `clock_timestamp()`, because the ORM's `Now()` is the time at which the statement began.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM empty_at - clock_timestamp()) - %(max_seconds)s"
            " FROM portal_api_logincount WHERE key = %(key)s",
            {"key": key, "max_seconds": max_seconds},
        )
        row = cursor.fetchone()
    return None if row is None else float(row[0])


def insert_idempotency_key(user_id: Any, key: str, request_hash: str) -> int | None:
    """Insert the row of an idempotency key and return its id; None when there is one already.

    `bulk_create(ignore_conflicts=True)` would not tell whether the row is new.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO portal_api_idempotencykey (user_id, key, request_hash, created_at)"
            " VALUES (%s, %s, %s, now()) ON CONFLICT (user_id, key) DO NOTHING RETURNING id",
            [user_id, key, request_hash],
        )
        row = cursor.fetchone()
    return None if row is None else int(row[0])
