"""Requests, decisions, policies and delegations over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from tasks.command_views import CommandView, job_response
from tasks.models import Job
from tenants.models import Tenant
from tenants.scoped_views import ScopedView
from tenants.scoping import Role, require_staff_permission

from . import services
from .bulk_decisions import decide_many
from .filters import ApprovalRequestFilter
from .models import ApprovalDelegation, ApprovalPolicy, ApprovalRequest
from .quota_requests import change_quota
from .serializers import (
    ApprovalPolicySerializer,
    ApprovalRequestSerializer,
    BreakGlassSerializer,
    BulkDecisionSerializer,
    BulkDecisionsSerializer,
    CommentSerializer,
    DelegationSerializer,
    NewCommentSerializer,
    NewDelegationSerializer,
    PolicyFieldsSerializer,
    QuotaRequestSerializer,
    RequestDecidedSerializer,
    RequestOnlySerializer,
    serialize_request,
)
from .services import ApprovalResult

REQUESTS = ApprovalRequest.objects.for_display()
DECIDED = {200: RequestDecidedSerializer, 202: RequestDecidedSerializer}


def decision_response(result: ApprovalResult) -> Response:
    """Return 202 with the request and, once it is approved, the job that carries it out."""
    body = {"request": serialize_request(result.request)}
    if not result.jobs:
        return Response(body, status=202)
    return job_response(Job.objects.for_display().get(pk=result.jobs[0].pk), body)


class RequestListView(ScopedView, ListAPIView[ApprovalRequest]):
    """The requests of the caller's tenant, the newest first."""

    queryset = REQUESTS
    serializer_class = ApprovalRequestSerializer
    filterset_class = ApprovalRequestFilter
    search_fields = ["subject", "requested_by__username"]
    ordering_fields = ["created_at", "expires_at"]
    ordering = ["-created_at"]


class _RequestView(CommandView):
    queryset = REQUESTS
    serializer_class: Any = ApprovalRequestSerializer

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Render the request with its job as it ended."""
        body["request"] = serialize_request(services.get_request(body["request"]["id"]))


class RequestDetailView(_RequestView):
    """One request."""

    @extend_schema(responses=ApprovalRequestSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return the request with its plan, its difference and its decisions."""
        return Response(serialize_request(self.get_object()))


class RequestApproveView(_RequestView):
    """Approve a request."""

    people_only = True

    @extend_schema(request=CommentSerializer, responses=DECIDED)
    def post(self, request: Request, pk: UUID) -> Response:
        """Approve the open level; with the last one, the request is carried out, and the answer has its job.

        When the plan has changed since it was agreed to, the request stays pending, with the `difference` and every level open
        again. 409 `already_decided` with who decided, `no_longer_valid` with the reason.
        """

        def record() -> Response:
            params = self.validate_body(CommentSerializer(data=request.data), Role.VIEWER)
            return decision_response(
                services.approve_request(scope=self.scope, request_id=pk, comment=params["comment"])
            )

        return self.run_command(request, record)


