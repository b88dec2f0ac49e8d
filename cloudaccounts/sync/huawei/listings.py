"""Listings of Huawei Cloud, page by page: complete, or an error. Each service has one of four ways to page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from openstack_client.listing_bounds import MAX_OBJECTS, MAX_PAGES

from .errors import refuse_answer, refuse_endless_listing, refuse_incomplete_listing


class Paging(Enum):
    """How the next page is requested."""

    # The answer has everything.
    NONE = "none"
    # By the id of the last object, until a page is empty. A short page proves nothing: a service may cap the requested size.
    LAST_ID = "last_id"
    # By the marker that the answer has in `page_info`, until it has none.
    PAGE_INFO = "page_info"
    # By the number of objects so far, until the total that the answer tells, or an empty page.
    OFFSET = "offset"


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing: where it is, the member of the answer with the objects, the permission that it needs, and how it is paged."""

    service: str
    path: str
    member: str
    action: str
    paging: Paging = Paging.NONE
    page_size: int = 0
    id_member: str = "id"
    # The member with the number of all objects, for `Paging.OFFSET`.
    total: str = ""
    query: tuple[tuple[str, str | int], ...] = ()


Fetch = Callable[[Sequence[tuple[str, str | int]], bool], dict[str, Any]]


def fetch_pages(listing: Listing, fetch: Fetch) -> Iterator[list[Any]]:
    """Yield the pages of a listing. `fetch` gets the query, and whether it continues a page. Raises `CloudError`.

    Objects may come and go meanwhile, so a total may change. What repeats itself or exceeds the bounds is an error.
    """
    seen: set[tuple[str, ...]] = set()
    markers: set[str] = set()
    position: tuple[tuple[str, str | int], ...] = ()
    objects = 0
    for _number in range(MAX_PAGES):
        size = (("limit", listing.page_size),) if listing.page_size else ()
        answer = fetch((*listing.query, *size, *position), bool(position))
        page = answer.get(listing.member)
        if not isinstance(page, list):
            raise refuse_answer(listing.action)
        objects += len(page)
        ids = _list_ids(page, listing.id_member)
        if (ids and ids in seen) or objects > MAX_OBJECTS:
            raise refuse_endless_listing(listing.action)
        # Only the ids at both ends are kept, so that a million objects cost no memory.
        seen.add(ids)
        if page:
            yield page
        following = _find_next(listing, answer, page, ids, objects)
        if following is None:
            return
        if following[0] == "marker":
            if following[1] in markers:
                raise refuse_endless_listing(listing.action)
            markers.add(str(following[1]))
        position = (following,)
    raise refuse_endless_listing(listing.action)


def _find_next(
    listing: Listing, answer: dict[str, Any], page: list[Any], ids: tuple[str, ...], objects: int
) -> tuple[str, str | int] | None:
    if listing.paging is Paging.NONE:
        return None
    if listing.paging is Paging.OFFSET:
        total = answer.get(listing.total)
        if isinstance(total, bool) or not isinstance(total, int):
            total = None
        if not page and total is not None and objects < total:
            raise refuse_incomplete_listing(listing.action, objects, total)
        is_end = not page or (total is not None and objects >= total)
        return None if is_end else ("offset", objects)
    info = answer.get("page_info")
    if listing.paging is Paging.PAGE_INFO and isinstance(info, dict):
        marker = info.get("next_marker")
        return ("marker", marker) if isinstance(marker, str) and marker else None
    return ("marker", ids[-1]) if ids else None


def _list_ids(page: list[Any], id_member: str) -> tuple[str, ...]:
    """Return the number of objects with an id, and the first and the last id; () if there is none."""
    ids = [
        one[id_member]
        for one in page
        if isinstance(one, dict) and isinstance(one.get(id_member), str) and one[id_member]
    ]
    return (str(len(ids)), ids[0], ids[-1]) if ids else ()
