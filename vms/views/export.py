"""The VM list as CSV."""

from __future__ import annotations

from typing import ClassVar

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from api.csv_responses import CsvRenderer, csv_response
from tenants.response_access import ResponseAccess

from .vms import VmListingView

COLUMNS = (
    "id",
    "name",
    "information_system",
    "account",
    "region",
    "status",
    "ip_address",
    "cpu_cores",
    "memory_gb",
    "disk_gb",
    "flavor_name",
    "image_name",
    "os_type",
    "os_version",
    "availability_zone",
    "data_center_type",
    "runtime_start",
    "runtime_end",
    "openstack_id",
    "created_at",
    "description",
)


class VmExportView(VmListingView):
    """The VMs of the caller's tenant as CSV, with the filters of the list, and without pages."""

    renderer_classes: ClassVar[list[type[BaseRenderer]]] = [CsvRenderer, JSONRenderer]  # type: ignore[misc]
    pagination_class = None

    @extend_schema(operation_id="vms_export", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> StreamingHttpResponse:
        """Return all VMs that the filters match. UTF-8 with a byte order mark, which spreadsheets expect."""
        return csv_response(
            "vms",
            COLUMNS,
            self.filter_queryset(self.get_queryset()),
            ResponseAccess(request, self.scope).get_scope,
        )
