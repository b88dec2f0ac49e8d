"""Middleware that returns pages for ended sessions, wrong methods and refused requests."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, urlencode, urlsplit

import structlog
from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect

from .errors import bad_request, method_not_allowed, page_for_error
from .page_addresses import find_current_page, is_for_programs
from .page_errors import is_script

log = structlog.get_logger(__name__)

ADMIN_LOGIN = "/admin/login/"


class PageErrorsMiddleware:
    """Return errors outside of the API as pages.

    A user who is not signed in is redirected to the sign-in page as a whole page, also by a script, whose response would
    otherwise be swapped into a row; and from there back to their page, never to a fragment or to an address that only accepts
    forms. Errors that a view has not handled become pages, as does a wrong method.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        response = self.get_response(request)
        if is_for_programs(request.path):
            return response
        if response.status_code == 405 and not getattr(response, "content", b""):
            return method_not_allowed(request, response)
        if (login := _get_login_redirect(response)) is not None:
            return _redirect_to_login(request, login)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return a page for an error of a view or the database, with the API's message; None for a bug, which becomes a 500.

        A value that a model field refuses is an error too: the admin's widgets look up any key that was sent.
        """
        if is_for_programs(request.path):
            return None
        if isinstance(exception, ValidationError) or _is_model_field_error(exception):
            log.warning("page_refused", error=str(exception)[:500])
            return bad_request(request, exception)
        return page_for_error(request, exception)


def _is_model_field_error(error: Exception) -> bool:
    """Return whether a model field raised the error, as a number field does for a text."""
    trace = error.__traceback__
    if trace is None or not isinstance(error, TypeError | ValueError):
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__", "")).startswith("django.db.models.fields")


def _get_login_redirect(response: HttpResponseBase) -> str | None:
    """Return the address of the sign-in page that a response redirects to; None for any other response."""
    if response.status_code != 302:
        return None
    target = urlsplit(response.headers.get("Location", ""))
    if target.netloc or target.path not in {resolve_url(settings.LOGIN_URL), ADMIN_LOGIN}:
        return None
    return target.path if REDIRECT_FIELD_NAME in parse_qs(target.query) else None


def _redirect_to_login(request: HttpRequest, login: str) -> HttpResponse:
    address = f"{login}?{urlencode({REDIRECT_FIELD_NAME: find_current_page(request)}, safe='/')}"
    if is_script(request):
        return HttpResponseClientRedirect(address)
    return HttpResponse(status=302, headers={"Location": address})
