"""The VM list as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from ..models import VirtualMachine
from .machines import VmListing

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


class CsvRenderer(JSONRenderer):
    """Lets a reader ask for `text/csv`. What is refused is a problem in JSON all the same."""

    media_type = "text/csv"
    format = "csv"


class VmExport(VmListing):
    """The VMs of one's tenant as CSV, with the filters of the list, and without pages."""

    renderer_classes: ClassVar[list[type[BaseRenderer]]] = [CsvRenderer, JSONRenderer]  # type: ignore[misc]
    pagination_class = None

    @extend_schema(operation_id="vms_export", responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> StreamingHttpResponse:
        """All VMs that the filters let through. UTF-8 with a mark, as spreadsheets want it."""
        vms = self.filter_queryset(self.get_queryset())
        answer = StreamingHttpResponse(_lines(vms), content_type="text/csv; charset=utf-8")
        name = f"vms-{timezone.now():%Y%m%d-%H%M%S}.csv"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer


class _Line:
    """What a CSV writer writes to: hands the line back."""

    def write(self, line: str) -> str:
        return line


def _lines(vms: Any) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield "\ufeff" + writer.writerow(COLUMNS)
    for vm in vms.iterator(chunk_size=1000):
        yield writer.writerow([_cell(vm, column) for column in COLUMNS])


def _cell(vm: VirtualMachine, column: str) -> str:
    value = getattr(vm, column)
    text = "" if value is None else value.isoformat() if hasattr(value, "isoformat") else str(value)
    # A spreadsheet would run a text that begins like this as a formula, with the rights of who opens it.
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
