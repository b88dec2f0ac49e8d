"""Deployments: the list, and one deployment with its progress and actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError
from api.form_errors import show_error
from api.page_addresses import page_fragment, require_POST
from tasks.services import cancel_job
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..executors.contract import Code
from ..models import Deployment, DeploymentItem, MicroService, MicroServiceInstance
from ..services import retry
from .batch_pauses import find_pause
from .deployment_status import UNDER_WAY, annotate_counts, summarize_deployment
from .version_change import report_excluded_hosts

PAGE_SIZE = 50
ITEMS_AT_ONCE = 100
SERVICES_OFFERED = 500
# htmx shows a response with this status and stops polling.
STOP_POLLING = 286
UNFINISHED_RESULTS = (DeploymentItem.Result.WAITING, DeploymentItem.Result.RUNNING)


@login_required
@never_cache
@require_GET
def deployment_page(request: PageRequest) -> HttpResponse:
    """Show the list, newest first, filtered by service, state or instance."""
    scope = page_scope(request)
    instance = _find_instance(scope, request.GET.get("instance", ""))
    services = MicroService.objects.within(scope).select_related("information_system").order_by("name", "pk")
    filters = {"service": _parse_id(request.GET.get("service", "")), "running": request.GET.get("running")}
    deployments = _apply_filters(Deployment.objects.within(scope), filters)
    if instance is not None:
        instance_items = DeploymentItem.objects.filter(instance=instance)
        deployments = deployments.filter(pk__in=instance_items.values("deployment"))
    page = Paginator(annotate_counts(deployments).order_by("-created_at", "id"), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    rows = [(deployment, summarize_deployment(deployment)) for deployment in page.object_list]
    if instance is not None:
        _attach_items(instance, [deployment for deployment, _outcome in rows])
    context = {
        "scope": scope,
        "page": page,
        "rows": rows,
        "services": services[:SERVICES_OFFERED],
        "filters": filters,
        "of_instance": instance,
        "query": urlencode(
            {
                name: value
                for name, value in {**filters, "instance": instance.pk if instance else ""}.items()
                if value
            }
        ),
        "changes": any(not outcome.is_over for _deployment, outcome in rows),
    }
    return render(request, "deploys/deployments.html", context)


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
        deployment.part = {"item": item, "status": _badge_class(item), "code": _failure_label(item)}


def _apply_filters(deployments: QuerySet[Any], filters: dict[str, str | None]) -> QuerySet[Any]:
    if filters["service"]:
        deployments = deployments.filter(service=filters["service"])
    if filters["running"] in {"true", "false"}:
        deployments = deployments.filter(ended_at__isnull=filters["running"] == "true")
    return deployments


@login_required
@never_cache
@require_GET
def deployment_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show a deployment batch by batch; its script requests only the live part."""
    scope = page_scope(request)
    deployment = get_object_or_404(annotate_counts(Deployment.objects.within(scope)), pk=pk)
    template = "deploys/deployment_live.html" if request.htmx else "deploys/deployment.html"
    return render(request, template, _build_context(request, scope, deployment))


def _build_context(request: PageRequest, scope: Scope, deployment: Any) -> dict[str, Any]:
    # The deployment was read before its items, so an ended deployment never shows an item under way.
    outcome = summarize_deployment(deployment)
    items = DeploymentItem.objects.filter(deployment=deployment).select_related("from_version").defer("log")
    page = Paginator(items.order_by("batch", "pk"), ITEMS_AT_ONCE).get_page(request.GET.get("page"))
    job = deployment.job
    may_control = scope.allows(Role.OPERATOR, Deployment)
    return {
        "scope": scope,
        "deployment": deployment,
        "outcome": outcome,
        "pause": find_pause(deployment),
        "page": page,
        "rows": [(item, _badge_class(item), _failure_label(item)) for item in page.object_list],
        "may_cancel": may_control and job is not None and job.can_cancel,
        "may_retry": may_control and deployment.ended_at is not None and outcome.succeeded < outcome.all,
        "retries": Deployment.objects.filter(retry_of=deployment).order_by("created_at"),
    }


def _badge_class(item: DeploymentItem) -> str:
    return UNDER_WAY if item.result == DeploymentItem.Result.RUNNING else item.result


def _failure_label(item: DeploymentItem) -> str:
    """Return the kind of failure, unless the message begins with it."""
    label = "" if item.code in {"", Code.OK} else item.get_code_display()
    return "" if item.message.startswith(label) else label


@page_fragment
@login_required
@never_cache
@require_GET
def item_log_part(request: PageRequest, pk: UUID, item_pk: int) -> HttpResponse:
    """Show the log of one instance: first with the polling element, then (`?text`) the text alone.

    Polling replaces only the text, so that readers keep their scroll position. It ends when the item has ended.
    """
    deployments = Deployment.objects.within(page_scope(request))
    item = get_object_or_404(DeploymentItem, pk=item_pk, deployment__in=deployments.filter(pk=pk))
    is_over = item.result not in UNFINISHED_RESULTS
    text_alone = "text" in request.GET
    context = {"item": item, "is_over": is_over, "text_alone": text_alone}
    status = STOP_POLLING if text_alone and is_over else 200
    return render(request, "deploys/item_log.html", context, status=status)


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
