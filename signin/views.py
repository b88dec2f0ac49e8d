"""Service accounts and their tokens over REST. Administrators of the tenant manage them, and people alone."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.auth_views import NO_STORE
from api.idempotency import idempotent, run_idempotent
from api.token_limits import SAFE_METHODS
from tenants.scoped_views import ScopedView, get_user
from tenants.scoping import Role, get_visible_row

from .models import ServiceAccount
from .serializers import (
    ChangeServiceAccountSerializer,
    CreatedServiceTokenSerializer,
    NewServiceAccountSerializer,
    NewServiceTokenSerializer,
    ServiceAccountSerializer,
    ServiceTokenSerializer,
)
from .services import service_accounts

ACCOUNTS = ServiceAccount.objects.select_related("user", "tenant", "created_by").prefetch_related(
    "user__memberships"
)


class _ServiceAccountView(ScopedView):
    queryset = ACCOUNTS
    serializer_class: Any = ServiceAccountSerializer
    people_only = True

    # The role for reading; every change takes that of an administrator.
    reading_role = Role.VIEWER

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Require the role, after 404 for what is not visible."""
        super().initial(request, *args, **kwargs)
        needed = self.reading_role if request.method in SAFE_METHODS else Role.ADMIN
        if "pk" in kwargs:
            self.account = get_visible_row(ACCOUNTS, self.scope, kwargs["pk"], needed)
        elif needed != Role.VIEWER:
            self.scope.require(needed, ServiceAccount)


class ServiceAccountListView(_ServiceAccountView, ListAPIView[ServiceAccount]):
    """The service accounts of the tenant."""

    search_fields = ["name", "description"]
    ordering_fields = ["name", "created_at"]
    ordering = ["name"]

    @extend_schema(request=NewServiceAccountSerializer, responses={201: ServiceAccountSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Create a service account."""
        serializer = NewServiceAccountSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        account = service_accounts.create_service_account(scope=self.scope, **serializer.validated_data)
        return Response(ServiceAccountSerializer(account).data, status=201)


class ServiceAccountDetailView(_ServiceAccountView, RetrieveAPIView[ServiceAccount]):
    """One service account."""

    @extend_schema(request=ChangeServiceAccountSerializer, responses=ServiceAccountSerializer)
    def patch(self, request: Request, pk: UUID) -> Response:
        """Change description, role, and whether the account is active."""
        serializer = ChangeServiceAccountSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        account = service_accounts.change_service_account(
            scope=self.scope, account_id=pk, fields=serializer.validated_data
        )
        return Response(ServiceAccountSerializer(account).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the account; its tokens are refused from the next request on."""
        service_accounts.remove_service_account(scope=self.scope, account_id=pk)
        return Response(status=204)


class ServiceTokenListView(_ServiceAccountView):
    """The tokens of a service account."""

    serializer_class = ServiceTokenSerializer
    reading_role = Role.ADMIN
    filter_backends: list[Any] = []

    @extend_schema(responses=ServiceTokenSerializer(many=True))
    def get(self, request: Request, pk: UUID) -> Response:
        """List the tokens, newest first, without the tokens themselves."""
        page = self.paginate_queryset(service_accounts.list_tokens(self.account))
        return self.get_paginated_response(ServiceTokenSerializer(page, many=True).data)

    @extend_schema(request=NewServiceTokenSerializer, responses={201: CreatedServiceTokenSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Create a token; it is shown this once."""
        serializer = NewServiceTokenSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)

        def create() -> Response:
            token = service_accounts.create_token(
                scope=self.scope, account_id=pk, **serializer.validated_data
            )
            return Response(CreatedServiceTokenSerializer(token).data, status=201, headers=NO_STORE)

        return run_idempotent(request, get_user(request), create, shown_once=True)


class ServiceTokenDetailView(_ServiceAccountView):
    """One token of a service account."""

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID, token_pk: UUID) -> Response:
        """Revoke the token; it is refused from the next request on."""
        service_accounts.revoke_token(scope=self.scope, account_id=pk, token_id=token_pk)
        return Response(status=204)
