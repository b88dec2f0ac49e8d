"""The forms that change one volume or snapshot: shown in a dialog over the list, or as a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Protocol
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Model
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from api.domain_errors import DomainError, InvalidFieldsError, NotFoundError
from api.errors import status_of
from api.form_errors import error_texts, errors_by_field
from api.page_errors import is_script
from pages.dialogs import render_dialog
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope, TenantScopedQuerySet, get_visible_row


class Handler(Protocol):
    """Carry out a form for a row; return the message about it, and the address to go to if that is not the list's."""

    def __call__(self, request: PageRequest, scope: Scope, row: Any) -> tuple[str, str]: ...


@dataclass(frozen=True, slots=True)
class RowForm:
    """A form about one row. `fields` are repeated when the form is refused; `initial` are their values at first."""

    template: str
    rows: TenantScopedQuerySet
    needed: Role
    list_page: str
    fields: tuple[str, ...] = ()
    initial: Callable[[Any], Mapping[str, Any]] = lambda _row: {}
    context: Callable[[Any], Mapping[str, Any]] = lambda _row: {}


def row_form_page(form: RowForm) -> Callable[[Handler], Callable[..., HttpResponse]]:
    """Make a page of a function that carries out a form for a row.

    A row outside of the scope is answered with 404, a role that is too low with 403. A refused form is shown again with the
    errors beside its fields, and with what was typed.
    """

    def decorate(handle: Handler) -> Callable[..., HttpResponse]:
        @login_required
        @never_cache
        @require_http_methods(["GET", "POST"])
        @wraps(handle)
        def page(request: PageRequest, pk: UUID) -> HttpResponse:
            scope = page_scope(request)
            row = get_visible_row(form.rows, scope, pk, form.needed)
            if request.method == "GET":
                return _render(request, form, scope, row, entered=form.initial(row))
            try:
                message, address = handle(request, scope, row)
            except NotFoundError:
                raise
            except DomainError as refused:
                entered = {name: request.POST.get(name, "") for name in form.fields}
                return _render(request, form, scope, row, entered=entered, refused=refused)
            messages.success(request, message)
            return redirect(address or form.list_page)

        return page

    return decorate


def require_typed_name(request: PageRequest, name: str) -> None:
    """Refuse unless the name of what is destroyed was typed."""
    if request.POST.get("confirm_name", "").strip() != name.strip():
        raise InvalidFieldsError({"confirm_name": [_("The name doesn't match.")]})


def split_errors(refused: DomainError | None, shown: tuple[str, ...]) -> dict[str, Any]:
    """Return the errors of the fields that a form shows, and the others as messages above the form."""
    if refused is None:
        return {"errors": {}, "refused": []}
    errors = errors_by_field(refused)
    beside = {name: texts for name, texts in errors.items() if name in shown}
    others = [text for name, texts in errors.items() if name not in shown for text in texts]
    if not isinstance(refused, InvalidFieldsError) and not beside:
        others = [str(refused.detail)]
    return {"errors": beside, "refused": error_texts(others)}


def _render(
    request: PageRequest,
    form: RowForm,
    scope: Scope,
    row: Model,
    *,
    entered: Mapping[str, Any],
    refused: DomainError | None = None,
) -> HttpResponse:
    context = {
        "scope": scope,
        "row": row,
        "title": str(row),
        "entered": entered,
        "list_page": reverse(form.list_page),
        "is_dialog": is_script(request),
        **split_errors(refused, (*form.fields, "confirm_name")),
        **form.context(row),
    }
    return render_dialog(request, form.template, context, status=status_of(refused) if refused else 200)
