"""Map errors to RFC 9457 problem documents (`application/problem+json`), and to pages outside of the API.

`code` is stable, for programs; `title` and `detail` are for people, in the language of the request. A 500 shows nothing but
the request id.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.serializers import as_serializer_error

from .database_errors import database_refusal
from .deferral import DeferredError, deferred_page, deferred_response
from .domain_errors import (
    INVALID,
    NOT_FOUND,
    ConflictError,
    DomainError,
    ForbiddenError,
    InvalidError,
    KeyReusedError,
    LoginBusyError,
    LoginThrottledError,
    NotFoundError,
    OutdatedError,
    TooLargeError,
    UnauthenticatedError,
)
from .error_limits import cut_text, limit_errors, limit_problem
from .page_errors import csrf_page, error_page
from .request_id import current_request_id

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"

TITLES: dict[int, Promise] = {
    400: _("Bad request"),
    401: _("Unauthorized"),
    403: _("Forbidden"),
    404: _("Not found"),
    405: _("Method not allowed"),
    406: _("Not acceptable"),
    409: _("Conflict"),
    411: _("Length required"),
    412: _("Modified by someone else since you loaded it"),
    408: _("Request timeout"),
    413: _("Content too large"),
    414: _("URI too long"),
    415: _("Unsupported media type"),
    422: _("Idempotency key reused"),
    429: _("Too many requests"),
    500: _("Internal error"),
    503: _("Service unavailable"),
}
STATUSES: dict[type[DomainError], int] = {
    InvalidError: 400,
    UnauthenticatedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    OutdatedError: 412,
    TooLargeError: 413,
    KeyReusedError: 422,
    LoginThrottledError: 429,
    LoginBusyError: 503,
}

UNREADABLE = _("The request could not be read.")
FORBIDDEN = _("You don't have permission to do this.")
INTERNAL_ERROR = _("Something went wrong on our side. Give your administrator the request ID.")


def status_of(error: DomainError) -> int:
    """Return the HTTP status of a domain error: that of the nearest class that has one."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def problem(
    status: int,
    code: str,
    detail: str | Promise = "",
    *,
    errors: Mapping[str, Any] | None = None,
    truncated: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the members of a problem document, limited in size; `truncated` is there when errors were left out."""
    members: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": str(TITLES.get(status, HTTPStatus(status).phrase)),
        "status": status,
        "detail": cut_text(detail),
        "code": cut_text(code),
    }
    if errors:
        members["errors"], left_out = limit_errors(errors)
        if truncated or left_out:
            members["truncated"] = True
    if extra:
        members.update(extra)
    members["request_id"] = current_request_id()
    return limit_problem(members)


def problem_response(error: Exception, context: Mapping[str, Any]) -> Response:
    """Return a problem document for any exception of a view; 202 for a deferred change. For `EXCEPTION_HANDLER`."""
    if isinstance(error, DeferredError):
        try:
            return deferred_response(error)
        except DomainError as refused:
            error = refused
    headers: dict[str, str] = {}
    members = _build_members(error, context, headers)
    if members["status"] == 401:
        headers.setdefault("WWW-Authenticate", "Token")
    return Response(members, status=members["status"], headers=headers, content_type=CONTENT_TYPE)


def _build_members(error: Exception, context: Mapping[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    if isinstance(error, DomainError):
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        return problem(
            status_of(error),
            error.code,
            error.detail,
            errors=error.errors,
            truncated=error.truncated,
            extra=error.details,
        )
    if isinstance(error, exceptions.ValidationError | DjangoValidationError):
        return problem(400, "invalid", INVALID, errors=as_serializer_error(error))
    if isinstance(error, exceptions.APIException):
        return _build_framework_problem(error, headers)
    if (refusal := _describe_django_error(error)) is not None:
        return problem(*refusal)
    if (refused := database_refusal(error)) is not None:
        if refused.retry_after is not None:
            headers["Retry-After"] = str(refused.retry_after)
        log.warning("database_refused", code=refused.code, sqlstate=refused.sqlstate, error=str(error))
        return problem(refused.status, refused.code, refused.detail)
    log.error("request_errored", view=type(context.get("view")).__name__, exc_info=error)
    return problem(500, "internal_error", INTERNAL_ERROR)


def _describe_django_error(error: Exception) -> tuple[int, str, str | Promise] | None:
    """Return status, code and detail for an exception of Django."""
    if isinstance(error, Http404):
        return 404, "not_found", NOT_FOUND
    if isinstance(error, PermissionDenied):
        return 403, "permission_denied", FORBIDDEN
    if isinstance(error, RequestDataTooBig):
        return 413, "too_large", too_large()
    if isinstance(error, SuspiciousOperation | BadRequest | UnreadablePostError):
        return 400, "bad_request", UNREADABLE
    return None


def _build_framework_problem(error: exceptions.APIException, headers: dict[str, str]) -> dict[str, Any]:
    """Return the problem for an exception of Django REST framework."""
    codes = error.get_codes()
    code = codes if isinstance(codes, str) else str(error.default_code)
    detail = str(error.detail) if isinstance(error.detail, str) else str(error.default_detail)
    if isinstance(error, exceptions.Throttled):
        headers["Retry-After"] = str(max(1, math.ceil(getattr(error, "wait", None) or 1)))
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if isinstance(error, exceptions.NotFound) and detail == str(exceptions.NotFound.default_detail):
        detail = str(NOT_FOUND)
    return problem(error.status_code, code, detail)


def too_large() -> str:
    """Return the message about a body that is larger than the portal reads."""
    return _("The body is larger than %(limit)s bytes.") % {"limit": settings.DATA_UPLOAD_MAX_MEMORY_SIZE}


# --- Errors outside of the API's views: unknown addresses, and requests that are refused before a view ----------
# Under `/api/` they are problem documents; elsewhere they are pages (page_errors.py).


def _respond(request: HttpRequest, status: int, code: str, detail: Any) -> HttpResponse:
    """Return a problem under `/api/`, a page elsewhere."""
    if request.path.startswith("/api/"):
        return JsonResponse(problem(status, code, detail), status=status, content_type=CONTENT_TYPE)
    return error_page(request, status, _title(status), str(detail))


def _title(status: int) -> str:
    return str(TITLES.get(status, HTTPStatus(status).phrase))


def page_for_error(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """Return a page for an error that a view has not handled, or for a deferred change; None for an unexpected error."""
    if isinstance(error, DeferredError):
        try:
            return deferred_page(request, error)
        except DomainError as refused:
            error = refused
    if isinstance(error, DomainError | exceptions.APIException) or database_refusal(error) is not None:
        headers: dict[str, str] = {}
        members = _build_members(error, {}, headers)
        page = error_page(request, members["status"], members["title"], members["detail"])
        for name, value in headers.items():
            page[name] = value
        return page
    return None


def method_not_allowed(request: HttpRequest, response: HttpResponseBase) -> HttpResponse:
    """Return 405 for a page that does not answer the request's method."""
    detail = _("This address accepts forms only and shows no page.")
    page = error_page(request, 405, _title(405), str(detail))
    page["Allow"] = response.headers.get("Allow", "")
    return page


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Return 400 (413 for a body that is too large) for a request that is refused before a view."""
    if isinstance(exception, RequestDataTooBig):
        return _respond(request, 413, "too_large", too_large())
    return _respond(request, 400, "bad_request", UNREADABLE)


def address_too_long(request: HttpRequest, max_length: int) -> HttpResponse:
    """Return 414 for a path and query that together are longer than any address of the portal."""
    detail = _("Path and query have more than %(most)s characters.") % {"most": max_length}
    return _respond(request, 414, "address_too_long", detail)


def length_required(request: HttpRequest) -> HttpResponse:
    """Return 411 for a body of unknown length."""
    return _respond(request, 411, "length_required", _("Send the body with a Content-Length header."))


def form_too_large(request: HttpRequest, max_bytes: int) -> HttpResponse:
    """Return 413 for a form whose values are larger than a page may repeat."""
    detail = _("The values of the form are larger than %(limit)s bytes; use the API.") % {"limit": max_bytes}
    return _respond(request, 413, "too_large", detail)


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Return 403 for a request that is refused outside of the API's views."""
    # The view of a page gives a reason; Django's own refusals give none.
    reason = str(exception or "") if not request.path.startswith("/api/") else ""
    return _respond(request, 403, "permission_denied", reason or FORBIDDEN)


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Return 404 for an address that no view answers."""
    return _respond(request, 404, "not_found", NOT_FOUND)


def server_error(request: HttpRequest) -> HttpResponse:
    """Return 500 for an error outside of the API's views; Django has logged it with its traceback."""
    return _respond(request, 500, "internal_error", INTERNAL_ERROR)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Return 403 for a form without its CSRF token. For `CSRF_FAILURE_VIEW`."""
    if not request.path.startswith("/api/"):
        return csrf_page(request, str(_("Your session has changed")))
    return _respond(
        request, 403, "csrf_failed", _("Your session has changed. Reload the page and try again.")
    )
