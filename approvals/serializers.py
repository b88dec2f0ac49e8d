"""Policies, requests and delegations in the API."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers import PlainCharField, PlainTextField, StrictSerializer
from tasks.command import command_title
from tasks.operations import list_gated_kinds
from tasks.serializers import JobBriefSerializer, JobSerializer

from .models import (
    MAX_COMMENT_LENGTH,
    MAX_VALID_HOURS,
    ApprovalDecision,
    ApprovalDelegation,
    ApprovalPolicy,
    ApprovalRequest,
    ApproverRole,
    RequestStatus,
)
from .offers import list_data_center_types
from .quota_changes import QUOTA_KIND, QUOTA_TITLE

MAX_APPROVERS = 50


def request_title(request: ApprovalRequest) -> str:
    """Return what was requested, in the reader's language: the command's title and the subject."""
    title = str(QUOTA_TITLE) if request.kind == QUOTA_KIND else command_title(request.kind)
    return f"{title}: {request.subject}" if request.subject else title


class DecisionSerializer(serializers.ModelSerializer[ApprovalDecision]):
    """A decision about a request, or a comment on it."""

    user = serializers.CharField(source="user_name")
    on_behalf_of = serializers.CharField(source="on_behalf_of.username", allow_null=True, default=None)
    level = serializers.SerializerMethodField()

    class Meta:
        model = ApprovalDecision
        fields = ["kind", "level", "user", "on_behalf_of", "comment", "is_void", "created_at"]
        extra_kwargs = {
            "is_void": {"help_text": "It agreed to a plan that has changed since, and no longer counts."}
        }

    def get_level(self, decision: ApprovalDecision) -> int | None:
        return None if decision.level is None else decision.level + 1


class LevelSerializer(serializers.Serializer[Any]):
    """The approvers of a level: by role, by name, or both."""

    role = serializers.ChoiceField(choices=ApproverRole.choices, allow_blank=True)
    users = serializers.ListField(child=serializers.UUIDField())


class DifferenceSerializer(serializers.Serializer[Any]):
    """A value of the plan that has changed since it was agreed to."""

    path = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class PlannedObjectSerializer(serializers.Serializer[Any]):
    """The object of a planned command. `id` is empty for one that does not exist yet."""

    type = serializers.CharField()
    id = serializers.CharField()
    name = serializers.CharField()


class PlannedCommandSerializer(serializers.Serializer[Any]):
    """A command as it was validated."""

    kind = serializers.CharField()
    object = PlannedObjectSerializer()
    params = serializers.DictField()
    details = serializers.DictField()


class RequestPlanSerializer(serializers.Serializer[Any]):
    """The commands that an approval carries out."""

    commands = PlannedCommandSerializer(many=True)


class ApprovalRequestSerializer(serializers.ModelSerializer[ApprovalRequest]):
    """A request that waits for approval, or was decided. `job` carries it out, and tells what became of it."""

    title = serializers.SerializerMethodField()
    command = serializers.CharField(source="kind")
    status_display = serializers.CharField(source="get_status_display", read_only=True)
    plan = RequestPlanSerializer()
    difference = DifferenceSerializer(many=True)
    levels = LevelSerializer(many=True)
    level = serializers.SerializerMethodField(help_text="The level that is open, from 1.")
    reserved = serializers.SerializerMethodField()
    requested_by = serializers.CharField(source="requested_by.username", allow_null=True, default=None)
    decisions = DecisionSerializer(many=True)
    job = serializers.SerializerMethodField()

    class Meta:
        model = ApprovalRequest
        fields = [
            "id",
            "title",
            "command",
            "subject",
            "status",
            "status_display",
            "plan",
            "difference",
            "policies",
            "levels",
            "level",
            "reserved",
            "reason",
            "requested_by",
            "created_at",
            "expires_at",
            "ended_at",
            "decisions",
            "job",
            "job_ids",
        ]

    def get_title(self, request: ApprovalRequest) -> str:
        return request_title(request)

    def get_level(self, request: ApprovalRequest) -> int:
        return request.level + 1

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "integer"}})
    def get_reserved(self, request: ApprovalRequest) -> dict[str, int]:
        """Return what the request reserves of the tenant's quotas while it waits."""
        names = ("vms", "cpu_cores", "memory_gb", "disk_gb")
        return {name: getattr(request, f"reserved_{name}") for name in names}

    @extend_schema_field(JobBriefSerializer(allow_null=True))
    def get_job(self, request: ApprovalRequest) -> Any:
        return JobBriefSerializer(request.job).data if request.job else None


