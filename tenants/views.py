"""Tenants, members and information systems over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView, ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from api.preconditions import etag_of

from . import quotas, services
from .filters import InformationSystemFilter
from .models import InformationSystem, Membership, Tenant
from .scoped_views import ScopedView, get_user
from .scoping import Role, require_staff_permission
from .serializers import (
    ChangeMembershipSerializer,
    ChangeTenantSerializer,
    InformationSystemSerializer,
    MembershipSerializer,
    NewMembershipSerializer,
    TenantSerializer,
    UsageSerializer,
)


class _TenantView(GenericAPIView[Any]):
    """A view of the caller's tenants. The path names the tenant, so no X-Tenant header is needed."""

    queryset: models.QuerySet[Any] = Tenant.objects.all()
    serializer_class: Any = TenantSerializer

    def get_queryset(self) -> models.QuerySet[Any]:
        """Return the caller's tenants; all tenants for staff who may view them."""
        if getattr(self, "swagger_fake_view", False):
            return Tenant.objects.none()
        return Tenant.objects.visible_to(get_user(self.request))

    def get_tenant(self, needed: Role = Role.VIEWER, model: type[models.Model] = Tenant) -> Tenant:
        """Return the tenant of the path, and require a role for its rows of `model`. Raises 404, 403."""
        return services.get_tenant(get_user(self.request), self.kwargs["pk"], needed, model)


class TenantListView(_TenantView, ListAPIView[Tenant]):
    """The tenants of the caller."""

    search_fields = ["name", "slug"]
    ordering_fields = ["name", "created_at"]
    ordering = ["name"]


class TenantDetailView(_TenantView, RetrieveAPIView[Tenant]):
    """One tenant."""

    @extend_schema(request=ChangeTenantSerializer, responses=TenantSerializer)
    def patch(self, request: Request, pk: UUID) -> Response:
        """Set the tenant's time zone, and whether it demands a second factor of its members."""
        tenant = self.get_tenant(Role.ADMIN)
        serializer = ChangeTenantSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        changed = services.change_tenant(tenant=tenant, fields=serializer.validated_data)
        return Response(TenantSerializer(changed).data)


class TenantUsageView(_TenantView):
    """The usage of each quota."""

    serializer_class = UsageSerializer

    @extend_schema(responses=UsageSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return used and total of each quota."""
        return Response(UsageSerializer(quotas.measure_usage(self.get_tenant())).data)


class MemberListView(_TenantView):
    """The members of a tenant."""

    serializer_class = MembershipSerializer
    filter_backends: list[Any] = []

    @extend_schema(responses=MembershipSerializer(many=True))
    def get(self, request: Request, pk: UUID) -> Response:
        """Return the members, by username."""
        members = (
            Membership.objects.filter(tenant=self.get_tenant(model=Membership))
            .select_related("user")
            .order_by("user__username")
        )
        page = self.paginate_queryset(members)
        return self.get_paginated_response(MembershipSerializer(page, many=True).data)

    @extend_schema(request=NewMembershipSerializer, responses={201: MembershipSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        """Add a member without an invitation. For staff with `tenants.change_membership`."""
        self.get_tenant(model=Membership)
        require_staff_permission(request.user, "tenants.change_membership")
        tenant = self.get_tenant(Role.ADMIN, Membership)
        serializer = NewMembershipSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        membership = services.add_member(tenant=tenant, **serializer.validated_data)
        return Response(MembershipSerializer(membership).data, status=201)


class MemberDetailView(_TenantView):
    """One member of a tenant."""

    serializer_class = MembershipSerializer

    @extend_schema(request=ChangeMembershipSerializer, responses=MembershipSerializer)
    def patch(self, request: Request, pk: UUID, member_pk: UUID) -> Response:
        """Change a member's role."""
        tenant = self._get_tenant_of_member(member_pk)
        serializer = ChangeMembershipSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        membership = services.change_member(
            tenant=tenant, membership_id=member_pk, **serializer.validated_data
        )
        return Response(MembershipSerializer(membership).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID, member_pk: UUID) -> Response:
        """Remove a member from the tenant."""
        services.remove_member(tenant=self._get_tenant_of_member(member_pk), membership_id=member_pk)
        return Response(status=204)

    def _get_tenant_of_member(self, member_pk: UUID) -> Tenant:
        """Return the tenant of the path for an administrator. Raises 404 for a user who is no member of it, before 403."""
        tenant = self.get_tenant()
        if not Membership.objects.filter(tenant=tenant, pk=member_pk).exists():
            raise NotFound
        return self.get_tenant(Role.ADMIN, Membership)


class _InformationSystemView(ScopedView):
    queryset = InformationSystem.objects.select_related("tenant")
    serializer_class: Any = InformationSystemSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        """Add the scope, in which the default account must be visible."""
        return {**super().get_serializer_context(), "scope": getattr(self, "scope", None)}

    def system_response(self, system: InformationSystem, status: int = 200) -> Response:
        """Return an information system with its ETag."""
        headers = {"ETag": etag_of(system.version)}
        return Response(self.get_serializer(system).data, status=status, headers=headers)


class InformationSystemListView(_InformationSystemView, ListAPIView[InformationSystem]):
    """The information systems of the caller's tenant."""

    filterset_class = InformationSystemFilter
    search_fields = ["name", "description", "owner"]
    ordering_fields = ["name", "created_at"]
    ordering = ["name"]

    @extend_schema(responses={201: InformationSystemSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Create an information system."""
        self.scope.require(Role.ADMIN, InformationSystem)
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return self.system_response(
            services.create_information_system(scope=self.scope, fields=serializer.validated_data), 201
        )


class InformationSystemDetailView(_InformationSystemView):
    """One information system."""

    honours_if_match = True

    def get(self, request: Request, pk: UUID) -> Response:
        """Return the information system, with its ETag."""
        return self.system_response(self.get_object())

    def patch(self, request: Request, pk: UUID) -> Response:
        """Change the information system; with `If-Match`, only if it was not modified since it was read."""
        system = self.get_object()
        self.scope.require(Role.ADMIN, InformationSystem)
        serializer = self.get_serializer(system, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        changed = services.change_information_system(
            scope=self.scope,
            system_id=pk,
            fields=serializer.validated_data,
            if_match=request.headers.get("If-Match"),
        )
        return self.system_response(changed)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the information system, if it owns nothing."""
        services.remove_information_system(
            scope=self.scope, system_id=pk, if_match=request.headers.get("If-Match")
        )
        return Response(status=204)
