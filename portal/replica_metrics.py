"""The state of the replica for `/metrics` and `/health/ready`; nothing where no replica is set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from prometheus_client.core import GaugeMetricFamily

from api.replica.status import ReplicaState, watch


def build_replica_metrics() -> Iterator[GaugeMetricFamily]:
    """Yield whether lists are read from the replica, and its lag, if it can be measured."""
    if not settings.HAS_DATABASE_REPLICA:
        return
    status = watch.fetch_status()
    yield GaugeMetricFamily(
        "portal_replica_up",
        "Whether lists are read from the replica.",
        int(status.state is ReplicaState.IN_USE),
    )
    if status.lag_seconds is not None:
        yield GaugeMetricFamily(
            "portal_replica_lag_seconds",
            "Seconds by which the replica is behind, at most, measured once a second.",
            status.lag_seconds,
        )


def describe_replica() -> dict[str, Any]:
    """Return the entry of `/health/ready`."""
    if not settings.HAS_DATABASE_REPLICA:
        return {}
    status = watch.fetch_status()
    lag = None if status.lag_seconds is None else round(status.lag_seconds, 1)
    return {"replica": {"state": status.state.value, "lag_seconds": lag}}
