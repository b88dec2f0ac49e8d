"""Verification of ID tokens (OpenID Connect Core, section 3.1.3.7)."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

import jwt
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..errors import SignInError
from ..providers import OidcProvider
from ..waiting import Deadline, ProviderAnswerError
from .metadata import Metadata, refresh_keys

MAX_SUBJECT_LENGTH = 255
_REASONS: dict[type[jwt.PyJWTError], tuple[str, str | Promise]] = {
    jwt.ExpiredSignatureError: ("token_expired", _("its proof of your identity has expired")),
    jwt.ImmatureSignatureError: (
        "token_not_yet_valid",
        _("its proof of your identity is not valid yet; the clocks may differ"),
    ),
    jwt.InvalidIssuerError: ("token_issuer", _("its proof of your identity is from another provider")),
    jwt.InvalidAudienceError: ("token_audience", _("its proof of your identity is for another application")),
    jwt.InvalidAlgorithmError: (
        "token_algorithm",
        _("its proof of your identity is signed in a way that is not allowed"),
    ),
    jwt.InvalidSignatureError: ("token_signature", _("the signature of its proof of your identity is wrong")),
    jwt.MissingRequiredClaimError: ("token_incomplete", _("its proof of your identity is incomplete")),
}


class TokenRefusedError(SignInError):
    """An ID token that is not valid for this sign-in."""

    def __init__(self, provider: OidcProvider, code: str, why: str | Promise, reason: str = "") -> None:
        message = _("%(name)s signed you in, but %(why)s. Start again.") % {"name": provider.name, "why": why}
        super().__init__(code, message, status=400, reason=reason)


def verify_id_token(
    provider: OidcProvider, metadata: Metadata, token: str, *, nonce: str, deadline: Deadline
) -> dict[str, Any]:
    """Return the claims of an ID token for this sign-in, or raise `TokenRefusedError`."""
    claims = decode_token(
        provider, metadata, token, required=("iss", "sub", "aud", "exp", "iat"), deadline=deadline
    )
    _check_claims(provider, claims, nonce)
    return claims


def decode_token(
    provider: OidcProvider, metadata: Metadata, token: str, *, required: Sequence[str], deadline: Deadline
) -> dict[str, Any]:
    """Return the claims of a token of the provider for the portal, whose signature and times are valid.

    Raises `TokenRefusedError`. When no known key fits, the keys are fetched again, once: the provider may have rotated them.
    """
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise _refusal(provider, error) from None
    if header.get("alg") not in provider.algorithms:
        raise _refusal(provider, jwt.InvalidAlgorithmError(f"signed with {header.get('alg')!r}"))
    try:
        return _decode(provider, metadata, token, header, required)
    except jwt.InvalidSignatureError:
        metadata = refresh_keys(provider, metadata, deadline)
        try:
            return _decode(provider, metadata, token, header, required)
        except jwt.PyJWTError as error:
            raise _refusal(provider, error) from None
    except jwt.PyJWTError as error:
        raise _refusal(provider, error) from None


def _decode(
    provider: OidcProvider, metadata: Metadata, token: str, header: dict[str, Any], required: Sequence[str]
) -> dict[str, Any]:
    """Decode with the keys of the token's key id, or with all where it names none. Raises `jwt.InvalidSignatureError` if none fits."""
    named = [key for key in metadata.keys if "kid" not in header or key.get("kid") == header["kid"]]
    for key in named:
        try:
            public_key = jwt.PyJWK(key, algorithm=header["alg"])
        except jwt.PyJWTError:  # A key of another type than the algorithm's.
            continue
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                public_key,
                algorithms=[header["alg"]],
                audience=provider.client_id,
                issuer=metadata.issuer,
                leeway=settings.SIGN_IN_CLOCK_SKEW_SECONDS,
                options={"require": list(required)},
            )
        except jwt.InvalidSignatureError:
            continue
        return claims
    raise jwt.InvalidSignatureError(f"no key {header.get('kid')!r} fits")


def _check_claims(provider: OidcProvider, claims: dict[str, Any], nonce: str) -> None:
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise TokenRefusedError(
            provider, "token_nonce", _("its proof of your identity was made for another sign-in")
        )
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    authorized = claims.get("azp", provider.client_id if len(audiences) == 1 else None)
    if authorized != provider.client_id:
        raise _refusal(provider, jwt.InvalidAudienceError(f"azp is {authorized!r}"))
    if not is_identifier(claims["sub"]):
        raise ProviderAnswerError(provider, "the subject is no text of at most 255 characters")


def is_identifier(value: Any) -> bool:
    """Return whether a claim is a text that can name a user or a session."""
    return isinstance(value, str) and 0 < len(value) <= MAX_SUBJECT_LENGTH and "\x00" not in value


def _refusal(provider: OidcProvider, error: jwt.PyJWTError) -> TokenRefusedError:
    for kind in type(error).__mro__:
        if kind in _REASONS:
            code, why = _REASONS[kind]
            return TokenRefusedError(provider, code, why, reason=str(error))
    return TokenRefusedError(
        provider, "token_invalid", _("its proof of your identity is not valid"), reason=str(error)
    )
