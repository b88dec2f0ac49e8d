"""Limits of a request, whichever view it is for: of its address, its body, and what a form's page would repeat."""

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

# As gunicorn's limit of the request line; with another server in front, or none, it holds as well.
LONGEST_ADDRESS = 4094
# Bytes of all values of a form, written as HTML: a page that refuses a form shows once more what was entered.
LARGEST_FORM = 50_000


class RequestLimitsMiddleware:
    """Refuse what is too large before anything reads it: 414 for the address, 413 for the body, 411 for one of unknown length.

    It stands behind the check of CSRF tokens, whose refusal comes before that of a form.
    Bodies for the API are read by its parser alone, which has limits of its own (`api.parsers`).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request, or refuse it."""
        if len(request.path) + len(request.META.get("QUERY_STRING", "")) > LONGEST_ADDRESS:
            return errors.address_too_long(request, LONGEST_ADDRESS)
        if "HTTP_TRANSFER_ENCODING" in request.META:
            # Django reads as many bytes as Content-Length says: none, and would take the body for an empty one.
            return errors.length_required(request)
        if _content_length(request) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return errors.bad_request(request, RequestDataTooBig())
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        """Refuse a form that is too large, after its CSRF token was checked, and before its view shows it again."""
        if request.method != "POST" or request.path.startswith("/api/"):
            return None
        try:
            size = _size_as_html(request)
        except TooManyFieldsSent as error:
            # A view that can have more boxes than that says so itself, when it meets the same error. By itself Django
            # would give it an empty form the second time, if that came as multipart.
            request._load_post_and_files = partial(_raise, error)  # type: ignore[method-assign] # noqa: SLF001
            return None
        except (SuspiciousOperation, UnreadablePostError) as error:
            return errors.bad_request(request, error)
        return errors.form_too_large(request, LARGEST_FORM) if size > LARGEST_FORM else None


def _raise(error: Exception) -> NoReturn:
    raise error


def _content_length(request: HttpRequest) -> int:
    text = request.META.get("CONTENT_LENGTH") or "0"
    # A longer number is none that a server lets through; Python refuses to read very long ones.
    return int(text) if len(text) <= 19 and text.isascii() and text.isdigit() else 0


def _size_as_html(request: HttpRequest) -> int:
    return sum(
        len(escape(value).encode("utf-8", "replace"))
        for _name, values in request.POST.lists()
        for value in values
    )


class NoUploads(FileUploadHandler):
    """Refuses files: no form of the portal takes any, and Django would write them to the disk for anybody."""

    def new_file(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise 400 at the first file of a form."""
        raise SuspiciousOperation("A form came with a file, and no form of the portal takes files.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Return the data: never called, as `new_file` refuses."""
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Return no file."""
