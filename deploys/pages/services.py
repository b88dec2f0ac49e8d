"""The list of services, with what runs and how the last deployment went."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpResponse
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.replica.reads import reads_list
from api.tags import match_tags
from pages.lists import read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.application_choices import build_application_filter
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role
from tenants.tag_filters import build_tag_filters, list_tags

from ..models import Deployment, MicroService, MicroServiceInstance, MicroServiceVersion
from .deployment_status import annotate_counts, summarize_deployment

SERVICES = MicroService.objects.select_related("information_system__tenant")
ORDERINGS = frozenset({"name", "language"})
declare_table(
    "services",
    [
        ("tenant", gettext_lazy("Tenant")),
        ("application", gettext_lazy("Application")),
        ("language", gettext_lazy("Language")),
        ("running", gettext_lazy("Running versions")),
        ("latest", gettext_lazy("Latest build")),
        ("last_deployment", gettext_lazy("Last deployment")),
    ],
)
_BUILT = MicroServiceVersion.BuildStatus.SUCCESS


@login_required
@never_cache
@require_GET
@reads_list
def service_page(request: PageRequest) -> HttpResponse:
    """Show the services with their running versions, latest build and last deployment."""
    scope = page_scope(request)
    services = SERVICES.within(scope)
    filters = [build_application_filter(request, scope), *build_tag_filters(request, services)]
    query = read_list_query(request, filters, orderings=ORDERINGS, ordering="name")
    if query.search:
        services = services.filter(
            Q(name__icontains=query.search)
            | Q(information_system__name__icontains=query.search)
            | Q(language__icontains=query.search)
        )
    if system := query.values.get("information_system"):
        services = services.filter(information_system=system)
    if tag := query.values.get("tag"):
        services = services.filter(match_tags([tag]))
    ordering = [query.ordering, "name", "information_system__name", "pk"]
    page = query.paginate(services.order_by(*dict.fromkeys(ordering)))
    rows = _build_rows(list(page.object_list))
    context = {
        "scope": scope,
        "page": page,
        "rows": rows,
        "query": query,
        "ordering": query.ordering,
        "is_busy": any(row["outcome"] and not row["outcome"].is_over for row in rows),
        "may_administer": scope.allows(Role.ADMIN, MicroService),
    }
    return render_page(
        request, "deploys/services.html", context, panels={"services": "deploys/services_table.html"}
    )


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
                "tags": list_tags(service.tags),
                "running": running[service.pk],
                "newest": newest.get(service.pk),
                "deployment": deployment,
                "outcome": summarize_deployment(deployment) if deployment else None,
            }
        )
    return rows
