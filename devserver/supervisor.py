"""The supervisor: it starts the processes in order, restarts them after failures, and ends them in order.

It has a single thread for two reasons: the kernel ends a process with the thread that started it
(`die_with_parent.py`), and signals are only read where the supervisor waits for them, so that no started process can be
missing in its record.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from devserver import launch, logs, processes
from devserver.installation import REPOSITORY, Installation
from devserver.launch import DevServerError, ProcessId
from devserver.processes import ManagedProcess

STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
STARTUP_SECONDS = 120
MAX_RESTART_PAUSE = 30.0
# After a run of this length, the earlier failures of a process no longer count.
WELL_AFTER_SECONDS = 60
POLL_SECONDS = 0.05
# The interval of the checks for a closed terminal and for logs that are too large.
CHECK_SECONDS = 2.0


class StopRequestedError(Exception):
    """The user pressed Ctrl-C, closed the terminal, or ran `make down`."""


class AlreadyRunningError(DevServerError):
    """Another start holds this data folder."""


@contextlib.contextmanager
def hold_lock(installation: Installation) -> Iterator[None]:
    """Hold the lock of the data folder. The kernel frees it when the process ends, for whatever reason."""
    installation.make_folders()
    with (installation.data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            running = with_recorded_ports(installation)
            raise AlreadyRunningError(
                f"It is already running with the data folder {installation.data} ({running.address}/). "
                "Stop it with: make down"
            ) from error
        yield


def read_record(installation: Installation) -> dict[str, ProcessId]:
    """Return the processes of the last start by name, including "supervisor"."""
    try:
        record = json.loads((installation.data / "run.json").read_text())
        return {name: ProcessId(entry["pid"], entry["started"]) for name, entry in record.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def with_recorded_ports(installation: Installation) -> Installation:
    """Return the installation with the ports with which it was started, which may differ from this environment."""
    try:
        record = json.loads((installation.data / "run.json").read_text())
        ports = {name: int(port) for name, port in record["supervisor"]["ports"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return installation
    return installation.with_ports(ports)


def end_leftovers(installation: Installation) -> list[str]:
    """End the processes of an earlier supervisor that was killed; return their names. The caller must hold the lock.

    Process number and start time must both match, so an unrelated process with a reused number is never ended.
    """
    alive = {name: process for name, process in read_record(installation).items() if process.alive}
    alive.pop("supervisor", None)
    for name, process in alive.items():
        process.send(signal.SIGINT if name == "postgres" else signal.SIGTERM)
    launch.wait_until_gone(list(alive.values()), seconds=5)
    for process in alive.values():
        launch.kill(launch.process_tree(process.pid) if process.alive else [])
    (installation.data / "run.json").unlink(missing_ok=True)
    return list(alive)


class Supervisor:
    """The supervisor of one installation."""

    def __init__(self, installation: Installation, *, say: Callable[[str], None]) -> None:
        self.installation = installation
        self.say = say
        self.running: list[ManagedProcess] = []
        # Blocked signals stay pending until `_pause` reads them.
        signals = {*STOP_SIGNALS, signal.SIGCHLD}
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # Started with nohup: the terminal may close.
            signals.discard(signal.SIGHUP)
        self._signals = signals
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        self._terminal = select.poll()
        if signal.SIGHUP in signals and os.isatty(1):
            self._terminal.register(1, 0)  # Without requested events, `poll` still reports a hang-up.

    def run(self, *, on_ready: Callable[[float], None]) -> None:
        """Start everything, call `on_ready` with the seconds that it took, and watch until a request to stop."""
        began = time.monotonic()
        try:
            if left := end_leftovers(self.installation):
                self.say(f"Ended processes of an earlier start that was killed: {', '.join(left)}.")
            # Before the first process, so that `down` can stop a start, too.
            self._record()
            self.installation.refuse_used_ports()
            self.installation.complete_environment()
            logs.rotate(self.installation.data / "logs")
            self._start_group(processes.build_servers(self.installation))
            for title, arguments in processes.list_preparations():
                self._run_manage_command(title, arguments)
            self._start_group(processes.build_portal_processes(self.installation))
            on_ready(time.monotonic() - began)
            self._watch()
        except StopRequestedError:
            pass
        finally:
            self._stop()

    def _start_group(self, group: list[ManagedProcess]) -> None:
        """Start a group of processes, and wait until all of them are ready."""
        for part in group:
            self._start(part)
        deadline = time.monotonic() + STARTUP_SECONDS
        while waiting := [part for part in group if not part.ready]:
            self._pause(POLL_SECONDS)
            for part in self.running:
                if part.process and part.process.poll() is not None:
                    raise DevServerError(self._describe_exit(part, "ended while starting"))
            for part in waiting:
                if part.is_ready():
                    part.ready = True
                    self._report_ready(part.name, part.started_at, part.port)
            if time.monotonic() > deadline:
                late = waiting[0]
                reason = processes.check_health(self.installation) if late.name == "web" else ""
                raise DevServerError(
                    self._describe_exit(late, f"was not ready within {STARTUP_SECONDS} s. {reason}")
                )

    def _start(self, part: ManagedProcess) -> None:
        part.started_at = time.monotonic()
        part.restart_at = None
        part.process = part.start()
        part.id = ProcessId.of(part.process.pid)
        if part not in self.running:
            self.running.append(part)
        self._record()

    def _run_manage_command(self, title: str, arguments: list[str]) -> None:
        """Run a command of `manage.py` to its end."""
        began = time.monotonic()
        log = self.installation.log(title.replace(" ", "-"))
        process = launch.start(
            [Path(sys.executable), REPOSITORY / "manage.py", *arguments],
            log=log,
            environment=self.installation.environment,
            folder=REPOSITORY,
        )
        try:
            while process.poll() is None:
                self._pause(1)
        finally:
            launch.end(process, stop_signal=signal.SIGTERM, seconds=5)
        if process.returncode != 0:
            raise DevServerError(
                f"`manage.py {' '.join(arguments)}` failed (exit code {process.returncode}). "
                f"The end of {log}:\n{launch.read_last_lines(log)}"
            )
        self._report_ready(title, began)

    def _watch(self) -> None:
        """Restart processes that end, until a signal to stop arrives."""
        while True:
            now = time.monotonic()
            for part in self.running:
                if part.restart_at is not None:
                    if now >= part.restart_at:
                        self._restart(part)
                elif part.process and part.process.poll() is not None:
                    self._plan_restart(part, now)
            waits = [part.restart_at - now for part in self.running if part.restart_at is not None]
            logs.rotate(self.installation.data / "logs")
            # With `ssh -t machine make up`, only make gets the hang-up signal of the terminal, and does not pass it on.
            if self._terminal.poll(0):
                raise StopRequestedError
            self._pause(max(0.0, min([*waits, CHECK_SECONDS])))

    def _plan_restart(self, part: ManagedProcess, now: float) -> None:
        assert part.process is not None
        # The children of a killed gunicorn go on listening at its port, and the next one could not start.
        launch.kill(launch.session_members(part.process.pid))
        part.failures = 0 if now - part.started_at > WELL_AFTER_SECONDS else part.failures + 1
        pause = min(MAX_RESTART_PAUSE, 2.0 ** max(0, part.failures - 1))
        part.restart_at = now + pause
        code = part.process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self.say(f"{part.name} {how}; restart in {pause:.0f} s. Log: {self.installation.log(part.name)}")

    def _restart(self, part: ManagedProcess) -> None:
        try:
            self._start(part)
        except DevServerError as error:
            part.failures += 1
            part.restart_at = time.monotonic() + MAX_RESTART_PAUSE
            self.say(f"{part.name} could not be restarted: {error}")
        else:
            self.say(f"{part.name} was restarted.")

    def _stop(self) -> None:
        """End the processes: first the portal's, then the servers. A second signal kills them at once."""
        if self.running:
            self.say("Stopping.")
        build_servers = {"postgres", "valkey"}
        for group in (
            [part for part in self.running if part.name not in {*build_servers, "simulator"}],
            [part for part in self.running if part.name == "simulator"],
            [part for part in self.running if part.name in build_servers],
        ):
            self._end(group)
        self.running.clear()
        (self.installation.data / "run.json").unlink(missing_ok=True)

    def _end(self, group: list[ManagedProcess]) -> None:
        alive = [part.process for part in group if part.process and part.process.poll() is None]
        relatives = [relative for process in alive for relative in launch.process_tree(process.pid)[1:]]
        for part in group:
            if part.process in alive:
                part.process.send_signal(part.stop_signal)
        deadline = time.monotonic() + max((part.stop_seconds for part in group), default=0)
        while any(process.poll() is None for process in alive) and time.monotonic() < deadline:
            try:
                self._pause(POLL_SECONDS)
            except StopRequestedError:
                break
        for process in alive:
            if process.poll() is None:
                launch.kill(launch.process_tree(process.pid))
            process.wait()
        launch.kill_after_grace(relatives)

    def _pause(self, seconds: float) -> None:
        """Wait for a signal or for a number of seconds. Raises `StopRequestedError` for a signal to stop."""
        arrived = signal.sigtimedwait(self._signals, seconds)
        if arrived is not None and arrived.si_signo in STOP_SIGNALS:
            raise StopRequestedError

    def _record(self) -> None:
        """Write the running processes to `run.json`, for `down`, `status` and the next start."""
        known = {"supervisor": ProcessId.of(os.getpid()), **{part.name: part.id for part in self.running}}
        record: dict[str, dict[str, object]] = {
            name: {"pid": p.pid, "started": p.started} for name, p in known.items() if p
        }
        # For commands in an environment with other ports.
        record.get("supervisor", {})["ports"] = self.installation.ports
        path = self.installation.data / "run.json"
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(record, indent=1))
        unfinished.replace(path)

    def _describe_exit(self, part: ManagedProcess, what: str) -> str:
        log = self.installation.log(part.name)
        return f"{part.name} {what}\nThe end of {log}:\n{launch.read_last_lines(log)}"

    def _report_ready(self, name: str, began: float, port: int | None = None) -> None:
        place = f"port {port}" if port else ""
        self.say(f"  {name:<12} {place:<12} {time.monotonic() - began:5.1f} s")
