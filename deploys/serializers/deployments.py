"""Serializers of upgrades and reverts: their parameters, their plans and their results."""

from __future__ import annotations

import re
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import StrictSerializer
from tasks.serializers import JobSerializer

from ..models import Deployment, DeploymentItem
from ..services import DeployParams, Plan, Strategy
from ..services.deployments import MAX_HOSTS, MAX_PAUSE

SHARE = re.compile(r"(100|[1-9][0-9]?)%")


class EmptySerializer(StrictSerializer):
    """A request without a body. Fields that are sent all the same (hosts, a dry run) are refused, not ignored."""

    def to_internal_value(self, data: Any) -> Any:
        """Return no values. Raises an error for each field that was sent."""
        if isinstance(data, dict) and data:
            raise serializers.ValidationError(
                {str(name)[:100]: [_("This takes no fields.")] for name in data}
            )
        return super().to_internal_value(data)


class IdField(serializers.UUIDField):
    """An id as a text. Numbers, which `UUIDField` would accept, are refused."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the id. Raises for a value that is not a text."""
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class CandidateSerializer(serializers.Serializer[Any]):
    """A possible target version of a deployment."""

    id = serializers.UUIDField(source="version.pk")
    version = serializers.CharField(source="version.label")
    number = serializers.IntegerField(source="version.number")
    enabled = serializers.BooleanField()
    default = serializers.BooleanField()
    built_at = serializers.DateTimeField(source="version.built_at", allow_null=True)


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "enum": ["all"]},
            {"type": "array", "items": {"type": "string", "format": "uuid"}, "minItems": 1},
        ]
    }
)
class HostsField(serializers.ListField):
    """All hosts ("all"), or the ids of some, each once."""

    child = IdField()

    def to_internal_value(self, data: Any) -> Any:
        """Return the sent ids, parsed. Raises for an empty list, and for an id that comes twice."""
        if data == "all":
            return data
        if not isinstance(data, list):
            raise serializers.ValidationError(_("It is 'all', or a list of ids of hosts."))
        ids = super().to_internal_value(data)
        duplicates = sorted({str(host) for host in ids if ids.count(host) > 1})
        if duplicates:
            message = _("Named more than once: %(ids)s.")
            raise serializers.ValidationError(message % {"ids": ", ".join(duplicates[:20])})
        return ids


@extend_schema_field(
    {"oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^(100|[1-9][0-9]?)%$"}]}
)
class BatchField(serializers.Field[Any, Any, Any, Any]):
    """The number of hosts in a batch, or their share of all hosts such as "25%"."""

    def to_internal_value(self, data: Any) -> int | str:
        """Return the number or the share. Raises for any other value."""
        if isinstance(data, int) and not isinstance(data, bool) and 1 <= data <= MAX_HOSTS:
            return data
        if isinstance(data, str) and SHARE.fullmatch(data):
            return data
        message = _("It is a number from 1 to %(most)s, or a share from 1%% to 100%%.")
        raise serializers.ValidationError(message % {"most": MAX_HOSTS})

    def to_representation(self, value: Any) -> Any:
        """Return the value unchanged."""
        return value


class StrategySerializer(StrictSerializer):
    """The rollout strategy. `pause` is in seconds; after more than `max_failures` failures, no further batch starts."""

    batch = BatchField(required=False, default=1)
    pause = serializers.IntegerField(min_value=0, max_value=MAX_PAUSE, default=0)
    max_failures = serializers.IntegerField(min_value=0, max_value=MAX_HOSTS, default=0)
    auto_revert = serializers.BooleanField(default=True)


class DeployParamsSerializer(StrictSerializer):
    """The hosts to deploy to, and the version. With the mode "valid", hosts that cannot be deployed to are left out."""

    dest_version = IdField()
    hosts = HostsField(allow_empty=False, max_length=MAX_HOSTS)
    strategy = StrategySerializer(required=False)
    mode = serializers.ChoiceField(choices=["all", "valid"], default="all")
    dry_run = serializers.BooleanField(default=False)

    def to_params(self) -> DeployParams:
        """Return the parameters of the deployment."""
        fields = {**self.validated_data}
        return DeployParams(**{**fields, "strategy": Strategy(**fields.get("strategy", {}))})


