"""The requests session under everything: bounded pool, timeouts that cannot be forgotten, few and safe retries."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import HTTPAdapter

# Changing nothing, these may be sent again when the connection broke. A POST may have been carried out: never.
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_SAFE_RETRIES = 1


class HttpSession(requests.Session):
    """A session that runs `before` ahead of each request, and sends safe ones once more when a connection broke.

    A timeout is not sent again: its caller has waited long enough. `timeout` is (connect, read) in seconds.
    """

    def __init__(
        self,
        *,
        timeout: tuple[float, float],
        before: Callable[[], object],
        pool_size: int,
        retry_delay: float,
    ) -> None:
        super().__init__()
        self._timeout = timeout
        self._before = before
        self._retry_delay = retry_delay
        adapter = HTTPAdapter(pool_connections=pool_size, pool_maxsize=pool_size, pool_block=True)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """As in requests, with our timeout whatever the caller says."""
        kwargs["timeout"] = self._timeout
        retries = _SAFE_RETRIES if method.upper() in _SAFE_METHODS else 0
        while True:
            self._before()
            try:
                return super().request(method, url, *args, **kwargs)
            except requests.Timeout:
                raise
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                if retries <= 0:
                    raise
            retries -= 1
            time.sleep(self._retry_delay)
