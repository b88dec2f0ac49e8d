"""One id for each request, from the caller's `X-Request-ID` where it is fit to be logged, in every answer and log line."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

HEADER = "X-Request-ID"
# Visible ASCII alone: what goes into log lines and headers must not be able to forge others.
_FIT = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_request_id: ContextVar[str] = ContextVar("portal_request_id", default="")


def current_request_id() -> str:
    """Return the id of the request that is being answered, or that a Celery worker works for; empty outside of both."""
    return _request_id.get() or str(structlog.contextvars.get_contextvars().get("request_id") or "")


class RequestIdMiddleware:
    """Settle the request's id before anything else sees the request, and answer with it.

    It stands first in `MIDDLEWARE`, so that what breaks in any other middleware has an id as well.
    django-structlog reads the same header afterwards and binds it to every log line; a header that is not fit is
    replaced before that.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request under its id."""
        request_id = request.META.get("HTTP_X_REQUEST_ID", "")
        if not _FIT.fullmatch(request_id):
            request_id = str(uuid.uuid4())
        request.META["HTTP_X_REQUEST_ID"] = request_id
        token = _request_id.set(request_id)
        try:
            response = self.get_response(request)
        finally:
            _request_id.reset(token)
        response[HEADER] = request_id
        return response
