"""What a provider itself sends to the portal: that a session has ended there."""

from __future__ import annotations

import structlog
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from api.page_addresses import require_POST
from api.password_checks import count_provider_check

from ..errors import SignInError
from ..oidc.logout_tokens import Logout, read_logout_token
from ..providers import OidcProvider
from ..services.provider_logouts import end_sessions
from ..waiting import provider_slot
from .oidc import get_provider

log = structlog.get_logger(__name__)


@csrf_exempt
@never_cache
@require_POST
def receive_logout(request: HttpRequest, key: str) -> HttpResponse:
    """End the sessions that a logout token names. It is signed by the provider, so the request needs neither cookie nor CSRF token."""
    provider = get_provider(key)
    try:
        logout = _read(request, provider)
    except SignInError as error:
        log.warning("provider_logout_refused", provider=provider.key, code=error.code, reason=error.reason)
        body = {"error": "invalid_request", "error_description": error.reason or error.code}
        return JsonResponse(body, status=error.status)
    count = end_sessions(provider, logout)
    log.info("provider_logout", provider=provider.key, sessions=count)
    return HttpResponse(status=200)


def _read(request: HttpRequest, provider: OidcProvider) -> Logout:
    """Return what the token says. Wrong tokens are limited as wrong sign-ins are: each costs a check of a signature."""
    refusal: SignInError | None = None
    with count_provider_check(provider.key) as check:
        try:
            with provider_slot(provider) as deadline:
                logout = read_logout_token(provider, request.POST.get("logout_token", ""), deadline)
            check.passed = True
        except SignInError as error:
            check.passed = not error.is_attempt
            refusal = error
    if refusal is not None:
        raise refusal
    return logout
