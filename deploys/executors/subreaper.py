"""Run a program, and kill all of its descendants when it ends, times out, or loses the worker that started it.

Run as a script: `python subreaper.py --parent PID [--leave] [--remove FOLDER] -- program arguments`.

The kernel sends SIGTERM to this process when the worker ends, even if the worker was killed with SIGKILL (see
`devserver/die_with_parent.py`). This process adopts orphaned descendants (PR_SET_CHILD_SUBREAPER), so it can kill all of them:
Ansible's workers and ssh's master processes have their own sessions, so a signal to a process group does not reach them,
and they would go on deploying.
Caveats:

1. If this process itself is killed with SIGKILL, the kernel kills its child only (PR_SET_PDEATHSIG).
2. A command that runs on the remote host at that time goes on until it ends.

It imports nothing of the portal, because it starts once for every host and must start fast.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
WATCHED_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
# The exit code that a shell uses.
NOT_FOUND = 127


def start_program(program: list[str], libc: ctypes.CDLL) -> int:
    """Start the program and return its process id. The kernel kills it when this process ends."""
    me = os.getpid()
    child = os.fork()
    if child:
        return child
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != me:
        os._exit(NOT_FOUND)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.execvp(program[0], program)  # noqa: S606 - becoming the program is the point.
    except OSError as error:
        os.write(2, f"Cannot run {program[0]}: {error}.\n".encode())
    os._exit(NOT_FOUND)


def wait_for(child: int) -> int | None:
    """Return the child's exit code, or None when this process is told to stop. Reaps orphans meanwhile."""
    while True:
        if signal.sigwait(WATCHED_SIGNALS) != signal.SIGCHLD:
            return None
        while True:
            try:
                ended, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if ended == child:
                return os.waitstatus_to_exitcode(status)
            if ended == 0:
                break


def list_children() -> list[int]:
    """Return the processes whose parent is this one."""
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 - pathlib costs half of this program's start.
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:  # noqa: PTH123
                    if int(stat.read().rpartition(")")[2].split()[1]) == os.getpid():
                        found.append(int(entry))
            except OSError:
                continue
    return found


def kill_descendants() -> None:
    """Kill children until there are none: the children of a killed child become children of this process."""
    while True:
        for child in list_children():
            os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def main() -> int:
    """Run the program and return its exit code, or 128 plus the number of the signal that ended it."""
    arguments = sys.argv[1:]
    program = arguments[arguments.index("--") + 1 :]
    options = arguments[: arguments.index("--")]
    parent = int(options[options.index("--parent") + 1])
    folder = options[options.index("--remove") + 1] if "--remove" in options else ""

    libc = ctypes.CDLL(None, use_errno=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED_SIGNALS)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # The worker may have ended before the death signal was set.
    code = wait_for(start_program(program, libc)) if os.getppid() == parent else None
    if code is None or "--leave" not in options:
        kill_descendants()
    if folder:
        import shutil  # noqa: PLC0415 - it costs a third of this program's start, and most runs need none of it.

        shutil.rmtree(folder, ignore_errors=True)
    if code is None:
        return 128 + signal.SIGTERM
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    # `_exit` skips the interpreter's cleanup, which takes time and has nothing to do here.
    os._exit(main())
