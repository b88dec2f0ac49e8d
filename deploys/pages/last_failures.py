"""The failures of the last deployment of each version, for choosing one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Q

from ..models import Deployment, DeploymentItem, MicroServiceVersion

_FAILED_RESULTS = (DeploymentItem.Result.FAILED, DeploymentItem.Result.REVERTED)


@dataclass(frozen=True, slots=True)
class LastFailure:
    """The number of hosts on which the last deployment of a version failed, of all its hosts."""

    failed: int
    all: int


def find_last_failures(versions: Iterable[MicroServiceVersion]) -> dict[UUID, LastFailure]:
    """Return the failures of versions whose last deployment failed on a host, in one query."""
    last_deployments = (
        Deployment.objects.filter(to_version__in=[version.pk for version in versions])
        .order_by("to_version_id", "-created_at", "id")
        .distinct("to_version_id")
        .values("pk")
    )
    failed_deployments = (
        Deployment.objects.filter(pk__in=last_deployments)
        .order_by()
        .annotate(
            count_failed=Count("items", filter=Q(items__result__in=_FAILED_RESULTS)), count_all=Count("items")
        )
        .filter(count_failed__gt=0)
    )
    return {
        version: LastFailure(failed, total)
        for version, failed, total in failed_deployments.values_list(
            "to_version", "count_failed", "count_all"
        )
    }
