"""Signing in with an OpenID Connect provider: to the provider, and back."""

from __future__ import annotations

import hmac
import json
import re
import time
from typing import Any

import structlog
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.page_addresses import find_nearest_page
from api.password_checks import count_provider_check
from events.sign_ins import record_refusal
from security.encryption import UnreadableSecretError, decrypt, encrypt

from ..errors import SignInError
from ..oidc.flow import Attempt, SignInResult, build_authorization_url, complete_sign_in, new_attempt
from ..oidc.id_tokens import is_identifier
from ..providers import OidcProvider
from ..services.identities import ProvenIdentity, find_claim, get_or_create_user, read_groups
from ..services.provider_logouts import name_provider_session
from ..sessions import PROVIDER_BACKEND
from ..waiting import provider_slot
from .sign_in import finish_sign_in, render_refusal

log = structlog.get_logger(__name__)
# A sign-in at the provider may take this long: a password, a second factor, a change of the password.
ATTEMPT_SECONDS = 900
_STATE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_MAX_CODE_LENGTH = 4096


@never_cache
@require_GET
def provider_sign_in_page(request: HttpRequest, key: str) -> HttpResponse:
    """Send the browser to the provider. The secrets of the attempt stay in the browser, encrypted."""
    provider = get_provider(key)
    address = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(address, None):
        address = ""
    attempt = new_attempt()
    try:
        with provider_slot(provider) as deadline:
            url = build_authorization_url(
                provider,
                attempt,
                redirect_uri=_build_redirect_uri(request, provider),
                language=get_language() or "",
                deadline=deadline,
            )
    except SignInError as error:
        return _refuse(request, provider, error)
    response = HttpResponseRedirect(url)
    stored = {
        "state": attempt.state,
        "nonce": attempt.nonce,
        "verifier": attempt.verifier,
        "provider": provider.key,
        "next": address[:2000],
        "at": int(time.time()),
    }
    response.set_cookie(
        _name_cookie(attempt.state),
        encrypt(json.dumps(stored)),
        max_age=ATTEMPT_SECONDS,
        path=reverse("provider-callback", args=[provider.key]),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


@never_cache
@require_GET
def provider_callback_page(request: HttpRequest, key: str) -> HttpResponse:
    """Complete the sign-in of a browser that comes back from the provider."""
    provider = get_provider(key)
    state = request.GET.get("state", "")
    try:
        attempt, address = _read_attempt(request, provider, state)
        response = _complete(request, provider, attempt, address)
    except SignInError as error:
        response = _refuse(request, provider, error)
    if _STATE.fullmatch(state):
        response.delete_cookie(_name_cookie(state), path=reverse("provider-callback", args=[provider.key]))
    return response


def _complete(request: HttpRequest, provider: OidcProvider, attempt: Attempt, address: str) -> HttpResponse:
    refusal: SignInError | None = None
    with count_provider_check(provider.key) as check:
        try:
            result = _prove_identity(request, provider, attempt)
            user = get_or_create_user(_read_identity(provider, result))
            check.passed = True
        except SignInError as error:
            check.passed = not error.is_attempt
            refusal = error
    if refusal is not None:
        if refusal.is_attempt:
            record_refusal(name=provider.name, method="oidc", provider=provider.key, reason=refusal.code)
        raise refusal
    session = result.claims.get("sid")
    known_session = str(session) if is_identifier(session) else ""
    return finish_sign_in(
        request,
        user,
        find_nearest_page(address) if address else reverse(settings.LOGIN_REDIRECT_URL),
        method="oidc",
        backend=PROVIDER_BACKEND,
        provider=provider.key,
        factor="provider" if provider.second_factor else "",
        id_token=result.id_token,
        hours=provider.session_hours,
        provider_session=name_provider_session(provider.key, known_session),
    )


def _prove_identity(request: HttpRequest, provider: OidcProvider, attempt: Attempt) -> SignInResult:
    issuer = request.GET.get("iss", provider.issuer)
    if issuer != provider.issuer:  # RFC 9207: which provider the browser comes from.
        raise SignInError(
            "other_provider", _("The answer is from another provider. Start again."), reason=issuer[:200]
        )
    if "error" in request.GET:
        raise SignInError(
            "provider_refused",
            _("%(name)s did not sign you in. Start again, or ask your administrator.")
            % {"name": provider.name},
            status=403,
            reason=request.GET["error"][:200],
        )
    code = request.GET.get("code", "")
    if not code or len(code) > _MAX_CODE_LENGTH or not code.isprintable():
        raise SignInError(
            "no_code", _("The answer of %(name)s is incomplete. Start again.") % {"name": provider.name}
        )
    with provider_slot(provider) as deadline:
        return complete_sign_in(
            provider,
            attempt,
            code=code,
            redirect_uri=_build_redirect_uri(request, provider),
            deadline=deadline,
        )


def _read_identity(provider: OidcProvider, result: SignInResult) -> ProvenIdentity:
    claims = result.claims
    # Entra ID leaves the groups out when they are too many, and says so here. To take all roles away would be wrong.
    if provider.groups_claim in (claims.get("_claim_names") or {}):
        raise SignInError(
            "groups_left_out",
            _("%(name)s left your groups out, because there are too many. Tell your administrator.")
            % {"name": provider.name},
            status=403,
            is_attempt=False,
        )
    return ProvenIdentity(
        provider=provider.key,
        issuer=provider.issuer,
        subject=result.subject,
        username=_read_text(find_claim(claims, provider.username_claim)),
        username_suffix=provider.username_suffix,
        email=_read_text(claims.get("email")),
        first_name=_read_text(claims.get("given_name")),
        last_name=_read_text(claims.get("family_name")),
        groups=read_groups(find_claim(claims, provider.groups_claim)),
        has_second_factor=provider.second_factor,
    )


def _read_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _refuse(request: HttpRequest, provider: OidcProvider, error: SignInError) -> HttpResponse:
    log.warning("provider_sign_in_failed", provider=provider.key, code=error.code, reason=error.reason)
    return render_refusal(request, error)


def get_provider(key: str) -> OidcProvider:
    """Return a provider of the settings. Raises `Http404`."""
    provider: OidcProvider | None = settings.OIDC_PROVIDERS.get(key)
    if provider is None:
        raise Http404
    return provider


def _build_redirect_uri(request: HttpRequest, provider: OidcProvider) -> str:
    return request.build_absolute_uri(reverse("provider-callback", args=[provider.key]))


def _name_cookie(state: str) -> str:
    return f"sign_in_{state[:16]}"


def _read_attempt(request: HttpRequest, provider: OidcProvider, state: str) -> tuple[Attempt, str]:
    """Return the attempt that the browser has begun, and the page to go to. Raises `SignInError` for another or an old one."""
    stored: dict[str, Any] = {}
    if _STATE.fullmatch(state):
        try:
            stored = json.loads(decrypt(request.COOKIES.get(_name_cookie(state), "")) or "{}")
        except (UnreadableSecretError, ValueError):
            stored = {}
    is_of_attempt = hmac.compare_digest(str(stored.get("state", "")), state) and bool(stored)
    is_in_time = -ATTEMPT_SECONDS < time.time() - float(stored.get("at", 0)) < ATTEMPT_SECONDS
    if not is_of_attempt or not is_in_time or stored["provider"] != provider.key:
        raise SignInError(
            "unknown_attempt",
            _("This browser did not begin this sign-in, or it took too long. Start again."),
            is_attempt=False,
        )
    return Attempt(stored["state"], stored["nonce"], stored["verifier"]), stored["next"]
