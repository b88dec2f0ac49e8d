"""SQL that is written by hand, because the ORM cannot say it in one statement."""

from __future__ import annotations

from typing import Any

from django.db import connection


def charge_login(key: str, *, one: float, others: float) -> bool:
    """Count one try under a key, in seconds until it is forgotten; return False when the limit is reached.

    One statement, so that tries that come at once are counted one by one: the row is locked by its own update. The ORM's
    upsert has no condition on its update.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO portal_api_logincount AS counted (key, empty_at)
            VALUES (%(key)s, clock_timestamp() + %(one)s * interval '1 second')
            ON CONFLICT (key) DO UPDATE
            SET empty_at = greatest(counted.empty_at, clock_timestamp()) + %(one)s * interval '1 second'
            WHERE counted.empty_at <= clock_timestamp() + %(others)s * interval '1 second'
            RETURNING 1
            """,
            {"key": key, "one": one, "others": others},
        )
        return cursor.fetchone() is not None


def fetch_login_wait(key: str, *, others: float) -> float | None:
    """Return the seconds until a try under a key is within its limit; None for an unknown key.

    By the clock at this moment, which the ORM's `Now()` is not: that is the time of the statement.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM empty_at - clock_timestamp()) - %(others)s"
            " FROM portal_api_logincount WHERE key = %(key)s",
            {"key": key, "others": others},
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
