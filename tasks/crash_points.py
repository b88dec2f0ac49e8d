"""Named places where a test may kill the process: at each commit and at each boundary to the outside.

`PORTAL_CRASH_AT=<name>:<file>` arms one.
The process that first creates the file dies there as if by `kill -9`; every later pass finds the file and lives.
Unarmed, a point costs one comparison.
"""

import os
import signal

from django.db import transaction

_armed_name, _, _armed_file = os.environ.get("PORTAL_CRASH_AT", "").partition(":")

CRASH_POINTS = (
    "submitted",  # jobs, steps and locks are committed; no message is sent
    "cancelled",  # the cancel is committed; no message is sent
    "decided",  # a person's decision is committed; no message is sent
    "claimed",  # the job is owned; the step has not begun
    "called",  # the step, or its undo, has had its effect outside; nothing is recorded
    "recorded",  # the result is committed; the job goes on, waits, or is being undone
    "spawned",  # children are committed, or are to be undone; no message is sent
    "ended",  # the outcome is committed and the locks are freed; no message is sent
    "stuck",  # it is committed that a person has to decide
    "poll_claimed",  # a scope is owned; nothing has been polled
    "polled",  # the outside has been polled; nothing is recorded
    "poll_recorded",  # what was seen is committed; no message is sent, and the scope is still owned
    "swept",  # overdue jobs are marked as dispatched; no message is sent
)


def crash_point(name: str) -> None:
    """Die here if a test armed this name and nobody has died here yet."""
    if name != _armed_name:
        return
    try:
        os.close(os.open(_armed_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def crash_point_on_commit(name: str) -> None:
    """Pass a point right after the commit of the current transaction: register it before the messages of the same."""
    transaction.on_commit(lambda: crash_point(name))
