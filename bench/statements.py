"""The count of the SQL statements that a call sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements that read or write, and those that begin and commit. Each is a round trip to the database."""

    work: int
    begins: int
    commits: int

    @property
    def round_trips(self) -> int:
        """Return the sum of all three."""
        return self.work + self.begins + self.commits

    def __str__(self) -> str:
        return f"{self.work} + {self.begins} BEGIN, {self.commits} COMMIT"


def count_statements(work: Callable[[], object]) -> Statements:
    """Count the statements that a call sends over the default connection.

    Django keeps only the last 9,000 statements, so the call must send fewer. Statements that Django does not log, such
    as the check whether a connection is alive, are not counted.
    """
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        work()
    sent = [query["sql"] for query in captured.captured_queries]
    begins, commits = sent.count("BEGIN"), sent.count("COMMIT")
    return Statements(len(sent) - begins - commits, begins, commits)
