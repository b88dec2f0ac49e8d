"""The pages of a resource: its attributes, its topology, and its changes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET

from pages.lists import Filter, read_list_query
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Scope

from ..models import CloudResource, ResourceChange
from ..own_pages import find_adoption_page, find_own_page
from ..registry import type_label
from ..services import build_topology, list_dependents, list_foundations
from ..services.changes import find_visible_jobs
from ..services.dependencies import Dependencies
from ..services.topology import MAX_DEPTH
from .resource_labels import label_status
from .resource_values import describe_attributes, describe_changed_fields
from .topology_diagram import build_diagram, filter_topology

DEFAULT_DEPTH = 2
# The kinds of what depends on a resource, in the order in which the page shows them.
GROUP_ORDER = ("tenant", "information_system", "service", "host", "vm")
# The key of a server's metadata in which the portal keeps the id of its VM.
VM_KEY = "portal_vm"


@login_required
@require_GET
def resource_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show a resource with its attributes."""
    resource = _get_resource(request, pk)
    context = {
        "attributes": describe_attributes(resource.attributes),
        "tags": sorted(resource.tags.items()),
    }
    return _render_tab(request, resource, "overview", context)


@login_required
@require_GET
def resource_topology_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the resources that are related to a resource, as a diagram and as a list."""
    resource = _get_resource(request, pk)
    depths = [
        (
            str(number),
            ngettext("%(count)s link", "%(count)s links", number) % {"count": number},
        )
        for number in range(1, MAX_DEPTH + 1)
    ]
    depth_filter = Filter("depth", _("Depth"), _("Default depth"), depths)
    # Every type is found at the depth that is asked for, so the topology is read before the filter of types.
    depth = read_list_query(request, [depth_filter]).values.get("depth", str(DEFAULT_DEPTH))
    topology = build_topology(scope=page_scope(request), root=resource, depth=int(depth))
    types = {node.type: capfirst(type_label(node.account.provider, node.type)) for node in topology.nodes[1:]}
    choices = sorted(types.items(), key=lambda one: one[1])
    query = read_list_query(
        request, [depth_filter, Filter("type", _("Resource type"), _("All resource types"), choices)]
    )
    found = len(topology.nodes)
    if type_code := query.values.get("type"):
        topology = filter_topology(topology, type_code)
    context = {"query": query, "depth": depth, "found": found, "diagram": build_diagram(topology)}
    return _render_tab(request, resource, "topology", context)


@login_required
@require_GET
def resource_dependents_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show what depends on a resource, up to services and tenants, and what it depends on itself."""
    resource = _get_resource(request, pk)
    scope = page_scope(request)
    dependents = list_dependents(scope=scope, root=resource)
    foundations = list_foundations(scope=scope, root=resource)
    context = {
        "dependents": dependents,
        # From the tenants that are concerned down to the VMs.
        "dependent_groups": sorted(dependents.groups, key=lambda group: GROUP_ORDER.index(group.kind)),
        "dependent_types": _describe_counts(resource, dependents),
        "dependent_nodes": _label_nodes(dependents),
        "foundation_nodes": _label_nodes(foundations),
    }
    return _render_tab(request, resource, "dependents", context)


def _label_nodes(found: Dependencies) -> list[tuple[str, CloudResource]]:
    """Return resources with the labels of their types."""
    return [(capfirst(type_label(node.account.provider, node.type)), node) for node in found.resources]


def _describe_counts(root: CloudResource, found: Dependencies) -> list[tuple[str, int]]:
    """Return the number of resources by the label of their type; all are of the account of `root`."""
    provider = root.account.provider
    return [(capfirst(type_label(provider, code)), count) for code, count in found.counts.items()]


@login_required
@require_GET
def resource_changes_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show what syncs have found to be changed about a resource, newest first."""
    resource = _get_resource(request, pk)
    query = read_list_query(request)
    page = query.paginate(ResourceChange.objects.filter(resource=resource).order_by("-id"))
    jobs = find_visible_jobs(page_scope(request), page.object_list)
    changes = [
        (
            change,
            describe_changed_fields(change.fields, resource.type),
            change.job_id if change.job_id in jobs else None,
        )
        for change in page.object_list
    ]
    return _render_tab(request, resource, "changes", {"query": query, "page": page, "changes": changes})


def _get_resource(request: PageRequest, pk: UUID) -> CloudResource:
    visible = CloudResource.objects.within(page_scope(request)).select_related("account")
    resource: CloudResource = get_object_or_404(visible, pk=pk)
    return resource


def _render_tab(
    request: PageRequest, resource: CloudResource, tab: str, context: dict[str, Any]
) -> HttpResponse:
    scope = page_scope(request)
    return render(
        request,
        f"cloudaccounts/resource_{tab}.html",
        {
            "scope": scope,
            "resource": resource,
            "tab": tab,
            "name": resource.name or resource.cloud_id,
            "type": type_label(resource.account.provider, resource.type),
            "status_display": label_status(resource.status, resource.type),
            "owned": resource.account.is_owned_by(scope),
            "vm_url": find_vm_url(scope, resource),
            "adopt_url": find_adoption_page(scope, resource),
            **context,
        },
    )


def find_vm_url(scope: Scope, resource: CloudResource) -> str:
    """Return the address of the page of the VM that a server is; "" for none.

    The room of the VMs finds it, else the id that the portal has noted in the server's metadata. That page decides about
    access.
    """
    if resource.type != "server":
        return ""
    if found := find_own_page(scope, resource):
        return found
    metadata = resource.attributes.get("metadata")
    noted = metadata.get(VM_KEY) if isinstance(metadata, dict) else None
    if not isinstance(noted, str) or resource.expired_at is not None:
        return ""
    try:
        return reverse("vm-detail-page", args=[UUID(noted)])
    except ValueError:
        return ""
