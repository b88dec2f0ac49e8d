"""Deployments: the list, and the actions on one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError
from api.form_errors import show_error
from api.page_addresses import require_POST
from api.replica.reads import reads_list
from pages.lists import Filter
from pages.panels import is_panel_request, render_page
from pages.tables import declare_table
from tasks.services import cancel_job
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import Deployment, DeploymentItem, MicroService, MicroServiceInstance
from ..services import retry
from .deployment_list import list_deployments
from .deployment_status import RESULT_LABELS, find_result_status
from .stored_messages import explain_result
from .version_change import report_excluded_hosts

SERVICES_OFFERED = 500

declare_table(
    "deployments",
    [
        ("service", gettext_lazy("Service")),
        ("action", gettext_lazy("Action")),
        ("result", gettext_lazy("Result")),
        ("updated", gettext_lazy("Updated")),
        ("operator", gettext_lazy("Operator")),
        ("ended_at", gettext_lazy("Ended")),
    ],
)


@login_required
@never_cache
@require_GET
@reads_list
def deployment_page(request: PageRequest) -> HttpResponse:
    """Show the list, newest first, with the outcomes of the last days; of one instance, if one is named."""
    scope = page_scope(request)
    instance = _find_instance(scope, request.GET.get("instance", ""))
    deployments = Deployment.objects.within(scope)
    filters = [] if instance else [_build_service_filter(scope, request.GET.get("service", ""))]
    if instance is not None:
        instance_items = DeploymentItem.objects.filter(instance=instance)
        deployments = deployments.filter(pk__in=instance_items.values("deployment"))
    context = list_deployments(request, deployments, *filters, with_chart=not is_panel_request(request))
    if instance is not None:
        _attach_items(instance, [deployment for deployment, _outcome in context["rows"]])
    context |= {"scope": scope, "of_instance": instance, "hides_service": instance is not None}
    return render_page(
        request, "deploys/deployments.html", context, panels={"deployments": "deploys/deployments_table.html"}
    )


@login_required
@require_POST
def cancel_deployment_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Cancel a deployment: the running batch ends, no further batch starts."""
    scope = page_scope(request)
    deployment = get_object_or_404(Deployment.objects.within(scope), pk=pk)
    try:
        scope.require(Role.OPERATOR, Deployment)
        if deployment.job_id is None:
            messages.error(
                request, _("The deployment's task no longer exists, so there is nothing to cancel.")
            )
        else:
            cancel_job(scope=scope, job_id=deployment.job_id)
            messages.success(request, _("Canceling the deployment. No further batch will start."))
    except DomainError as refusal:
        show_error(request, refusal)
    return redirect("deployment-detail-page", pk)


@login_required
@require_POST
def retry_deployment_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Retry the failed instances, and show the new deployment."""
    try:
        plan = retry(scope=page_scope(request), deployment_id=pk)
    except DomainError as refusal:
        show_error(request, refusal)
        return redirect("deployment-detail-page", pk)
    report_excluded_hosts(request, plan)
    return redirect("deployment-detail-page", plan.deployment.pk)


def _build_service_filter(scope: Scope, wanted: str) -> Filter:
    """Return the filter with the first services, and with the one that is asked for."""
    services = MicroService.objects.within(scope).select_related("information_system")
    offered = list(services.order_by("name", "pk")[: SERVICES_OFFERED + 1])
    if len(offered) > SERVICES_OFFERED and (pk := _parse_id(wanted)):
        offered = [*offered[:SERVICES_OFFERED], *services.filter(pk=pk)]
    choices = {str(one.pk): f"{one.name} ({one.information_system.name})" for one in offered}
    return Filter("service", _("Service"), _("All services"), list(choices.items()))


def _parse_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""


def _find_instance(scope: Scope, text: str) -> MicroServiceInstance | None:
    """Return the instance of the filter. Raises Http404 for one outside the scope."""
    if not (pk := _parse_id(text)):
        return None
    instances = MicroServiceInstance.objects.within(scope).select_related("service", "host", "version")
    instance: MicroServiceInstance = get_object_or_404(instances, pk=pk)
    return instance


def _attach_items(instance: MicroServiceInstance, deployments: Sequence[Any]) -> None:
    """Attach the instance's item to each deployment, in one query."""
    items = DeploymentItem.objects.filter(instance=instance, deployment__in=deployments).defer("log")
    items_by_deployment = {item.deployment_id: item for item in items.select_related("from_version")}
    for deployment in deployments:
        item = items_by_deployment[deployment.pk]
        deployment.part = {
            "status": find_result_status(item.result),
            "label": RESULT_LABELS[item.result],
            "explanation": explain_result(item),
        }
