"""The figures of a storm: what was injected, what was clicked, and what became of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import percentile

from .injections import FROZEN_SECONDS, Injections
from .load import Load

# Events in the portal's own log that tell of a recovery.
LOG_EVENTS = (
    "fenced",
    "lease_lost",
    "ring_failed",
    "look_failed",
    "step_errored",
    "undo_errored",
    "vm_sync_failed",
)


@dataclass
class StormFigures:
    """What a storm has counted."""

    injections: Injections
    load: Load
    vm_jobs: Sequence[Any]
    crashes: Mapping[str, int]

    def count_injections(self) -> dict[str, int]:
        """Count the events that were carried out, and the requests that the cloud's faults struck."""
        counts: Counter[str] = Counter()
        for entry in self.injections.journal:
            match entry["name"]:
                case "kill":
                    counts[f"kill -9 of {entry['met']}"] += 1
                case "freeze":
                    counts[f"frozen for {FROZEN_SECONDS:g} s: {entry['met']}"] += 1
                case "stop_postgres":
                    counts[f"PostgreSQL shut down ({entry['mode']})"] += 1
                case "stop_valkey":
                    counts["Valkey stopped, and started empty"] += 1
                case "flush_valkey":
                    counts["Valkey flushed"] += 1
                case "cut_connections":
                    counts["every database connection cut"] += 1
                case "cloud" if entry["on"]:
                    counts[f"the cloud: {entry['window'].replace('_', ' ')}"] += 1
                case "token_life":
                    counts["tokens that live four seconds"] += entry["seconds"] < 60
                case "revoke_tokens":
                    counts["every cloud token revoked"] += 1
                case "cloud_clock":
                    counts["the cloud's clock jumped"] += 1
                case "change_externally":
                    counts[f"a server changed without the portal: {entry['change']}"] += 1
        for kind, times in self.injections.struck.items():
            counts[f"cloud requests hit by: {kind}"] += times
        return dict(sorted(counts.items()))

    def count_clicks(self) -> dict[str, object]:
        """Count what the users did, and what they were answered."""
        clicks = self.load.clicks
        statuses = Counter(f"{click.status or 'no answer'} {click.code}".strip() for click in clicks)
        return {
            "clicks": len(clicks),
            **{f"clicks answered {status}": count for status, count in sorted(statuses.items())},
            "clicks repeated under their key": sum(click.tries > 1 for click in clicks),
            "answers replayed for a key": sum(click.replayed for click in clicks),
            "requests to cancel a job": len(self.load.cancellations),
            "reads of a VM without an answer": sum(user.failed_reads for user in self.load.users),
        }

    def count_jobs(self) -> dict[str, object]:
        """Count the jobs of VMs by kind and status, and tell how long they took."""
        statuses = Counter(f"jobs {job.kind} {job.status}" for job in self.vm_jobs)
        figures: dict[str, object] = dict(sorted(statuses.items()))
        seconds = sorted(
            (job.ended_at - job.created_at).total_seconds() for job in self.vm_jobs if job.ended_at
        )
        if seconds:
            shown = (percentile(seconds, 0.5), percentile(seconds, 0.95), seconds[-1])
            figures["seconds from click to end: p50 / p95 / maximum"] = " / ".join(
                f"{value:.1f}" for value in shown
            )
        return figures

    def count_recoveries(self, logs: Path) -> dict[str, object]:
        """Count the workers that were killed, the claims that this broke, and the recoveries that the logs tell of."""
        kills = [entry for entry in self.injections.journal if entry["name"] == "kill"]
        texts = [
            log.read_text(errors="replace")
            for log in logs.glob("*.log")
            if log.name.startswith(("web", "worker", "beat"))
        ]
        return {
            "worker processes killed": sum("worker" in entry["met"] for entry in kills),
            **{
                f"claims broken by a kill, and recovered: {table}": count
                for table, count in sorted(self.injections.claims_broken.items())
            },
            **{f"'{event}' in the logs": sum(text.count(event) for text in texts) for event in LOG_EVENTS},
            **{f"{name} crashed, and was restarted": count for name, count in self.crashes.items()},
        }
