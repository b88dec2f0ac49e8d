"""Named points where a test can kill the process: after each commit and around each call to an external system.

`PORTAL_CRASH_AT=<name>:<file>` arms one of them. The process that first creates the file is killed there with SIGKILL;
a process that finds the file goes on. A point that is not armed costs one comparison.
"""

import os
import signal

from django.db import transaction

_armed_name, _, _armed_file = os.environ.get("PORTAL_CRASH_AT", "").partition(":")

CRASH_POINTS = (
    "submitted",  # jobs, steps and locks are committed; no message is sent
    "cancelled",  # the cancel is committed; no message is sent
    "decided",  # a decision of staff is committed; no message is sent
    "claimed",  # the job is owned; the step has not begun
    "called",  # the step, or its undo, has had its effect; nothing is recorded
    "recorded",  # the result is committed; the job goes on, waits, or is being undone
    "spawned",  # children are committed, or are to be undone; no message is sent
    "ended",  # the outcome is committed and the locks are freed; no message is sent
    "stuck",  # the status is committed; staff have to decide
    "poll_claimed",  # a scope is owned; nothing has been polled
    "polled",  # the objects have been polled; nothing is recorded
    "poll_recorded",  # the observations are committed; no message is sent, and the scope is still owned
    "swept",  # overdue jobs are marked as dispatched; no message is sent
)


def crash_point(name: str) -> None:
    """Kill this process if a test armed this point and no process was killed here before."""
    if name != _armed_name:
        return
    try:
        os.close(os.open(_armed_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def crash_point_on_commit(name: str) -> None:
    """Pass a point right after the commit of the current transaction. Call it before messages are registered for it."""
    transaction.on_commit(lambda: crash_point(name))
