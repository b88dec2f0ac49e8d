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
    ChangedMembershipSerializer,
    ChangedTenantSerializer,
    InformationSystemSerializer,
    MembershipSerializer,
    NewMembershipSerializer,
    TenantSerializer,
    UsageSerializer,
)


class _TenantView(GenericAPIView[Any]):
    """A view of the tenants that one belongs to; here no X-Tenant is needed, as the path names the tenant."""

    queryset: models.QuerySet[Any] = Tenant.objects.all()
    serializer_class: Any = TenantSerializer

    def get_queryset(self) -> models.QuerySet[Any]:
        """One's own tenants; all for staff."""
        if getattr(self, "swagger_fake_view", False):
            return Tenant.objects.none()
        return Tenant.objects.visible_to(get_user(self.request))

    def tenant(self, needed: Role = Role.VIEWER, model: type[models.Model] = Tenant) -> Tenant:
        """The tenant of the path, for who may do to rows of the model what takes the role. Raises 404, 403."""
        return services.get_tenant(get_user(self.request), self.kwargs["pk"], needed, model)


class TenantListView(_TenantView, ListAPIView[Tenant]):
    """The tenants that one belongs to."""

    search_fields = ["name", "slug"]
    ordering_fields = ["name", "created_at"]
    ordering = ["name"]


class TenantDetailView(_TenantView, RetrieveAPIView[Tenant]):
    """One tenant."""

    @extend_schema(request=ChangedTenantSerializer, responses=TenantSerializer)
    def patch(self, request: Request, pk: UUID) -> Response:
        """Choose the tenant's time zone."""
        tenant = self.tenant(Role.ADMIN)
        asked = ChangedTenantSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        changed = services.change_tenant(tenant=tenant, fields=asked.validated_data)
        return Response(TenantSerializer(changed).data)


class TenantUsageView(_TenantView):
    """The usage of each quota."""

    serializer_class = UsageSerializer

    @extend_schema(responses=UsageSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Quota used and total."""
        return Response(UsageSerializer(quotas.measure_usage(self.tenant())).data)


class MemberListView(_TenantView):
    """The members of a tenant."""

    serializer_class = MembershipSerializer
    filter_backends: list[Any] = []

    @extend_schema(responses=MembershipSerializer(many=True))
    def get(self, request: Request, pk: UUID) -> Response:
        """The members, by name."""
        members = (
            Membership.objects.filter(tenant=self.tenant(model=Membership))
            .select_related("user")
            .order_by("user__username")
        )
        page = self.paginate_queryset(members)
        return self.get_paginated_response(MembershipSerializer(page, many=True).data)

    @extend_schema(request=NewMembershipSerializer, responses={201: MembershipSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        """Add a member without asking the user. For staff with `tenants.change_membership`; administrators invite."""
        self.tenant(model=Membership)
        require_staff_permission(request.user, "tenants.change_membership")
        tenant = self.tenant(Role.ADMIN, Membership)
        asked = NewMembershipSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        membership = services.add_member(tenant=tenant, **asked.validated_data)
        return Response(MembershipSerializer(membership).data, status=201)


class MemberDetailView(_TenantView):
    """One member of a tenant."""

    serializer_class = MembershipSerializer

    @extend_schema(request=ChangedMembershipSerializer, responses=MembershipSerializer)
    def patch(self, request: Request, pk: UUID, member_pk: UUID) -> Response:
        """Change a member's role."""
        tenant = self._tenant_of_member(member_pk)
        asked = ChangedMembershipSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        membership = services.change_member(tenant=tenant, membership_id=member_pk, **asked.validated_data)
        return Response(MembershipSerializer(membership).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID, member_pk: UUID) -> Response:
        """Take a member out."""
        services.remove_member(tenant=self._tenant_of_member(member_pk), membership_id=member_pk)
        return Response(status=204)

    def _tenant_of_member(self, member_pk: UUID) -> Tenant:
        """The tenant of the path: 404 for a member that is not of it, before 403."""
        tenant = self.tenant()
        if not Membership.objects.filter(tenant=tenant, pk=member_pk).exists():
            raise NotFound
        return self.tenant(Role.ADMIN, Membership)


class _InformationSystemView(ScopedView):
    queryset = InformationSystem.objects.select_related("tenant")
    serializer_class: Any = InformationSystemSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        """The scope, in which the named account must be visible."""
        return {**super().get_serializer_context(), "scope": getattr(self, "scope", None)}

    def answer(self, system: InformationSystem, status: int = 200) -> Response:
        """An information system with its ETag."""
        headers = {"ETag": etag_of(system.version)}
        return Response(self.get_serializer(system).data, status=status, headers=headers)


class InformationSystemListView(_InformationSystemView, ListAPIView[InformationSystem]):
    """The information systems of one's tenant."""

    filterset_class = InformationSystemFilter
    search_fields = ["name", "description", "owner"]
    ordering_fields = ["name", "created_at"]
    ordering = ["name"]

    @extend_schema(responses={201: InformationSystemSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Make an information system."""
        self.scope.require(Role.ADMIN, InformationSystem)
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self.answer(
            services.create_information_system(scope=self.scope, fields=asked.validated_data), 201
        )


class InformationSystemDetailView(_InformationSystemView):
    """One information system."""

    honours_if_match = True

    def get(self, request: Request, pk: UUID) -> Response:
        """Read it, with its ETag."""
        return self.answer(self.get_object())

    def patch(self, request: Request, pk: UUID) -> Response:
        """Change it; `If-Match` makes sure that it is still as it was read."""
        system = self.get_object()
        self.scope.require(Role.ADMIN, InformationSystem)
        asked = self.get_serializer(system, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        changed = services.change_information_system(
            scope=self.scope,
            system_id=pk,
            fields=asked.validated_data,
            if_match=request.headers.get("If-Match"),
        )
        return self.answer(changed)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete it, when nothing belongs to it."""
        services.remove_information_system(
            scope=self.scope, system_id=pk, if_match=request.headers.get("If-Match")
        )
        return Response(status=204)
