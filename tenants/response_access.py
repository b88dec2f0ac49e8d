"""Check access during responses that take long (event streams, exports), because credentials may end meanwhile."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from rest_framework.request import Request

from api.domain_errors import DomainError
from api.models import ApiToken

from .models import User
from .scoped_views import build_scope
from .scoping import Scope


class ResponseAccess:
    """The credentials and the scope of a request, checked again during its response."""

    def __init__(self, request: Request | HttpRequest, scope: Scope) -> None:
        self._user = scope.user
        self._slug = scope.tenant.slug if scope.tenant else ""
        token = getattr(request, "auth", None)
        self._token_pk = token.pk if isinstance(token, ApiToken) else None
        self._session = (
            None if self._token_pk else cast("SessionBase | None", getattr(request, "session", None))
        )

    @property
    def user_id(self) -> UUID:
        """Return the user of the request."""
        return self._user.pk

    def get_scope(self) -> Scope | None:
        """Return the scope as it is now; None when the request would be refused now."""
        user = self._find_user()
        if user is None or not self._has_credentials(user):
            return None
        try:
            return build_scope(user, self._slug)
        except DomainError:
            return None

    def _find_user(self) -> User | None:
        return User.objects.filter(
            pk=self._user.pk, is_active=True, credentials_epoch=self._user.credentials_epoch
        ).first()

    def _has_credentials(self, user: User) -> bool:
        if self._token_pk is not None:
            token = ApiToken.objects.filter(pk=self._token_pk).select_related("user").first()
            if token is not None and token.tenant_id is not None:
                user.limiting_token = token  # type: ignore[attr-defined] # As where the token was accepted.
            return token is not None and token.is_usable
        if self._session is None or self._session.session_key is None:
            return True  # Neither token nor session: the portal itself has made the request.
        return self._session.exists(self._session.session_key)
