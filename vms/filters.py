"""Filters of the lists of VMs, operations and sync runs, and the search of VMs."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters import rest_framework as filters
from rest_framework.request import Request

from api.bin_filter import BinFilter
from api.filtering import ListFilterSet, SearchBackend
from api.tags import TagFilter
from cloudaccounts.models import CloudResource

from .models import SyncRun, VirtualMachine, VMOperationLog, VMStatus
from .search import search_vms

# What a search of VMs matches; the document of the API names it.
SEARCH_FIELDS = ("name", "description", "openstack_id", "ip_address", "information_system__name")


class VmSearchBackend(SearchBackend):
    """`?search=` of VMs, by an index."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """Return the VMs in which every word occurs."""
        found: QuerySet[Any] = search_vms(queryset, self.get_search_terms(request), view.scope)  # type: ignore[arg-type]
        return found


class VirtualMachineFilter(ListFilterSet):
    """Named filters of `vms/`."""

    # A filter on the row's own column finds no row twice, and `distinct` would sort the whole list.
    status = filters.MultipleChoiceFilter(choices=VMStatus.choices, distinct=False)
    information_system = filters.UUIDFilter(field_name="information_system_id")
    account = filters.NumberFilter(field_name="account_id", min_value=1, max_value=2**63 - 1)
    region = filters.CharFilter(max_length=100)
    data_center_type = filters.ChoiceFilter(choices=VirtualMachine.DataCenterType.choices)
    availability_zone = filters.CharFilter(max_length=100)
    os_type = filters.CharFilter(max_length=50)
    ip_address = filters.CharFilter(field_name="ip_address", lookup_expr="startswith", max_length=45)
    tag = TagFilter()
    in_bin = BinFilter()
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = VirtualMachine
        fields: list[str] = []


class OperationLogFilter(ListFilterSet):
    """Named filters of `vms/{id}/operations/`."""

    operation = filters.ChoiceFilter(choices=VMOperationLog.Operation.choices)
    success = filters.BooleanFilter()

    class Meta:
        model = VMOperationLog
        fields: list[str] = []


class UnmanagedResourceFilter(ListFilterSet):
    """Named filters of `cloud-accounts/{id}/unmanaged/`."""

    type = filters.ChoiceFilter(choices=[("server", _("server")), ("volume", _("volume"))])
    region = filters.CharFilter(max_length=100)
    status = filters.CharFilter(max_length=50)
    name = filters.CharFilter(lookup_expr="icontains", max_length=255)

    class Meta:
        model = CloudResource
        fields: list[str] = []


class SyncRunFilter(ListFilterSet):
    """Named filters of `vms/sync/`."""

    account = filters.NumberFilter(field_name="account_id", min_value=1, max_value=2**63 - 1)
    region = filters.CharFilter(max_length=100)
    state = filters.ChoiceFilter(choices=SyncRun.State.choices)
    full = filters.BooleanFilter()

    class Meta:
        model = SyncRun
        fields: list[str] = []
