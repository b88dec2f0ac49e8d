"""Who asks: a token for programs, a session with CSRF for pages."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from knox.crypto import hash_token
from rest_framework import authentication, exceptions
from rest_framework.authentication import get_authorization_header
from rest_framework.request import Request

from .errors import Refused
from .models import ApiToken


class TokenAuthentication(authentication.BaseAuthentication):
    """`Authorization: Token <token>`. One query; an expired, revoked or unknown token gives the same 401."""

    keyword = "Token"

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        """The token's user, or None when no token was sent."""
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != self.keyword.lower().encode():
            return None
        if len(words) != 2:
            raise exceptions.AuthenticationFailed(_("The header is 'Authorization: Token <token>'."), code="bad_token")
        try:
            digest = hash_token(words[1].decode("ascii"))
        except ValueError:
            raise self._refuse() from None
        token = ApiToken.objects.select_related("user").filter(digest=digest).first()
        if token is None or not token.user.is_active or (token.expiry and token.expiry <= timezone.now()):
            raise self._refuse()
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """What a 401 says is wanted."""
        return self.keyword

    @staticmethod
    def _refuse() -> exceptions.AuthenticationFailed:
        return exceptions.AuthenticationFailed(_("The token is unknown, revoked or expired."), code="bad_token")


class SessionAuthentication(authentication.SessionAuthentication):
    """The session of the pages. Unsafe methods need the CSRF token."""

    def enforce_csrf(self, request: Request) -> None:
        """Raise 403 `csrf_failed` when the token is missing or wrong."""
        try:
            super().enforce_csrf(request)
        except exceptions.PermissionDenied:
            raise Refused(
                403, "csrf_failed", _("The CSRF token is missing or wrong; send the X-CSRFToken header.")
            ) from None
