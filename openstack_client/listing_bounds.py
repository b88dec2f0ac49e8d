"""The bounds of a listing, far above the largest project: a cloud that always has another page must not hold a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from .translation import malformed_answer
from .transport import Transport

MAX_ROWS = 1_000_000
MAX_PAGES = 10_000

Page = list[dict[str, Any]]
Params = ParamSpec("Params")
Listing = Callable[Concatenate[Transport, str, str, Params], Iterator[Page]]


def bounded_listing(fetch_pages: Listing[Params]) -> Listing[Params]:
    """Let a listing ask for `MAX_PAGES` and show `MAX_ROWS` at the most. Beyond that it raises `CloudUnavailableError`.

    Pages are counted where they are requested: an empty one, which the listing does not show, counts too.
    """

    @wraps(fetch_pages)
    def fetch_bounded(
        transport: Transport, service: str, path: str, *args: Params.args, **kwargs: Params.kwargs
    ) -> Iterator[Page]:
        counted = cast("Transport", _CountingTransport(transport, service, path))
        rows = 0
        for page in fetch_pages(counted, service, path, *args, **kwargs):
            rows += len(page)
            if rows > MAX_ROWS:
                raise malformed_answer(f"{service}'s listing of {path} has more than {MAX_ROWS:,} objects")
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
