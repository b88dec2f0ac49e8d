"""Views for signing in and out, the user's profile, and API tokens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.contrib.auth import login, logout
from django.db.models import QuerySet
from django.http import Http404
from django.middleware.csrf import get_token
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from .auth_serializers import (
    CreatedTokenSerializer,
    LoginSerializer,
    MeSerializer,
    NewTokenSerializer,
    ProfileChangeSerializer,
    TokenSerializer,
)
from .credentials import authenticate_user
from .domain_errors import ForbiddenError, UnauthenticatedError
from .idempotency import run_idempotent
from .models import ApiToken
from .sign_in_methods import set_sign_in_method
from .user_details import collect_user_details

log = structlog.get_logger(__name__)
NO_STORE = {"Cache-Control": "no-store"}


def _describe_user(user: Any) -> dict[str, Any]:
    return {
        "id": user.pk,
        "username": user.get_username(),
        "email": user.email,
        "is_staff": user.is_staff,
        "second_factor": getattr(user, "second_factor", ""),
        "language": getattr(user, "language", ""),
        "time_zone": getattr(user, "time_zone", ""),
        "theme": getattr(user, "theme", ""),
        "tenants": [],
        **collect_user_details(user),
    }


class LoginView(APIView):
    """Open a session.

    There is no CSRF check, because there is no session to protect yet: a page of another site can send JSON only after a
    CORS preflight, which is refused, and a body that is not JSON is refused too.
    """

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    idempotency_key = False

    @extend_schema(request=LoginSerializer, responses={200: MeSerializer}, operation_id="auth_login")
    def post(self, request: Request) -> Response:
        """Open a session for a username and a password, and the code of a second factor; the answer sets the session and the CSRF cookie."""
        body = LoginSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        user, factor = authenticate_user(request, **body.validated_data)
        directory = getattr(user, "directory", "")
        method = "ldap" if directory else "password"
        set_sign_in_method(request._request, method=method, provider=directory, factor=factor)  # noqa: SLF001 - as below.
        login(request._request, user)  # noqa: SLF001 - the session belongs to Django's own request.
        return Response(MeSerializer(_describe_user(user)).data, headers=NO_STORE)


class LogoutView(APIView):
    """End the session."""

    idempotency_key = False

    @extend_schema(request=None, responses={204: None}, operation_id="auth_logout")
    def post(self, request: Request) -> Response:
        """End the session. A token stays valid: revoke it instead."""
        log.info("logout", username=request.user.get_username())
        logout(request._request)  # noqa: SLF001 - as above.
        return Response(status=204)


class MeView(APIView):
    """The signed-in user."""

    limited_tokens = True

    @extend_schema(responses=MeSerializer, operation_id="auth_me")
    def get(self, request: Request) -> Response:
        """Return the user, with their tenants and their role in each."""
        if request.auth is None:
            get_token(request._request)  # noqa: SLF001 - it sets the CSRF cookie, which a page needs for its first POST.
        return Response(MeSerializer(_describe_user(request.user)).data, headers=NO_STORE)

    @extend_schema(request=ProfileChangeSerializer, responses=MeSerializer, operation_id="auth_me_change")
    def patch(self, request: Request) -> Response:
        """Set the language and the theme of pages, and the time zone in which they show times."""
        body = ProfileChangeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        user: Any = request.user
        change_profile(user, body.validated_data)
        return Response(MeSerializer(_describe_user(user)).data, headers=NO_STORE)


def change_profile(user: Any, fields: Mapping[str, Any]) -> None:
    """Save the validated fields of a user's own profile."""
    if fields:
        for name, value in fields.items():
            setattr(user, name, value)
        user.save(update_fields=[*fields])


class TokenListView(GenericAPIView[ApiToken]):
    """The caller's API tokens."""

    queryset = ApiToken.objects.all()
    serializer_class = TokenSerializer
    search_fields = ["name"]
    ordering_fields = ["name", "created", "expiry"]
    ordering = ["-created"]

    def get_queryset(self) -> QuerySet[ApiToken]:
        """Return the caller's own tokens."""
        tokens: QuerySet[ApiToken] = ApiToken.objects.all()
        if getattr(self, "swagger_fake_view", False):
            return tokens.none()
        return tokens.filter(user_id=self.request.user.pk)

    def get_permissions(self) -> list[Any]:
        """Return the permissions: anybody may POST, which checks the password; the list requires authentication."""
        return [AllowAny()] if self.request.method == "POST" else [IsAuthenticated()]

    @extend_schema(responses=TokenSerializer(many=True), operation_id="auth_tokens_list")
    def get(self, request: Request) -> Response:
        """List the caller's tokens, newest first, without the tokens themselves."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(TokenSerializer(page, many=True).data)

    @extend_schema(
        request=NewTokenSerializer, responses={201: CreatedTokenSerializer}, operation_id="auth_tokens_create"
    )
    def post(self, request: Request) -> Response:
        """Create a token; it is shown this once. Requires a session, or a username and password (and `code` with a second factor)."""
        if not request.user.is_authenticated and not {"username", "password"} & set(request.data):
            raise UnauthenticatedError(
                "not_authenticated", _("Send a username and a password, or sign in first.")
            )
        body = NewTokenSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        fields = body.validated_data
        user: Any = request.user
        if "username" in fields:
            user, _factor = authenticate_user(
                request, fields["username"], fields["password"], fields.get("code", "")
            )
        elif isinstance(request.auth, ApiToken):
            raise ForbiddenError(
                "token_makes_no_token",
                _("A token cannot create another token. Sign in, or send username and password."),
            )
        return run_idempotent(request, user, lambda: _create_token(user, fields["name"]), shown_once=True)


def create_token(user: Any, name: str) -> ApiToken:
    """Create a token of a user. Its attribute `token` has the token itself, which is stored nowhere."""
    token, secret = ApiToken.objects.create(
        user=user, name=name, expiry=timedelta(days=settings.API_TOKEN_DAYS)
    )
    log.info("token_made", username=user.get_username(), token_id=str(token.id), token_name=name)
    token.token = secret
    return token


def revoke_token(user: Any, token_id: UUID) -> bool:
    """Revoke a token of a user; return whether there was one."""
    deleted, _by_model = ApiToken.objects.filter(user_id=user.pk, id=token_id).delete()
    if deleted:
        log.info("token_revoked", username=user.get_username(), token_id=str(token_id))
    return bool(deleted)


def _create_token(user: Any, name: str) -> Response:
    token = create_token(user, name)
    return Response(CreatedTokenSerializer(token).data, status=201, headers=NO_STORE)


class TokenView(APIView):
    """One of the caller's API tokens."""

    @extend_schema(responses={204: None}, operation_id="auth_tokens_destroy")
    def delete(self, request: Request, pk: UUID) -> Response:
        """Revoke a token; it is refused from the next request on."""
        if not revoke_token(request.user, pk):
            raise Http404
        return Response(status=204)
