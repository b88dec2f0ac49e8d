"""The outcome of a deployment, as a badge and in numbers, as every page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Case, CharField, Count, Exists, OuterRef, Q, QuerySet, Value, When
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tasks.models import ENDED, JobStatus

from ..models import Deployment, DeploymentItem

_RESULT = DeploymentItem.Result
_SUCCEEDED, _FAILED, _CANCELLED = JobStatus.SUCCEEDED.value, JobStatus.FAILED.value, JobStatus.CANCELLED.value
# The outcome of a deployment that has not ended, and of its items that are being deployed.
IN_PROGRESS = "running"
OUTCOME_LABELS: dict[str, Promise] = {
    IN_PROGRESS: _("In progress"),
    _SUCCEEDED: _("Succeeded"),
    _FAILED: _("Failed"),
    _CANCELLED: _("Canceled"),
}
# The words of pages for the results of items; the values' own labels are those of the API.
RESULT_LABELS: dict[str, Promise] = {
    _RESULT.WAITING: _("Not started"),
    _RESULT.RUNNING: _("In progress"),
    _RESULT.SUCCEEDED: _("Succeeded"),
    _RESULT.FAILED: _("Failed"),
    _RESULT.REVERTED: _("Failed, rolled back"),
    _RESULT.SKIPPED: _("Not started"),
}


def find_result_status(result: str) -> str:
    """Return the status of a badge for an item's result: a host that waits for its batch is not busy."""
    return "pending" if result == _RESULT.WAITING else result


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """The badge of a deployment (status and label), and its counts of instances."""

    status: str
    label: str | Promise
    is_over: bool
    all: int
    ended: int
    succeeded: int
    not_begun: int

    @property
    def failed(self) -> int:
        """Return the number of instances on which the deployment failed."""
        return self.ended - self.succeeded - self.not_begun

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


def annotate_outcome(deployments: QuerySet[Deployment]) -> QuerySet[Any]:
    """Annotate deployments with `outcome`, one of `OUTCOME_LABELS`: what `summarize_deployment` says, for filters and counts."""
    unsuccessful = DeploymentItem.objects.filter(deployment=OuterRef("pk")).exclude(result=_RESULT.SUCCEEDED)
    in_progress = Q(ended_at=None) & (Q(job=None) | ~Q(job__status__in=ENDED))
    return deployments.annotate(
        outcome=Case(
            When(in_progress, then=Value(IN_PROGRESS)),
            When(~Exists(unsuccessful), then=Value(_SUCCEEDED)),
            When(job__status=_CANCELLED, then=Value(_CANCELLED)),
            default=Value(_FAILED),
            output_field=CharField(),
        )
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
            return _SUCCEEDED, OUTCOME_LABELS[_SUCCEEDED]
        if job is not None and job.status == _CANCELLED:
            return _CANCELLED, OUTCOME_LABELS[_CANCELLED]
        return _FAILED, OUTCOME_LABELS[_FAILED]
    if job is not None and job.status == JobStatus.STUCK:
        return JobStatus.STUCK.value, JobStatus.STUCK.label
    if job is not None and job.cancel_requested_at:
        return IN_PROGRESS, _("Canceling")
    return IN_PROGRESS, OUTCOME_LABELS[IN_PROGRESS]
