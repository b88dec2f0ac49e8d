"""Which addresses show a page: where a person may be sent after signing in, after an error, or after changing the language.

Buttons post to addresses that answer no GET, and scripts fetch parts of pages: neither is a place to send anybody to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.urls import Resolver404, resolve
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST as django_require_post

View = TypeVar("View", bound=Callable[..., Any])

HOME = "/"
# For programs. The API's documentation is a page all the same.
_FOR_PROGRAMS = ("/api/v1/", "/api/schema/", "/health/", "/metrics", "/static/")
_LONGEST = 2000


def require_POST(view: View) -> View:  # noqa: N802 - it stands in for Django's decorator of this name.
    """Make a view answer POST alone, as Django's decorator does, and mark its address as one that shows no page."""
    required: Any = django_require_post(view)
    required.shows_page = False
    marked: View = required
    return marked


def page_part(view: View) -> View:
    """Mark a view that answers with a part of a page, for the page's own script."""
    view.shows_page = False  # type: ignore[attr-defined] # wrappers of Django's and ours copy what a function carries.
    return view


def is_for_programs(path: str) -> bool:
    """Return whether an address is for programs: an error there is no page."""
    return path.startswith(_FOR_PROGRAMS) or path.startswith("/api/")


def nearest_page(address: str) -> str:
    """Return the address itself if it shows a page, else the nearest one above it that does: its path cut segment by segment.

    `address` is a path with its query; of one that is cut, the query is left out.
    """
    if len(address) > _LONGEST or not address.startswith("/"):
        return HOME
    path = urlsplit(address).path
    if _shows_page(path):
        return address
    while path.strip("/"):
        path = path.rstrip("/").rpartition("/")[0] + "/"
        if path != HOME and _shows_page(path):
            return path
    return HOME


def current_page(request: HttpRequest) -> str:
    """Return the address of the page that a person is on, as far as the request tells it.

    A script's request names it, a form's by its `Referer`. Both are believed only when they are of this site; otherwise
    it is the page at or above the requested address.
    """
    address = request.get_full_path()
    if request.headers.get("HX-Request"):
        address = _own_address(request, request.headers.get("HX-Current-URL", "")) or address
    elif request.method not in {"GET", "HEAD"}:
        address = _own_address(request, request.headers.get("Referer", "")) or address
    return nearest_page(address)


def navigation(request: HttpRequest) -> dict[str, str]:
    """Tell templates where to return to (`here`): the address of a form that was refused answers no GET."""
    return {"here": current_page(request)}


def is_of_this_site(request: HttpRequest) -> bool:
    """Return whether a POST was sent by one of our own pages.

    A browser says with each POST where it comes from (`Sec-Fetch-Site`, `Origin`, `Referer`), and a page of another site
    cannot make it keep silent about that. A request without any of them comes from no other site's page.
    """
    fetched = request.headers.get("Sec-Fetch-Site")
    if fetched and fetched != "same-origin":
        return False
    source = request.headers.get("Origin") or request.headers.get("Referer")
    return not source or bool(_own_address(request, source))


def _own_address(request: HttpRequest, url: str) -> str:
    """Return the path and query of a URL of this site; empty for any other."""
    if not url or len(url) > _LONGEST or not urlsplit(url).netloc:
        return ""
    if not url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure()):
        return ""
    split = urlsplit(url)
    return (split.path or HOME) + (f"?{split.query}" if split.query else "")


def _shows_page(path: str) -> bool:
    if path.startswith(_FOR_PROGRAMS) or path == resolve_url(settings.LOGIN_URL):
        return False
    try:
        view: Any = resolve(unquote(path)).func
    except Resolver404:
        return False
    if (view_class := getattr(view, "view_class", None)) is not None:
        return "get" in view_class.http_method_names and hasattr(view_class, "get")
    return bool(getattr(view, "shows_page", True))
