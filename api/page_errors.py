"""Render errors as pages in the portal's layout, or, for a page's script, as a line above the page."""

from __future__ import annotations

import re
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from .page_addresses import find_current_page, is_of_this_site
from .request_id import current_request_id

log = structlog.get_logger(__name__)

# Fields that must be entered again: their values are not sent back to the browser.
SECRET = re.compile(r"passw|passphrase|secret|token|private", re.IGNORECASE)
# Fields of the form itself, which are repeated as hidden fields, like empty ones.
_HIDDEN_FIELDS = frozenset({"next", "version", "form_key"})
# A page repeats the entered values only up to this length; escaped, they are at most six times as long.
MAX_REPEATED_CHARACTERS = 12_000
MAX_REPEATED_FIELDS = 200


def is_script(request: HttpRequest) -> bool:
    """Return whether a page's own script sent the request, which swaps the response into the page."""
    return request.headers.get("HX-Request") == "true"


def error_page(request: HttpRequest, status: int, title: str, detail: str, **context: Any) -> HttpResponse:
    """Return an error as a page, or, for a page's script, as a line that is shown above the page.

    The page of a server error reads neither the session nor the database, which may have failed. Any other page is rendered
    without them when they fail.
    """
    context |= {"status": status, "title": title, "detail": detail, "request_id": current_request_id()}
    if is_script(request):
        return _error_line(request, status, context)
    context["way_on"] = _next_page(request)
    for with_session in [request, None] if status < 500 else [None]:
        try:
            return HttpResponse(render_to_string("portal/error.html", context, with_session), status=status)
        except Exception as error:  # noqa: BLE001 - an error page that fails would hide the error.
            log.warning("error_page_failed", with_session=with_session is not None, error=repr(error))
    text = f"{status} {title}. {detail} ({current_request_id()})\n"
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")


def csrf_page(request: HttpRequest, title: str) -> HttpResponse:
    """Return the page for a form with an invalid CSRF token, with the entered values, to be submitted again by one click.

    Values are kept only from a page of this site: another site must not be able to fill in a form that one click submits.
    """
    of_this_site = is_of_this_site(request)
    detail = (
        _("The page was opened before you last signed in. Nothing was done.")
        if of_this_site
        else _("The request did not come from a page of this portal. Nothing was done.")
    )
    kept = _repeat_form(request) if of_this_site and not is_script(request) else None
    return error_page(
        request, 403, title, detail, form=kept, was_typed=of_this_site and kept is None, is_csrf=True
    )


def _error_line(request: HttpRequest, status: int, context: dict[str, Any]) -> HttpResponse:
    response = HttpResponse(render_to_string("portal/error_line.html", context), status=status)
    # The element that sent the request may select another fragment of the response, or swap it in elsewhere.
    response["HX-Retarget"], response["HX-Reswap"] = "#messages", "innerHTML"
    response["HX-Reselect"] = "#request-error"
    return response


def _next_page(request: HttpRequest) -> str:
    try:
        page = find_current_page(request)
    except Exception:  # noqa: BLE001 - a refused host or an unreadable address must not fail the error page.
        return "/"
    # The page that failed is not offered again.
    return "/" if request.method == "GET" and page == request.get_full_path() else page


def _repeat_form(request: HttpRequest) -> dict[str, Any] | None:
    """Return the form as it was sent, without its secrets; None when it cannot be read or is too long to repeat."""
    try:
        sent = [(name, value) for name, values in request.POST.lists() for value in values]
    except Exception:  # noqa: BLE001 - an unreadable form was already refused for that.
        return None
    sent = [(name, value) for name, value in sent if name != "csrfmiddlewaretoken"]
    if (
        len(sent) > MAX_REPEATED_FIELDS
        or sum(len(name) + len(str(value)) for name, value in sent) > MAX_REPEATED_CHARACTERS
    ):
        return None
    fields = [
        {
            "name": name,
            "label": name.replace("_", " "),
            "value": "" if SECRET.search(name) else value,
            "is_secret": bool(SECRET.search(name)),
            "is_unseen": name in _HIDDEN_FIELDS or not (value or SECRET.search(name)),
            "rows": min(12, str(value).count("\n") + 1),
        }
        for name, value in sent
    ]
    return {"action": request.get_full_path(), "fields": fields}
