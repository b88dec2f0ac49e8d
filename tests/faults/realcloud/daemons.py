"""The cloud's own processes: found by their pid files, killed or frozen as whole sessions, and started again."""

from __future__ import annotations

import shlex
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devserver import launch
from devserver.launch import ProcessId


@dataclass(frozen=True)
class Daemons:
    """The daemons of a cloud: the folder of their pid files, and the command that starts what does not run."""

    pids: Path
    start_command: str

    def kill(self, name: str) -> None:
        """Kill a daemon with all of its processes by SIGKILL."""
        launch.kill(self._get_processes(name))

    def freeze(self, name: str) -> None:
        """Stop a daemon with all of its processes by SIGSTOP."""
        for process in self._get_processes(name):
            process.send(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Resume a frozen daemon."""
        for process in self._get_processes(name):
            process.send(signal.SIGCONT)

    def start_missing(self) -> None:
        """Start the daemons that do not run. Raises `CalledProcessError` with the output of the command."""
        subprocess.run(shlex.split(self.start_command), check=True, capture_output=True, timeout=300)

    def _get_processes(self, name: str) -> list[ProcessId]:
        # The first number in the file is the process that leads the daemon's session.
        leader = int((self.pids / f"{name}.pid").read_text().split()[0])
        return launch.session_members(leader)
