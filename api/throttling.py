"""Throttle the requests of each user, by class of action."""

from __future__ import annotations

import re
import time
from typing import Any

import structlog
from django.core.cache import cache
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from .client_address import client_network

log = structlog.get_logger(__name__)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RATE = re.compile(r"(\d+)/([smhd])")
CACHE_PAUSE_SECONDS = (
    5.0  # A cache that failed is not used for this long, so that not every request waits for its timeout.
)
LOG_EVERY_SECONDS = 60.0


class _CacheHealth:
    """The times of the last failure of the cache and of its last log line, for this process. Races only cost a log line."""

    failed_at: float | None = None
    logged_at: float | None = None

    @classmethod
    def is_paused(cls) -> bool:
        return cls.failed_at is not None and time.monotonic() - cls.failed_at < CACHE_PAUSE_SECONDS

    @classmethod
    def record_failure(cls, error: Exception) -> None:
        cls.failed_at = time.monotonic()
        if cls.logged_at is None or cls.failed_at - cls.logged_at > LOG_EVERY_SECONDS:
            cls.logged_at = cls.failed_at
            log.warning("throttle_cache_unavailable", error=repr(error))


class ActionClassThrottle(BaseThrottle):
    """Rates "read" and "change", or the one that a view names as `throttle_class_name`; per user, else per address.

    Requests are counted in windows of the rate's length, by one atomic increment in the cache. Without the cache, requests pass:
    a portal without limits is better than none.
    """

    wait_seconds: float | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        """Return whether the request is within its rate."""
        default = "read" if request.method in SAFE_METHODS else "change"
        name = getattr(view, "throttle_class_name", None) or default
        rate = api_settings.DEFAULT_THROTTLE_RATES.get(name)
        if not rate or _CacheHealth.is_paused():
            return True
        max_requests, seconds = parse_rate(str(rate))
        now = time.time()
        try:
            count = _increment(f"throttle:{name}:{_caller_key(request)}:{int(now // seconds)}", seconds)
        except Exception as error:  # noqa: BLE001 - each cache backend has errors of its own, and none may fail a request.
            _CacheHealth.record_failure(error)
            return True
        if count <= max_requests:
            return True
        self.wait_seconds = seconds - now % seconds
        log.warning("throttled", action_class=name, rate=rate)
        return False

    def wait(self) -> float | None:
        """Return the seconds until the next window, for `Retry-After`."""
        return self.wait_seconds


def parse_rate(rate: str) -> tuple[int, int]:
    """Return a rate as a count and its seconds: "30/min" is (30, 60)."""
    match = _RATE.match(rate)
    if match is None:
        raise ValueError(f"The rate '{rate}' is not of the form '30/min' (s, m, h or d).")
    return int(match[1]), _SECONDS[match[2]]


def _caller_key(request: Request) -> str:
    if request.user.is_authenticated:
        return str(request.user.pk)
    return client_network(request._request)  # noqa: SLF001 - the address is in Django's own request.


def _increment(key: str, seconds: int) -> int:
    """Add one to the count of a window, and return it.

    Safe for simultaneous requests: `add` lets exactly one of them start the count, and `incr` is atomic in the cache.
    """
    try:
        return cache.incr(key)
    except ValueError:  # The first request of this window.
        return 1 if cache.add(key, 1, timeout=seconds * 2) else cache.incr(key)
