"""Existing deployments: read them, and cancel them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from django.db.models import Count
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError
from tasks.models import Job
from tasks.services import cancel_job
from tenants.scoping import Role, Scope, get_visible_row

from ..models import Deployment, DeploymentItem

DEPLOYMENTS = Deployment.objects.select_related("service", "from_version", "to_version", "operator")


def count_results(deployments: Sequence[Deployment]) -> dict[UUID, dict[str, int]]:
    """Return the number of instances by result for each deployment, in one query."""
    items = DeploymentItem.objects.filter(deployment__in=[one.pk for one in deployments])
    counted = items.order_by().values_list("deployment", "result").annotate(count=Count("pk"))
    results: dict[UUID, dict[str, int]] = defaultdict(lambda: dict.fromkeys(DeploymentItem.Result.values, 0))
    for deployment_id, result, count in counted:
        results[deployment_id][result] = count
    return results


def visible_deployment(scope: Scope, deployment_id: UUID, needed: Role = Role.VIEWER) -> Deployment:
    """Return a deployment for which the caller has the role. Raises `NotFoundError`, 403."""
    deployment: Deployment = get_visible_row(DEPLOYMENTS, scope, deployment_id, needed)
    return deployment


def cancel_deployment(*, scope: Scope, deployment_id: UUID) -> tuple[Deployment, Job]:
    """Cancel a deployment: its running batch ends, and no further batch starts. Raises `NotFoundError`, 403, 409 `not_cancellable`."""
    deployment = visible_deployment(scope, deployment_id, Role.OPERATOR)
    if deployment.job_id is None:
        raise ConflictError("not_cancellable", _("The deployment has already ended."))
    return deployment, cancel_job(scope=scope, job_id=deployment.job_id)
