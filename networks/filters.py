"""Filters of the lists of this room."""

from __future__ import annotations

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from api.filtering import ListFilterSet

from .models import FloatingIp, SecurityGroup, ServerGroup


class _PlaceFilter(ListFilterSet):
    account = filters.NumberFilter(field_name="account_id", min_value=1, max_value=2**63 - 1)
    region = filters.CharFilter(max_length=100)
    status = filters.CharFilter(max_length=20)


class SecurityGroupFilter(_PlaceFilter):
    """Named filters of `security-groups/`."""

    class Meta:
        model = SecurityGroup
        fields: list[str] = []


class FloatingIpFilter(_PlaceFilter):
    """Named filters of `floating-ips/`."""

    vm = filters.UUIDFilter(field_name="vm_id")
    attached = filters.BooleanFilter(field_name="port_id", method="filter_attached")

    class Meta:
        model = FloatingIp
        fields: list[str] = []

    def filter_attached(self, rows: QuerySet[FloatingIp], name: str, value: bool) -> QuerySet[FloatingIp]:
        """Return those that lead to a port, or those that do not."""
        return rows.exclude(port_id="") if value else rows.filter(port_id="")


class ServerGroupFilter(_PlaceFilter):
    """Named filters of `server-groups/`."""

    information_system = filters.UUIDFilter(field_name="information_system_id")

    class Meta:
        model = ServerGroup
        fields: list[str] = []
