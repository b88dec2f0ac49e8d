"""Named places where a test may kill the process: at each commit and at each boundary to the outside.

`PORTAL_CRASH_AT=<name>:<file>` arms one.
The process that first creates the file dies there as if by `kill -9`; every later pass finds the file and lives.
Unarmed, a point costs one comparison.
"""

import os
import signal

_armed_name, _, _armed_file = os.environ.get("PORTAL_CRASH_AT", "").partition(":")

CRASH_POINTS = (
    "submitted",  # job, steps and locks are committed; the doorbell has not rung
    "claimed",  # the job is owned; the step has not begun
    "called",  # the step has had its effect outside; nothing is recorded
    "recorded",  # the step's result is committed
    "polled",  # the outside has been looked at; nothing is recorded
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
