"""Security groups and their rules over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from tasks.command_views import CommandView, job_response
from tenants.scoping import Role

from ..filters import SecurityGroupFilter
from ..models import SecurityGroup
from ..serializers import (
    ChangeSecurityGroupSerializer,
    CopySecurityGroupSerializer,
    NewRuleSerializer,
    NewSecurityGroupSerializer,
    SecurityGroupJobSerializer,
    SecurityGroupSerializer,
)
from ..services import (
    GroupChange,
    add_rules,
    change_security_group,
    copy_security_group,
    create_security_group,
    remove_rule,
    remove_security_group,
)

CHANGED = {200: SecurityGroupJobSerializer, 202: SecurityGroupJobSerializer}


class _SecurityGroupView(CommandView):
    """A view whose answer is a group and its job."""

    may_be_held_back = True
    queryset = SecurityGroup.objects.all()
    serializer_class: Any = SecurityGroupSerializer

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Replace the group in the body by its present state, if it still exists."""
        group = SecurityGroup.objects.within(self.scope).filter(pk=body["security_group"]["id"]).first()
        if group is not None:
            body["security_group"] = SecurityGroupSerializer(group).data

    def change(
        self,
        request: Request,
        serializer: BaseSerializer[Any] | None,
        use_case: Callable[[dict[str, Any]], GroupChange],
    ) -> Response:
        """Run a use case with the valid body of a request."""

        def record() -> Response:
            params = self.validate_body(serializer, Role.ADMIN) if serializer is not None else {}
            changed = use_case(params)
            shown = SecurityGroupSerializer(changed.group).data
            return job_response(changed.job, {"security_group": shown, "warnings": changed.warnings})

        return self.run_command(request, record)


class SecurityGroupListView(_SecurityGroupView, ListAPIView[SecurityGroup]):
    """The security groups of the caller's tenant, with their rules."""

    filterset_class = SecurityGroupFilter
    search_fields = ["name", "description", "cloud_id"]
    ordering_fields = ["name", "created_at"]
    ordering = ["name"]

    @extend_schema(request=NewSecurityGroupSerializer, responses={202: SecurityGroupJobSerializer})
    def post(self, request: Request) -> Response:
        """Create a security group, with the rules of a template if one is named."""

        def use_case(params: dict[str, Any]) -> GroupChange:
            return create_security_group(scope=self.scope, params=params)

        return self.change(request, NewSecurityGroupSerializer(data=request.data), use_case)


class SecurityGroupDetailView(_SecurityGroupView, RetrieveAPIView[SecurityGroup]):
    """One security group."""

    @extend_schema(request=ChangeSecurityGroupSerializer, responses=CHANGED)
    def patch(self, request: Request, pk: UUID) -> Response:
        """Change the group's name and description, in the cloud too."""

        def use_case(params: dict[str, Any]) -> GroupChange:
            return change_security_group(scope=self.scope, group_id=pk, fields=params)

        return self.change(request, ChangeSecurityGroupSerializer(data=request.data), use_case)

    @extend_schema(responses={202: SecurityGroupJobSerializer})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the group. No VM may have it, and no rule of another group may name it."""

        def use_case(_params: dict[str, Any]) -> GroupChange:
            return remove_security_group(scope=self.scope, group_id=pk)

        return self.change(request, None, use_case)


class SecurityGroupCopyView(_SecurityGroupView):
    """Copy a security group."""

    @extend_schema(request=CopySecurityGroupSerializer, responses={202: SecurityGroupJobSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Create a group with the same rules, in the same account and region. The answer has the copy."""

        def use_case(params: dict[str, Any]) -> GroupChange:
            return copy_security_group(
                scope=self.scope, group_id=pk, name=params["name"], description=params.get("description")
            )

        return self.change(request, CopySecurityGroupSerializer(data=request.data), use_case)


class RuleListView(_SecurityGroupView):
    """The rules of a security group."""

    @extend_schema(request=NewRuleSerializer, responses={202: SecurityGroupJobSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Add a rule, or the rules of a template. A dangerous rule is accepted with a warning."""

        def use_case(params: dict[str, Any]) -> GroupChange:
            return add_rules(scope=self.scope, group_id=pk, fields=params)

        return self.change(request, NewRuleSerializer(data=request.data), use_case)


class RuleDetailView(_SecurityGroupView):
    """One rule of a security group, by its id in the cloud."""

    @extend_schema(responses={202: SecurityGroupJobSerializer})
    def delete(self, request: Request, pk: UUID, rule_pk: UUID) -> Response:
        """Remove the rule from the group."""

        def use_case(_params: dict[str, Any]) -> GroupChange:
            return remove_rule(scope=self.scope, group_id=pk, rule_id=rule_pk)

        return self.change(request, None, use_case)
