"""Run a local program under `subreaper.py`: its output line by line, a time limit, and nothing left of it."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from .untrusted_text import decode_output

KEEPER = Path(__file__).with_name("subreaper.py")
# How often the time limit and `should_continue` are looked at, in seconds.
GLANCE = 0.5
READ_BYTES = 65_536
# A line may be one event of Ansible with a whole file's text in it; more than this is cut.
LINE_BYTES = 4_000_000


class ProcessTimedOutError(Exception):
    """The program did not end within its time, and was killed with all that it had started."""


class ProcessCancelledError(Exception):
    """`should_continue` said no; the program was killed with all that it had started."""


def run_program(
    program: Sequence[str],
    on_line: Callable[[str], None],
    *,
    seconds: float,
    environment: Mapping[str, str],
    stdin: str = "",
    folder: Path | None = None,
    remove: Path | None = None,
    leave_daemons: bool = False,
    should_continue: Callable[[], bool] = lambda: True,
) -> int:
    """Run a program in `folder` and return its exit code, 127 when there is no such program.

    `remove` is a folder that is gone when this returns, and also when this process is killed meanwhile.
    With `leave_daemons`, what the program has put into the background stays when it ends well in time.
    Safe in a daemonic process (Celery's prefork) and beside threads: it is an ordinary `subprocess`, without code
    between fork and exec. The thread that calls it stays until the end, as the kernel's death signal needs it to.
    Raises `ProcessTimedOutError`, `ProcessCancelledError`.
    """
    keeper = [sys.executable, "-I", "-S", str(KEEPER), "--parent", str(os.getpid())]
    keeper += ["--leave"] if leave_daemons else []
    keeper += ["--remove", str(remove)] if remove else []
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryFile() as given:
        # A file and no pipe: a program that never reads would hold up whoever writes.
        given.write(stdin.encode())
        given.seek(0)
        process = subprocess.Popen(  # noqa: S603 - the program is the operator's own.
            [*keeper, "--", *program],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        _read(process, process.stdout, on_line, deadline, should_continue)
        return process.wait()
    finally:
        # Whatever interrupts us, Celery's soft time limit included.
        _end(process)
        process.stdout.close()


def _read(
    process: subprocess.Popen[bytes],
    output: IO[bytes],
    on_line: Callable[[str], None],
    deadline: float,
    should_continue: Callable[[], bool],
) -> None:
    """Read to the end of the output, or of the program: a daemon that it left may hold the pipe open for ever."""
    os.set_blocking(output.fileno(), False)
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            over = process.poll() is not None
            ready = selector.select(0 if over else max(0.0, min(GLANCE, deadline - time.monotonic())))
            if ready:
                data = output.read(READ_BYTES)
                *lines, rest = (rest + (data or b"")).split(b"\n")
                rest = rest[:LINE_BYTES]
                for line in lines:
                    on_line(decode_output(line[:LINE_BYTES]))
            if over if not ready else not data:
                break
            if time.monotonic() >= deadline:
                raise ProcessTimedOutError
            if not should_continue():
                raise ProcessCancelledError
    if rest:
        on_line(decode_output(rest))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
        return
    process.kill()
    process.wait()
