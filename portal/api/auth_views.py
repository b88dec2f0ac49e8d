"""Signing in and out, who am I, and API tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_cool_off
from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.http import Http404
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from .auth_serializers import LoginSerializer, MadeTokenSerializer, MeSerializer, NewTokenSerializer, TokenSerializer
from .errors import Refused
from .identity import description_of
from .models import ApiToken

log = structlog.get_logger(__name__)


def user_for(request: Request, username: str, password: str) -> Any:
    """The user of a name and password.

    Raises `Refused` 401 `wrong_credentials`, the same for a wrong name, a wrong password and a user that was
    switched off, or 429 `locked_out` after too many tries (django-axes counts them by name and address).
    """
    credentials = {"username": username}
    if not AxesProxyHandler.is_allowed(request._request, credentials):  # noqa: SLF001 - axes wants Django's own.
        raise _locked_out()
    user = authenticate(request._request, username=username, password=password)  # noqa: SLF001
    if user is None:
        log.warning("login_failed", username=username)
        if not AxesProxyHandler.is_allowed(request._request, credentials):  # noqa: SLF001
            raise _locked_out()
        raise Refused(401, "wrong_credentials", _("User name or password is wrong."))
    return user


def _locked_out() -> Refused:
    cool_off = get_cool_off() or timedelta(minutes=15)
    return Refused(
        429,
        "locked_out",
        _("Too many failed logins; try again later."),
        retry_after=int(cool_off.total_seconds()),
    )


def _me(user: Any) -> dict[str, Any]:
    return {
        "id": user.pk,
        "username": user.get_username(),
        "email": user.email,
        "is_staff": user.is_staff,
        "tenants": [],
        **description_of(user),
    }


class Login(APIView):
    """Open a session."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_class_name = "login"

    @extend_schema(request=LoginSerializer, responses={200: MeSerializer}, operation_id="auth_login")
    def post(self, request: Request) -> Response:
        """Open a session for a user name and a password."""
        asked = LoginSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        user = user_for(request, **asked.validated_data)
        login(request._request, user)  # noqa: SLF001
        log.info("login", username=user.get_username())
        return Response(MeSerializer(_me(user)).data)


class Logout(APIView):
    """End the session."""

    @extend_schema(request=None, responses={204: None}, operation_id="auth_logout")
    def post(self, request: Request) -> Response:
        """End the session."""
        log.info("logout", username=request.user.get_username())
        logout(request._request)  # noqa: SLF001
        return Response(status=204)


class Me(APIView):
    """Who am I."""

    @extend_schema(responses=MeSerializer, operation_id="auth_me")
    def get(self, request: Request) -> Response:
        """The user, and the tenants and roles he has."""
        return Response(MeSerializer(_me(request.user)).data)


class Tokens(APIView):
    """One's API tokens."""

    throttle_class_name = "login"

    def get_permissions(self) -> list[Any]:
        """To make one, a user name and password will do; to list them, one must have signed in."""
        return [AllowAny()] if self.request.method == "POST" else [IsAuthenticated()]

    @extend_schema(responses=TokenSerializer(many=True), operation_id="auth_tokens_list")
    def get(self, request: Request) -> Response:
        """One's own tokens, newest first, without the tokens themselves."""
        tokens = ApiToken.objects.filter(user=request.user).order_by("-created")
        return Response(TokenSerializer(tokens, many=True).data)

    @extend_schema(request=NewTokenSerializer, responses={201: MadeTokenSerializer}, operation_id="auth_tokens_create")
    def post(self, request: Request) -> Response:
        """Make a token; it is shown this once."""
        if not request.user.is_authenticated and not {"username", "password"} & set(request.data):
            raise Refused(401, "not_authenticated", _("Send a user name and a password, or sign in first."))
        asked = NewTokenSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        fields = asked.validated_data
        user = user_for(request, fields["username"], fields["password"]) if "username" in fields else request.user
        token, secret = ApiToken.objects.create(
            user=user, name=fields["name"], expiry=timedelta(days=settings.API_TOKEN_DAYS)
        )
        log.info("token_made", username=user.get_username(), token=str(token.id), name=token.name)
        token.token = secret
        return Response(MadeTokenSerializer(token).data, status=201, headers={"Cache-Control": "no-store"})


class Token(APIView):
    """One of one's API tokens."""

    @extend_schema(responses={204: None}, operation_id="auth_tokens_destroy")
    def delete(self, request: Request, pk: UUID) -> Response:
        """Revoke a token."""
        deleted, _rows = ApiToken.objects.filter(user=request.user, id=pk).delete()
        if not deleted:
            raise Http404
        log.info("token_revoked", username=request.user.get_username(), token=str(pk))
        return Response(status=204)

