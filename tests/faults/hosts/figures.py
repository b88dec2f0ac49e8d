"""The results of the faults, as figures of the report, as JSON, and as the table of docs/many-hosts.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.framework.report import Invariant

from .faults import Fault
from .servers import APP_HOSTS


@dataclass
class Result:
    """The result of one fault."""

    fault: Fault
    struck: str
    seconds: float
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    slow: dict[str, int] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)
    median: dict[str, float] = field(default_factory=dict)
    jobs_ended: int = 0
    # The seconds from the begin of the fault until the lock of an interrupted transaction was free.
    lock_freed_after: float | None = None
    recovery: dict[str, float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    beat_leaders: list[str] = field(default_factory=list)
    packets: int = 0
    invariants: list[Invariant] = field(default_factory=list)

    @property
    def whole_after(self) -> float:
        """Return the seconds from the end of the fault until the last sign came."""
        return max(self.recovery.values(), default=0.0)


def name_host(result: Result, host: str) -> str:
    """Return a host's name, marked if the fault struck it."""
    return f"{host} (struck)" if host == result.struck else host


def summarize(result: Result) -> dict[str, object]:
    """Return the figures of one fault for the report."""
    answers = {
        f"{name_host(result, host)}: {outcome}": count
        for host in APP_HOSTS
        for outcome, count in sorted(result.outcomes[host].items())
    }
    slowest = {
        f"{name_host(result, host)}: slowest answer": f"{result.slowest[host]:.1f} s" for host in APP_HOSTS
    }
    lock = {}
    if result.fault.holds_lock:
        freed = result.lock_freed_after
        lock["lock of an interrupted transaction was free after"] = (
            "never" if freed is None else f"{freed:.1f} s"
        )
    signs = {f"whole again: {sign}": f"{value:.1f} s" for sign, value in sorted(result.recovery.items())}
    whole = "never" if result.missing else f"{result.whole_after:.1f} s"
    return {
        **answers,
        **slowest,
        "jobs that ended meanwhile": result.jobs_ended,
        **lock,
        **signs,
        "whole again": whole,
    }


def as_json(result: Result) -> dict[str, Any]:
    """Return the figures of one fault for the JSON."""
    return {
        "name": result.fault.name,
        "title": result.fault.title,
        "struck": result.struck,
        "seconds": round(result.seconds, 1),
        "answers": {host: dict(counts) for host, counts in result.outcomes.items()},
        "slow_answers": result.slow,
        "slowest_answer_seconds": _round(result.slowest, 1),
        "median_answer_seconds": _round(result.median, 2),
        "lock_freed_after_seconds": result.lock_freed_after and round(result.lock_freed_after, 1),
        "jobs_ended": result.jobs_ended,
        "beat_leaders": result.beat_leaders,
        "packets_struck": result.packets,
        "seconds_until_whole": _round(result.recovery, 1),
        "never_whole": result.missing,
    }


def make_table(results: Iterable[Result]) -> list[str]:
    """Return the table of all faults in Markdown: what stayed up, what was refused and how, how long until it was whole."""
    lines = [
        "| fault | other host | struck host | jobs ended | whole again after |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        # A fault of a database server strikes both hosts alike.
        struck = result.struck if result.struck in APP_HOSTS else APP_HOSTS[-1]
        others = [host for host in APP_HOSTS if host != struck]
        cells = [_describe_answers(result, host) for host in (*others, struck)]
        whole = "never" if result.missing else f"{result.whole_after:.0f} s"
        lines.append(
            f"| {result.fault.title}, {result.seconds:.0f} s | {' | '.join(cells)} | {result.jobs_ended} | {whole} |"
        )
    return lines


def _describe_answers(result: Result, host: str) -> str:
    counts: Counter[str] = result.outcomes[host]
    total = counts.total()
    answered = counts.get("answered", 0)
    refused = [f"{count} × {outcome}" for outcome, count in counts.most_common() if outcome != "answered"]
    return (
        f"{answered} of {total} answered, median {result.median[host]:.2f} s, slowest {result.slowest[host]:.1f} s"
        + "".join(f"; {text}" for text in refused)
    )


def _round(figures: Mapping[str, float], digits: int) -> dict[str, float]:
    return {name: round(value, digits) for name, value in figures.items()}
