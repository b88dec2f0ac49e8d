"""Counting of requests by route, status and duration, for `/metrics`."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from api.shared_metrics import Counter, Histogram

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REQUESTS = Counter(
    "portal_http_requests", "Requests that were answered, by route and status.", ("method", "route", "status")
)
# The key of the beginning of a request, by a monotonic clock; no header of a client has such a name.
BEGAN = "portal.began"
DURATIONS = Histogram(
    "portal_http_request_duration_seconds",
    "Seconds from a complete request to its response, without requests that ask to wait for a job (Prefer: wait).",
    ("route",),
    (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


class RequestMetricsMiddleware:
    """Count each request. It stands before all middleware that may answer, so that their answers count too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        began = time.monotonic()
        request.META[BEGAN] = began
        response = self.get_response(request)
        route = find_route(request)
        method = request.method if request.method in METHODS else "other"
        REQUESTS.increment(method or "other", route, str(response.status_code))
        if "wait" not in request.headers.get("Prefer", "").lower():
            DURATIONS.observe(time.monotonic() - began, route)
        return response


def find_route(request: HttpRequest) -> str:
    """Return the route of a request: the pattern of its URL, so that its values are bounded by the URL map.

    The admin has hundreds of patterns and counts as one route, and so do all static files.
    """
    match = request.resolver_match
    if match is None:
        return (
            "static" if request.path_info.startswith(f"/{settings.STATIC_URL.strip('/')}/") else "unmatched"
        )
    return "/admin/" if match.route.startswith("admin/") else f"/{match.route}"


def describe_request(request: HttpRequest, log_kwargs: dict[str, object], **_signal: object) -> None:
    """Add route and duration to the log line of a request that has ended. A receiver of django-structlog's signal."""
    log_kwargs["route"] = find_route(request)
    if BEGAN in request.META:
        log_kwargs["duration_ms"] = round((time.monotonic() - request.META[BEGAN]) * 1000, 1)
