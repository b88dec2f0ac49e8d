"""The cloud's own processes: found by their pid files, killed or frozen with all that belongs to them, and brought back."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Daemons:
    """Where the pid files are (the first word of each is the pid of a session's leader), and what starts what is missing."""

    pids: Path
    start: str

    def session(self, name: str) -> list[int]:
        """The processes of a daemon: its leader, and all that share its session."""
        leader = int((self.pids / f"{name}.pid").read_text().split()[0])
        pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
        return [pid for pid in pids if _session_of(pid) == leader]

    def names(self) -> list[str]:
        """Every daemon that there is."""
        return sorted(path.stem for path in self.pids.glob("*.pid"))

    def send(self, name: str, number: signal.Signals) -> int:
        """Send a signal to a daemon; to how many processes."""
        processes = self.session(name)
        for pid in processes:
            os.kill(pid, number)
        return len(processes)

    def start_missing(self) -> None:
        """Start what does not run. Raises `CalledProcessError` with what it said."""
        subprocess.run(shlex.split(self.start), check=True, capture_output=True, timeout=300)


def _session_of(pid: int) -> int | None:
    try:
        # After the name, which may hold anything: state, parent, group, session.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3])
    except (OSError, IndexError, ValueError):
        return None
