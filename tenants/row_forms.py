"""Forms that change one row: shown in a dialog over the list, or as a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Protocol
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from tenants.page_forms import Outcome, run_form
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope, TenantScopedQuerySet, get_visible_row


class Handler(Protocol):
    """Carry out a form for a row; return the message about it, and the page to go to if that is not the list's."""

    def __call__(self, request: PageRequest, scope: Scope, row: Any) -> Outcome: ...


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

    A row outside of the scope is answered with 404, a role that is too low with 403.
    """

    def decorate(handle: Handler) -> Callable[..., HttpResponse]:
        @login_required
        @never_cache
        @require_http_methods(["GET", "POST"])
        @wraps(handle)
        def page(request: PageRequest, pk: UUID) -> HttpResponse:
            scope = page_scope(request)
            row = get_visible_row(form.rows, scope, pk, form.needed)
            return run_form(
                request,
                form.template,
                {"scope": scope, "row": row, "title": str(row), **form.context(row)},
                lambda: handle(request, scope, row),
                list_page=form.list_page,
                initial=form.initial(row),
                fields=form.fields,
            )

        return page

    return decorate
