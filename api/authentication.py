"""Authentication of requests: a token for programs, a session with CSRF for pages."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from knox.crypto import hash_token
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from .domain_errors import ForbiddenError
from .models import ApiToken
from .second_factor import require_staff_second_factor
from .token_limits import require_within_limits

KEYWORD = "Token"
# Where staff come without the second factor that is demanded of them: to see why, and to leave.
WITHOUT_SECOND_FACTOR = frozenset(
    {"/api/v1/auth/me", "/api/v1/auth/me/", "/api/v1/auth/logout", "/api/v1/auth/logout/"}
)


class TokenAuthentication(authentication.BaseAuthentication):
    """`Authorization: Token <token>`.

    Costs one query a request, and a write every few minutes. An expired, a revoked and an unknown token, the token of a
    disabled user, and a token from before a change of the password give the same 401.
    """

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        """Return the token's user, or None when no token was sent."""
        parts = authentication.get_authorization_header(request).split()
        if not parts or parts[0].lower() != KEYWORD.lower().encode():
            return None
        if len(parts) != 2:
            raise exceptions.AuthenticationFailed(
                _("Send the header as 'Authorization: Token <token>'."), code="bad_token"
            )
        try:
            digest = hash_token(parts[1].decode("ascii"))
        except UnicodeDecodeError:
            raise _invalid_token_error() from None
        token = ApiToken.objects.select_related("user").filter(digest=digest).first()
        if token is None or not token.is_usable:
            raise _invalid_token_error()
        token.record_use()
        require_within_limits(token, request)
        require_staff_second_factor(token.user)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """Return the value of `WWW-Authenticate` for a 401."""
        return KEYWORD


def _invalid_token_error() -> exceptions.AuthenticationFailed:
    return exceptions.AuthenticationFailed(_("The token is unknown, revoked or expired."), code="bad_token")


class SessionAuthentication(authentication.SessionAuthentication):
    """The session of the pages. Methods that change something need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return the session's user, or None without a session."""
        authenticated: tuple[Any, Any] | None = super().authenticate(request)
        if authenticated is not None and request.path not in WITHOUT_SECOND_FACTOR:
            require_staff_second_factor(authenticated[0])
        return authenticated

    def authenticate_header(self, request: Request) -> str:
        """Return the value of `WWW-Authenticate`: without one, Django REST framework would answer 403 instead of 401."""
        return KEYWORD

    def enforce_csrf(self, request: Request) -> None:
        """Raise 403 `csrf_failed` when the token is missing or wrong."""
        try:
            super().enforce_csrf(request)
        except exceptions.PermissionDenied:
            raise ForbiddenError(
                "csrf_failed",
                _(
                    "The CSRF token is missing or wrong; send the value of the csrftoken cookie as X-CSRFToken."
                ),
            ) from None
