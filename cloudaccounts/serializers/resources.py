"""Serializers of resources, their changes, and topologies."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import StrictSerializer

from ..models import CloudResource, ResourceChange
from ..registry import type_label
from ..services.topology import MAX_DEPTH


class CloudResourceSerializer(ReadOnlyModelSerializer[CloudResource]):
    """A resource of an account. `missing_count` is the number of consecutive listings that did not show it."""

    account_name = serializers.CharField(source="account.name", read_only=True)
    type_display = serializers.SerializerMethodField()

    class Meta:
        model = CloudResource
        fields = [
            "id",
            "account",
            "account_name",
            "region",
            "type",
            "type_display",
            "cloud_id",
            "name",
            "status",
            "state",
            "addresses",
            "size_gb",
            "tags",
            "created_in_cloud_at",
            "paid_until",
            "attributes",
            "first_seen_at",
            "last_seen_at",
            "changed_at",
            "missing_count",
            "expired_at",
        ]

    def get_type_display(self, resource: CloudResource) -> str:
        return type_label(resource.account.provider, resource.type)


class ResourceChangeSerializer(ReadOnlyModelSerializer[ResourceChange]):
    """The changes that one sync has found: the value of each field before and after, `{"name": ["old", "new"]}`.

    `outside` is true when no task of the portal explains them, and null for what changes by itself. `job` is the task that does.
    `cloud_action` and `cloud_user` are what was done in the cloud since the listing before, in the cloud's own word, and the id
    of its user there; empty when the cloud does not tell.
    """

    job = serializers.SerializerMethodField()

    class Meta:
        model = ResourceChange
        fields = ["id", "at", "log", "fields", "outside", "job", "cloud_action", "cloud_user"]

    def get_job(self, change: ResourceChange) -> UUID | None:
        return change.job_id if change.job_id in self.context.get("jobs", ()) else None


class CloudChangeSerializer(ResourceChangeSerializer):
    """A change, with its resource."""

    resource_name = serializers.CharField(source="resource.name", read_only=True)
    cloud_id = serializers.CharField(source="resource.cloud_id", read_only=True)
    type = serializers.CharField(source="resource.type", read_only=True)
    type_display = serializers.SerializerMethodField()
    region = serializers.CharField(source="resource.region", read_only=True)
    account = serializers.IntegerField(source="resource.account_id", read_only=True)
    account_name = serializers.CharField(source="resource.account.name", read_only=True)

    class Meta(ResourceChangeSerializer.Meta):
        fields = [
            *ResourceChangeSerializer.Meta.fields,
            "resource",
            "resource_name",
            "cloud_id",
            "type",
            "type_display",
            "region",
            "account",
            "account_name",
        ]

    def get_type_display(self, change: ResourceChange) -> str:
        return type_label(change.resource.account.provider, change.resource.type)


class TopologyQuerySerializer(StrictSerializer):
    """The parameters of a topology: its depth in links."""

    depth = serializers.IntegerField(min_value=1, max_value=MAX_DEPTH, default=2)


class NodeSerializer(ReadOnlyModelSerializer[CloudResource]):
    """A resource in a topology."""

    type_display = serializers.SerializerMethodField()

    class Meta:
        model = CloudResource
        fields = ["id", "type", "type_display", "cloud_id", "name", "status", "expired_at"]

    def get_type_display(self, resource: CloudResource) -> str:
        return type_label(resource.account.provider, resource.type)


class EdgeSerializer(serializers.Serializer[Any]):
    """A reference from one resource to another. `kind` is the two types: port-server."""

    source = serializers.UUIDField()  # type: ignore[assignment] # a column of ours, not DRF's source.
    target = serializers.UUIDField()
    kind = serializers.CharField()


class DependentSerializer(serializers.Serializer[Any]):
    """An object of the portal that depends on a resource; empty texts for what it does not have."""

    id = serializers.CharField()
    name = serializers.CharField()
    url = serializers.CharField()
    status = serializers.CharField()
    information_system = serializers.CharField()
    tenant = serializers.CharField()


class DependentGroupSerializer(serializers.Serializer[Any]):
    """The objects of one kind (vm, information_system, tenant, host, service): their number, and the first 100 by name."""

    kind = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment] # a column of ours, not DRF's label.
    total = serializers.IntegerField()
    named = DependentSerializer(many=True)


class DependenciesSerializer(serializers.Serializer[Any]):
    """Resources that depend on a resource, or that it depends on: their number by type, and the first 200.

    `groups` has the objects of the portal that depend on it. `truncated` when there were too many to count.
    """

    counts = serializers.DictField(child=serializers.IntegerField())
    resources = NodeSerializer(many=True)
    groups = DependentGroupSerializer(many=True)
    truncated = serializers.BooleanField()


class TopologySerializer(serializers.Serializer[Any]):
    """The topology around a resource, which is the first node. `truncated` is true when resources are left out."""

    nodes = NodeSerializer(many=True)
    edges = EdgeSerializer(many=True)
    truncated = serializers.BooleanField()
