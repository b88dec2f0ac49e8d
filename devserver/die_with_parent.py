"""Run a program that the kernel kills when its parent ends.

Run as a script: `python die_with_parent.py --parent PID --signal N [--identity WHO] [--folder DIR] -- program arguments`.

The kernel sends the signal when the parent ends, even if the parent was killed with SIGKILL and could not end its
children itself (PR_SET_PDEATHSIG).
Caveats:

1. A change of user clears the setting, so it is made after that change.
2. The parent may end before the setting is made, and the kernel would then send no signal, so the parent is checked again.
3. "Parent" is the thread that forked, so processes must be started from a thread that lives as long.

It is a separate program and not a `preexec_fn`: Python code between fork and exec can deadlock when the parent has
threads, and Python 3.12 warns of it.
It imports nothing of the portal, because it runs before every process and has to start fast.
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
# The version of the kernel's interface with 64 capabilities, in two 32-bit words for each set.
CAPABILITY_VERSION = 0x20080522
CLONE_NEWUSER = 0x10000000
# The exit code when this program itself failed.
EXIT_SETUP_FAILED = 97


def fail(sentence: str) -> NoReturn:
    """Write to standard error (the process's log) what failed, and exit."""
    print(sentence, file=sys.stderr, flush=True)
    sys.exit(EXIT_SETUP_FAILED)


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
    """Keep one capability of root over the change of user and over `exec`; return False if that is impossible.

    The sets are those of `struct __user_cap_data_struct`: effective, permitted, inheritable. A program without file
    capabilities keeps ambient capabilities, which must be permitted and inheritable first.
    """
    bit = 1 << number
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    return bool(
        libc.capset(header, sets) == 0 and libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) == 0
    )


def become_passing_nobody(libc: ctypes.CDLL) -> None:
    """Become `nobody` with the capability to pass through folders of root, such as `/root`.

    It is for containers in which user namespaces are not available. The capability to read is sufficient; containers often
    lack it, but have the one to read and write. No other capability of root is kept.
    """
    # Without this bit, the change of user drops all capabilities, and access(2), with which PostgreSQL finds its own
    # programs, ignores them.
    if libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0:
        fail(f"Cannot keep capabilities: {os.strerror(ctypes.get_errno())}.")
    become_nobody()
    if not (keep_capability(libc, CAP_DAC_READ_SEARCH) or keep_capability(libc, CAP_DAC_OVERRIDE)):
        fail(f"Cannot keep the capability to enter private folders: {os.strerror(ctypes.get_errno())}.")


def enter_user_namespace(libc: ctypes.CDLL) -> None:
    """Enter a new user namespace, in which this process is not root but keeps its access to root's files.

    It is for folders that only root may enter, such as `/root`.
    """
    if libc.unshare(CLONE_NEWUSER) != 0:
        fail(f"Cannot make a user namespace: {os.strerror(ctypes.get_errno())}.")


def main() -> NoReturn:
    """Parse the arguments, set the death signal, and become the program."""
    parser = argparse.ArgumentParser(prog="die_with_parent")
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
