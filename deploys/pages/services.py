"""Services: the list, and one service with its versions, instances and last deployments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Max, Min, Q, QuerySet
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role

from ..models import Deployment, MicroService, MicroServiceInstance, MicroServiceVersion
from .deployment_status import annotate_counts, summarize_deployment

PAGE_SIZE = 50
VERSIONS_SHOWN, DEPLOYMENTS_SHOWN = 30, 10
SERVICES = MicroService.objects.select_related("information_system__tenant")
_BUILT = MicroServiceVersion.BuildStatus.SUCCESS


@login_required
@never_cache
@require_GET
def service_page(request: PageRequest) -> HttpResponse:
    """Show the services with their running versions, latest build and last deployment."""
    scope = page_scope(request)
    services = SERVICES.within(scope).order_by("name", "information_system__name", "pk")
    search = request.GET.get("search", "")[:200].replace("\x00", "").strip()
    if search:
        services = services.filter(
            Q(name__icontains=search)
            | Q(information_system__name__icontains=search)
            | Q(language__icontains=search)
        )
    page = Paginator(services, PAGE_SIZE).get_page(request.GET.get("page"))
    rows = _build_rows(list(page.object_list))
    context = {
        "scope": scope,
        "page": page,
        "rows": rows,
        "search": search,
        "query": urlencode({"search": search}) if search else "",
        "changes": any(row["outcome"] and not row["outcome"].is_over for row in rows),
    }
    return render(request, "deploys/services.html", context)


def _build_rows(services: Sequence[MicroService]) -> list[dict[str, Any]]:
    """Return the rows of the list with a fixed number of queries."""
    ids = [service.pk for service in services]
    running: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    instance_counts = (
        MicroServiceInstance.objects.filter(service__in=ids)
        .order_by("-version__number")
        .values("service", "version__label")
        .annotate(count=Count("pk"))
    )
    for one in instance_counts:
        running[one["service"]].append(one)
    newest = {
        version.service_id: version
        for version in MicroServiceVersion.objects.filter(service__in=ids, build_status=_BUILT)
        .order_by("service_id", "-number")
        .distinct("service_id")
    }
    last_deployments = (
        Deployment.objects.filter(service__in=ids)
        .order_by("service_id", "-created_at", "id")
        .distinct("service_id")
        .values("pk")
    )
    deployments = {
        one.service_id: one for one in annotate_counts(Deployment.objects.filter(pk__in=last_deployments))
    }
    rows = []
    for service in services:
        deployment = deployments.get(service.pk)
        rows.append(
            {
                "service": service,
                "running": running[service.pk],
                "newest": newest.get(service.pk),
                "deployment": deployment,
                "outcome": summarize_deployment(deployment) if deployment else None,
            }
        )
    return rows


@login_required
@never_cache
@require_GET
def service_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show a service. The page reloads itself while a deployment has locked one of its instances."""
    scope = page_scope(request)
    service = get_object_or_404(SERVICES.within(scope), pk=pk)
    filters = _parse_filters(request.GET)
    versions = _list_versions(service)
    instances = _filter_instances(service, filters)
    page = Paginator(instances, PAGE_SIZE).get_page(request.GET.get("page"))
    last_deployments = annotate_counts(Deployment.objects.filter(service=service)).order_by(
        "-created_at", "id"
    )
    context = {
        "scope": scope,
        "service": service,
        "versions": versions,
        "version_count": MicroServiceVersion.objects.filter(service=service).count(),
        "running_versions": [version for version in versions if version.running],
        "page": page,
        "instances": page.object_list,
        "instance_count": sum(version.running for version in versions),
        "deployments": [(one, summarize_deployment(one)) for one in last_deployments[:DEPLOYMENTS_SHOWN]],
        "statuses": MicroServiceInstance.Status.choices,
        "filters": filters,
        "query": urlencode({name: value for name, value in filters.items() if value}),
        "changes": any(version.held for version in versions),
        "may_control": scope.allows(Role.OPERATOR, Deployment),
    }
    return render(request, "deploys/service.html", context)


def _list_versions(service: MicroService) -> list[Any]:
    """Return the newest versions and all running ones, with their instances and possible directions."""
    versions = MicroServiceVersion.objects.filter(service=service)
    newest = versions.order_by("-number").values("pk")[:VERSIONS_SHOWN]
    built = versions.filter(build_status=_BUILT).aggregate(lowest=Min("number"), highest=Max("number"))
    listed_versions = list(
        versions.filter(Q(pk__in=newest) | Q(instances__isnull=False))
        .annotate(
            running=Count("instances", distinct=True),
            held=Count("instances", filter=Q(instances__locked=True), distinct=True),
        )
        .order_by("-number")
    )
    for version in listed_versions:
        version.can_upgrade = built["highest"] is not None and version.number < built["highest"]
        version.can_revert = built["lowest"] is not None and version.number > built["lowest"]
    return listed_versions


def _parse_filters(sent: QueryDict) -> dict[str, str]:
    """Return the filters of the instances; invalid values are dropped."""
    try:
        version = str(UUID(sent.get("version", "")))
    except ValueError:
        version = ""
    status = sent.get("status", "")
    return {"version": version, "status": status if status in MicroServiceInstance.Status.values else ""}


def _filter_instances(service: MicroService, filters: dict[str, str]) -> QuerySet[MicroServiceInstance]:
    instances = MicroServiceInstance.objects.filter(service=service).select_related(
        "host", "version", "locked_by__operator", "updated_by"
    )
    if filters["version"]:
        instances = instances.filter(version=filters["version"])
    if filters["status"]:
        instances = instances.filter(status=filters["status"])
    return instances.order_by("host__hostname", "pk")
