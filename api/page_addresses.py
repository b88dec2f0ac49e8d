"""Find addresses that show a page, as targets after signing in, after an error, or after a change of the language.

Other addresses only accept forms, or return fragments for a page's script: no user may be sent to them.
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
from django.views.decorators.http import require_POST as django_require_post  # noqa: TID251 - it is wrapped here.

View = TypeVar("View", bound=Callable[..., Any])

HOME = "/"
# For programs. The API's documentation (`/api/docs/`) is a page.
_FOR_PROGRAMS = ("/api/v1/", "/api/schema/", "/health/", "/metrics", "/static/")
_MAX_LENGTH = 2000


def require_POST(view: View) -> View:  # noqa: N802 - it replaces Django's decorator of this name.
    """Make a view accept POST alone, as Django's decorator does, and mark its address as one without a page."""
    required: Any = django_require_post(view)
    required.shows_page = False
    marked: View = required
    return marked


def page_fragment(view: View) -> View:
    """Mark a view that returns a fragment of a page, for the page's own script."""
    view.shows_page = False  # type: ignore[attr-defined] # decorators copy the attributes of a function.
    return view


def is_for_programs(path: str) -> bool:
    """Return whether an address is for programs, so that its errors are no pages."""
    return path.startswith(_FOR_PROGRAMS) or path.startswith("/api/")


def find_nearest_page(address: str) -> str:
    """Return the address if it shows a page, else the nearest one above it that does, without the last segments and the query.

    `address` is a path with its query.
    """
    if len(address) > _MAX_LENGTH or not address.startswith("/"):
        return HOME
    path = urlsplit(address).path
    if _shows_page(path):
        return address
    while path.strip("/"):
        path = path.rstrip("/").rpartition("/")[0] + "/"
        if path != HOME and _shows_page(path):
            return path
    return HOME


def find_current_page(request: HttpRequest) -> str:
    """Return the address of the page that the user is on.

    A script's request names it in `HX-Current-URL`, a form's in `Referer`. They are used only if they are of this site;
    otherwise it is the page at or above the requested address.
    """
    address = request.get_full_path()
    if request.headers.get("HX-Request"):
        address = _extract_own_address(request, request.headers.get("HX-Current-URL", "")) or address
    elif request.method not in {"GET", "HEAD"}:
        address = _extract_own_address(request, request.headers.get("Referer", "")) or address
    return find_nearest_page(address)


def add_return_address(request: HttpRequest) -> dict[str, str]:
    """Add `here` to the context of templates, the address to return to: that of a refused form accepts no GET."""
    return {"here": find_current_page(request)}


def is_of_this_site(request: HttpRequest) -> bool:
    """Return whether a POST was sent by one of our own pages.

    A browser sends the origin with each POST (`Sec-Fetch-Site`, `Origin`, `Referer`), and a page of another site can't prevent
    that. So a request without any of these headers does not come from a page of another site.
    """
    fetched = request.headers.get("Sec-Fetch-Site")
    if fetched and fetched != "same-origin":
        return False
    source = request.headers.get("Origin") or request.headers.get("Referer")
    return not source or bool(_extract_own_address(request, source))


def _extract_own_address(request: HttpRequest, url: str) -> str:
    """Return the path and query of a URL of this site; empty for any other."""
    if not url or len(url) > _MAX_LENGTH or not urlsplit(url).netloc:
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
