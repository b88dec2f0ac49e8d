"""Views of instances."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from api.preconditions import etag_of
from tenants.scoping import Role

from ..filters import InstanceFilter
from ..models import DeploymentItem, MicroServiceInstance
from ..serializers import (
    ChangeInstanceSerializer,
    HistorySerializer,
    InstanceSerializer,
    NewInstanceSerializer,
)
from ..services import catalogue, instances
from .service_scope import ServiceScopedView

HISTORY = DeploymentItem.objects.select_related(
    "from_version", "deployment__to_version", "deployment__operator"
).defer("log")


class _InstanceView(ServiceScopedView):
    queryset = instances.INSTANCES
    serializer_class: Any = InstanceSerializer

    def instance_response(self, instance: MicroServiceInstance, status: int = 200) -> Response:
        """Return a response with the instance and its ETag."""
        headers = {"ETag": etag_of(instance.updated_at)}
        return Response(InstanceSerializer(instance).data, status=status, headers=headers)


class InstanceListView(_InstanceView, ListAPIView[MicroServiceInstance]):
    """The instances of a service."""

    filterset_class = InstanceFilter
    search_fields = ["host__hostname", "host__ip", "tag", "description"]
    ordering_fields = ["host__hostname", "version__number", "status", "port", "updated_at"]
    ordering = ["host__hostname"]

    @extend_schema(request=NewInstanceSerializer, responses={201: InstanceSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        """Record that a version is on a host. Nothing is done on the host."""
        catalogue.visible_service(self.scope, pk, Role.ADMIN)
        serializer = NewInstanceSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        instance = instances.add_instance(
            scope=self.scope, service_id=pk, fields={**serializer.validated_data}
        )
        return self.instance_response(instance, 201)


class InstanceDetailView(_InstanceView):
    """One instance of a service."""

    honours_if_match = True

    def get(self, request: Request, pk: UUID, instance_pk: UUID) -> Response:
        """Return an instance, with its ETag."""
        return self.instance_response(instances.visible_instance(self.scope, pk, instance_pk))

    @extend_schema(request=ChangeInstanceSerializer, responses=InstanceSerializer)
    def patch(self, request: Request, pk: UUID, instance_pk: UUID) -> Response:
        """Change an instance that is not locked. Operators may change `is_maintain`; administrators may change all fields."""
        names = set(request.data) if isinstance(request.data, dict) else set()
        instance = instances.find_changeable_instance(self.scope, pk, instance_pk, names)
        serializer = ChangeInstanceSerializer(instance, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        changed = instances.change_instance(
            scope=self.scope,
            service_id=pk,
            instance_id=instance_pk,
            fields=serializer.validated_data,
            if_match=request.headers.get("If-Match"),
        )
        return self.instance_response(changed)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID, instance_pk: UUID) -> Response:
        """Delete the record of an instance. Nothing is done on the host."""
        instances.remove_instance(
            scope=self.scope,
            service_id=pk,
            instance_id=instance_pk,
            if_match=request.headers.get("If-Match"),
        )
        return Response(status=204)


class InstanceHistoryView(_InstanceView, ListAPIView[MicroServiceInstance]):
    """The deployments of an instance, newest first."""

    serializer_class = HistorySerializer
    filter_backends: list[Any] = []

    def get_queryset(self) -> Any:
        """Return the deployments of the instance. Raises 404 when the scope does not show it."""
        if getattr(self, "swagger_fake_view", False):
            return HISTORY.none()
        instance = instances.visible_instance(self.scope, self.kwargs["pk"], self.kwargs["instance_pk"])
        return HISTORY.filter(instance=instance).order_by("-deployment__created_at", "-pk")
