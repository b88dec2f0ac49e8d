"""Hosts: the list, and one host with the services on it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q, QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.replica.reads import reads_list
from pages.lists import Filter, read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role

from ..models import Host, MicroServiceInstance
from ..services.hosts import visible_host

ORDERINGS = frozenset({"hostname", "ip", "created_at"})
declare_table(
    "hosts",
    [
        ("tenant", gettext_lazy("Tenant")),
        ("ip", gettext_lazy("IP address")),
        ("ssh", gettext_lazy("SSH")),
        ("vm", gettext_lazy("Virtual machine")),
        ("services", gettext_lazy("Services")),
        ("state", gettext_lazy("State")),
        ("created_at", gettext_lazy("Registered")),
    ],
)


@login_required
@never_cache
@require_GET
@reads_list
def host_page(request: PageRequest) -> HttpResponse:
    """Show the hosts, with the number of services on each."""
    scope = page_scope(request)
    filters = [
        Filter(
            "state",
            _("State"),
            _("All states"),
            [
                ("maintenance", _("Under maintenance")),
                ("deploying", _("Being deployed to")),
                ("empty", _("No services")),
            ],
        )
    ]
    query = read_list_query(request, filters, orderings=ORDERINGS, ordering="hostname")
    hosts: QuerySet[Any] = Host.objects.within(scope).select_related("vm", "tenant")
    if query.search:
        hosts = hosts.filter(
            Q(hostname__icontains=query.search)
            | Q(ip__icontains=query.search)
            | Q(vm__name__icontains=query.search)
        )
    hosts = _filter_by_state(hosts, query.values.get("state", "")).annotate(
        count_instances=Count("instances", distinct=True),
        count_maintained=Count("instances", filter=Q(instances__is_maintain=True), distinct=True),
        count_locked=Count("instances", filter=Q(instances__locked=True), distinct=True),
    )
    page = query.paginate(hosts.order_by(query.ordering, "pk"))
    hosts_of_page = list(page.object_list)
    context = {
        "scope": scope,
        "page": page,
        "hosts": hosts_of_page,
        "query": query,
        "ordering": query.ordering,
        "is_busy": any(host.count_locked for host in hosts_of_page),
        "may_administer": scope.allows(Role.ADMIN, Host),
    }
    return render_page(request, "deploys/hosts.html", context, panels={"hosts": "deploys/hosts_table.html"})


@login_required
@never_cache
@require_GET
def host_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show a host with the instances on it."""
    scope = page_scope(request)
    host = visible_host(scope, pk)
    instances = list(
        MicroServiceInstance.objects.within(scope)
        .filter(host=host)
        .select_related("service", "version", "locked_by__operator")
        .order_by("service__name", "pk")
    )
    context = {
        "scope": scope,
        "host": host,
        "instances": instances,
        "is_busy": any(one.locked for one in instances),
        "may_control": scope.allows(Role.OPERATOR, MicroServiceInstance),
        "may_administer": scope.allows(Role.ADMIN, Host),
    }
    return render_page(
        request, "deploys/host.html", context, panels={"instances": "deploys/host_instances.html"}
    )


def _filter_by_state(hosts: QuerySet[Any], state: str) -> QuerySet[Any]:
    if state == "empty":
        return hosts.filter(instances=None)
    conditions = {"maintenance": {"is_maintain": True}, "deploying": {"locked": True}}
    if state in conditions:
        matching = MicroServiceInstance.objects.filter(**conditions[state])
        return hosts.filter(pk__in=matching.values("host"))
    return hosts
