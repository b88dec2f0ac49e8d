"""The portal's own processes, and who starts them again when they die: what systemd or a container runtime does."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from devserver import launch
from devserver.launch import ProcessId

from .servers import REPOSITORY, Servers

PR_SET_CHILD_SUBREAPER = 36
START_AGAIN_AFTER_SECONDS = 0.3

_WORKER = "-m celery -A portal worker --without-gossip --without-mingle"
_BEAT = "-m celery -A portal beat --pidfile="


@dataclass
class Program:
    """One of them: how it is started, and what became of it."""

    name: str
    words: list[str]
    process: subprocess.Popen[bytes]
    was_killed: bool = False
    gone_since: float | None = None
    # Its pool when it was killed.
    relatives: list[ProcessId] = field(default_factory=list)


def programs(web_port: int) -> dict[str, str]:
    """Name and arguments of each: two workers for jobs, so that one survives, and two beats, which is one too many."""
    config = REPOSITORY / "portal" / "gunicorn_config.py"
    return {
        "web": f"-m gunicorn -b 127.0.0.1:{web_port} -c {config}",
        "worker-a": f"{_WORKER} -Q jobs,polling -c 2 -n storm-a@localhost",
        "worker-b": f"{_WORKER} -Q jobs,polling -c 2 -n storm-b@localhost",
        "worker-sync": f"{_WORKER} -Q sync,resources -c 1 -n storm-sync@localhost",
        "beat-a": _BEAT,
        "beat-b": _BEAT,
    }


class Processes:
    """The running portal. Call it from the main thread alone, which is the one that stays (`die_with_parent.py`)."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.programs: dict[str, Program] = {}
        self.died_by_themselves: Counter[str] = Counter()
        # What a killed process leaves behind becomes our child instead of init's, so that it can be found and ended.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(self, name: str, arguments: str) -> None:
        """Start one and remember it."""
        words = arguments.split()
        self.programs[name] = Program(name, words, self._launch(name, words))

    def _launch(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        return launch.start(
            [sys.executable, *words],
            log=self.servers.folder / f"{name}.log",
            folder=REPOSITORY,
            environment=os.environ,
            when_parent_dies=signal.SIGKILL,
        )

    def watch(self) -> None:
        """Start again what has ended. Returns at once; to be called all the time."""
        now = time.monotonic()
        for program in self.programs.values():
            if program.process.poll() is None:
                continue
            if program.gone_since is None:
                program.gone_since = now
                if not program.was_killed:
                    self.died_by_themselves[program.name] += 1
                # As systemd does: gunicorn's processes outlive their parent by 20 s and keep its port. What is left
                # of a worker goes on instead, because that is the harder case: it holds claims, and nobody knows.
                if program.name == "web":
                    launch.kill([relative for relative in program.relatives if relative.alive])
            elif now - program.gone_since >= START_AGAIN_AFTER_SECONDS:
                program.process = self._launch(program.name, program.words)
                program.was_killed, program.gone_since = False, None
        self._bury()

    def main(self, name: str) -> ProcessId | None:
        """The process that was started as this program; None while it is dead."""
        process = self.programs[name].process
        return ProcessId.of(process.pid) if process.poll() is None else None

    def children(self, name: str) -> list[ProcessId]:
        """The processes of its pool."""
        main = self.main(name)
        return launch.process_tree(main.pid)[1:] if main else []

    def kill(self, name: str, process: ProcessId) -> None:
        """kill -9 of a program's main process or of one of its pool."""
        if process.pid == self.programs[name].process.pid:
            self.programs[name].was_killed = True
            self.programs[name].relatives = launch.process_tree(process.pid)[1:]
        process.send(signal.SIGKILL)

    def end(self, name: str) -> None:
        """End one for good."""
        program = self.programs.pop(name)
        launch.end(program.process, stop_signal=signal.SIGTERM, seconds=10)

    def stop(self) -> None:
        """End all of them at once: their servers go next."""
        families = [launch.process_tree(program.process.pid) for program in self.programs.values()]
        for program, process_tree in zip(self.programs.values(), families, strict=True):
            launch.kill(process_tree)
            program.process.wait()
        self.programs.clear()

    @staticmethod
    def end_descendants() -> int:
        """End whatever descends from this process, orphans included; how many were left. Servers must be gone by now."""
        left = launch.process_tree(os.getpid())[1:]
        launch.kill(left)
        launch.wait_until_gone(left, seconds=5)
        return len(left)

    def _bury(self) -> None:
        """Take the exit codes of dead orphans, which would stay as zombies; not of what `Popen` waits for itself."""
        waited_for = [program.process for program in self.programs.values()]
        ours = {process.pid for process in [*waited_for, *self.servers.running.values()]}
        for path in Path("/proc/self/task").glob("*/children"):
            for word in path.read_text().split():
                pid = int(word)
                if pid not in ours and ProcessId.of(pid) is None:
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(pid, os.WNOHANG)