class RequestRejectView(_RequestView):
    """Reject a request."""

    people_only = True

    @extend_schema(request=CommentSerializer, responses={202: RequestDecidedSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Reject the request: it is not carried out."""

        def record() -> Response:
            params = self.validate_body(CommentSerializer(data=request.data), Role.VIEWER)
            rejected = services.reject_request(scope=self.scope, request_id=pk, comment=params["comment"])
            return decision_response(ApprovalResult(rejected, []))

        return self.run_command(request, record)


class RequestWithdrawView(_RequestView):
    """Withdraw a request."""

    @extend_schema(request=CommentSerializer, responses={202: RequestDecidedSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Withdraw one's own request."""

        def record() -> Response:
            params = self.validate_body(CommentSerializer(data=request.data), Role.VIEWER)
            withdrawn = services.withdraw_request(scope=self.scope, request_id=pk, comment=params["comment"])
            return decision_response(ApprovalResult(withdrawn, []))

        return self.run_command(request, record)


class RequestCommentView(_RequestView):
    """Comment on a request."""

    @extend_schema(request=NewCommentSerializer, responses={201: ApprovalRequestSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        """Add a comment."""
        params = self.validate_body(NewCommentSerializer(data=request.data), Role.VIEWER)
        commented = services.comment_on_request(scope=self.scope, request_id=pk, comment=params["comment"])
        return Response(serialize_request(commented), status=201)


class RequestBreakGlassView(_RequestView):
    """Carry out a request without approval."""

    people_only = True

    @extend_schema(request=BreakGlassSerializer, responses=DECIDED)
    def post(self, request: Request, pk: UUID) -> Response:
        """Carry the request out at once, as a platform administrator with a reason, which its approvers see."""

        def record() -> Response:
            self.get_object()
            require_staff_permission(self.scope.user, services.DECIDE_PERMISSION)
            params = self.validate_body(BreakGlassSerializer(data=request.data), Role.VIEWER)
            return decision_response(
                services.break_glass(scope=self.scope, request_id=pk, reason=params["reason"])
            )

        return self.run_command(request, record)


class BulkDecisionView(ScopedView):
    """Decide about several requests."""

    people_only = True
    queryset = REQUESTS
    serializer_class = BulkDecisionsSerializer

    @extend_schema(request=BulkDecisionSerializer, responses={200: BulkDecisionsSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Approve or reject up to 100 requests, each by itself: one that is refused does not keep the others from being decided."""
        self.scope.require(Role.VIEWER, ApprovalRequest)
        serializer = BulkDecisionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        results = decide_many(scope=self.scope, **serializer.validated_data)
        return Response(BulkDecisionsSerializer({"results": results}).data)


class QuotaRequestView(ScopedView):
    """Request other quotas for the caller's tenant."""

    queryset = REQUESTS
    serializer_class = RequestOnlySerializer

    @extend_schema(request=QuotaRequestSerializer, responses={202: RequestOnlySerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Request other quotas, with a reason. Platform administrators approve it, which changes the quotas."""
        self.scope.require(Role.ADMIN, Tenant)
        serializer = QuotaRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        quotas = dict(serializer.validated_data)
        change_quota(scope=self.scope, reason=quotas.pop("reason"), quotas=quotas)
        raise AssertionError("A user's change of quotas is always deferred.")


class _PolicyView(ScopedView):
    people_only = True
    queryset = services.POLICIES
    serializer_class: Any = ApprovalPolicySerializer


class PolicyListView(_PolicyView, ListAPIView[ApprovalPolicy]):
    """The approval policies of the caller's tenant; for staff without a tenant, all of them."""

    search_fields = ["name"]
    ordering_fields = ["name", "created_at"]
    ordering = ["name"]

    @extend_schema(request=PolicyFieldsSerializer, responses={201: ApprovalPolicySerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Create a policy; staff without a tenant create one of the platform, which holds for every tenant."""
        self.scope.require(Role.ADMIN, ApprovalPolicy)
        serializer = PolicyFieldsSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        policy = services.create_policy(scope=self.scope, fields=dict(serializer.validated_data))
        return Response(ApprovalPolicySerializer(policy).data, status=201)


class PolicyDetailView(_PolicyView):
    """One policy."""

    @extend_schema(responses=ApprovalPolicySerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return the policy."""
        return Response(ApprovalPolicySerializer(self.get_object()).data)

    @extend_schema(request=PolicyFieldsSerializer, responses=ApprovalPolicySerializer)
    def patch(self, request: Request, pk: UUID) -> Response:
        """Change the policy. Requests that wait keep the terms that they were submitted under."""
        self.get_object()
        self.scope.require(Role.ADMIN, ApprovalPolicy)
        serializer = PolicyFieldsSerializer(data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        policy = services.change_policy(
            scope=self.scope, policy_id=pk, fields=dict(serializer.validated_data)
        )
        return Response(ApprovalPolicySerializer(policy).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the policy. Requests that wait keep their terms."""
        services.remove_policy(scope=self.scope, policy_id=pk)
        return Response(status=204)


class DelegationListView(ScopedView, ListAPIView[ApprovalDelegation]):
    """The delegations of the caller's tenant."""

    people_only = True
    queryset = ApprovalDelegation.objects.select_related("user", "delegate")
    serializer_class: Any = DelegationSerializer
    ordering_fields = ["starts_at", "ends_at"]
    ordering = ["starts_at"]

    @extend_schema(request=NewDelegationSerializer, responses={201: DelegationSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Let another member approve in the caller's place for a period."""
        self.scope.require(Role.OPERATOR, ApprovalDelegation)
        serializer = NewDelegationSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        delegation = services.create_delegation(scope=self.scope, fields=serializer.validated_data)
        return Response(DelegationSerializer(delegation).data, status=201)


class DelegationDetailView(ScopedView):
    """One delegation."""

    people_only = True
    queryset = ApprovalDelegation.objects.select_related("user", "delegate")
    serializer_class: Any = DelegationSerializer

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """End the delegation: one's own, or as an administrator anybody's."""
        services.remove_delegation(scope=self.scope, delegation_id=pk)
        return Response(status=204)
