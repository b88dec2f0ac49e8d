"""Errors as pages: in the portal's layout, or for a page's script as a line above the page."""

from __future__ import annotations

import re
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from .page_addresses import current_page, is_of_this_site
from .request_id import current_request_id

log = structlog.get_logger(__name__)

# What must be typed again: it is neither shown nor sent back to the browser.
SECRET = re.compile(r"passw|passphrase|secret|token|private", re.IGNORECASE)
# Sent along and shown to nobody, as is what was left empty: they are the form's own.
_UNSEEN = frozenset({"next", "version", "form_key"})
# A page repeats what was typed only up to this length; escaped it is six times as long at most.
KEPT_CHARACTERS = 12_000
KEPT_FIELDS = 200


def is_script(request: HttpRequest) -> bool:
    """Return whether a page's own script sent the request: it swaps the answer into the page."""
    return request.headers.get("HX-Request") == "true"


def error_page(request: HttpRequest, status: int, title: str, detail: str, **context: Any) -> HttpResponse:
    """Return an error as a page, or, for a page's script, as a line that is shown above the page.

    The page of a server error asks neither the session nor the database, which may be what is broken. Any other page is
    made without them too when they fail.
    """
    context |= {"status": status, "title": title, "detail": detail, "request_id": current_request_id()}
    if is_script(request):
        return _error_line(request, status, context)
    context["way_on"] = _next_page(request)
    for with_session in [request, None] if status < 500 else [None]:
        try:
            return HttpResponse(render_to_string("portal/error.html", context, with_session), status=status)
        except Exception as error:  # noqa: BLE001 - an error page that fails itself would hide the error.
            log.warning("error_page_failed", with_session=with_session is not None, error=repr(error))
    text = f"{status} {title}. {detail} ({current_request_id()})\n"
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")


def csrf_page(request: HttpRequest, title: str) -> HttpResponse:
    """Return the page for a form whose CSRF token is not the session's, with what was typed, to be sent again by a press.

    Only what one of our own pages has sent is kept: another site must not be able to fill in a form of ours, of which
    one press would be enough to send it.
    """
    of_this_site = is_of_this_site(request)
    detail = (
        _("The page was opened before you signed in, or signed in anew. Nothing was done.")
        if of_this_site
        else _("The request did not come from a page of this portal. Nothing was done.")
    )
    kept = _repeat_form(request) if of_this_site and not is_script(request) else None
    return error_page(
        request, 403, title, detail, form=kept, was_typed=of_this_site and kept is None, is_csrf=True
    )


def _error_line(request: HttpRequest, status: int, context: dict[str, Any]) -> HttpResponse:
    response = HttpResponse(render_to_string("portal/error_line.html", context), status=status)
    # The element that sent the request may select another part of the answer, or swap it in elsewhere.
    response["HX-Retarget"], response["HX-Reswap"] = "#messages", "innerHTML"
    response["HX-Reselect"] = "#request-error"
    return response


def _next_page(request: HttpRequest) -> str:
    try:
        page = current_page(request)
    except Exception:  # noqa: BLE001 - a host that is refused, or an address that cannot be read: home it is.
        return "/"
    # The page that has failed is not offered again.
    return "/" if request.method == "GET" and page == request.get_full_path() else page


def _repeat_form(request: HttpRequest) -> dict[str, Any] | None:
    """Return the form as it was sent, without its secrets; None when it cannot be read, or is too long to be repeated."""
    try:
        sent = [(name, value) for name, values in request.POST.lists() for value in values]
    except Exception:  # noqa: BLE001 - what cannot be read was refused for that before.
        return None
    sent = [(name, value) for name, value in sent if name != "csrfmiddlewaretoken"]
    if len(sent) > KEPT_FIELDS or sum(len(name) + len(str(value)) for name, value in sent) > KEPT_CHARACTERS:
        return None
    fields = [
        {
            "name": name,
            "label": name.replace("_", " "),
            "value": "" if SECRET.search(name) else value,
            "is_secret": bool(SECRET.search(name)),
            "is_unseen": name in _UNSEEN or not (value or SECRET.search(name)),
            "rows": min(12, str(value).count("\n") + 1),
        }
        for name, value in sent
    ]
    return {"action": request.get_full_path(), "fields": fields}
