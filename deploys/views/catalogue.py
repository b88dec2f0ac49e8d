"""Views of services and their versions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from api.preconditions import etag_of
from tenants.scoped_views import ScopedView
from tenants.scoping import Role

from ..filters import ServiceFilter, VersionFilter
from ..models import MicroService, MicroServiceVersion
from ..serializers import ChangeVersionSerializer, ServiceSerializer, VersionSerializer
from ..services import catalogue
from .service_scope import ServiceScopedView


class _ServiceView(ScopedView):
    queryset = MicroService.objects.select_related("information_system")
    serializer_class: Any = ServiceSerializer

    def service_response(self, service: MicroService, status: int = 200) -> Response:
        """Return a response with the service and its ETag."""
        headers = {"ETag": etag_of(service.version)}
        return Response(self.get_serializer(service).data, status=status, headers=headers)


class ServiceListView(_ServiceView, ListAPIView[MicroService]):
    """The services of the caller's tenant."""

    filterset_class = ServiceFilter
    search_fields = ["name", "description", "language"]
    ordering_fields = ["name", "created_at"]
    ordering = ["name"]

    @extend_schema(responses={201: ServiceSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Create a service."""
        self.scope.require(Role.ADMIN, MicroService)
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return self.service_response(
            catalogue.create_service(scope=self.scope, fields=serializer.validated_data), 201
        )


class ServiceDetailView(_ServiceView):
    """One service."""

    honours_if_match = True

    def get(self, request: Request, pk: UUID) -> Response:
        """Return a service, with its ETag."""
        return self.service_response(self.get_object())

    def patch(self, request: Request, pk: UUID) -> Response:
        """Change a service. During a deployment, the fields that the deployment reads cannot change."""
        service = catalogue.visible_service(self.scope, pk, Role.ADMIN)
        serializer = self.get_serializer(service, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        changed = catalogue.change_service(
            scope=self.scope,
            service_id=pk,
            fields=serializer.validated_data,
            if_match=request.headers.get("If-Match"),
        )
        return self.service_response(changed)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete a service without instances, with its versions and its deployments."""
        catalogue.remove_service(scope=self.scope, service_id=pk, if_match=request.headers.get("If-Match"))
        return Response(status=204)


class _VersionView(ServiceScopedView):
    queryset = MicroServiceVersion.objects.select_related("created_by")
    serializer_class: Any = VersionSerializer


class VersionListView(_VersionView, ListAPIView[MicroServiceVersion]):
    """The versions of a service, the newest first."""

    filterset_class = VersionFilter
    search_fields = ["label", "notes"]
    ordering_fields = ["number", "label", "built_at", "created_at"]
    ordering = ["-number"]

    @extend_schema(responses={200: VersionSerializer, 201: VersionSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        """Register a version: 201. A repetition with the same content returns the registered version: 200."""
        catalogue.visible_service(self.scope, pk, Role.OPERATOR)
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        version, is_new = catalogue.register_version(
            scope=self.scope, service_id=pk, fields=serializer.validated_data
        )
        return Response(self.get_serializer(version).data, status=201 if is_new else 200)


class VersionDetailView(_VersionView):
    """One version of a service."""

    def get(self, request: Request, pk: UUID, version_pk: UUID) -> Response:
        """Return a version."""
        return self.version_response(catalogue.visible_version(self.scope, pk, version_pk))

    @extend_schema(request=ChangeVersionSerializer, responses=VersionSerializer)
    def patch(self, request: Request, pk: UUID, version_pk: UUID) -> Response:
        """Change the build status, the artifact or the notes. The checksum of a deployed version cannot change."""
        version = catalogue.visible_version(self.scope, pk, version_pk, Role.OPERATOR)
        serializer = ChangeVersionSerializer(version, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        fields = serializer.validated_data
        changed = catalogue.change_version(
            scope=self.scope, service_id=pk, version_id=version_pk, fields=fields
        )
        return self.version_response(changed)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID, version_pk: UUID) -> Response:
        """Delete a version that runs on no host and is in no deployment."""
        catalogue.remove_version(scope=self.scope, service_id=pk, version_id=version_pk)
        return Response(status=204)

    def version_response(self, version: MicroServiceVersion) -> Response:
        """Return a response with the version."""
        return Response(self.get_serializer(version).data)
