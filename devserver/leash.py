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
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
# The version of the kernel's interface that knows 64 capabilities, in two words of each set.
CAPABILITY_VERSION = 0x20080522
CLONE_NEWUSER = 0x10000000
# What the caller sees when the leash itself failed, and not the program.
LEASH_FAILED = 97


def fail(sentence: str) -> NoReturn:
    """Write to standard error (the process's log) what failed, and exit."""
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


def keep_capability(libc: ctypes.CDLL, number: int) -> bool:
    """Keep one capability of root's, over the change of user and over `exec`; false if it cannot be had.

    The sets are those of `struct __user_cap_data_struct`: effective, permitted, inheritable. An ambient capability is
    what a program without marks of its own keeps, and it must be permitted and inheritable first.
    """
    bit = 1 << number
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    return bool(
        libc.capset(header, sets) == 0 and libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) == 0
    )


def become_passing_nobody(libc: ctypes.CDLL) -> None:
    """Become `nobody`, who may still pass through folders that are root's alone, such as `/root`.

    It is for containers in which no user namespace can be made. Reading is enough; containers often lack that one
    capability, while they have the one to read and write. Nothing else of root's is left.
    """
    # Without this bit the change of user drops all capabilities, and access(2), by which PostgreSQL looks for its own
    # programs, goes on leaving them out.
    if libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0:
        fail(f"Cannot keep capabilities: {os.strerror(ctypes.get_errno())}.")
    become_nobody()
    if not (keep_capability(libc, CAP_DAC_READ_SEARCH) or keep_capability(libc, CAP_DAC_OVERRIDE)):
        fail(f"Cannot keep the capability to enter private folders: {os.strerror(ctypes.get_errno())}.")


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
    parser.add_argument("--identity", choices=["self", "nobody", "namespace", "passing"], default="self")
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
    elif arguments.identity == "passing":
        become_passing_nobody(libc)
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
