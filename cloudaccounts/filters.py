"""Filters of accounts, resources and sync logs."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters
from rest_framework.filters import search_smart_split

from api.filtering import ListFilterSet

from .models import (
    CatalogueGrant,
    CatalogueKind,
    CloudAccount,
    CloudResource,
    ResourceChange,
    ResourceState,
    ResourceType,
    SyncLog,
)

# The columns that a search of resources covers, in the API and on the page.
SEARCH_FIELDS = ("name", "cloud_id", "addresses")
# A name of a tag has fewer colons; each more is one more condition.
MAX_TAG_COLONS = 8
# The most terms of a search on a page; more are not read.
MAX_SEARCH_TERMS = 10


def search_resources(resources: QuerySet[CloudResource], text: str) -> QuerySet[CloudResource]:
    """Search resources on a page as the API's lists do: each term must be in one of the columns."""
    terms = search_smart_split(text)  # type: ignore[arg-type] # its stub is wrong.
    for term in list(terms)[:MAX_SEARCH_TERMS]:
        found = Q()
        for column in SEARCH_FIELDS:
            found |= Q(**{f"{column}__icontains": term})
        resources = resources.filter(found)
    return resources


def filter_by_tag(resources: QuerySet[CloudResource], text: str) -> QuerySet[CloudResource]:
    """Return the resources with a tag: `name`, or `name:value`. Both may have colons, as in `aws:autoscaling:groupName:web`."""
    tag = Q(tags__has_key=text)
    parts = text.split(":")
    for number in range(1, min(len(parts), MAX_TAG_COLONS + 1)):
        tag |= Q(tags__contains={":".join(parts[:number]): ":".join(parts[number:])})
    return resources.filter(tag)


class CloudAccountFilter(ListFilterSet):
    """Filters of `cloud-accounts/`."""

    provider = filters.CharFilter(max_length=50)
    active = filters.BooleanFilter()
    shared = filters.BooleanFilter(field_name="tenant", lookup_expr="isnull")

    class Meta:
        model = CloudAccount
        fields: list[str] = []


class ResourceTypeFilter(ListFilterSet):
    """Filters of `resource-types/`."""

    provider = filters.CharFilter(max_length=50)

    class Meta:
        model = ResourceType
        fields: list[str] = []


class CloudResourceFilter(ListFilterSet):
    """Filters of `cloud-resources/`."""

    account = filters.NumberFilter(field_name="account_id", min_value=1, max_value=2**63 - 1)
    provider = filters.CharFilter(field_name="account__provider", max_length=50)
    region = filters.CharFilter(max_length=100)
    type = filters.CharFilter(max_length=30)
    status = filters.CharFilter(max_length=50)
    cloud_id = filters.CharFilter(max_length=255)
    state = filters.ChoiceFilter(choices=ResourceState.choices)
    tag = filters.CharFilter(method="filter_tag", max_length=513, help_text="A tag's name, or name:value.")
    expires_before = filters.IsoDateTimeFilter(field_name="paid_until", lookup_expr="lt")
    expired = filters.BooleanFilter(field_name="expired_at", method="filter_expired")
    changed_after = filters.IsoDateTimeFilter(field_name="changed_at", lookup_expr="gte")

    class Meta:
        model = CloudResource
        fields: list[str] = []

    def filter_tag(self, queryset: Any, name: str, value: str) -> Any:
        """Return the resources with a tag."""
        return filter_by_tag(queryset, value)

    def filter_expired(self, queryset: Any, name: str, value: bool) -> Any:
        """Return the resources that have expired, or those that have not."""
        return queryset.exclude(expired_at=None) if value else queryset.filter(expired_at=None)


class CloudChangeFilter(ListFilterSet):
    """Filters of `cloud-changes/`."""

    account = filters.NumberFilter(field_name="resource__account_id", min_value=1, max_value=2**63 - 1)
    region = filters.CharFilter(field_name="resource__region", max_length=100)
    type = filters.CharFilter(field_name="resource__type", max_length=30)
    resource = filters.UUIDFilter(field_name="resource_id")
    outside = filters.BooleanFilter()
    after = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    before = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = ResourceChange
        fields: list[str] = []


class CatalogueGrantFilter(ListFilterSet):
    """Filters of `catalogue-grants/`."""

    account = filters.NumberFilter(field_name="account_id", min_value=1, max_value=2**63 - 1)
    tenant = filters.UUIDFilter(field_name="tenant_id")
    kind = filters.ChoiceFilter(choices=CatalogueKind.choices)
    by_upgrade = filters.BooleanFilter()

    class Meta:
        model = CatalogueGrant
        fields: list[str] = []


class SyncLogFilter(ListFilterSet):
    """Filters of `sync-logs/`."""

    account = filters.NumberFilter(field_name="account_id", min_value=1, max_value=2**63 - 1)
    provider = filters.CharFilter(field_name="account__provider", max_length=50)
    type = filters.CharFilter(max_length=30)
    state = filters.ChoiceFilter(choices=SyncLog.State.choices)
    started_after = filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="gte")
    started_before = filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="lt")

    class Meta:
        model = SyncLog
        fields: list[str] = []
