"""Become another program that cannot outlive its parent.

Run as a script: `python leash.py --parent PID --signal N [--identity WHO] [--folder DIR] -- program arguments`.

The kernel sends the signal when the parent is gone, even if the parent was killed with -9 and could end nothing
itself (PR_SET_PDEATHSIG).
Caveats, each of which has its line below:

1. A change of user clears the request, so it is made after that change.
2. The parent may die before the request is made; then nobody would ever tell us, so we look once more.
3. "Parent" is the thread that forked: whoever starts a process on a leash does it from a thread that stays.

A program of its own, and not a `preexec_fn`: Python code between fork and exec can deadlock when the parent has
threads, and Python 3.12 warns of it.
It imports nothing of the portal, because it runs before every process and has to be quick.
"""

import argparse
import ctypes
import os
import pwd
import signal
import sys
from typing import NoReturn

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
# What the caller sees when the leash itself failed, and not the program.
LEASH_FAILED = 97


def fail(sentence: str) -> NoReturn:
    """Say on standard error (the part's log) what could not be done."""
    print(sentence, file=sys.stderr, flush=True)
    sys.exit(LEASH_FAILED)


def become_nobody() -> None:
    """Give up root for the account `nobody`, for programs that refuse to run as root."""
    try:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    except (KeyError, OSError) as error:
        fail(f"Cannot become the user 'nobody': {error}.")


def enter_user_namespace(libc: ctypes.CDLL) -> None:
    """Keep root's files but lose root's name: in a new user namespace nobody is root any more.

    It is for folders that only root may enter, such as `/root`.
    """
    if libc.unshare(CLONE_NEWUSER) != 0:
        fail(f"Cannot make a user namespace: {os.strerror(ctypes.get_errno())}.")


def main() -> NoReturn:
    """Read the arguments, put on the leash, and become the program."""
    parser = argparse.ArgumentParser(prog="leash")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--signal", type=int, default=int(signal.SIGTERM))
    parser.add_argument("--identity", choices=["self", "nobody", "namespace"], default="self")
    parser.add_argument("--folder")
    parser.add_argument("program", nargs="+")
    arguments = parser.parse_args()

    # The supervisor reads its signals one by one and has them blocked; a blocked mask is inherited.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    libc = ctypes.CDLL(None, use_errno=True)
    if arguments.identity == "nobody":
        become_nobody()
    elif arguments.identity == "namespace":
        enter_user_namespace(libc)
    if libc.prctl(PR_SET_PDEATHSIG, arguments.signal, 0, 0, 0) != 0:
        fail(f"Cannot ask for the parent's death signal: {os.strerror(ctypes.get_errno())}.")
    if os.getppid() != arguments.parent:
        fail("The process that started this one has ended.")
    try:
        if arguments.folder:
            os.chdir(arguments.folder)
        os.execvp(arguments.program[0], arguments.program)  # noqa: S606 - becoming the program is the point.
    except OSError as error:
        fail(f"Cannot run {arguments.program[0]}: {error}.")


if __name__ == "__main__":
    main()
