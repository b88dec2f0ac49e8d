"""Reading a listing page by page, and noticing when it does not end as a listing should."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from .checks import checked_page_size
from .listing_bounds import bounded_listing
from .translation import nonsense
from .transport import Transport

Page = list[dict[str, Any]]
AnyPage = TypeVar("AnyPage")


def _id_of(raw: Any) -> Any:
    return raw.get("id") if isinstance(raw, dict) else None


@bounded_listing
def json_pages(
    transport: Transport,
    service: str,
    path: str,
    key: str,
    *,
    doing: str,
    page_size: int,
    params: Mapping[str, Any] | None = None,
    microversion: str | None = None,
    marker_of: Callable[[Any], Any] = _id_of,
) -> Iterator[list[dict[str, Any]]]:
    """Pages of raw JSON objects, following `limit` and `marker`. Memory holds one page.

    `marker_of` says what stands for an object in a `marker`: its id, unless the service has it otherwise.
    Raises `CloudUnavailable` when a page is not a list of objects with ids, or when the listing turns in a circle: a
    listing that ends wrongly must never look like a shorter fleet.
    """
    checked_page_size(page_size)
    marker: str | None = None
    markers: set[str] = set()
    while True:
        query: dict[str, Any] = {**(params or {}), "limit": page_size}
        if marker is not None:
            query["marker"] = marker
        body = transport.request(service, "GET", path, doing=doing, params=query, microversion=microversion)
        page = body.get(key) if isinstance(body, dict) else None
        if not isinstance(page, list):
            raise nonsense(f"a page of {path} holds no list of {key}")
        if not page:
            return
        marker = marker_of(page[-1])
        if not isinstance(marker, str) or not marker:
            raise nonsense(f"a page of {path} ends with an object without an id")
        if marker in markers:
            raise nonsense(f"the listing of {path} turns in a circle at {marker}")
        markers.add(marker)
        yield page
        # The cloud may cap a page below what we asked for, and then says that there is more.
        if len(page) < page_size and not _has_next(body, key):
            return


def fetched_ahead(pages: Iterator[AnyPage], check: Callable[[], None]) -> Iterator[AnyPage]:
    """The same pages, each fetched in a thread while the one before it is being worked on.

    Memory holds two pages. What fetching raises is raised here, at the page that it happened at. Only this thread
    and the one helper touch `pages`, never both at once, so a plain generator is safe.
    `check` runs in the caller's own thread before each fetch: a guard that looks at the caller's transaction would
    find none in the helper's. Who leaves early waits for the fetch under way, at the most the read timeout.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="next-page") as fetcher:
        check()
        coming = fetcher.submit(next, pages, None)
        while (page := coming.result()) is not None:
            check()
            coming = fetcher.submit(next, pages, None)
            yield page


def _has_next(body: dict[str, Any], key: str) -> bool:
    links = body.get(f"{key}_links")
    if isinstance(links, list):
        return any(isinstance(link, dict) and link.get("rel") == "next" for link in links)
    # Glance says it so.
    return bool(body.get("next"))
