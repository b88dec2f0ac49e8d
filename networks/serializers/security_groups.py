"""Security groups and their rules in the API."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import CloudNameField, PlainCharField, StrictSerializer
from tasks.serializers import JobSerializer

from ..group_names import GroupNames
from ..models import SecurityGroup
from ..rule_templates import TEMPLATES
from ..rules import DIRECTIONS, ETHERTYPES, MAX_ICMP, MAX_PORT, describe_rule, list_warnings

# The fields of a stored rule that the API shows as they are.
SHOWN_FIELDS = (
    "direction",
    "ethertype",
    "protocol",
    "port_min",
    "port_max",
    "icmp_type",
    "icmp_code",
    "remote_cidr",
)


class RuleSerializer(serializers.Serializer[Any]):
    """A rule of a security group. What it does not limit is null. `text` says it in words."""

    id = serializers.CharField(help_text="The id of the rule in the cloud.")
    direction = serializers.ChoiceField(choices=DIRECTIONS)
    ethertype = serializers.ChoiceField(choices=ETHERTYPES)
    protocol = serializers.CharField(allow_null=True)
    port_min = serializers.IntegerField(allow_null=True)
    port_max = serializers.IntegerField(allow_null=True)
    icmp_type = serializers.IntegerField(allow_null=True)
    icmp_code = serializers.IntegerField(allow_null=True)
    remote_cidr = serializers.CharField(allow_null=True)
    remote_group = serializers.UUIDField(
        allow_null=True, help_text="A security group of the tenant; null also for a group of another owner."
    )
    description = serializers.CharField(allow_blank=True)
    text = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())


class SecurityGroupSerializer(ReadOnlyModelSerializer[SecurityGroup]):
    """A tenant's security group with its rules."""

    rules = serializers.SerializerMethodField()
    is_default = serializers.BooleanField(
        read_only=True, help_text="The cloud's own group, which can be neither renamed nor deleted."
    )

    class Meta:
        model = SecurityGroup
        fields = [
            "id",
            "cloud_id",
            "name",
            "description",
            "account",
            "region",
            "status",
            "is_default",
            "rules",
            "created_at",
            "updated_at",
        ]

    @extend_schema_field(RuleSerializer(many=True))
    def get_rules(self, group: SecurityGroup) -> list[dict[str, Any]]:
        context: Any = self.context
        names = context.setdefault("group_names", GroupNames())
        listed = getattr(self.parent, "instance", None)
        names.load(listed if listed is not None and self.parent is not None else [group])
        return [describe_group_rule(group, rule, names) for rule in group.rules]


def describe_group_rule(group: SecurityGroup, rule: dict[str, Any], names: GroupNames) -> dict[str, Any]:
    """Return a rule of a group as `RuleSerializer` shows it."""
    shown = {name: rule.get(name) for name in ("id", *SHOWN_FIELDS)}
    shown["remote_group"] = names.find_id(group, rule.get("remote_group"))
    shown["description"] = rule.get("description") or ""
    shown["text"] = describe_rule(rule, names.of(group))
    shown["warnings"] = list_warnings(rule)
    return shown


class SecurityGroupJobSerializer(serializers.Serializer[Any]):
    """The group, and the job that changes it; null when there was nothing to change. `warnings` tell what is allowed, but dangerous."""

    security_group = SecurityGroupSerializer()
    job = JobSerializer(allow_null=True)
    warnings = serializers.ListField(child=serializers.CharField())


class _TemplateFields(StrictSerializer):
    template = serializers.ChoiceField(
        choices=list(TEMPLATES),
        required=False,
        help_text="Rules under a name, instead of a rule of your own.",
    )
    cidr = PlainCharField(max_length=50, required=False, help_text="The address range of the template 'ssh'.")
    group = serializers.UUIDField(required=False, help_text="The security group of the template 'database'.")


class NewSecurityGroupSerializer(_TemplateFields):
    """A security group to create. It begins with the rules of a template, and with rules that allow everything outward."""

    name = CloudNameField(max_length=200)
    description = CloudNameField(max_length=200, required=False, allow_blank=True)
    account = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    region = PlainCharField(max_length=100, required=False, allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse the fields of a template without one."""
        return refuse_without_template(attrs)


def refuse_without_template(attrs: dict[str, Any]) -> dict[str, Any]:
    """Refuse the fields of a template when none is named."""
    if "template" not in attrs and (given := attrs.keys() & {"cidr", "group"}):
        raise serializers.ValidationError(
            {name: [_("Only a template takes this field.")] for name in sorted(given)}
        )
    return attrs


class ChangeSecurityGroupSerializer(StrictSerializer):
    """The fields of a group that can be changed: at least one of them."""

    name = CloudNameField(max_length=200, required=False)
    description = CloudNameField(max_length=200, required=False, allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a change of nothing."""
        if not attrs:
            raise serializers.ValidationError({"name": [_("This field is required.")]})
        return attrs


class CopySecurityGroupSerializer(StrictSerializer):
    """The name of a copy, and its description, which defaults to that of the original."""

    name = CloudNameField(max_length=200)
    description = CloudNameField(max_length=200, required=False, allow_blank=True)


class NewRuleSerializer(_TemplateFields):
    """A rule to add, or the rules of a template. Without `remote_cidr` and `remote_group` a rule is for every address."""

    RULE_FIELDS = (*SHOWN_FIELDS, "remote_group", "description")

    direction = serializers.ChoiceField(choices=DIRECTIONS, required=False)
    ethertype = serializers.ChoiceField(
        choices=ETHERTYPES, required=False, help_text="Default: that of the address range, else IPv4."
    )
    protocol = PlainCharField(
        max_length=20,
        required=False,
        allow_null=True,
        allow_blank=True,
        help_text="tcp, udp, sctp, icmp, or a number from 0 to 255; null for any.",
    )
    port_min = serializers.IntegerField(min_value=1, max_value=MAX_PORT, required=False, allow_null=True)
    port_max = serializers.IntegerField(min_value=1, max_value=MAX_PORT, required=False, allow_null=True)
    icmp_type = serializers.IntegerField(
        min_value=0,
        max_value=MAX_ICMP,
        required=False,
        allow_null=True,
        help_text="For icmp alone; without it, every type. An echo request (ping) is 8 in IPv4, 128 in IPv6.",
    )
    icmp_code = serializers.IntegerField(
        min_value=0,
        max_value=MAX_ICMP,
        required=False,
        allow_null=True,
        help_text="Needs `icmp_type`; without it, every code of the type.",
    )
    remote_cidr = PlainCharField(max_length=50, required=False, allow_null=True, allow_blank=True)
    remote_group = serializers.UUIDField(required=False, allow_null=True)
    description = CloudNameField(max_length=150, required=False, allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a rule without a direction, and a template with the fields of a rule."""
        refuse_without_template(attrs)
        if "template" not in attrs:
            if "direction" not in attrs:
                raise serializers.ValidationError({"direction": [_("This field is required.")]})
            return attrs
        if extra := [name for name in self.RULE_FIELDS if name in attrs]:
            message = _("The template '%(name)s' does not take this field.") % {"name": attrs["template"]}
            raise serializers.ValidationError({name: [message] for name in extra})
        return attrs
