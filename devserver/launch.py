"""Start and end single processes, and read from `/proc` what became of them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

LEASH = Path(__file__).with_name("leash.py")
PROC = Path("/proc")


class DevServerError(Exception):
    """Something that the person at the terminal can put right; its text is all that is shown."""


class Identity(StrEnum):
    """As whom a program runs."""

    SELF = "self"
    NOBODY = "nobody"  # The account `nobody`: for PostgreSQL, which refuses to be root.
    NAMESPACE = "namespace"  # A user namespace of its own: the same, where nobody cannot reach the folder.
    # `nobody` with the capability to pass through private folders: the same, where no user namespace can be made.
    PASSING = "passing"


@dataclass(frozen=True)
class ProcessId:
    """A process by number and start time: a number alone is given to another process sooner or later."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """The process that has this number now, or None."""
        fields = _stat_fields(pid)
        return cls(pid, int(fields[19])) if fields and fields[0] != "Z" else None

    @property
    def alive(self) -> bool:
        return ProcessId.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Signal this very process; one that is gone already is no error."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _stat_fields(pid: int) -> list[str]:
    # The second field is the program's name in brackets and may hold spaces: count from behind it.
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _all_pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def process_tree(pid: int) -> list[ProcessId]:
    """The process and everything that descends from it, the eldest first.

    By parentage, not by session: PostgreSQL gives each of its backends a session of its own.
    """
    children: dict[int, list[int]] = {}
    for candidate in _all_pids():
        if fields := _stat_fields(candidate):
            children.setdefault(int(fields[1]), []).append(candidate)
    found: list[ProcessId] = []
    waiting = [pid]
    while waiting:
        current = waiting.pop(0)
        if process := ProcessId.of(current):
            found.append(process)
        waiting.extend(children.get(current, []))
    return found


def session_members(leader: int) -> list[ProcessId]:
    """What still lives of the session that a process led, also after its own end: a pool, or web workers, left alone."""
    found = []
    for pid in _all_pids():
        fields = _stat_fields(pid)
        if fields and int(fields[3]) == leader and (process := ProcessId.of(pid)):
            found.append(process)
    return found


def processes_in_folder(folder: Path) -> list[ProcessId]:
    """The processes whose working directory is this folder."""
    found = []
    for pid in _all_pids():
        with contextlib.suppress(OSError):
            if (PROC / str(pid) / "cwd").readlink() == folder and (process := ProcessId.of(pid)):
                found.append(process)
    return found


def memory(pid: int, *, with_children: bool = True) -> int:
    """Bytes of memory of a process and its descendants.

    Pages that several processes share are counted once, spread over them (PSS), so that the parts may be added up.
    Where the kernel does not let us read that, it is the resident size.
    """
    total = 0
    for member in (process.pid for process in process_tree(pid)) if with_children else [pid]:
        folder = PROC / str(member)
        for name, label in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
            try:
                lines = (folder / name).read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(label))
            break
    return total


def start(
    program: Sequence[str | Path],
    *,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    identity: Identity = Identity.SELF,
    when_parent_dies: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a program on a leash, in a session of its own, writing to its log.

    A session of its own keeps the terminal's Ctrl-C away from it: the supervisor ends the parts, in order.
    Call it from a thread that lives as long as the process shall.
    """
    argv = [sys.executable, "-I", "-S", str(LEASH), "--parent", str(os.getpid())]
    argv += ["--signal", str(int(when_parent_dies)), "--identity", identity]
    if folder is not None:
        argv += ["--folder", str(folder)]
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else None
        return subprocess.Popen(
            [*argv, "--", *map(str, program)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env=dict(environment) if environment is not None else None,
            start_new_session=True,
        )


def run(
    program: Sequence[str | Path],
    *,
    identity: Identity = Identity.SELF,
    folder: Path | None = None,
) -> tuple[int, str]:
    """Run a short program on a leash to its end: its exit code and all that it wrote."""
    argv = [sys.executable, "-I", "-S", str(LEASH), "--parent", str(os.getpid()), "--identity", identity]
    if folder is not None:
        argv += ["--folder", str(folder)]
    done = subprocess.run(
        [*argv, "--", *map(str, program)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def end(process: subprocess.Popen[bytes], *, stop_signal: signal.Signals, seconds: float) -> bool:
    """End a process we started; True if it went by itself within the time.

    The signal goes to the process alone: gunicorn, Celery and PostgreSQL end their own children in order.
    What is left after the time is killed, children included.
    """
    relatives = process_tree(process.pid) if process.poll() is None else []
    if process.poll() is None:
        process.send_signal(stop_signal)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        kill(process_tree(process.pid))
        process.wait()
        return False
    # Children of a process that went normally are gone or going; those that stay have lost their parent.
    kill_after_grace(relatives[1:])
    return True


def kill(processes: Sequence[ProcessId]) -> None:
    """End processes at once."""
    for process in processes:
        process.send(signal.SIGKILL)


def kill_after_grace(processes: Sequence[ProcessId], *, seconds: float = 3) -> None:
    """Give processes a moment to go by themselves, then end them."""
    wait_until_gone(processes, seconds=seconds)
    kill(processes)


def wait_until_gone(processes: Sequence[ProcessId], *, seconds: float) -> bool:
    """Wait for processes that need not be our children; True if all of them went."""
    deadline = time.monotonic() + seconds
    while any(process.alive for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def read_last_lines(log: Path, count: int = 15) -> str:
    """The end of a log file, for the message that says why a part did not start."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