class DeploymentSerializer(ReadOnlyModelSerializer[Deployment]):
    """One upgrade or revert. `counts` has the number of its instances by result."""

    service_name = serializers.CharField(source="service.name", read_only=True)
    action_display = serializers.CharField(source="get_action_display", read_only=True)
    from_version_label = serializers.CharField(source="from_version.label", read_only=True)
    to_version_label = serializers.CharField(source="to_version.label", read_only=True)
    operator = serializers.SerializerMethodField()
    running = serializers.SerializerMethodField()
    counts = serializers.SerializerMethodField()
    strategy = serializers.SerializerMethodField()

    class Meta:
        model = Deployment
        fields = [
            "id",
            "service",
            "service_name",
            "action",
            "action_display",
            "from_version",
            "from_version_label",
            "to_version",
            "to_version_label",
            "strategy",
            "batches",
            "operator",
            "job",
            "retry_of",
            "running",
            "counts",
            "created_at",
            "ended_at",
        ]

    def get_operator(self, deployment: Deployment) -> str | None:
        return deployment.operator.get_username() if deployment.operator else None

    def get_running(self, deployment: Deployment) -> bool:
        return deployment.ended_at is None

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "integer"}})
    def get_counts(self, deployment: Deployment) -> dict[str, int]:
        return dict(self.context["counts"][deployment.pk])

    @extend_schema_field(StrategySerializer)
    def get_strategy(self, deployment: Deployment) -> dict[str, Any]:
        return dict(deployment.strategy)


class DeploymentItemSerializer(ReadOnlyModelSerializer[DeploymentItem]):
    """The result of one instance."""

    host = serializers.CharField(source="host_name", read_only=True)
    from_version_label = serializers.CharField(source="from_version.label", read_only=True)
    result_display = serializers.CharField(source="get_result_display", read_only=True)
    code_display = serializers.CharField(source="get_code_display", read_only=True)

    class Meta:
        model = DeploymentItem
        fields = [
            "id",
            "deployment",
            "instance",
            "host",
            "batch",
            "from_version",
            "from_version_label",
            "result",
            "result_display",
            "code",
            "code_display",
            "message",
            "started_at",
            "ended_at",
        ]


class DeploymentItemDetailSerializer(DeploymentItemSerializer):
    """The result of one instance, with its log."""

    class Meta(DeploymentItemSerializer.Meta):
        fields = [*DeploymentItemSerializer.Meta.fields, "log"]


class HistorySerializer(DeploymentItemSerializer):
    """One deployment of an instance."""

    action = serializers.CharField(source="deployment.action", read_only=True)
    action_display = serializers.CharField(source="deployment.get_action_display", read_only=True)
    to_version = serializers.UUIDField(source="deployment.to_version_id", read_only=True)
    to_version_label = serializers.CharField(source="deployment.to_version.label", read_only=True)
    operator = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField(source="deployment.created_at", read_only=True)

    class Meta(DeploymentItemSerializer.Meta):
        fields = [
            *DeploymentItemSerializer.Meta.fields,
            "action",
            "action_display",
            "to_version",
            "to_version_label",
            "operator",
            "created_at",
        ]

    def get_operator(self, item: DeploymentItem) -> str | None:
        who = item.deployment.operator
        return who.get_username() if who else None


class DeploymentDetailSerializer(DeploymentSerializer):
    """One upgrade or revert, with each of its instances."""

    items = serializers.SerializerMethodField()

    class Meta(DeploymentSerializer.Meta):
        fields = [*DeploymentSerializer.Meta.fields, "items"]

    @extend_schema_field(DeploymentItemSerializer(many=True))
    def get_items(self, deployment: Deployment) -> Any:
        items = deployment.items.select_related("from_version").defer("log")
        return DeploymentItemSerializer(items, many=True).data


class PlannedInstanceSerializer(serializers.Serializer[Any]):
    """An instance of a plan."""

    instance = serializers.UUIDField(source="pk")
    host_id = serializers.UUIDField()
    host = serializers.CharField()


class ExcludedInstanceSerializer(serializers.Serializer[Any]):
    """An instance that is left out, with the reason, and with the deployment that has locked it."""

    instance = serializers.UUIDField()
    host = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()
    deployment = serializers.UUIDField(required=False)
    operator = serializers.CharField(required=False)
    since = serializers.DateTimeField(required=False)


class PlanSerializer(serializers.Serializer[Plan]):
    """The plan, batch by batch, and the hosts that are left out."""

    batches = serializers.ListField(child=PlannedInstanceSerializer(many=True))
    left_out = ExcludedInstanceSerializer(many=True)


class DeploymentCancelledSerializer(serializers.Serializer[Any]):
    """The deployment that is being cancelled, and its job."""

    deployment = DeploymentSerializer()
    job = JobSerializer()


class DeploymentAcceptedSerializer(serializers.Serializer[Any]):
    """The deployment, its plan, and the job that carries it out. A dry run returns only the plan."""

    deployment = DeploymentSerializer(allow_null=True)
    plan = PlanSerializer()
    job = JobSerializer(allow_null=True)
