"""Views of resources: list, detail, changes, topology, CSV."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from api.csv_responses import CsvRenderer, csv_response
from api.pagination import LogPagination
from tenants.response_access import ResponseAccess
from tenants.scoped_views import ScopedView

from ..filters import SEARCH_FIELDS, CloudChangeFilter, CloudResourceFilter
from ..models import CloudResource, ResourceChange
from ..serializers import (
    CloudChangeSerializer,
    CloudResourceSerializer,
    DependenciesSerializer,
    ResourceChangeSerializer,
    TopologyQuerySerializer,
    TopologySerializer,
)
from ..services import build_topology, list_dependents, list_foundations
from ..services.changes import find_visible_jobs

RESOURCES = CloudResource.objects.select_related("account")
CSV_COLUMNS = (
    "id",
    "account",
    "region",
    "type",
    "cloud_id",
    "name",
    "status",
    "addresses",
    "first_seen_at",
    "last_seen_at",
    "changed_at",
    "expired_at",
    "state",
    "size_gb",
    "created_in_cloud_at",
    "paid_until",
)


class _FilteredResourceView(ScopedView):
    """The base class of views that list resources, with their filters."""

    queryset = RESOURCES
    serializer_class = CloudResourceSerializer
    filterset_class = CloudResourceFilter
    search_fields = SEARCH_FIELDS
    ordering_fields = ["type", "name", "status", "first_seen_at", "last_seen_at", "changed_at"]
    ordering = ["type", "name"]


class ResourceListView(_FilteredResourceView, ListAPIView[CloudResource]):
    """The resources of the tenant's accounts; of shared accounts, those that a VM is created from."""


class ResourceExportView(_FilteredResourceView):
    """The resources as CSV, with the filters of the list, and without pages."""

    renderer_classes: ClassVar[list[type[BaseRenderer]]] = [CsvRenderer, JSONRenderer]  # type: ignore[misc]
    pagination_class = None

    @extend_schema(operation_id="cloud_resources_export", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> StreamingHttpResponse:
        """Return all filtered resources, as UTF-8 with a byte order mark, which spreadsheets need."""
        return csv_response(
            "resources",
            CSV_COLUMNS,
            self.filter_queryset(self.get_queryset()),
            ResponseAccess(request, self.scope).get_scope,
        )


class ResourceDetailView(ScopedView, RetrieveAPIView[CloudResource]):
    """One resource."""

    queryset = RESOURCES
    serializer_class = CloudResourceSerializer


class _ChangeListView(ScopedView, ListAPIView[ResourceChange]):
    """The base class of views that list changes, with the tasks that the reader may see."""

    def paginate_queryset(self, queryset: Any) -> Any:
        """Return a page of changes, and find their tasks."""
        page = list(super().paginate_queryset(queryset) or [])
        self.jobs = find_visible_jobs(self.scope, page)
        return page

    def get_serializer_context(self) -> dict[str, Any]:
        """Add the tasks of the page."""
        return {**super().get_serializer_context(), "jobs": getattr(self, "jobs", ())}


class CloudChangeListView(_ChangeListView):
    """The changes that syncs have found in the inventory, newest first; `?outside=true` for those that no task explains."""

    queryset = ResourceChange.objects.select_related("resource__account")
    serializer_class = CloudChangeSerializer
    filterset_class = CloudChangeFilter
    ordering_fields = ["at"]
    ordering = ["-id"]


class ResourceChangesView(_ChangeListView):
    """The changes of a resource that syncs have found; `?after=<id>` returns the later ones."""

    queryset = RESOURCES
    serializer_class = ResourceChangeSerializer
    pagination_class = LogPagination

    def get_queryset(self) -> Any:
        """Return the changes of the resource, if it is in the scope."""
        resources = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return ResourceChange.objects.none()
        return ResourceChange.objects.filter(resource=get_object_or_404(resources, pk=self.kwargs["pk"]))


class ResourceTopologyView(ScopedView):
    """The topology around a resource."""

    queryset = RESOURCES
    serializer_class = TopologySerializer
    filter_backends: list[Any] = []

    @extend_schema(parameters=[TopologyQuerySerializer], responses=TopologySerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return the resources within a number of links as nodes and edges; the resource itself is the first node."""
        root: CloudResource = self.get_object()
        query = TopologyQuerySerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        topology = build_topology(scope=self.scope, root=root, depth=query.validated_data["depth"])
        edges = [
            {"source": source, "target": target, "kind": kind} for source, target, kind in topology.edges
        ]
        data = {"nodes": topology.nodes, "edges": edges, "truncated": topology.truncated}
        return Response(TopologySerializer(data).data)


class ResourceSupportsView(ScopedView):
    """What depends on a resource."""

    queryset = RESOURCES
    serializer_class = DependenciesSerializer
    filter_backends: list[Any] = []

    @extend_schema(responses=DependenciesSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return what depends on a resource: other resources, VMs, hosts, services, information systems, tenants."""
        found = list_dependents(scope=self.scope, root=self.get_object())
        return Response(DependenciesSerializer(found).data)


class ResourceStandsOnView(ScopedView):
    """What a resource depends on."""

    queryset = RESOURCES
    serializer_class = DependenciesSerializer
    filter_backends: list[Any] = []

    @extend_schema(responses=DependenciesSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return the resources on which a resource depends."""
        found = list_foundations(scope=self.scope, root=self.get_object())
        return Response(DependenciesSerializer(found).data)
