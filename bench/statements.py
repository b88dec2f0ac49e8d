"""How many SQL statements some work sends, counted in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements that read or write, and what frames them. Each of the three is a round trip to the database."""

    work: int
    begins: int
    commits: int

    @property
    def round_trips(self) -> int:
        """All of them."""
        return self.work + self.begins + self.commits

    def __str__(self) -> str:
        return f"{self.work} + {self.begins} BEGIN, {self.commits} COMMIT"


def statements_of(work: Callable[[], object]) -> Statements:
    """Count what some work sends over the default connection.

    Django keeps only the last 9,000 statements, so the work must stay below that. What it sends around its own
    log, such as the look whether a connection is alive, is not counted.
    """
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        work()
    sent = [query["sql"] for query in captured.captured_queries]
    begins, commits = sent.count("BEGIN"), sent.count("COMMIT")
    return Statements(len(sent) - begins - commits, begins, commits)
