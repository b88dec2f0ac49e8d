"""One service: its overview with the instances, its versions, its deployments and its settings, each with an address."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Max, Min, Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from pages.charts import draw_donut
from pages.lists import Filter, ListQuery, read_list_query
from pages.panels import is_panel_request, render_page
from pages.tables import declare_table
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope
from tenants.tag_filters import list_tags

from ..executors import UnknownExecutorError, find_executor_class
from ..models import Deployment, MicroService, MicroServiceInstance, MicroServiceVersion
from .deployment_list import list_deployments
from .services import SERVICES

_BUILT = MicroServiceVersion.BuildStatus.SUCCESS
INSTANCE_ORDERINGS = frozenset({"host__hostname", "version__number", "status", "updated_at"})
VERSION_ORDERINGS = frozenset({"number", "built_at", "running"})
# More parts of a ring could not be told apart.
MAX_CHART_PARTS = 5

declare_table(
    "versions",
    [
        ("version", gettext_lazy("Version")),
        ("build", gettext_lazy("Build")),
        ("built_at", gettext_lazy("Built")),
        ("created_by", gettext_lazy("Registered by")),
        ("notes", gettext_lazy("Notes")),
        ("running", gettext_lazy("Instances")),
    ],
)
declare_table(
    "instances",
    [
        ("port", gettext_lazy("Port")),
        ("version", gettext_lazy("Version")),
        ("status", gettext_lazy("Status")),
        ("locked_by", gettext_lazy("Locked by")),
        ("tag", gettext_lazy("Tag")),
        ("weight", gettext_lazy("Weight")),
        ("updated_at", gettext_lazy("Changed")),
    ],
)


@dataclass(frozen=True, slots=True)
class Directions:
    """The range of the numbers of a service's built versions, which decides where its versions lead."""

    lowest: int | None
    highest: int | None

    def annotate(self, version: Any) -> Any:
        """Set whether there is a built version above and below a version."""
        version.can_upgrade = self.highest is not None and version.number < self.highest
        version.can_revert = self.lowest is not None and version.number > self.lowest
        return version


@login_required
@never_cache
@require_GET
def service_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show what runs: the versions in use, and the instances."""
    scope = page_scope(request)
    service = get_object_or_404(SERVICES.within(scope), pk=pk)
    versions = _list_running_versions(service)
    query = _read_instance_query(request, versions)
    page = query.paginate(_filter_instances(service, query))
    counts = [(version.label, version.running, "") for version in versions]
    if len(counts) > MAX_CHART_PARTS:
        others = sum(count for _label, count, _tone in counts[MAX_CHART_PARTS:])
        counts = [*counts[:MAX_CHART_PARTS], (_("Other versions"), others, "neutral")]
    context = {
        **_build_context(scope, service, "overview"),
        "versions": versions,
        "chart": draw_donut(_("Instances by version"), counts),
        "page": page,
        "query": query,
        "ordering": query.ordering,
        "instances": page.object_list,
        "instance_count": sum(version.running for version in versions),
        "is_busy": any(version.held for version in versions),
    }
    return render_page(
        request,
        "deploys/service.html",
        context,
        panels={"running": "deploys/service_running.html", "instances": "deploys/service_instances.html"},
    )


@login_required
@never_cache
@require_GET
def service_versions_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the versions of a service, the newest first, with the directions that lead from those that run."""
    scope = page_scope(request)
    service = get_object_or_404(SERVICES.within(scope), pk=pk)
    status = Filter("build_status", _("Build"), _("All builds"), MicroServiceVersion.BuildStatus.choices)
    query = read_list_query(request, [status], orderings=VERSION_ORDERINGS, ordering="-number")
    versions = MicroServiceVersion.objects.filter(service=service, **query.values).select_related(
        "created_by"
    )
    if query.search:
        versions = versions.filter(Q(label__icontains=query.search) | Q(notes__icontains=query.search))
    versions = versions.annotate(running=Count("instances", distinct=True))
    page = query.paginate(versions.order_by(query.ordering, "-number", "pk"))
    directions = _find_directions(service)
    context = {
        **_build_context(scope, service, "versions"),
        "page": page,
        "query": query,
        "ordering": query.ordering,
        "versions": [directions.annotate(version) for version in page.object_list],
    }
    return render_page(
        request,
        "deploys/service_versions.html",
        context,
        panels={"versions": "deploys/versions_table.html"},
    )


