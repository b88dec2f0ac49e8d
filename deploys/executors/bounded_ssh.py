#!/usr/bin/env -S python3 -I -S
"""Run ssh and pass on what it prints, up to a bound; then end it.

Ansible keeps in memory all that a host prints, so a host that never stops would take the portal's machine down.
Run as a script, by Ansible in the place of ssh, once a task: it imports nothing that costs time to start.
"""

import os
import select
import sys

MOST_BYTES = 8_000_000
# Of what it prints as errors so much is passed on, and the rest dropped.
MOST_ERROR_BYTES = 100_000
CHUNK = 65_536
# As ssh does for its own troubles: what came of the command is not known.
SSH_FAILED = 255
# ssh's master process keeps the standard error open when it goes into the background; what is left of it comes at once.
LAST_WORDS_SECONDS = 0.05


def main() -> int:
    """Run ssh with the arguments that were given; its exit code."""
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(out_end, 1)
        os.dup2(err_end, 2)
        os.execvp("ssh", ["ssh", *sys.argv[1:]])  # noqa: S606, S607 - becoming the program is the point.
    # The standard input stays open until the end: when ssh no longer reads, Ansible waits for its last words only if it finds
    # that what it has started is over.
    os.close(out_end)
    os.close(err_end)
    open_ends = {out, err}
    left, errors_left = MOST_BYTES, MOST_ERROR_BYTES
    status: int | None = None
    while out in open_ends or status is None:
        if out not in open_ends:
            ended, code = os.waitpid(child, os.WNOHANG)
            status = code if ended else None
        for source in select.select(open_ends, [], [], None if out in open_ends else LAST_WORDS_SECONDS)[0]:
            data = os.read(source, CHUNK)
            left -= len(data)
            if not data:
                open_ends.remove(source)
            elif left < 0:
                os.kill(child, 15)
                os.write(2, b"\nThe host printed more than %d bytes; the rest was not read.\n" % MOST_BYTES)
                return SSH_FAILED
            elif source == out:
                write(1, data)
            elif errors_left > 0:
                errors_left -= len(data)
                write(2, data)
    ended_with = os.waitstatus_to_exitcode(status)
    return ended_with if ended_with >= 0 else 128 - ended_with


def write(descriptor: int, data: bytes) -> None:
    """Write all of it; whoever reads may have gone."""
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    try:
        os._exit(main())
    except BrokenPipeError:
        os._exit(SSH_FAILED)
