"""Read a listing page by page, to its proven end.

How a listing of OpenStack's may end wrongly, and what is done about it:

| what happens | what is done |
|---|---|
| the link to the next page has another name than the list (`volume_type_links`), or is Glance's `next`, or Keystone's `links.next` | all of them are understood |
| a page is shorter than requested, and no link says that there is more: perhaps a limit of the server's | the rest is requested by marker until a page is empty |
| the marker was removed between two pages (400, 404) | the listing begins anew, at most `MAX_RESTARTS` times; what was shown before is not shown twice |
| a page is empty, or has no id that could be a marker, and links to more | the marker in the link is followed, never its host or path |
| a page shows nothing but what earlier ones have shown | `CloudUnavailableError`: the server ignores the marker, and what else there is cannot be known |
| an object comes twice, on one page or on two | it is shown once |
| an object cannot be read | it is counted and named on its page, and the others are read |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from .errors import CloudNotFoundError, InvalidCloudRequestError, UnreadableRecordError
from .listing_bounds import bounded_listing
from .records.json_values import is_id, text
from .translation import malformed_answer
from .transport import Transport
from .validation import validate_page_size

# Raw JSON, whose elements should be objects.
Page = list[Any]
AnyPage = TypeVar("AnyPage")
Record = TypeVar("Record")

MAX_RESTARTS = 3


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """An object of a listing that could not be read: its id, or "" when it has none, its name, and why.

    The id may be one that no service could have given it. Without any, the object may be each of those that are missing.
    """

    id: str
    name: str
    reason: str

    def __str__(self) -> str:
        """Return the object's name, and why it could not be read."""
        called = " ".join(filter(None, (self.id[:80], f'"{self.name[:80]}"' if self.name else "")))
        return f"{called}: {self.reason}" if called else self.reason


class RecordPage(list[Record]):
    """A page of records; `unreadable` are the objects on it that none could be made of."""

    def __init__(self, records: Iterable[Record] = (), unreadable: Iterable[UnreadableRecord] = ()) -> None:
        super().__init__(records)
        self.unreadable = tuple(unreadable)


def read_records(page: Iterable[Any], from_json: Callable[[Any], Record]) -> RecordPage[Record]:
    """Make records of a page's raw objects. Never raises for one of them: it is in the page's `unreadable`."""
    records: list[Record] = []
    unreadable: list[UnreadableRecord] = []
    for raw in page:
        try:
            records.append(from_json(raw))
        except Exception as error:  # noqa: BLE001 - whatever one object does to us, the others are read.
            unreadable.append(_unreadable(raw, error))
    return RecordPage(records, unreadable)


def join_pages(pages: Iterable[RecordPage[Record]]) -> RecordPage[Record]:
    """Return all pages as one."""
    records: list[Record] = []
    unreadable: list[UnreadableRecord] = []
    for page in pages:
        records += page
        unreadable += page.unreadable
    return RecordPage(records, unreadable)


def _unreadable(raw: Any, error: Exception) -> UnreadableRecord:
    get = raw.get if isinstance(raw, dict) else {}.get
    found, name = get("id"), text(get("name"), 80)
    reason = (
        error.what if isinstance(error, UnreadableRecordError) else f"{type(error).__name__} while reading it"
    )
    return UnreadableRecord(text(found) or "", name or "", reason)


def _id_of(raw: Any) -> Any:
    found = raw.get("id") if isinstance(raw, dict) else None
    return found if is_id(found) else None


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
) -> Iterator[Page]:
    """Yield the pages of raw JSON objects of a listing, each object once. Memory holds one page, and the ids of all.

    `marker_of` says what stands for an object in a `marker`: its id, unless the service has it otherwise; None for an
    object that has none.
    Raises `CloudUnavailableError` when the listing does not come to its proven end (see the module's text): pages already
    read are then not all, and nothing may be taken for gone.
    """
    validate_page_size(page_size)
    seen: set[str] = set()
    restarts = 0
    marker: str | None = None
    used: set[str] = set()
    tail: list[Any] = []
    while True:
        query: dict[str, Any] = {**(params or {}), "limit": page_size}
        if marker is not None:
            query["marker"] = marker
        try:
            body = transport.request(
                service, "GET", path, doing=doing, params=query, microversion=microversion
            )
        except (InvalidCloudRequestError, CloudNotFoundError) as refused:
            restarts += 1
            _check_restart(refused, path, marker, restarts)
            marker, tail = None, []
            used.clear()
            continue
        raw_page = body.get(key) if isinstance(body, dict) else None
        if not isinstance(raw_page, list):
            raise malformed_answer(f"a page of {path} holds no list of {key}")
        linked = _next_marker(body)
        if not raw_page and linked is None:
            return
        markers = [marker_of(raw) for raw in raw_page]
        last = max((place for place, one in enumerate(markers) if one), default=None)
        following = linked if last is None else markers[last]
        if following and following in used:
            raise malformed_answer(f"the listing of {path} turns in a circle at {following}")
        if page := _drop_seen(raw_page, markers, seen, tail):
            yield page
        if not following:
            if linked is None and len(raw_page) < page_size:
                # Nothing on it can be a marker, nothing says that there is more, and it is not a full page.
                return
            raise malformed_answer(f"a page of {path} says that there is more, and not where")
        used.add(following)
        marker, tail = following, [] if last is None else raw_page[last + 1 :]


def _check_restart(
    refused: InvalidCloudRequestError | CloudNotFoundError, path: str, marker: str | None, restarts: int
) -> None:
    """Raise unless a listing may begin anew because the service no longer knows the marker."""
    if marker is None or refused.status_code not in {400, 404}:
        if isinstance(refused, CloudNotFoundError):
            # Of a listing, and not of an object: for a removal, that would mean success.
            raise malformed_answer(f"there is no listing at {path}: {refused.message}") from None
        raise refused
    if restarts > MAX_RESTARTS:
        raise malformed_answer(
            f"the listing of {path} broke off {restarts} times, because the last object of a page was gone "
            f"before the next page was requested: {refused.message}"
        ) from None


def prefetch_pages(pages: Iterator[AnyPage], check: Callable[[], None]) -> Iterator[AnyPage]:
    """Yield the same pages, each fetched in a thread while the caller works on the one before.

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


def _drop_seen(raw_page: list[Any], markers: list[Any], seen: set[str], tail: list[Any]) -> Page:
    """Return the objects of a page that were on none before. One without a marker is recognized only after the last one that has a marker."""
    page = []
    for raw, marker in zip(raw_page, markers, strict=True):
        if marker:
            if marker in seen:
                continue
            seen.add(marker)
        elif raw in tail:
            continue
        page.append(raw)
    return page


def _next_marker(body: dict[str, Any]) -> str | None:
    """Return the marker in the link to the next page, "" for a link without one, None when there is no link.

    Nova, Cinder and Neutron have a list of links under a name that ends in `_links`, Glance an address in `next`, Keystone
    one in `links`. Only the marker is taken of an address: where the next page is, we know.
    """
    for name, links in body.items():
        if name.endswith("_links") and isinstance(links, list):
            for link in links:
                if isinstance(link, dict) and link.get("rel") == "next":
                    return _parse_marker(link.get("href"))
    links = body.get("links")
    said = body.get("next") or (links.get("next") if isinstance(links, dict) else None)
    return _parse_marker(said) if said else None


def _parse_marker(href: Any) -> str:
    if not isinstance(href, str):
        return ""
    try:
        found = parse_qs(urlsplit(href).query).get("marker", [""])[0]
    except ValueError:
        return ""
    return found if len(found) <= 255 else ""
