"""The portal's processes: started, killed, frozen, and restarted when they die, as systemd or a container runtime does."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devserver import launch
from devserver.launch import ProcessId

from .servers import REPOSITORY, Servers

PR_SET_CHILD_SUBREAPER = 36
RESTART_SECONDS = 0.3


def worker_arguments(queues: str, processes: int, name: str) -> str:
    """Return the arguments of a Celery worker; `queues` are separated by commas."""
    return (
        "-m celery -A portal worker --without-gossip --without-mingle"
        f" -Q {queues} -c {processes} -n {name}@localhost"
    )


@dataclass
class Program:
    """A program of the portal: its arguments, the folder with its code, its process, and what was done to that."""

    name: str
    arguments: Sequence[str | Path]
    folder: Path
    process: subprocess.Popen[bytes]
    was_killed: bool = False
    gone_since: float | None = None
    # Its pool when it was killed.
    relatives: list[ProcessId] = field(default_factory=list)


class Processes:
    """The running processes of the portal.

    Call the methods from the main thread alone: a process that another thread starts ends with that thread (`leash.py`).
    """

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.programs: dict[str, Program] = {}
        self.crashes: Counter[str] = Counter()
        # When each frozen process is to be resumed, the earliest first.
        self._frozen: list[tuple[float, ProcessId]] = []
        # What a killed process leaves behind becomes our child instead of init's, so that it can be found and ended.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(self, name: str, arguments: str | Sequence[str | Path], *, folder: Path = REPOSITORY) -> None:
        """Start a program, and restart it from now on when it dies. Arguments in one text have no spaces of their own."""
        split = arguments.split() if isinstance(arguments, str) else arguments
        self.programs[name] = Program(name, split, folder, self._launch(name, split, folder))

    def _launch(self, name: str, arguments: Sequence[str | Path], folder: Path) -> subprocess.Popen[bytes]:
        return launch.start(
            [sys.executable, *arguments],
            log=self.servers.folder / f"{name}.log",
            folder=folder,
            environment=os.environ,
            when_parent_dies=signal.SIGKILL,
        )

    def watch(self) -> None:
        """Restart dead programs and resume frozen processes whose time has come. Returns at once; call it all the time."""
        now = time.monotonic()
        while self._frozen and self._frozen[0][0] <= now:
            self._frozen.pop(0)[1].send(signal.SIGCONT)
        for program in self.programs.values():
            if program.process.poll() is None:
                continue
            if program.gone_since is None:
                program.gone_since = now
                if not program.was_killed:
                    self.crashes[program.name] += 1
                # gunicorn's processes outlive their parent by 20 s and keep its port, so they are killed, as systemd
                # does. The pool of a dead worker goes on, because that is the harder case: it owns jobs unsupervised.
                if program.name.endswith("web"):
                    launch.kill([relative for relative in program.relatives if relative.alive])
            elif now - program.gone_since >= RESTART_SECONDS:
                program.process = self._launch(program.name, program.arguments, program.folder)
                program.was_killed, program.gone_since = False, None
        self._reap_orphans()

    def get_main(self, name: str) -> ProcessId | None:
        """Return the process that was started as this program; None while it is dead."""
        process = self.programs[name].process
        return ProcessId.of(process.pid) if process.poll() is None else None

    def get_children(self, name: str) -> list[ProcessId]:
        """Return the processes of a program's pool."""
        main = self.get_main(name)
        return launch.process_tree(main.pid)[1:] if main else []

    def kill(self, name: str, process: ProcessId) -> None:
        """Kill a program's main process, or one of its pool, by SIGKILL."""
        if process.pid == self.programs[name].process.pid:
            self.programs[name].was_killed = True
            self.programs[name].relatives = launch.process_tree(process.pid)[1:]
        process.send(signal.SIGKILL)

    def kill_tree(self, name: str) -> None:
        """Kill a program's main process and its pool by SIGKILL, and wait until they are gone."""
        tree = launch.process_tree(self.programs[name].process.pid)
        self.programs[name].was_killed = True
        launch.kill(tree)
        launch.wait_until_gone(tree, seconds=5)

    def freeze(self, process: ProcessId, seconds: float) -> None:
        """Stop a process by SIGSTOP; `watch` resumes it after this many seconds."""
        process.send(signal.SIGSTOP)
        self._frozen.append((time.monotonic() + seconds, process))
        self._frozen.sort(key=lambda entry: entry[0])

    def resume(self, process: ProcessId) -> None:
        """Resume a frozen process before its time."""
        self._frozen = [entry for entry in self._frozen if entry[1] != process]
        process.send(signal.SIGCONT)

    def resume_all(self) -> None:
        """Resume every frozen process."""
        for process in self.frozen:
            self.resume(process)

    @property
    def frozen(self) -> list[ProcessId]:
        """Return the processes that are frozen now."""
        return [process for _until, process in self._frozen]

    def end(self, name: str) -> None:
        """End a program for good."""
        program = self.programs.pop(name)
        launch.end(program.process, stop_signal=signal.SIGTERM, seconds=10)

    def stop(self) -> None:
        """Kill every program at once: nothing of its data is needed any more."""
        trees = [launch.process_tree(program.process.pid) for program in self.programs.values()]
        for program, tree in zip(self.programs.values(), trees, strict=True):
            launch.kill(tree)
            program.process.wait()
        self.programs.clear()

    @staticmethod
    def end_descendants() -> int:
        """Kill whatever descends from this process, orphans included, and return how many were left.

        Call it after the servers have ended: they are descendants too.
        """
        left = launch.process_tree(os.getpid())[1:]
        launch.kill(left)
        launch.wait_until_gone(left, seconds=5)
        return len(left)

    def _reap_orphans(self) -> None:
        """Reap dead orphans, which would stay as zombies; not those that a `Popen` waits for itself."""
        waited_for = [program.process for program in self.programs.values()]
        ours = {process.pid for process in [*waited_for, *self.servers.running.values()]}
        for path in Path("/proc/self/task").glob("*/children"):
            try:
                children = path.read_text().split()
            except OSError:
                continue  # The thread has ended meanwhile.
            for text in children:
                pid = int(text)
                if pid not in ours and ProcessId.of(pid) is None:
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(pid, os.WNOHANG)
