"""Read a listing page by page, to its proven end.

How a listing may end wrongly, and how this module reacts:

| event | reaction |
|---|---|
| the link to the next page has another name than the list (`volume_type_links`), or is Glance's `next`, or Keystone's `links.next` | all of these are understood |
| a page is shorter than requested, and no link to a next page: perhaps a limit of the server | the rest is requested by marker until a page is empty |
| the marker was removed between two pages (400, 404) | the listing is restarted, at most `MAX_RESTARTS` times; objects are not yielded twice |
| a page is empty, or has no id that could be a marker, but links to a next page | the marker of the link is used, never its host or path |
| a page ends with the marker of an earlier page, as Nova's do now and then when servers are created meanwhile | the listing is restarted, too; a server that always ignores the marker is `CloudUnavailableError`, because the rest cannot be read |
| an object is listed twice | it is yielded once |
| an object cannot be read | its page reports it, and the others are read |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
    """An object of a listing that could not be read: its id, or "", its name, and the reason.

    The id may be invalid. An object without an id may be any of the objects that the listing did not show.
    """

    id: str
    name: str
    reason: str

    def __str__(self) -> str:
        """Return the object and the reason, for messages."""
        identity = " ".join(filter(None, (self.id[:80], f'"{self.name[:80]}"' if self.name else "")))
        return f"{identity}: {self.reason}" if identity else self.reason


class RecordPage(list[Record]):
    """A page of records; `unreadable` are its objects that could not be read."""

    def __init__(self, records: Iterable[Record] = (), unreadable: Iterable[UnreadableRecord] = ()) -> None:
        super().__init__(records)
        self.unreadable = tuple(unreadable)


def read_records(page: Iterable[Any], from_json: Callable[[Any], Record]) -> RecordPage[Record]:
    """Convert a page's raw objects to records. One that raises is reported in the page's `unreadable`."""
    records: list[Record] = []
    unreadable: list[UnreadableRecord] = []
    for raw in page:
        try:
            records.append(from_json(raw))
        except Exception as error:  # noqa: BLE001 - one malformed object must not block the others.
            unreadable.append(_build_unreadable(raw, error))
    return RecordPage(records, unreadable)


def join_pages(pages: Iterable[RecordPage[Record]]) -> RecordPage[Record]:
    """Return all pages as one."""
    records: list[Record] = []
    unreadable: list[UnreadableRecord] = []
    for page in pages:
        records += page
        unreadable += page.unreadable
    return RecordPage(records, unreadable)


def _build_unreadable(raw: Any, error: Exception) -> UnreadableRecord:
    get = raw.get if isinstance(raw, dict) else {}.get
    found, name = get("id"), text(get("name"), 80)
    reason = (
        error.what if isinstance(error, UnreadableRecordError) else f"{type(error).__name__} while reading it"
    )
    return UnreadableRecord(text(found) or "", name or "", reason)


def _get_id(raw: Any) -> Any:
    found = raw.get("id") if isinstance(raw, dict) else None
    return found if is_id(found) else None


@dataclass(slots=True)
class _Position:
    """The position in a listing: the marker of the next page, the markers before it, and how often the listing was restarted."""

    marker: str | None = None
    # The raw objects after the marker on its page, which the next page may have again.
    tail: list[Any] = field(default_factory=list)
    used_markers: set[str] = field(default_factory=set)
    restarts: int = 0

    def advance(self, marker: str, tail: list[Any]) -> None:
        self.used_markers.add(marker)
        self.marker, self.tail = marker, tail

    def restart(self, reason: Exception) -> None:
        """Go back to the first page. Raises `reason` when that has not helped `MAX_RESTARTS` times."""
        self.restarts += 1
        if self.restarts > MAX_RESTARTS:
            raise reason from None
        self.marker, self.tail = None, []
        self.used_markers.clear()


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
    get_marker: Callable[[Any], Any] = _get_id,
) -> Iterator[Page]:
    """Yield the pages of raw JSON objects of a listing, each object once. Memory holds one page, and the ids of all.

    `get_marker` returns the marker of an object, which is its id for most services; None for an object without one.
    Raises `CloudUnavailableError` when the listing does not come to its proven end (see the module's docstring): the pages
    until then are incomplete, and no object may count as gone.
    """
    validate_page_size(page_size)
    seen: set[str] = set()
    position = _Position()
    while True:
        query: dict[str, Any] = {**(params or {}), "limit": page_size}
        if position.marker is not None:
            query["marker"] = position.marker
        try:
            body = transport.request(
                service, "GET", path, doing=doing, params=query, microversion=microversion
            )
        except (InvalidCloudRequestError, CloudNotFoundError) as refused:
            position.restart(_check_marker_unknown(refused, path, position.marker))
            continue
        raw_page = body.get(key) if isinstance(body, dict) else None
        if not isinstance(raw_page, list):
            raise malformed_answer(f"a page of {path} holds no list of {key}")
        linked_marker = _find_next_marker(body)
        if not raw_page and linked_marker is None:
            return
        markers = [get_marker(raw) for raw in raw_page]
        last = max((index for index, candidate in enumerate(markers) if candidate), default=None)
        next_marker = linked_marker if last is None else markers[last]
        if next_marker in position.used_markers:
            position.restart(malformed_answer(f"the listing of {path} loops at {next_marker}"))
            continue
        if page := _drop_seen(raw_page, markers, seen, position.tail):
            yield page
        if not next_marker:
            if linked_marker is None and len(raw_page) < page_size:
                # No object can be a marker, there is no link, and the page is not full: this is the end.
                return
            raise malformed_answer(f"a page of {path} announces another page without its address")
        position.advance(next_marker, [] if last is None else raw_page[last + 1 :])


def _check_marker_unknown(
    refused: InvalidCloudRequestError | CloudNotFoundError, path: str, marker: str | None
) -> Exception:
    """Return what is wrong when restarts do not help. Raises unless the service has refused because it no longer knows the marker."""
    if marker is None or refused.status_code not in {400, 404}:
        if isinstance(refused, CloudNotFoundError):
            # Not raised as it is: for a deletion, `CloudNotFoundError` means success.
            raise malformed_answer(f"there is no listing at {path}: {refused.message}") from None
        raise refused
    return malformed_answer(
        f"the listing of {path} broke off again and again, because the last object of a page was gone "
        f"before the next page was requested: {refused.message}"
    )


def prefetch_pages(pages: Iterator[AnyPage], check: Callable[[], None]) -> Iterator[AnyPage]:
    """Yield the same pages, each fetched in a thread while the caller works on the one before.

    Memory holds two pages. Errors of a fetch are raised here, in place of its page. Only this thread and the helper use
    `pages`, never both at once, so a plain generator is safe.
    `check` runs in the caller's thread before each fetch, because a guard that checks for an open transaction would find
    none in the helper's. A caller that leaves early waits for the fetch in progress, at most the read timeout.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="next-page") as fetcher:
        check()
        pending = fetcher.submit(next, pages, None)
        while (page := pending.result()) is not None:
            check()
            pending = fetcher.submit(next, pages, None)
            yield page


def _drop_seen(raw_page: list[Any], markers: list[Any], seen: set[str], tail: list[Any]) -> Page:
    """Return the objects of a page that no earlier page had. Objects without a marker are only compared with `tail`, those after the last marker."""
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


def _find_next_marker(body: dict[str, Any]) -> str | None:
    """Return the marker in the link to the next page, "" for a link without one, None when there is no link.

    Nova, Cinder and Neutron have a list of links under a name that ends in `_links`, Glance an address in `next`, Keystone
    one in `links`. Only the marker of the address is used; host and path are those of the listing.
    """
    for name, links in body.items():
        if name.endswith("_links") and isinstance(links, list):
            for link in links:
                if isinstance(link, dict) and link.get("rel") == "next":
                    return _parse_marker(link.get("href"))
    links = body.get("links")
    href = body.get("next") or (links.get("next") if isinstance(links, dict) else None)
    return _parse_marker(href) if href else None


def _parse_marker(href: Any) -> str:
    if not isinstance(href, str):
        return ""
    try:
        found = parse_qs(urlsplit(href).query).get("marker", [""])[0]
    except ValueError:
        return ""
    return found if len(found) <= 255 else ""
