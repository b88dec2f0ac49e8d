"""The sendings of the beats, read from their logs as they are written: two beats must never send at the same time."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Celery's line for a sent task.
SENT = re.compile(r"Sending due task (\S+)")
READ_EVERY_SECONDS = 0.05
# A tick may be under way when a beat loses its lock, and lasts no longer than this.
TICK_SECONDS = 1.0


@dataclass
class BeatWatcher:
    """Reads the logs of the beats in a thread, and notes when each line came: a host's own clock may be wrong."""

    logs: Mapping[str, Path]
    # For each host when it has sent which schedule, in seconds of the monotonic clock.
    sent: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read, name="beats", daemon=True).start()

    def _read(self) -> None:
        positions = dict.fromkeys(self.logs, 0)
        while not self.stopping.wait(READ_EVERY_SECONDS):
            for host, log in self.logs.items():
                if not log.exists():
                    continue
                with log.open("rb") as file:
                    file.seek(positions[host])
                    added = file.read()
                # A line that is not complete yet is read again.
                complete = added[: added.rfind(b"\n") + 1]
                positions[host] += len(complete)
                now = time.monotonic()
                self.sent.setdefault(host, []).extend(
                    (now, name) for name in SENT.findall(complete.decode(errors="replace"))
                )


def find_two_leaders(sent: Mapping[str, Iterable[tuple[float, str]]]) -> list[str]:
    """Return a sentence for each time at which two beats led at once.

    Leadership changes with a pause: the old leader's lock has to be freed, and the new one has to get it. So the sendings of
    all beats, in the order of time, are blocks of one host each. A host that sends between two sendings of another one that
    are close together leads at the same time.
    """
    in_order = sorted((at, host, name) for host, entries in sent.items() for at, name in entries)
    return [
        f"{other} sent {name} at {between:.2f} s, and {host} at {at:.2f} s and {after:.2f} s"
        for (at, host, _name), (between, other, name), (after, third, _last) in zip(
            in_order, in_order[1:], in_order[2:], strict=False
        )
        if host == third != other and after - at < TICK_SECONDS
    ]
