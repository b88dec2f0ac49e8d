"""Cache headers: a response is for one user and one tenant, and no cache may store it."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

# Besides its address, a response depends on the user, the tenant and the language.
VARY = ("Authorization", "Cookie", "X-Tenant", "Accept-Language")


class CacheControlMiddleware:
    """Forbid caches to store responses, unless the view has set `Cache-Control`.

    It comes after WhiteNoise in `MIDDLEWARE`, whose static files are public. `Vary` is set too, as a second guard for a view
    that allows caching by mistake.
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
