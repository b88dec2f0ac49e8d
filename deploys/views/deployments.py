"""Views of upgrades and reverts, and of the history of deployments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from api.replica.reads import read_list
from api.serializers import body_with_dry_run
from tasks.command_views import CommandView, job_response
from tenants.scoped_views import ScopedView
from tenants.scoping import Role

from .. import services
from ..filters import DeploymentFilter
from ..models import Deployment, DeploymentItem, MicroServiceVersion
from ..serializers import (
    CandidateSerializer,
    DeploymentAcceptedSerializer,
    DeploymentCancelledSerializer,
    DeploymentDetailSerializer,
    DeploymentItemDetailSerializer,
    DeploymentSerializer,
    DeployParamsSerializer,
    EmptySerializer,
    PlanSerializer,
)
from ..services import Plan, deployment_history
from ..services.deployments import Action


def serialize_deployments(deployments: Sequence[Deployment]) -> Any:
    """Return deployments with their counts as plain values."""
    context = {"counts": deployment_history.count_results(deployments)}
    return DeploymentSerializer(deployments, many=True, context=context).data


def plan_response(plan: Plan) -> Response:
    """Return 202 with the deployment, its plan and the job; 200 with the plan alone when nothing was recorded."""
    deployment = serialize_deployments([plan.deployment])[0] if plan.job else None
    return job_response(plan.job, {"deployment": deployment, "plan": PlanSerializer(plan).data})


class DeployCommandView(CommandView):
    """A view that starts a deployment."""

    may_be_held_back = True

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Render the deployment with its results."""
        deployment = deployment_history.DEPLOYMENTS.get(pk=body["deployment"]["id"])
        body["deployment"] = serialize_deployments([deployment])[0]


class _DeployVersionView(DeployCommandView):
    """Deploy another version to instances that run the version of the path."""

    queryset = MicroServiceVersion.objects.all()
    serializer_class: Any = CandidateSerializer
    pagination_class = None
    filter_backends: list[Any] = []
    direction: ClassVar[Action]

    @extend_schema(responses=CandidateSerializer(many=True))
    def get(self, request: Request, pk: UUID, version_pk: UUID) -> Response:
        """List every built version, the newest first. The possible targets are enabled."""
        candidates = services.list_candidates(
            scope=self.scope, service_id=pk, version_id=version_pk, action=self.direction
        )
        return Response(CandidateSerializer(candidates, many=True).data)

    @extend_schema(
        request=DeployParamsSerializer,
        responses={200: DeploymentAcceptedSerializer, 202: DeploymentAcceptedSerializer},
    )
    def post(self, request: Request, pk: UUID, version_pk: UUID) -> Response:
        """Start the deployment; with `dry_run`, return only its plan."""

        def record() -> Response:
            services.find_version(self.scope, pk, version_pk)
            self.scope.require(Role.OPERATOR, Deployment)
            serializer = DeployParamsSerializer(data=body_with_dry_run(request))
            serializer.is_valid(raise_exception=True)
            plan = services.deploy(
                scope=self.scope,
                service_id=pk,
                version_id=version_pk,
                action=self.direction,
                params=serializer.to_params(),
            )
            return plan_response(plan)

        return self.run_command(request, record)


class UpgradeView(_DeployVersionView):
    """Upgrade instances to a higher version."""

    direction = "upgrade"


class RevertView(_DeployVersionView):
    """Revert instances to a lower version."""

    direction = "revert"


class _DeploymentView(ScopedView):
    queryset = deployment_history.DEPLOYMENTS
    serializer_class: Any = DeploymentSerializer

    def require_empty_body(self, request: Request, pk: UUID) -> None:
        """Raise 400 by field for a body or a `dry_run`, which neither a cancel nor a retry supports."""
        deployment_history.visible_deployment(self.scope, pk, Role.OPERATOR)
        EmptySerializer(data=body_with_dry_run(request)).is_valid(raise_exception=True)


class DeploymentListView(_DeploymentView, ListAPIView[Deployment]):
    """The upgrades and reverts of the caller's tenant, the newest first."""

    filterset_class = DeploymentFilter
    search_fields = ["service__name", "to_version__label"]
    ordering_fields = ["created_at", "ended_at"]
    ordering = ["-created_at"]

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List a page of deployments with their counts, in a fixed number of queries."""

        def read() -> Response:
            page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
            return self.get_paginated_response(serialize_deployments(page))

        return read_list(request, read)


class DeploymentDetailView(_DeploymentView):
    """One deployment."""

    @extend_schema(responses=DeploymentDetailSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return a deployment with each of its items."""
        deployment = self.get_object()
        context = {"counts": deployment_history.count_results([deployment])}
        return Response(DeploymentDetailSerializer(deployment, context=context).data)


class DeploymentItemDetailView(_DeploymentView):
    """The result of a deployment for one instance."""

    @extend_schema(responses=DeploymentItemDetailSerializer)
    def get(self, request: Request, pk: UUID, item_pk: int) -> Response:
        """Return an item with its log, which grows while the item is under way."""
        items = DeploymentItem.objects.select_related("from_version").filter(deployment=self.get_object())
        return Response(DeploymentItemDetailSerializer(get_object_or_404(items, pk=item_pk)).data)


class DeploymentCancelView(_DeploymentView):
    """Cancel a deployment before its next batch."""

    @extend_schema(request=None, responses={202: DeploymentCancelledSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        """Cancel a deployment: the running batch ends, and no further batch starts."""
        self.require_empty_body(request, pk)
        deployment, job = deployment_history.cancel_deployment(scope=self.scope, deployment_id=pk)
        return job_response(job, {"deployment": serialize_deployments([deployment])[0]})


class DeploymentRetryView(DeployCommandView, _DeploymentView):
    """Retry a deployment."""

    @extend_schema(request=None, responses={202: DeploymentAcceptedSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Start a new deployment for the instances that do not run the version."""

        def record() -> Response:
            self.require_empty_body(request, pk)
            return plan_response(services.retry(scope=self.scope, deployment_id=pk))

        return self.run_command(request, record)
