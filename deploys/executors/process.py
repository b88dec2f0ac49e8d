"""Run a local program under `subreaper.py`: pass its output on by line, limit its time, and leave no process behind."""

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

SUBREAPER = Path(__file__).with_name("subreaper.py")
# In seconds: the interval at which the time limit and `should_continue` are checked.
POLL_SECONDS = 0.5
READ_BYTES = 65_536
# A line may be an event of Ansible that contains the text of a whole file. A longer line is cut.
MAX_LINE_BYTES = 4_000_000


class ProcessTimedOutError(Exception):
    """The program did not end within its time, and was killed with all that it had started."""


class ProcessCancelledError(Exception):
    """`should_continue` returned False; the program was killed with all that it had started."""


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
    """Run a program in `folder` and return its exit code; 127 when there is no such program.

    The folder `remove` is deleted before this returns, and also when this process is killed.
    With `leave_daemons`, the program's background processes go on when it ends by itself in time.
    Safe in a daemonic process (Celery's prefork) and beside threads: it is an ordinary `subprocess`, without code
    between fork and exec. The calling thread must live until the end, because the kernel sends the death signal when
    the thread ends. Raises `ProcessTimedOutError`, `ProcessCancelledError`.
    """
    subreaper = [sys.executable, "-I", "-S", str(SUBREAPER), "--parent", str(os.getpid())]
    subreaper += ["--leave"] if leave_daemons else []
    subreaper += ["--remove", str(remove)] if remove else []
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryFile() as stdin_file:
        # A file instead of a pipe: a program that does not read its input would block the writer of a pipe.
        stdin_file.write(stdin.encode())
        stdin_file.seek(0)
        process = subprocess.Popen(  # noqa: S603 - the program is the operator's own.
            [*subreaper, "--", *program],
            stdin=stdin_file,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        _read_output(process, process.stdout, on_line, deadline, should_continue)
        return process.wait()
    finally:
        # After any exception, also Celery's soft time limit.
        _terminate(process)
        process.stdout.close()


def _read_output(
    process: subprocess.Popen[bytes],
    output: IO[bytes],
    on_line: Callable[[str], None],
    deadline: float,
    should_continue: Callable[[], bool],
) -> None:
    """Read until the output or the program ends: a daemon of the program may hold the pipe open for ever."""
    os.set_blocking(output.fileno(), False)
    unfinished_line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            has_ended = process.poll() is not None
            ready = selector.select(
                0 if has_ended else max(0.0, min(POLL_SECONDS, deadline - time.monotonic()))
            )
            if ready:
                data = output.read(READ_BYTES)
                *lines, unfinished_line = (unfinished_line + (data or b"")).split(b"\n")
                unfinished_line = unfinished_line[:MAX_LINE_BYTES]
                for line in lines:
                    on_line(decode_output(line[:MAX_LINE_BYTES]))
            if has_ended if not ready else not data:
                break
            if time.monotonic() >= deadline:
                raise ProcessTimedOutError
            if not should_continue():
                raise ProcessCancelledError
    if unfinished_line:
        on_line(decode_output(unfinished_line))


def _terminate(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
        return
    process.kill()
    process.wait()
