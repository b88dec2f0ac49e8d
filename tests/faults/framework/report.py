"""The result of a campaign: its figures and its invariants, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

PRINTED_VIOLATIONS = 8


@dataclass(frozen=True, slots=True)
class Invariant:
    """A statement that must be true at the end, and one sentence for each object that breaks it."""

    statement: str
    violations: Sequence[str] = ()
    # How many objects the statement was checked against. None where that is not counted.
    checked: int | None = None

    def lines(self) -> list[str]:
        """Return the invariant as lines of the report."""
        verdict = f"BROKEN {len(self.violations)} times" if self.violations else "holds"
        checked = "" if self.checked is None else f"  {self.checked} checked"
        return [
            f"  {self.statement:<60} {verdict:>18}{checked}",
            *(f"      {violation}" for violation in self.violations[:PRINTED_VIOLATIONS]),
        ]


@dataclass
class Report:
    """The result of one run of a campaign. `details` is written to the JSON only."""

    campaign: str
    seed: int
    sections: dict[str, Mapping[str, object]] = field(default_factory=dict)
    invariants: list[Invariant] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Return whether every invariant was checked and holds."""
        return bool(self.invariants) and not any(invariant.violations for invariant in self.invariants)

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        printed = ["", f"Campaign {self.campaign}, seed {self.seed}"]
        for title, figures in self.sections.items():
            printed += ["", title, *(f"  {name:<60} {value!s:>18}" for name, value in figures.items())]
        printed += ["", "Invariants"]
        printed += [line for invariant in self.invariants for line in invariant.lines()]
        return [*printed, "", "Every invariant holds." if self.holds else "An invariant is BROKEN.", ""]

    def as_json(self) -> str:
        """Return the report with its details as a JSON document."""
        document = {
            "campaign": self.campaign,
            "seed": self.seed,
            "holds": self.holds,
            "sections": self.sections,
            "invariants": [asdict(invariant) for invariant in self.invariants],
            **self.details,
        }
        return json.dumps(document, indent=1, default=str)
