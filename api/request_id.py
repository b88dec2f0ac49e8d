"""An id for each request, in every response and log line: the caller's `X-Request-ID` if it is safe to log."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

HEADER = "X-Request-ID"
# Visible ASCII alone, so that no caller can forge log lines or headers.
_SAFE_ID = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_request_id: ContextVar[str] = ContextVar("portal_request_id", default="")


def current_request_id() -> str:
    """Return the id of the present request, or of the request that sent the present Celery task; "" without one."""
    return _request_id.get() or str(structlog.contextvars.get_contextvars().get("request_id") or "")


class RequestIdMiddleware:
    """Set the request's id before any other middleware runs, and return it in the response.

    It is first in `MIDDLEWARE`, so that errors in other middleware have an id too. django-structlog then reads the same header
    and binds it to every log line; an unsafe header is replaced before that.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        request_id = request.META.get("HTTP_X_REQUEST_ID", "")
        if not _SAFE_ID.fullmatch(request_id):
            request_id = str(uuid.uuid4())
        request.META["HTTP_X_REQUEST_ID"] = request_id
        token = _request_id.set(request_id)
        try:
            response = self.get_response(request)
        finally:
            _request_id.reset(token)
        response[HEADER] = request_id
        return response
