"""The metrics of PostgreSQL itself: whether it answers, its connections, and its longest transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from django.db import DatabaseError, InterfaceError, connection
from prometheus_client.core import GaugeMetricFamily

log = structlog.get_logger(__name__)

# Sessions of other roles hide the beginning of their transaction; those of the portal's own role are always shown.
STATUS = """
    SELECT count(*) FILTER (WHERE backend_type = 'client backend'),
           current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
           coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)
                            FILTER (WHERE datname = current_database() AND backend_type = 'client backend')), 0)::float
    FROM pg_stat_activity
"""


@dataclass(frozen=True)
class DatabaseStatus:
    """Connections of all clients of the server and how many it allows, and the age of this database's longest transaction."""

    connections: int
    max_connections: int
    longest_transaction_seconds: float


def fetch_database_status() -> DatabaseStatus | None:
    """Return the status of the database by one statement; None when it does not answer."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(STATUS)
            return DatabaseStatus(*cursor.fetchone())
    except (DatabaseError, InterfaceError) as error:
        # The connection is opened anew by the next request.
        connection.close()
        log.warning("database_not_measured", error=str(error))
        return None


def build_database_metrics(status: DatabaseStatus | None) -> Iterator[GaugeMetricFamily]:
    """Yield the metrics of a status; without one, only that the database does not answer."""
    yield GaugeMetricFamily("portal_database_up", "Whether the database answers.", int(status is not None))
    if status is None:
        return
    yield GaugeMetricFamily(
        "portal_database_connections",
        "Connections of all clients to the database server.",
        status.connections,
    )
    yield GaugeMetricFamily(
        "portal_database_max_connections",
        "Connections that the database server allows to clients.",
        status.max_connections,
    )
    yield GaugeMetricFamily(
        "portal_database_longest_transaction_age_seconds",
        "Seconds since the beginning of the longest transaction of the portal's database.",
        status.longest_transaction_seconds,
    )
