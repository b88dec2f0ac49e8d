"""Run a program so that nothing of it outlives its end, a timeout, or the worker that asked for it.

Run as a script: `python subreaper.py --parent PID [--leave] [--remove FOLDER] -- program arguments`.

The kernel sends SIGTERM here when the worker is gone, even if the worker was killed with -9 (see
`devserver/leash.py`). This process adopts what its descendants leave behind (PR_SET_CHILD_SUBREAPER), so it can
end all of them: Ansible's workers and ssh's masters go into sessions of their own, where no signal to a process group
reaches them, and would go on deploying.
Caveats:

1. Killed with -9 itself, it can end nothing; its child alone is then killed by the kernel (PR_SET_PDEATHSIG).
2. What runs on the remote host at that moment goes on there, to the end of its one step.

It imports nothing of the portal, because it is started once for every host.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
# As a shell says it.
NOT_FOUND = 127


def start(program: list[str], libc: ctypes.CDLL) -> int:
    """Start the program; it dies with this process."""
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
        if signal.sigwait(WATCHED) != signal.SIGCHLD:
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


def own_children() -> list[int]:
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


def end_everything() -> None:
    """Kill children until there are none: children of a killed child become ours."""
    while True:
        for child in own_children():
            os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def main() -> int:
    """Run the program to its end, and give its exit code; 128 and the signal's number when a signal ended it."""
    arguments = sys.argv[1:]
    program = arguments[arguments.index("--") + 1 :]
    options = arguments[: arguments.index("--")]
    parent = int(options[options.index("--parent") + 1])
    folder = options[options.index("--remove") + 1] if "--remove" in options else ""

    libc = ctypes.CDLL(None, use_errno=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # The worker may have died before we could ask to be told.
    code = wait_for(start(program, libc)) if os.getppid() == parent else None
    if code is None or "--leave" not in options:
        end_everything()
    if folder:
        import shutil  # noqa: PLC0415 - it costs a third of this program's start, and most runs need none of it.

        shutil.rmtree(folder, ignore_errors=True)
    if code is None:
        return 128 + signal.SIGTERM
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    # Without Python's own cleaning up, which has nothing to do here: this runs once for every host.
    os._exit(main())
