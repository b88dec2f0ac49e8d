"""Translate database errors into problems for the caller, by SQLSTATE and never by their text.

A service that knows more catches the error itself; this is the fallback, so that neither input nor concurrency gives a
500.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError, RestrictedError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

LOCK_NOT_AVAILABLE = "55P03"  # lock_timeout, or NOWAIT
DEADLOCK = "40P01"
SERIALIZATION_FAILURE = "40001"
UNIQUE_VIOLATION = "23505"
FOREIGN_KEY_VIOLATION = "23503"
CHECK_VIOLATION = "23514"
RESTORED = "PR001"  # Raised by the trigger of `tasks/restore_guard.py`.
NUL_IN_TEXT = (
    "A string literal cannot contain NUL (0x00) characters."  # psycopg2 refuses it before PostgreSQL can.
)


@dataclass(frozen=True, slots=True)
class DatabaseRefusal:
    """The problem for a database error."""

    status: int
    code: str
    detail: Promise
    sqlstate: str | None = None
    retry_after: int | None = None


def get_sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of a Django database error, if PostgreSQL has set one."""
    cause = error.__cause__
    return getattr(cause, "pgcode", None) or getattr(cause, "sqlstate", None)


def violated_constraint(error: BaseException) -> str | None:
    """Return the name of the constraint that an IntegrityError is about, if PostgreSQL has set one."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)


def is_lock_timeout(error: BaseException) -> bool:
    """Return whether a lock was not acquired within `lock_timeout`."""
    return get_sqlstate(error) == LOCK_NOT_AVAILABLE


def database_refusal(error: Exception) -> DatabaseRefusal | None:
    """Return the problem for a database error; None for any other error, and for one that is a bug of the portal."""
    sqlstate = get_sqlstate(error)
    if sqlstate in {LOCK_NOT_AVAILABLE, DEADLOCK, SERIALIZATION_FAILURE}:
        return DatabaseRefusal(
            409, "busy", _("Many requests are changing this at once. Try again in a moment."), sqlstate, 1
        )
    if sqlstate == RESTORED:
        message = _(
            "The database was restored from a backup and is being checked. Until then, nothing can be changed in the clouds."
        )
        return DatabaseRefusal(503, "database_restored", message, sqlstate, 60)
    if isinstance(error, ProtectedError | RestrictedError) or sqlstate == FOREIGN_KEY_VIOLATION:
        return DatabaseRefusal(
            409, "in_use", _("Other objects still refer to this one, or it was deleted."), sqlstate
        )
    if isinstance(error, IntegrityError) and sqlstate == UNIQUE_VIOLATION:
        return DatabaseRefusal(409, "conflict", _("One of these values is already in use."), sqlstate)
    is_unstorable = isinstance(error, DataError) or (
        isinstance(error, ValueError) and str(error) == NUL_IN_TEXT
    )
    if is_unstorable or (isinstance(error, IntegrityError) and sqlstate == CHECK_VIOLATION):
        return DatabaseRefusal(
            400,
            "invalid",
            _("A value is out of range, or has characters that cannot be stored."),
            sqlstate,
        )
    if isinstance(error, OperationalError | InterfaceError):
        return DatabaseRefusal(
            503,
            "database_unavailable",
            _("The database does not respond. Try again in a moment."),
            sqlstate,
            1,
        )
    return None
