"""The status of a deployment, as a badge and in numbers, as every page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tasks.models import JobStatus

from ..models import Deployment, DeploymentItem

_RESULT = DeploymentItem.Result
# The CSS class for the badge of a deployment under way; the class `running` belongs to instances that run.
UNDER_WAY = "underway"


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """The badge of a deployment (class and label), and its counts of instances."""

    status: str
    label: str | Promise
    is_over: bool
    all: int
    ended: int
    succeeded: int
    not_begun: int

    @property
    def percent(self) -> int:
        """Return the percentage of instances that have ended."""
        return 100 * self.ended // self.all if self.all else 100


def annotate_counts(deployments: QuerySet[Deployment]) -> QuerySet[Any]:
    """Annotate deployments with everything that `summarize_deployment` reads, in one query."""
    unfinished_results = (_RESULT.WAITING, _RESULT.RUNNING)
    return deployments.select_related("service", "from_version", "to_version", "operator", "job").annotate(
        count_all=Count("items"),
        count_ended=Count("items", filter=~Q(items__result__in=unfinished_results)),
        count_succeeded=Count("items", filter=Q(items__result=_RESULT.SUCCEEDED)),
        count_not_begun=Count("items", filter=Q(items__result=_RESULT.SKIPPED)),
    )


def summarize_deployment(deployment: Any) -> DeploymentStatus:
    """Return the status of a deployment from `annotate_counts`.

    A deployment is also over when its job has ended: a job that staff ended by hand may not have recorded the end.
    """
    job = deployment.job
    is_over = deployment.ended_at is not None or (job is not None and job.has_ended)
    status, label = _select_badge(deployment, is_over=is_over)
    return DeploymentStatus(
        status,
        label,
        is_over,
        deployment.count_all,
        deployment.count_ended,
        deployment.count_succeeded,
        deployment.count_not_begun,
    )


def _select_badge(deployment: Any, *, is_over: bool) -> tuple[str, str | Promise]:
    job = deployment.job
    if is_over:
        if deployment.count_succeeded == deployment.count_all:
            return JobStatus.SUCCEEDED, JobStatus.SUCCEEDED.label
        if job is not None and job.status == JobStatus.CANCELLED:
            return JobStatus.CANCELLED, JobStatus.CANCELLED.label
        return JobStatus.FAILED, JobStatus.FAILED.label
    if job is not None and job.status == JobStatus.STUCK:
        return JobStatus.STUCK, JobStatus.STUCK.label
    if job is not None and job.cancel_requested_at:
        return UNDER_WAY, _("canceling")
    return UNDER_WAY, _RESULT.RUNNING.label
