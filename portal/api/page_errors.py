"""What input makes go wrong in pages and in the admin is a refusal there too, as the API's exception handler has it."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from . import errors
from .database_errors import database_refusal

log = structlog.get_logger(__name__)


class PageErrorsMiddleware:
    """Answer 400, 409 or 503 for what a database refuses, and 400 for values that Django finds out of place.

    The admin's widgets, for example, look up whatever key was sent, and fail when it is none.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on: Django calls `process_exception` for what a view or a template raises."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the refusal that an exception amounts to; None for a bug of ours, which becomes a 500."""
        if isinstance(exception, ValidationError) or _is_of_model_field(exception):
            log.warning("page_refused", error=str(exception)[:500])
            return errors.bad_request(request, exception)
        refusal = database_refusal(exception)
        if refusal is None:
            return None
        log.warning("database_refused", code=refusal.code, sqlstate=refusal.sqlstate, error=str(exception))
        return errors.database_refused(request, refusal)


def _is_of_model_field(error: Exception) -> bool:
    """Return whether a model's field has refused a value, as one for numbers does with a text."""
    trace = error.__traceback__
    if trace is None or not isinstance(error, TypeError | ValueError):
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__", "")).startswith("django.db.models.fields")
