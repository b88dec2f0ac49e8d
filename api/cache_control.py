"""Cache headers: answers are for one user and one tenant, and must not be stored on the way."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

# An answer depends on the user, the tenant and the language besides its address.
VARY = ("Authorization", "Cookie", "X-Tenant", "Accept-Language")


class CacheControlMiddleware:
    """Forbid to store answers, unless their view has said by `Cache-Control` how long they may be kept.

    It stands inside of WhiteNoise, whose static files are everybody's. Whoever is told by mistake that an answer may be
    kept is still told by `Vary` for whom.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        response = self.get_response(request)
        if "Cache-Control" not in response:
            response["Cache-Control"] = "no-store"
        if "public" not in response["Cache-Control"]:
            patch_vary_headers(response, VARY)
        return response
