"""Filters of services, versions, hosts, instances and deployments."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db.models import Q
from django_filters import rest_framework as filters

from api.filtering import ListFilterSet
from api.tags import TagFilter

from .models import Deployment, Host, MicroService, MicroServiceInstance, MicroServiceVersion


class ServiceFilter(ListFilterSet):
    """Named filters of `services/`."""

    information_system = filters.UUIDFilter(field_name="information_system_id")
    executor = filters.CharFilter(max_length=50)
    tag = TagFilter()

    class Meta:
        model = MicroService
        fields: list[str] = []


class VersionFilter(ListFilterSet):
    """Named filters of `services/{id}/versions/`."""

    build_status = filters.ChoiceFilter(choices=MicroServiceVersion.BuildStatus.choices)
    label = filters.CharFilter(max_length=128)

    class Meta:
        model = MicroServiceVersion
        fields: list[str] = []


class HostFilter(ListFilterSet):
    """Named filters of `hosts/`."""

    vm = filters.UUIDFilter(field_name="vm_id")
    hostname = filters.CharFilter(max_length=128)

    class Meta:
        model = Host
        fields: list[str] = []


class InstanceFilter(ListFilterSet):
    """Named filters of `services/{id}/instances/`. A version is named by its id or its label."""

    version = filters.CharFilter(max_length=128, method="filter_version")
    host = filters.UUIDFilter(field_name="host_id")
    status = filters.ChoiceFilter(choices=MicroServiceInstance.Status.choices)
    locked = filters.BooleanFilter()
    is_maintain = filters.BooleanFilter()

    class Meta:
        model = MicroServiceInstance
        fields: list[str] = []

    def filter_version(self, instances: Any, name: str, value: str) -> Any:
        """Return the instances that run the version with this id or label."""
        condition = Q(version__label=value)
        with suppress(ValueError):
            condition |= Q(version=UUID(value))
        return instances.filter(condition)


class DeploymentFilter(ListFilterSet):
    """Named filters of `deployments/`."""

    service = filters.UUIDFilter(field_name="service_id")
    action = filters.ChoiceFilter(choices=Deployment.Action.choices)
    operator = filters.CharFilter(field_name="operator__username", max_length=150)
    running = filters.BooleanFilter(field_name="ended_at", lookup_expr="isnull")

    class Meta:
        model = Deployment
        fields: list[str] = []