def serialize_request(request: ApprovalRequest) -> Any:
    """Return a request of `for_display` as plain values."""
    return ApprovalRequestSerializer(request).data


class RequestDecidedSerializer(serializers.Serializer[Any]):
    """The request after a decision, and the job that carries it out, once it is approved."""

    request = ApprovalRequestSerializer()
    job = JobSerializer(required=False)


class CommentSerializer(StrictSerializer):
    """A decision, with an optional comment."""

    comment = PlainTextField(max_length=MAX_COMMENT_LENGTH, required=False, allow_blank=True, default="")


class NewCommentSerializer(StrictSerializer):
    """A comment."""

    comment = PlainTextField(max_length=MAX_COMMENT_LENGTH)


class BreakGlassSerializer(StrictSerializer):
    """The reason to carry a request out without approval."""

    reason = PlainTextField(max_length=MAX_COMMENT_LENGTH)


class BulkDecisionSerializer(StrictSerializer):
    """The same decision about several requests."""

    ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=100)
    decision = serializers.ChoiceField(choices=["approve", "reject"])
    comment = PlainTextField(max_length=MAX_COMMENT_LENGTH, required=False, allow_blank=True, default="")


class DecisionRefusalSerializer(serializers.Serializer[Any]):
    """The reason why a request was not decided."""

    code = serializers.CharField()
    detail = serializers.CharField()


class BulkDecisionResultSerializer(serializers.Serializer[Any]):
    """The result for one request."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=RequestStatus.choices, allow_null=True)
    job = serializers.UUIDField(allow_null=True)
    refusal = DecisionRefusalSerializer(allow_null=True)


class BulkDecisionsSerializer(serializers.Serializer[Any]):
    """The results, in the order of the ids."""

    results = BulkDecisionResultSerializer(many=True)


class QuotaRequestSerializer(StrictSerializer):
    """The quotas that a tenant asks for; those that are left out stay as they are. null is unlimited."""

    vms = serializers.IntegerField(min_value=0, max_value=10**6, required=False, allow_null=True)
    cpu_cores = serializers.IntegerField(min_value=0, max_value=10**6, required=False, allow_null=True)
    memory_gb = serializers.IntegerField(min_value=0, max_value=10**7, required=False, allow_null=True)
    disk_gb = serializers.IntegerField(min_value=0, max_value=10**8, required=False, allow_null=True)
    reason = PlainTextField(max_length=MAX_COMMENT_LENGTH)


class RequestOnlySerializer(serializers.Serializer[Any]):
    """The request that was stored."""

    request = ApprovalRequestSerializer()


@extend_schema_field({"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$", "example": "09:00"})
class ClockTimeField(serializers.TimeField):
    """A time of day without a zone. JSON Schema's own format wants one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="%H:%M", input_formats=["%H:%M", "%H:%M:%S"], **kwargs)


class ApproverListField(serializers.ListField):
    """User names of approvers."""

    child = PlainCharField(max_length=150)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_APPROVERS, **kwargs)


class ApprovalPolicySerializer(serializers.ModelSerializer[ApprovalPolicy]):
    """A policy: which commands need whose agreement."""

    work_begins = ClockTimeField()
    work_ends = ClockTimeField()
    level1_users = serializers.SerializerMethodField()
    level2_users = serializers.SerializerMethodField()

    class Meta:
        model = ApprovalPolicy
        fields = [
            "id",
            "tenant",
            "name",
            "active",
            "commands",
            "min_count",
            "min_cpu_cores",
            "min_memory_gb",
            "min_disk_gb",
            "data_center_types",
            "applies_at",
            "work_begins",
            "work_ends",
            "valid_hours",
            "level_count",
            "level1_role",
            "level1_users",
            "level2_role",
            "level2_users",
            "created_at",
            "updated_at",
        ]

    def get_level1_users(self, policy: ApprovalPolicy) -> list[str]:
        return list_approver_names(policy, 1)

    def get_level2_users(self, policy: ApprovalPolicy) -> list[str]:
        return list_approver_names(policy, 2)


