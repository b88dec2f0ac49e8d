"""How often one user may ask, by class of action."""

from __future__ import annotations

import time
from typing import Any

import structlog
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

log = structlog.get_logger(__name__)


class ActionClassThrottle(SimpleRateThrottle):
    """Rates "read" and "change", or the one that a view names as `throttle_class_name`; per user, else per address.

    The counts live in the cache. When that is away, requests pass: a portal without limits is better than none.
    """

    said_at = 0.0

    def __init__(self) -> None:
        """Take the rate later: it depends on the request."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Whether the request may go on."""
        default = "read" if request.method in SAFE_METHODS else "change"
        self.scope = getattr(view, "throttle_class_name", default)
        self.rate = self.THROTTLE_RATES[self.scope]
        self.num_requests, self.duration = self.parse_rate(self.rate)
        try:
            return super().allow_request(request, view)
        except Exception:  # noqa: BLE001 - whatever ails the cache, the request must not suffer.
            if time.monotonic() - ActionClassThrottle.said_at > 60:
                ActionClassThrottle.said_at = time.monotonic()
                log.warning("throttle_cache_unavailable", exc_info=True)
            return True

    def get_cache_key(self, request: Request, view: Any) -> str:
        """One count for each user, or for each address of those who have not signed in."""
        who = request.user.pk if request.user and request.user.is_authenticated else self.get_ident(request)
        return f"throttle:{self.scope}:{who}"
