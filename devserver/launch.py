"""Start and end processes, and read their state from `/proc`."""

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

DIE_WITH_PARENT = Path(__file__).with_name("die_with_parent.py")
PROC = Path("/proc")


class DevServerError(Exception):
    """An error that the person at the terminal can correct; only its text is shown."""


class Identity(StrEnum):
    """The account that a program runs as."""

    SELF = "self"
    NOBODY = "nobody"  # The account `nobody`: for PostgreSQL, which refuses to be root.
    NAMESPACE = "namespace"  # A user namespace of its own: the same, where nobody cannot reach the folder.
    # `nobody` with the capability to pass through private folders: the same, where no user namespace can be made.
    PASSING = "passing"


@dataclass(frozen=True)
class ProcessId:
    """A process by its number and start time, because numbers are reused."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """Return the process that has this number now, or None."""
        fields = _stat_fields(pid)
        return cls(pid, int(fields[19])) if fields and fields[0] != "Z" else None

    @property
    def alive(self) -> bool:
        return ProcessId.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal to exactly this process. It is no error if the process has ended."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _stat_fields(pid: int) -> list[str]:
    # The second field is the program's name in brackets and may contain spaces, so fields are counted after it.
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _all_pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def process_tree(pid: int) -> list[ProcessId]:
    """Return the process and its descendants, parents first.

    It follows the parents and not the session, because each backend of PostgreSQL has its own session.
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
    """Return the living processes of a session, also after the end of its leader."""
    found = []
    for pid in _all_pids():
        fields = _stat_fields(pid)
        if fields and int(fields[3]) == leader and (process := ProcessId.of(pid)):
            found.append(process)
    return found


def processes_in_folder(folder: Path) -> list[ProcessId]:
    """Return the processes whose working directory is this folder."""
    found = []
    for pid in _all_pids():
        with contextlib.suppress(OSError):
            if (PROC / str(pid) / "cwd").readlink() == folder and (process := ProcessId.of(pid)):
                found.append(process)
    return found


def memory(pid: int, *, with_children: bool = True) -> int:
    """Return the bytes of memory of a process and its descendants.

    Pages that several processes share are divided among them (PSS), so that the values can be added up.
    If the kernel does not permit to read that, the result is the resident size.
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
    """Start a program in its own session, with its output in its log; it gets `when_parent_dies` when this thread ends.

    In its own session, the program does not get the terminal's Ctrl-C, so the supervisor can end the processes in order.
    Call it from a thread that lives as long as the process should.
    """
    argv = [sys.executable, "-I", "-S", str(DIE_WITH_PARENT), "--parent", str(os.getpid())]
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
    """Run a short program to its end; return its exit code and its output."""
    argv = [
        sys.executable,
        "-I",
        "-S",
        str(DIE_WITH_PARENT),
        "--parent",
        str(os.getpid()),
        "--identity",
        identity,
    ]
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
    """End a process that was started here; return whether it ended by itself in time.

    Only the process itself gets the signal: gunicorn, Celery and PostgreSQL end their own children in order.
    After the time, the process and its descendants are killed.
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
    # The children of a process that ended normally usually end, too. The others are killed.
    kill_after_grace(relatives[1:])
    return True


def kill(processes: Sequence[ProcessId]) -> None:
    """Kill processes at once."""
    for process in processes:
        process.send(signal.SIGKILL)


def kill_after_grace(processes: Sequence[ProcessId], *, seconds: float = 3) -> None:
    """Kill processes that do not end within a number of seconds."""
    wait_until_gone(processes, seconds=seconds)
    kill(processes)


def wait_until_gone(processes: Sequence[ProcessId], *, seconds: float) -> bool:
    """Wait for the end of processes, which need not be children; return whether all have ended."""
    deadline = time.monotonic() + seconds
    while any(process.alive for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def read_last_lines(log: Path, count: int = 15) -> str:
    """Return the last lines of a log file, for an error message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