def list_approver_names(policy: ApprovalPolicy, level: int) -> list[str]:
    """Return the names of the users that a level lists, from rows that were fetched with the policy."""
    return sorted(one.user.get_username() for one in policy.approvers.all() if one.level == level)


class PolicyFieldsSerializer(StrictSerializer):
    """The fields of a policy that its administrators write."""

    name = PlainCharField(max_length=100)
    active = serializers.BooleanField(required=False)
    commands = serializers.ListField(child=PlainCharField(max_length=100), min_length=1, max_length=200)
    min_count = serializers.IntegerField(min_value=1, max_value=10**6, required=False, allow_null=True)
    min_cpu_cores = serializers.IntegerField(min_value=1, max_value=10**6, required=False, allow_null=True)
    min_memory_gb = serializers.IntegerField(min_value=1, max_value=10**6, required=False, allow_null=True)
    min_disk_gb = serializers.IntegerField(min_value=1, max_value=10**6, required=False, allow_null=True)
    data_center_types = serializers.ListField(
        child=PlainCharField(max_length=20), max_length=20, required=False
    )
    applies_at = serializers.ChoiceField(choices=ApprovalPolicy.AppliesAt.choices, required=False)
    work_begins = ClockTimeField(required=False)
    work_ends = ClockTimeField(required=False)
    valid_hours = serializers.IntegerField(min_value=1, max_value=MAX_VALID_HOURS, required=False)
    level_count = serializers.IntegerField(min_value=1, max_value=2, required=False)
    level1_role = serializers.ChoiceField(choices=ApproverRole.choices, required=False, allow_blank=True)
    level1_users = ApproverListField(required=False)
    level2_role = serializers.ChoiceField(choices=ApproverRole.choices, required=False, allow_blank=True)
    level2_users = ApproverListField(required=False)

    def validate_commands(self, kinds: list[str]) -> list[str]:
        """Refuse commands that no service submits for users."""
        known = {*list_gated_kinds()}
        if unknown := sorted({*kinds} - known):
            raise serializers.ValidationError(
                _("Unknown commands: %(unknown)s. Known are: %(known)s.")
                % {"unknown": ", ".join(unknown), "known": ", ".join(sorted(known))}
            )
        return sorted({*kinds})

    def validate_data_center_types(self, types: list[str]) -> list[str]:
        """Refuse data-center types that VMs don't have."""
        known = [value for value, _label in list_data_center_types()]
        if unknown := sorted({*types} - {*known}):
            raise serializers.ValidationError(
                _("Unknown data-center types: %(unknown)s. Known are: %(known)s.")
                % {"unknown": ", ".join(unknown), "known": ", ".join(known)}
            )
        return sorted({*types})


class DelegationSerializer(serializers.ModelSerializer[ApprovalDelegation]):
    """A period in which another member may approve in the user's place."""

    user = serializers.CharField(source="user.username", read_only=True)
    delegate = serializers.CharField(source="delegate.username", read_only=True)

    class Meta:
        model = ApprovalDelegation
        fields = ["id", "user", "delegate", "starts_at", "ends_at", "created_at"]


class NewDelegationSerializer(StrictSerializer):
    """A delegation of one's own approvals."""

    delegate = PlainCharField(max_length=150)
    starts_at = serializers.DateTimeField(required=False)
    ends_at = serializers.DateTimeField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a period that is over, has no length, or lasts for more than a year."""
        starts = attrs.setdefault("starts_at", timezone.now())
        if attrs["ends_at"] <= max(starts, timezone.now()):
            raise serializers.ValidationError({"ends_at": [_("The end has to be later than the start.")]})
        if (attrs["ends_at"] - starts).days > 366:
            raise serializers.ValidationError({"ends_at": [_("A delegation lasts at most a year.")]})
        return attrs
