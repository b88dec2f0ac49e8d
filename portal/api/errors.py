"""Refusals and errors, as RFC 9457 `application/problem+json`.

`code` is stable and for programs; `title` and `detail` are for people, in the language of the request.
A 500 shows a request id and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.serializers import as_serializer_error

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"
LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's SQLSTATE for a lock that lock_timeout gave up on.

TITLES: dict[int, Promise] = {
    400: _("The request is not right"),
    401: _("Sign in first"),
    403: _("Not allowed"),
    404: _("Not found"),
    405: _("Not a method of this address"),
    406: _("Not in that format"),
    409: _("Not possible now"),
    412: _("It has changed meanwhile"),
    413: _("The request is too large"),
    415: _("Not a known content type"),
    422: _("The request contradicts an earlier one"),
    429: _("Too many requests"),
    500: _("An error of the portal itself"),
    503: _("The portal is not ready"),
}


class Refused(exceptions.APIException):
    """A request that is understood and refused: an HTTP status, a stable code, and the reason in a sentence.

    `errors` are reasons by field; what else helps the caller (`job`, `allowed`) becomes a member of the problem.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str | Promise,
        *,
        errors: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
        **extra: Any,
    ) -> None:
        self.status_code = status
        self.code = code
        self.errors = errors
        self.retry_after = retry_after
        self.extra = extra
        super().__init__(detail, code)


def problem(
    status: int,
    code: str,
    detail: str | Promise = "",
    *,
    errors: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The members of a problem document."""
    members: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": str(TITLES.get(status, HTTPStatus(status).phrase)),
        "status": status,
        "detail": str(detail),
        "code": code,
    }
    if errors:
        members["errors"] = errors
    if extra:
        members.update(extra)
    members["request_id"] = current_request_id()
    return members


def current_request_id() -> str:
    """The id of the request that is being answered; empty outside of one."""
    return str(structlog.contextvars.get_contextvars().get("request_id") or "")


def problem_response(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's exception handler: every exception becomes a problem, none a page of HTML."""
    headers: dict[str, str] = {}
    members = _members(error, context, headers)
    return Response(members, status=members["status"], headers=headers, content_type=CONTENT_TYPE)


def _members(error: Exception, context: Mapping[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    if isinstance(error, Refused):
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        return problem(error.status_code, error.code, str(error.detail), errors=error.errors, extra=error.extra)
    if isinstance(error, exceptions.ValidationError | DjangoValidationError):
        return _invalid(as_serializer_error(error))
    if isinstance(error, Http404 | exceptions.NotFound):
        code = str(error.get_codes()) if isinstance(error, exceptions.NotFound) else "not_found"
        detail: Any = error.detail if isinstance(error, exceptions.NotFound) else _("There is no such thing here.")
        return problem(404, code, detail)
    if isinstance(error, PermissionDenied):
        return problem(403, "permission_denied", _("You may not do this."))
    if isinstance(error, exceptions.Throttled):
        headers["Retry-After"] = str(max(1, round(error.wait or 1)))
        return problem(429, "throttled", error.detail)
    if isinstance(error, exceptions.APIException):
        if header := getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = header
        return problem(error.status_code, str(error.get_codes()), str(error.detail))
    if isinstance(error, RequestDataTooBig):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return problem(413, "too_large", _("The body is larger than %(limit)s bytes.") % {"limit": limit})
    if isinstance(error, SuspiciousOperation | BadRequest | TooManyFieldsSent):
        return problem(400, "bad_request", _("The request could not be read."))
    if isinstance(error, DataError):
        return problem(400, "invalid", _("A value does not fit: it is too large, or has characters that cannot be kept."))
    if isinstance(error, OperationalError | InterfaceError):
        return _database_trouble(error, headers)
    log.exception("request_errored", view=type(context.get("view")).__name__, exc_info=error)
    return problem(500, "internal_error", _("Tell your administrator the request id; the log has the rest."))


def _invalid(errors: Any) -> dict[str, Any]:
    """A validation error: by field where a field is to blame."""
    return problem(400, "invalid", _("Some fields are not right; see `errors`."), errors=errors)


def _database_trouble(error: Exception, headers: dict[str, str]) -> dict[str, Any]:
    headers["Retry-After"] = "1"
    if getattr(error.__cause__, "pgcode", None) == LOCK_NOT_AVAILABLE:
        return problem(409, "busy", _("It is being changed by many at once; try again in a moment."))
    log.error("database_unavailable", error=str(error))
    return problem(503, "database_unavailable", _("The database does not answer; try again in a moment."))


# --- Outside of DRF: addresses that no view answers, and what breaks before a view ---------------------------


def _plain(request: HttpRequest, status: int, code: str, detail: Any) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse(problem(status, code, detail), status=status, content_type=CONTENT_TYPE)
    text = f"{status} {TITLES.get(status, '')}. {detail}\n"
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 for what breaks before a view."""
    return _plain(request, 400, "bad_request", _("The request could not be read."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403 for what breaks before a view."""
    return _plain(request, 403, "permission_denied", _("You may not do this."))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 for an address that no view answers."""
    return _plain(request, 404, "not_found", _("There is no such thing here."))


def server_error(request: HttpRequest) -> HttpResponse:
    """500 for what breaks outside of DRF."""
    return _plain(request, 500, "internal_error", current_request_id())


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form without its CSRF token."""
    return _plain(request, 403, "csrf_failed", _("The CSRF token is missing or wrong; reload the page and try again."))
