"""The authorization code flow with PKCE (RFC 6749, RFC 7636, OpenID Connect Core)."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from django.utils.translation import gettext_lazy as _

from ..errors import SignInError
from ..providers import OidcProvider
from ..waiting import Deadline, ProviderAnswerError
from .id_tokens import TokenRefusedError, verify_id_token
from .metadata import Metadata, find_metadata, get_metadata
from .requests import fetch_json


@dataclass(frozen=True)
class Attempt:
    """The secrets of a sign-in that has begun: the browser keeps them, encrypted, until it comes back from the provider."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class SignInResult:
    """What the provider has proved about the user. `claims` are those of the ID token and of the userinfo endpoint."""

    subject: str
    claims: dict[str, Any]
    id_token: str


def new_attempt() -> Attempt:
    """Return the secrets of a new sign-in."""
    return Attempt(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48))


def build_authorization_url(
    provider: OidcProvider, attempt: Attempt, *, redirect_uri: str, language: str, deadline: Deadline
) -> str:
    """Return the address at the provider to which the browser is sent. Raises `SignInError`."""
    metadata = get_metadata(provider, deadline)
    challenge = hashlib.sha256(attempt.verifier.encode()).digest()
    parameters = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(provider.scopes),
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        "ui_locales": language,
    }
    return _add_query(provider, metadata.authorization_endpoint, parameters)


def complete_sign_in(
    provider: OidcProvider, attempt: Attempt, *, code: str, redirect_uri: str, deadline: Deadline
) -> SignInResult:
    """Exchange the code for tokens, verify them, and return who has signed in. Raises `SignInError`."""
    metadata = get_metadata(provider, deadline)
    form = {"code": code, "redirect_uri": redirect_uri, "code_verifier": attempt.verifier}
    tokens = _exchange_code(provider, metadata, form, deadline)
    id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
    if not isinstance(id_token, str):
        raise ProviderAnswerError(provider, "the token endpoint returned no ID token")
    claims = verify_id_token(provider, metadata, id_token, nonce=attempt.nonce, deadline=deadline)
    if metadata.userinfo_endpoint and isinstance(access_token, str):
        claims = _fetch_userinfo(provider, metadata, access_token, claims["sub"], deadline) | claims
    return SignInResult(claims["sub"], claims, id_token)


def build_logout_url(provider: OidcProvider, *, id_token: str, return_url: str) -> str:
    """Return the address that ends the session at the provider, or "" when it publishes none or is not known yet."""
    metadata = find_metadata(provider)
    if metadata is None or not metadata.end_session_endpoint:
        return ""
    parameters = {"client_id": provider.client_id, "post_logout_redirect_uri": return_url}
    if id_token:
        parameters["id_token_hint"] = id_token
    try:
        return _add_query(provider, metadata.end_session_endpoint, parameters)
    except ProviderAnswerError:
        return ""


def _add_query(provider: OidcProvider, url: str, parameters: dict[str, str]) -> str:
    """Return a URL that the browser is sent to, with parameters. It must be as protected as the issuer's."""
    schemes = ("https://",) if provider.issuer.startswith("https:") else ("https://", "http://")
    if not url.startswith(schemes):
        raise ProviderAnswerError(provider, f"'{url[:200]}' is no https URL")
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


def _exchange_code(
    provider: OidcProvider, metadata: Metadata, form: dict[str, str], deadline: Deadline
) -> dict[str, Any]:
    form["grant_type"] = "authorization_code"
    headers = {}
    if provider.client_secret and provider.client_auth_method == "client_secret_basic":
        # RFC 6749, section 2.3.1: both parts are encoded as in a form.
        pair = f"{quote(provider.client_id, safe='')}:{quote(provider.client_secret, safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form["client_id"] = provider.client_id
        if provider.client_secret:
            form["client_secret"] = provider.client_secret
    answer = fetch_json(
        provider, metadata.token_endpoint, deadline, form=form, headers=headers, error_status=400
    )
    if "error" in answer:
        raise SignInError(
            "code_refused",
            _("%(name)s did not accept the sign-in any more. Start again.") % {"name": provider.name},
            reason=str(answer.get("error"))[:200],
        )
    return answer


def _fetch_userinfo(
    provider: OidcProvider, metadata: Metadata, access_token: str, subject: str, deadline: Deadline
) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {access_token}"}
    info = fetch_json(provider, metadata.userinfo_endpoint, deadline, headers=headers)
    if info.get("sub") != subject:
        raise TokenRefusedError(
            provider,
            "other_subject",
            _("it answered with the details of another user"),
            reason=f"userinfo has the subject {str(info.get('sub'))[:100]!r}",
        )
    return info
