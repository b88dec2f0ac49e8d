"""Verification of logout tokens, by which a provider says that a session has ended (OpenID Connect Back-Channel Logout 1.0)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ..errors import SignInError
from ..providers import OidcProvider
from ..waiting import Deadline
from .id_tokens import decode_token, is_identifier
from .metadata import get_metadata

EVENT = "http://schemas.openid.net/event/backchannel-logout"
MAX_LENGTH = 16_000


@dataclass(frozen=True)
class Logout:
    """The end of a session at the provider: whose, which one, and when. Of `subject` and `session`, one may be empty."""

    subject: str
    session: str
    at: datetime


def read_logout_token(provider: OidcProvider, token: str, deadline: Deadline) -> Logout:
    """Return what a logout token says. Raises `SignInError`, also while the provider's keys can't be fetched."""
    if not 0 < len(token) <= MAX_LENGTH:
        raise _refuse("there is no logout_token, or it is too long")
    metadata = get_metadata(provider, deadline)
    required = ("iss", "aud", "exp", "iat", "jti", "events")
    claims = decode_token(provider, metadata, token, required=required, deadline=deadline)
    # An ID token, which has a nonce and no event, must never count as a logout token.
    if "nonce" in claims:
        raise _refuse("a logout token has no nonce")
    events = claims["events"]
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise _refuse(f"the events are not {EVENT}")
    names = {name: claims[name] for name in ("sub", "sid") if name in claims}
    if not names or not all(is_identifier(value) for value in names.values()):
        raise _refuse("it needs sub or sid, as texts of at most 255 characters")
    try:
        at = datetime.fromtimestamp(claims["iat"], UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise _refuse("iat is no time") from None
    return Logout(names.get("sub", ""), names.get("sid", ""), at)


def _refuse(reason: str) -> SignInError:
    # Without a message: the provider's program reads the reason, and nobody sees a page.
    return SignInError("logout_token", "", reason=reason)
