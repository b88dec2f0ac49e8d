"""What the beats of the hosts have sent, read from their logs: two of them must never send at the same time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

# Celery's line for a sent task, in the portal's format for development.
SENT = re.compile(r"^(\d{4}-\d\d-\d\dT[\d:.]+)Z? .*Sending due task (\S+)")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# A tick may be under way when a beat loses its lock, and lasts no longer than this.
TICK_SECONDS = 1.0


def read_sent(log: Path) -> list[tuple[datetime, str]]:
    """Return when a beat has sent which schedule, in the order of its log."""
    lines = COLOURS.sub("", log.read_text(errors="replace")).splitlines()
    return [(datetime.fromisoformat(match[1]), match[2]) for line in lines if (match := SENT.match(line))]


def find_two_leaders(sent: Mapping[str, Iterable[tuple[datetime, str]]]) -> list[str]:
    """Return a sentence for each time at which two beats led at once.

    Leadership changes with a pause: the old leader's lock has to be freed, and the new one has to get it. So the sendings of
    all beats, in the order of time, are blocks of one host each. A host that sends between two sendings of another one that
    are close together leads at the same time.
    """
    in_order = sorted((at, host, name) for host, entries in sent.items() for at, name in entries)
    wrong = []
    for (at, host, _name), (between, other, name), (after, third, _last) in zip(
        in_order, in_order[1:], in_order[2:], strict=False
    ):
        if host == third != other and after - at < timedelta(seconds=TICK_SECONDS):
            wrong.append(f"{other} sent {name} at {between:%H:%M:%S.%f}, while {host} led")
    return wrong
