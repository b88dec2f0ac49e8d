"""What the buttons of an account's page ask for. A refusal is shown above the page, in the words of the API."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from api.domain_errors import DomainError, InvalidFieldsError
from api.form_errors import errors_by_field, show_error, validate_form
from api.form_keys import mark_refused
from api.page_addresses import require_POST
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Scope

from ..models import SyncLog
from ..serializers import AccountSyncSerializer
from ..services import accept_losses, change_account, remove_account, request_sync, verify_account
from ..services.accounts import get_account
from .account_form import if_match_of

Act = Callable[[PageRequest, Scope, int], HttpResponse | None]


def _button_of(page_name: str) -> Callable[[Act], Callable[..., HttpResponse]]:
    """Make a page of a function that does what a button asks for; it leads to the page of the thing, if nowhere else."""

    def page_of(act: Act) -> Callable[..., HttpResponse]:
        @login_required
        @require_POST
        @wraps(act)
        def page(request: PageRequest, pk: int) -> HttpResponse:
            try:
                elsewhere = act(request, page_scope(request), pk)
            except DomainError as refused:
                _tell(request, refused)
                elsewhere = None
            return elsewhere or redirect(page_name, pk)

        return page

    return page_of


def _tell(request: PageRequest, refused: DomainError) -> None:
    errors = errors_by_field(refused)
    if isinstance(refused, InvalidFieldsError) or not errors:
        show_error(request, refused)
        return
    mark_refused(request)
    # A command that refuses itself gives every reason; the detail is the first of them, or points to them.
    for reasons in errors.values():
        for reason in reasons:
            messages.error(request, reason)


@_button_of("account-detail-page")
def verify_account_page(request: PageRequest, scope: Scope, pk: int) -> None:
    """Have the credentials tried; the page follows it."""
    verify_account(scope=scope, account_id=pk)


@_button_of("account-detail-page")
def sync_account_page(request: PageRequest, scope: Scope, pk: int) -> None:
    """Have the named types synced, or all that the account has chosen; the page follows them."""
    types = request.POST.getlist("types")
    asked = validate_form(AccountSyncSerializer(data={"types": types} if types else {}))
    request_sync(scope=scope, account_id=pk, types=asked.get("types"))


@_button_of("account-detail-page")
def switch_account_page(request: PageRequest, scope: Scope, pk: int) -> None:
    """Switch it on or off, unless somebody else has changed it meanwhile."""
    active = request.POST.get("active") == "true"
    account, _job = change_account(
        scope=scope, account_id=pk, fields={"active": active}, if_match=if_match_of(request.POST)
    )
    word = _("'%(name)s' was enabled.") if active else _("'%(name)s' was disabled.")
    messages.success(request, word % {"name": account.name})


@_button_of("account-detail-page")
def remove_account_page(request: PageRequest, scope: Scope, pk: int) -> HttpResponse:
    """Have it removed, when its name was typed: a click alone must not. The job outlives the account, so it is shown."""
    account = get_account(scope, pk)
    if request.POST.get("name", "").strip() != account.name.strip():
        raise InvalidFieldsError({_("Name"): [_("Type '%(name)s' to remove it.") % {"name": account.name}]})
    _account, job = remove_account(scope=scope, account_id=pk, if_match=if_match_of(request.POST))
    return redirect("job-page", job.pk)


@_button_of("sync-log-detail-page")
def accept_losses_page(request: PageRequest, scope: Scope, pk: int) -> HttpResponse:
    """Say that what a sync has held back is gone indeed; the new sync is shown."""
    accepted: SyncLog = accept_losses(scope=scope, log_id=pk)
    return redirect("sync-log-detail-page", accepted.pk)
