"""Invitations over REST, for the tenant and for the invited user."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent

from . import invitations
from .models import Invitation
from .scoped_views import get_user
from .scoping import Role
from .serializers import (
    AcceptedInvitationSerializer,
    InvitationSerializer,
    NewMembershipSerializer,
    OwnInvitationSerializer,
)
from .services import get_tenant


class TenantInvitationListView(GenericAPIView[Invitation]):
    """The invitations of a tenant, for its administrators."""

    queryset = Invitation.objects.select_related("invited_by")
    serializer_class = InvitationSerializer
    search_fields = ["username"]
    ordering_fields = ["created_at", "expires_at", "username"]
    ordering = ["-created_at"]

    def get_queryset(self) -> models.QuerySet[Invitation]:
        """Return the invitations of the tenant of the path. Raises 404, 403."""
        queryset = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return queryset.none()
        tenant = get_tenant(get_user(self.request), self.kwargs["pk"], Role.ADMIN, Invitation)
        return queryset.filter(tenant=tenant)

    @extend_schema(responses=InvitationSerializer(many=True))
    def get(self, request: Request, pk: UUID) -> Response:
        """Return the invitations of the tenant."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(InvitationSerializer(page, many=True).data)

    @extend_schema(request=NewMembershipSerializer, responses={201: InvitationSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        """Invite the user of a username. The answer is the same whether such a user exists or not."""
        user = get_user(request)
        tenant = get_tenant(user, pk, Role.ADMIN, Invitation)
        serializer = NewMembershipSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        invitation = invitations.invite_user(tenant=tenant, by=user, **serializer.validated_data)
        return Response(InvitationSerializer(invitation).data, status=201)


class TenantInvitationDetailView(GenericAPIView[Invitation]):
    """One invitation of a tenant."""

    queryset = Invitation.objects.all()
    serializer_class = InvitationSerializer

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID, invitation_pk: UUID) -> Response:
        """Withdraw the invitation."""
        user = get_user(request)
        tenant = get_tenant(user, pk)
        if not Invitation.objects.filter(tenant=tenant, pk=invitation_pk).exists():
            raise NotFound
        tenant = get_tenant(user, pk, Role.ADMIN, Invitation)
        invitations.withdraw_invitation(tenant=tenant, invitation_id=invitation_pk)
        return Response(status=204)


class LeaveTenantView(GenericAPIView[Any]):
    """The end of the caller's own membership."""

    queryset = Invitation.objects.none()

    @extend_schema(request=None, responses={204: None})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        """Leave the tenant; its last administrator can't."""
        invitations.leave_tenant(user=get_user(request), tenant_id=pk)
        return Response(status=204)


class OwnInvitationListView(GenericAPIView[Invitation]):
    """The open invitations of the caller."""

    queryset = Invitation.objects.select_related("tenant", "invited_by")
    serializer_class = OwnInvitationSerializer
    filter_backends: list[Any] = []

    @extend_schema(responses=OwnInvitationSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Return the invitations that the caller may accept or decline."""
        invitations_of_user = Invitation.objects.of_invited(get_user(request)).select_related(
            "tenant", "invited_by"
        )
        page = self.paginate_queryset(invitations_of_user.order_by("-created_at"))
        return self.get_paginated_response(OwnInvitationSerializer(page, many=True).data)


class AcceptInvitationView(GenericAPIView[Any]):
    """The acceptance of an invitation."""

    queryset = Invitation.objects.all()
    serializer_class = AcceptedInvitationSerializer

    @extend_schema(request=None, responses=AcceptedInvitationSerializer)
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        """Accept the invitation: become a member of the tenant."""
        membership = invitations.accept_invitation(user=get_user(request), invitation_id=pk)
        return Response(AcceptedInvitationSerializer(membership).data)


class DeclineInvitationView(GenericAPIView[Invitation]):
    """The refusal of an invitation."""

    queryset = Invitation.objects.all()
    serializer_class = OwnInvitationSerializer

    @extend_schema(request=None, responses={204: None})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        """Decline the invitation."""
        invitations.decline_invitation(user=get_user(request), invitation_id=pk)
        return Response(status=204)
