"""What was done, what was survived, and whether it holds: as a table and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.figures import percentile

from .checks import Verdict
from .injections import FROZEN_SECONDS, Injections
from .load import Load
from .plan import Plan

# Words of the portal's own log that tell what it went through.
LOG_WORDS = (
    "fenced",
    "lease_lost",
    "ring_failed",
    "look_failed",
    "step_errored",
    "undo_errored",
    "vm_sync_failed",
)
SHOWN_OF_EACH = 5


@dataclass
class Report:
    """One run."""

    plan: Plan
    injections: Injections
    load: Load
    died_by_themselves: dict[str, int]
    logs: Path
    storm_seconds: float
    settle_seconds: float
    unsettled: list[str]
    outcomes: dict[str, dict[str, int]]
    job_seconds: list[float]
    verdicts: list[Verdict]

    def __post_init__(self) -> None:
        # The logs go with the folder.
        self.log_words = {word: self._said(word) for word in LOG_WORDS}
        self.verdicts.insert(0, Verdict("it settled in time", 1, self.unsettled))
        problems = [problem for person in self.load.people for problem in person.problems]
        self.verdicts.append(Verdict("the people themselves met no bug", len(self.load.people), problems))

    def _said(self, word: str) -> int:
        return sum(
            log.read_text(errors="replace").count(word)
            for log in self.logs.glob("*.log")
            if log.name.startswith(("web", "worker", "beat"))
        )

    @property
    def passed(self) -> bool:
        """Whether every invariant holds."""
        return not any(verdict.wrong for verdict in self.verdicts)

    def injected(self) -> dict[str, int]:
        """How often what was done."""
        done: Counter[str] = Counter()
        for entry in self.injections.journal:
            match entry["name"]:
                case "kill":
                    done[f"kill -9 of {entry['met']}"] += 1
                case "freeze":
                    done[f"frozen for {FROZEN_SECONDS:g} s: {entry['met']}"] += 1
                case "stop_postgres":
                    done[f"PostgreSQL shut down ({entry['mode']})"] += 1
                case "stop_valkey":
                    done["Valkey stopped, and started empty"] += 1
                case "flush_valkey":
                    done["Valkey flushed"] += 1
                case "cut_connections":
                    done["every database connection cut"] += 1
                case "cloud" if entry["on"]:
                    done[f"the cloud: {entry['window'].replace('_', ' ')}"] += 1
                case "token_life":
                    done["tokens that live four seconds"] += entry["seconds"] < 60
                case "revoke_tokens":
                    done["every cloud token revoked"] += 1
                case "cloud_clock":
                    done["the cloud's clock jumped"] += 1
                case "meddle":
                    done[f"a server behind the portal's back: {entry['change']}"] += 1
        for kind, times in self.injections.struck.items():
            done[f"cloud requests hit by: {kind}"] += times
        return dict(sorted(done.items()))

    @property
    def worker_kills(self) -> int:
        """Kills that met a worker's process."""
        return sum(
            "worker" in entry.get("met", "") for entry in self.injections.journal if entry["name"] == "kill"
        )

    def survived(self) -> dict[str, Any]:
        """The figures of what went on."""
        clicks = self.load.clicks
        statuses = Counter(f"{click.status or 'no answer'} {click.code}".strip() for click in clicks)
        found: dict[str, Any] = {
            "clicks": len(clicks),
            **{f"clicks answered {status}": count for status, count in sorted(statuses.items())},
            "clicks repeated under their key": sum(click.tries > 1 for click in clicks),
            "answers replayed for a key": sum(click.replayed for click in clicks),
            "requests to cancel a job": len(self.load.cancellings),
            "looks at a VM that were not answered": sum(person.looks_failed for person in self.load.people),
        }
        for kind, counts in self.outcomes.items():
            found |= {f"jobs {kind} {status}": count for status, count in sorted(counts.items())}
        if self.job_seconds:
            found["seconds from click to end: p50 / p95 / most"] = " / ".join(
                f"{seconds:.1f}"
                for seconds in (
                    percentile(self.job_seconds, 0.5),
                    percentile(self.job_seconds, 0.95),
                    self.job_seconds[-1],
                )
            )
        found["worker processes killed"] = self.worker_kills
        for table, count in sorted(self.injections.claims_broken.items()):
            found[f"claims broken by a kill, and recovered: {table}"] = count
        found |= {f"'{word}' in the portal's logs": count for word, count in self.log_words.items()}
        found |= {
            f"{name} died by itself, and was started again": n for name, n in self.died_by_themselves.items()
        }
        found["seconds of storm"] = round(self.storm_seconds, 1)
        found["seconds to settle"] = round(self.settle_seconds, 1)
        return found

    def lines(self) -> list[str]:
        """The table."""
        found = [f"\nFault storm, seed {self.plan.seed}"]
        for title, rows in (("Injected", self.injected()), ("Survived", self.survived())):
            found.append(f"\n{title}")
            found += [f"  {what:<60} {count:>16}" for what, count in rows.items()]
        found.append("\nInvariants")
        for verdict in self.verdicts:
            says = "holds" if not verdict.wrong else f"BROKEN {len(verdict.wrong)} times"
            found.append(f"  {verdict.invariant:<60} {verdict.looked_at:>16}  {says}")
            found += [f"      {problem}" for problem in verdict.wrong[:SHOWN_OF_EACH]]
        return found

    def as_json(self) -> str:
        """Everything, with the plan and the journal."""
        return json.dumps(
            {
                "seed": self.plan.seed,
                "passed": self.passed,
                "injected": self.injected(),
                "survived": self.survived(),
                "invariants": [asdict(verdict) for verdict in self.verdicts],
                "journal": self.injections.journal,
                "plan": self.plan.as_json(),
            },
            indent=1,
            default=str,
        )