@login_required
@never_cache
@require_GET
def service_deployments_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the deployments of a service, the newest first."""
    scope = page_scope(request)
    service = get_object_or_404(SERVICES.within(scope), pk=pk)
    deployments = Deployment.objects.within(scope).filter(service=service)
    listed = list_deployments(request, deployments, with_chart=not is_panel_request(request))
    context = {**_build_context(scope, service, "deployments"), **listed, "hides_service": True}
    return render_page(
        request,
        "deploys/service_deployments.html",
        context,
        panels={"deployments": "deploys/deployments_table.html"},
    )


@login_required
@never_cache
@require_GET
def service_settings_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the settings of a service."""
    scope = page_scope(request)
    service = get_object_or_404(SERVICES.within(scope), pk=pk)
    context = {
        **_build_context(scope, service, "settings"),
        "tags": list_tags(service.tags),
        "executor": _find_executor_label(service.executor),
        "settings_text": json.dumps(service.executor_settings, ensure_ascii=False, indent=2),
        "may_administer": scope.allows(Role.ADMIN, MicroService),
    }
    return render(request, "deploys/service_settings.html", context)


def _build_context(scope: Scope, service: MicroService, tab: str) -> dict[str, Any]:
    return {
        "scope": scope,
        "service": service,
        "tab": tab,
        "may_control": scope.allows(Role.OPERATOR, Deployment),
        "may_register": scope.allows(Role.OPERATOR, MicroServiceVersion),
        "may_administer": scope.allows(Role.ADMIN, MicroServiceInstance),
    }


def _find_directions(service: MicroService) -> Directions:
    built = MicroServiceVersion.objects.filter(service=service, build_status=_BUILT)
    numbers = built.aggregate(lowest=Min("number"), highest=Max("number"))
    return Directions(numbers["lowest"], numbers["highest"])


def _list_running_versions(service: MicroService) -> list[Any]:
    """Return the versions that run, the newest first, with their instances and possible directions."""
    directions = _find_directions(service)
    versions = MicroServiceVersion.objects.filter(service=service, instances__isnull=False).annotate(
        running=Count("instances", distinct=True),
        held=Count("instances", filter=Q(instances__locked=True), distinct=True),
    )
    return [directions.annotate(version) for version in versions.order_by("-number")]


def _read_instance_query(request: PageRequest, versions: list[Any]) -> ListQuery:
    filters = [
        Filter("version", _("Version"), _("All versions"), [(str(one.pk), one.label) for one in versions]),
        Filter("status", _("Status"), _("All statuses"), MicroServiceInstance.Status.choices),
    ]
    return read_list_query(request, filters, orderings=INSTANCE_ORDERINGS, ordering="host__hostname")


def _filter_instances(service: MicroService, query: ListQuery) -> QuerySet[MicroServiceInstance]:
    instances = MicroServiceInstance.objects.filter(service=service, **query.values).select_related(
        "host", "version", "locked_by__operator", "updated_by"
    )
    if query.search:
        instances = instances.filter(
            Q(host__hostname__icontains=query.search)
            | Q(host__ip__icontains=query.search)
            | Q(tag__icontains=query.search)
        )
    return instances.order_by(query.ordering, "host__hostname", "pk")


def _find_executor_label(name: str) -> str | Promise:
    try:
        return find_executor_class(name).label
    except UnknownExecutorError:
        return name
