"""Limit the address and the body of requests, and the values of a form that its page would repeat."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFieldsSent
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, UnreadablePostError
from django.http.response import HttpResponseBase

from . import errors

# The same as gunicorn's limit of the request line, for installations with another server.
MAX_ADDRESS_LENGTH = 4094
# The values of a form as HTML, in bytes: a page that refuses a form repeats the entered values.
MAX_FORM_BYTES = 50_000


class RequestLimitsMiddleware:
    """Refuse too large requests before anything reads them: 414 for the address, 413 for the body, 411 for unknown length.

    It comes after the check of CSRF tokens in `MIDDLEWARE`, whose refusal comes before that of a form. Bodies for the API are
    read by its parser alone, which has limits of its own (`api.parsers`).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request, or refuse it."""
        if len(request.path) + len(request.META.get("QUERY_STRING", "")) > MAX_ADDRESS_LENGTH:
            return errors.address_too_long(request, MAX_ADDRESS_LENGTH)
        if "HTTP_TRANSFER_ENCODING" in request.META:
            # Django reads Content-Length bytes, which is none here, and would treat the body as empty.
            return errors.length_required(request)
        if _content_length(request) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return errors.bad_request(request, RequestDataTooBig())
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        """Refuse a form that is too large, after the check of its CSRF token and before its view repeats it."""
        if request.method != "POST" or request.path.startswith("/api/"):
            return None
        try:
            size = _size_as_html(request)
        except TooManyFieldsSent as error:
            # A view whose form may have more fields handles the same error itself. Without this line, Django would give it
            # an empty form at the second access, if the body is multipart.
            request._load_post_and_files = partial(_raise, error)  # type: ignore[method-assign] # noqa: SLF001
            return None
        except (SuspiciousOperation, UnreadablePostError) as error:
            return errors.bad_request(request, error)
        return errors.form_too_large(request, MAX_FORM_BYTES) if size > MAX_FORM_BYTES else None


def _raise(error: Exception) -> NoReturn:
    raise error


def _content_length(request: HttpRequest) -> int:
    text = request.META.get("CONTENT_LENGTH") or "0"
    # Servers refuse longer numbers, and Python raises an error for very long ones.
    return int(text) if len(text) <= 19 and text.isascii() and text.isdigit() else 0


def _size_as_html(request: HttpRequest) -> int:
    return sum(
        len(escape(value).encode("utf-8", "replace"))
        for _name, values in request.POST.lists()
        for value in values
    )


class RefusingUploadHandler(FileUploadHandler):
    """Refuses files: no form of the portal takes any, and Django would write them to disk even for anonymous users."""

    def new_file(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise 400 at the first file of a form."""
        raise SuspiciousOperation("The form has a file, and no form of the portal accepts files.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Return the data. Never called, because `new_file` raises."""
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Return no file."""
