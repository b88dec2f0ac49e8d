"""The end of sessions in the portal after that of a session at the provider."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from api.sessions import end_provider_sessions
from events.sign_ins import record_provider_sign_out
from tenants.models import User

from ..models import ExternalIdentity
from ..oidc.logout_tokens import Logout
from ..providers import OidcProvider


def end_sessions(provider: OidcProvider, logout: Logout) -> int:
    """End the sessions in the portal that belong to a session at the provider; return their number.

    These are the sessions with its id; without an id, and of providers that give none at a sign-in, all of the user. Sessions
    that began after the logout stay, so that a token that is sent again ends nothing new. API tokens stay as well.
    """
    user: User | None = None
    if logout.subject:
        identity = ExternalIdentity.objects.select_related("user").filter(
            provider=provider.key, issuer=provider.issuer, subject=logout.subject
        )
        known = identity.first()
        if known is None:
            return 0
        user = known.user
    ended = end_provider_sessions(
        user_id=user.pk if user is not None else None,
        provider_session=name_provider_session(provider.key, logout.session),
        begun_before=logout.at + timedelta(seconds=settings.SIGN_IN_CLOCK_SKEW_SECONDS),
    )
    for one in User.objects.filter(pk__in=ended.keys()):
        record_provider_sign_out(one, provider.key)
    return sum(ended.values())


def name_provider_session(provider_key: str, session: str) -> str:
    """Return the name of a session at a provider among those of all providers; "" without an id."""
    return f"{provider_key}:{session}" if session else ""
