"""Forms of pages that change one object: shown in a dialog over the list, or as a page of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from api.domain_errors import DomainError, InvalidFieldsError, NotFoundError
from api.errors import status_of
from api.form_errors import errors_by_field
from api.preconditions import etag_of
from pages.dialogs import render_dialog

# What a form that was carried out is answered with: a message, and the page to go to, "" for that of the list.
Outcome = tuple[str, str]


def run_form(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any],
    handle: Callable[[], Outcome],
    *,
    list_page: str,
    initial: Mapping[str, Any] | None = None,
    fields: Collection[str] = (),
) -> HttpResponse:
    """Show a form, or carry out a POST of it and go to the list with a message.

    A refused form is shown again, with the errors beside its `fields`, and with what was typed. An object that is gone is
    answered with 404.
    """
    refused: DomainError | None = None
    entered = dict(initial or {})
    if request.method == "POST":
        try:
            message, address = handle()
        except NotFoundError:
            raise
        except DomainError as error:
            refused = error
            entered |= {name: request.POST.get(name, "") for name in fields}
        else:
            messages.success(request, message)
            return redirect(address or list_page)
    shown = {
        **context,
        "entered": entered,
        "list_page": reverse(list_page),
        **split_errors(refused, {*fields, "confirm_name"}),
    }
    return render_dialog(request, template, shown, status=status_of(refused) if refused else 200)


def split_errors(refused: DomainError | None, shown_beside: Collection[str]) -> dict[str, Any]:
    """Return the errors of the fields that a form shows as `errors`, and the others as `refused`, to be shown above it."""
    if refused is None:
        return {"errors": {}, "refused": []}
    errors = errors_by_field(refused)
    beside = {name: texts for name, texts in errors.items() if name in shown_beside}
    others = [text for name, texts in errors.items() if name not in shown_beside for text in texts]
    if not isinstance(refused, InvalidFieldsError) and not beside:
        others = [refused.detail]
    return {"errors": beside, "refused": others}


def require_typed_name(request: HttpRequest, name: str) -> None:
    """Refuse unless the name of what is destroyed was typed."""
    if request.POST.get("confirm_name", "").strip() != name.strip():
        raise InvalidFieldsError({"confirm_name": [_("The name doesn't match.")]})


def read_version(request: HttpRequest) -> str | None:
    """Return the version in a form as an ETag; None for a form without one, which matches any version."""
    version = request.POST.get("version", "")
    return etag_of(int(version)) if version.isascii() and version.isdigit() and len(version) < 19 else None
