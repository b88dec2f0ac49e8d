"""Bounds of listings, far above the largest project: a cloud whose listing never ends must not hold a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from .translation import malformed_answer
from .transport import Transport

MAX_OBJECTS = 1_000_000
MAX_PAGES = 10_000

Page = list[dict[str, Any]]
Params = ParamSpec("Params")
Listing = Callable[Concatenate[Transport, str, str, Params], Iterator[Page]]


def bounded_listing(fetch_pages: Listing[Params]) -> Listing[Params]:
    """Limit a listing to `MAX_PAGES` requests and `MAX_OBJECTS` objects. More raise `CloudUnavailableError`.

    Requests are counting, because the listing does not yield empty pages.
    """

    @wraps(fetch_pages)
    def fetch_bounded(
        transport: Transport, service: str, path: str, *args: Params.args, **kwargs: Params.kwargs
    ) -> Iterator[Page]:
        counting = cast("Transport", _CountingTransport(transport, service, path))
        objects = 0
        for page in fetch_pages(counting, service, path, *args, **kwargs):
            objects += len(page)
            if objects > MAX_OBJECTS:
                raise malformed_answer(f"{service}'s listing of {path} has more than {MAX_OBJECTS:,} objects")
            yield page

    return cast("Listing[Params]", fetch_bounded)


class _CountingTransport:
    def __init__(self, transport: Transport, service: str, path: str) -> None:
        self._transport = transport
        self._listing = f"{service}'s listing of {path}"
        self._pages = 0

    def request(self, *args: Any, **kwargs: Any) -> Any:
        self._pages += 1
        if self._pages > MAX_PAGES:
            raise malformed_answer(f"{self._listing} has more than {MAX_PAGES:,} pages")
        return self._transport.request(*args, **kwargs)
