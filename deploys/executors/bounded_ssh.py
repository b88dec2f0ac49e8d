#!/usr/bin/env -S python3 -I -S
"""Run ssh and pass its output on; end it when the output exceeds a limit.

Ansible keeps the whole output of a host in memory, so endless output would exhaust the memory of the portal's machine.
Ansible runs this script instead of ssh, once for each task, so it imports nothing that makes its start slow.
"""

import os
import select
import sys

MAX_BYTES = 8_000_000
# The limit for standard error. The rest is dropped without an error.
MAX_ERROR_BYTES = 100_000
CHUNK_BYTES = 65_536
# The exit code of ssh for its own errors: the result of the command is unknown.
SSH_FAILED = 255
# ssh's master process keeps standard error open in the background, so the end of the output is not waited for.
DRAIN_SECONDS = 0.05


def main() -> int:
    """Run ssh with this program's arguments and return its exit code."""
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(out_end, 1)
        os.dup2(err_end, 2)
        os.execvp("ssh", ["ssh", *sys.argv[1:]])  # noqa: S606, S607 - becoming the program is the point.
    # Standard input stays open until the end. If ssh closed it early, Ansible would read the remaining output only after
    # it found that its child has ended.
    os.close(out_end)
    os.close(err_end)
    open_ends = {out, err}
    left, errors_left = MAX_BYTES, MAX_ERROR_BYTES
    status: int | None = None
    while out in open_ends or status is None:
        if out not in open_ends:
            ended, code = os.waitpid(child, os.WNOHANG)
            status = code if ended else None
        for source in select.select(open_ends, [], [], None if out in open_ends else DRAIN_SECONDS)[0]:
            data = os.read(source, CHUNK_BYTES)
            left -= len(data)
            if not data:
                open_ends.remove(source)
            elif left < 0:
                os.kill(child, 15)
                os.write(2, b"\nThe host printed more than %d bytes; the rest was not read.\n" % MAX_BYTES)
                return SSH_FAILED
            elif source == out:
                write_all(1, data)
            elif errors_left > 0:
                errors_left -= len(data)
                write_all(2, data)
    ended_with = os.waitstatus_to_exitcode(status)
    return ended_with if ended_with >= 0 else 128 - ended_with


def write_all(descriptor: int, data: bytes) -> None:
    """Write all bytes. Raises BrokenPipeError when the reader has ended."""
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    try:
        os._exit(main())
    except BrokenPipeError:
        os._exit(SSH_FAILED)
